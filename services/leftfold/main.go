// Standalone runs every service and an AWS in memory in one process: nothing to install, nothing to configure.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

const does = `every service and an AWS in memory in one process.

  leftfold             run until Ctrl-C
  leftfold demo        play a story through the pipeline, show each hop, and end
  leftfold aws         run the AWS in memory alone, provisioned, for services run one by one
  leftfold provision   make tables, stream and queues in the AWS that AWS_ENDPOINT_URL and the like name, and end
  leftfold -health     ask the one that runs here whether it is ready, "leftfold aws -health" the AWS in memory; 0: yes
  leftfold issuer      run an issuer that gives everybody every token, where ENVIRONMENT=local says so
  leftfold claims audit [--repair]
                       prove in that AWS that the reserved values are those of the log; 0: equal, 1: not, 2: not proved

Unless set, LOG_LEVEL is warn here, LOG_FORMAT text, STREAM_POLL 10ms and STOP_TIMEOUT 5s.`

func main() {
	service.Exit("leftfold", os.Args[1:], func(ctx context.Context, args []string) error {
		var cfg app.Config
		var story demo.Config
		var issuer app.IssuerConfig
		lookup := app.Lookup(os.LookupEnv)
		verbs := map[string]func() error{
			"": func() error {
				system, err := app.New(ctx, cfg, os.Stderr)
				if err != nil {
					return err
				}
				fmt.Print(banner(system)) //nolint:forbidigo // what a person reads
				return system.Run(ctx)
			},
			"demo": func() error {
				system, err := app.New(ctx, cfg, os.Stderr)
				if err != nil {
					return err
				}
				return play(ctx, system, story, os.Stdout)
			},
			"aws": func() error {
				emulator, err := app.NewAWS(ctx, cfg, os.Stderr)
				if err != nil {
					return err
				}
				fmt.Print(awsBanner(emulator)) //nolint:forbidigo // what a person reads
				return emulator.Run(ctx)
			},
			"provision":   func() error { return provisionAWS(ctx, cfg) },
			"-health":     func() error { return service.Ask(ctx) },
			"aws -health": func() error { return service.AskAt(ctx, cfg.AWSAddr, "/_localaws/calls") },
		}
		if len(args) > 0 && args[0] == "claims" {
			os.Exit(claims(ctx, args[1:], os.Stdout, os.Stderr))
		}
		if slices.Equal(args, []string{"issuer"}) { // it reads nothing of the services' configuration
			return runIssuer(ctx, issuer)
		}
		if service.WantsHelp(args) {
			return service.WriteHelp(os.Stdout, "leftfold", does, &cfg, &story, &issuer)
		}
		verb, known := verbs[strings.Join(args, " ")]
		if !known {
			return service.UnknownArguments(args)
		}
		if err := service.LoadConfig(lookup, &cfg, &story); err != nil {
			return err
		}
		return verb()
	})
}

// runIssuer does not take ENVIRONMENT=local for granted, as the other verbs do.
func runIssuer(ctx context.Context, cfg app.IssuerConfig) error {
	if err := service.LoadConfig(os.LookupEnv, &cfg); err != nil {
		return err
	}
	issuer, err := app.NewIssuer(ctx, cfg, os.Stderr)
	if err != nil {
		return err
	}
	fmt.Print(issuerBanner(issuer.Addr, cfg.Issuer)) //nolint:forbidigo // what a person reads
	return issuer.Run(ctx)
}

func provisionAWS(ctx context.Context, cfg app.Config) error {
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return err
	}
	return provision.Run(ctx, target, provision.Config{Names: cfg.Names})
}

// play runs the system for as long as the story takes.
func play(ctx context.Context, system *app.Standalone, story demo.Config, out *os.File) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		err := system.Run(ctx)
		stop()
		ended <- err
	}()
	db := dynamodb.NewFromConfig(system.AWS.Config())
	names := system.Config.Names
	info, err := out.Stat()
	err = errors.Join(err, demo.Play(ctx, story, demo.Stage{
		Base: "http://" + system.APIAddr,
		Log:  dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: names.EventLog}}),
		Models: []projection.Reader{
			{DB: db, Table: names.Users}, {DB: db, Table: names.Roles},
		},
		Registry: system.Registry, Now: system.Platform.Now, Out: out,
		Terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}))
	stop()
	return errors.Join(err, <-ended)
}

func banner(s *app.Standalone) string {
	header := ""
	if s.Config.CommandAPI.Auth.Mode == "oidc" {
		header = ` -H "Authorization: Bearer $TOKEN"` // docs/security.md says whence
	}
	return fmt.Sprintf(`Leftfold is running. It keeps everything in memory: stop it, and all is gone.

  API      http://%[1]s      (try it at /docs)
  admin    http://%[2]s      (/healthz /readyz /metrics)
  AWS      http://%[3]s      (look inside: aws --endpoint-url http://%[3]s dynamodb scan --table-name EventLog)

Try it:

  curl -i http://%[1]s/users%[4]s -H 'Content-Type: application/json' -d '{"email":"dan@example.com"}'
  curl http://%[1]s/users%[4]s

Ctrl-C stops it.
`, s.APIAddr, s.AdminAddr, s.AWSAddr, header)
}

func awsBanner(s *app.AWS) string {
	return fmt.Sprintf(`An AWS in memory is running, with Leftfold's tables, stream and queues. Stop it, and all is gone.

  export AWS_ENDPOINT_URL=http://%s AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local

Ctrl-C stops it.
`, s.Addr)
}

func issuerBanner(addr string, c devissuer.Config) string {
	return fmt.Sprintf(`An issuer is running that gives everybody every token. Who believes it is started with

  AUTH_MODE=oidc OIDC_ISSUER=%[2]s OIDC_AUDIENCE=%[3]s

A token, and a new key to sign with:

  curl http://%[1]s/token -d client_id=dan -d 'scope=users:read users:write roles:read roles:write'
  curl -X POST http://%[1]s/rotate

Ctrl-C stops it.
`, addr, c.URL, c.Audience)
}
