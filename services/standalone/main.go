// Standalone runs every service and an AWS in memory in one process: nothing to install, nothing to configure.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/awsconfig"
	"github.com/leftfold/leftfold/pkg/dynamostore"
	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/pkg/projection"
	"github.com/leftfold/leftfold/pkg/provision"
	"github.com/leftfold/leftfold/services/standalone/app"
	"github.com/leftfold/leftfold/services/standalone/internal/demo"
)

const does = `every service and an AWS in memory in one process.

  leftfold             run until Ctrl-C
  leftfold demo        play a story through the pipeline, show each hop, and end
  leftfold aws         run the AWS in memory alone, provisioned, for services run one by one
  leftfold provision   make tables, stream and queues in the AWS that AWS_ENDPOINT_URL and the like name, and end

Unless set, LOG_LEVEL is warn here, LOG_FORMAT text, STREAM_POLL 10ms and STOP_TIMEOUT 5s.`

func main() {
	process.Exit("leftfold", os.Args[1:], func(ctx context.Context, args []string) error {
		var cfg app.Config
		var story demo.Config
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
			"provision": func() error { return provisionAWS(ctx, cfg) },
		}
		verb, known := verbs[strings.Join(args, " ")]
		if !known {
			return process.WriteHelp(os.Stdout, "leftfold", does, &cfg, &story)
		}
		if err := errors.Join(process.LoadConfig(ctx, lookup, &cfg), process.LoadConfig(ctx, lookup, &story)); err != nil {
			return err
		}
		return verb()
	})
}

func provisionAWS(ctx context.Context, cfg app.Config) error {
	target, err := awsconfig.Load(ctx)
	if err != nil {
		return err
	}
	return provision.Run(ctx, target, provision.Config{Names: cfg.CommandAPI.Names})
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
	names := system.Config.CommandAPI.Names
	info, err := out.Stat()
	err = errors.Join(err, demo.Play(ctx, story, demo.Stage{
		Base: "http://" + system.APIAddr,
		Log:  dynamostore.New(db, dynamostore.Config{Tables: dynamostore.Tables{Events: names.EventLog}}),
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
	return fmt.Sprintf(`Leftfold is running. It keeps everything in memory: stop it, and all is gone.

  API      http://%[1]s      (OpenAPI at /openapi.json)
  admin    http://%[2]s      (/healthz /readyz /metrics)
  AWS      http://%[3]s      (look inside: aws --endpoint-url http://%[3]s dynamodb scan --table-name EventLog)

Try it:

  curl -i http://%[1]s/users -H 'Content-Type: application/json' -d '{"email":"dan@example.com"}'
  curl http://%[1]s/users

Ctrl-C stops it.
`, s.APIAddr, s.AdminAddr, s.AWSAddr)
}

func awsBanner(s *app.AWS) string {
	return fmt.Sprintf(`An AWS in memory is running, with Leftfold's tables, stream and queues. Stop it, and all is gone.

  export AWS_ENDPOINT_URL=http://%s AWS_REGION=us-east-1 AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local

Ctrl-C stops it.
`, s.Addr)
}
