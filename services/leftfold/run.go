package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/amount"
)

// run makes a process of its configuration, prints its banner on out and runs it until ctx ends.
func run[C any, P interface{ Run(context.Context) error }](
	ctx context.Context, lookup service.Lookup, out, logs io.Writer,
	newProcess func(context.Context, C, io.Writer) (P, error), banner func(P, C) string,
) error {
	var cfg C
	if err := service.LoadConfig(lookup, &cfg); err != nil {
		return err
	}
	process, err := newProcess(ctx, cfg, logs)
	if err != nil {
		return service.IgnoreStop(ctx, err)
	}
	_, _ = fmt.Fprint(out, banner(process, cfg))
	return process.Run(ctx)
}

// runIssuer does not assume ENVIRONMENT=local, as the other commands do.
func runIssuer(ctx context.Context, out, logs io.Writer) error {
	return run(ctx, os.LookupEnv, out, logs, app.NewIssuer, issuerBanner)
}

func banner(s *app.System, cfg app.Config) string {
	header := ""
	if cfg.CommandAPI.Auth.Mode == "oidc" {
		header = ` -H "Authorization: Bearer $TOKEN"` // docs/security.md says where it comes from
	}
	people := ""
	if s.Config.Seed > 0 {
		people = fmt.Sprintf("\n%s and some roles are being added.\n", amount.Of(s.Config.Seed, "user"))
	}
	return fmt.Sprintf(`Leftfold is running. %[8]s

  API      http://%[1]s      (its pages say what there is)
  console  http://%[1]s/console
  admin    http://%[2]s      (/healthz /readyz /metrics)
  AWS      http://%[3]s
%[5]s
Try it:

  curl -i http://%[1]s/users%[4]s \
    -H 'Content-Type: application/json' -d '{"email":"dan@example.com"}'
  curl http://%[1]s/users%[4]s

Look into its AWS:

  export AWS_ENDPOINT_URL=http://%[3]s AWS_DEFAULT_REGION=%[7]s \
    AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local
  aws dynamodb scan --table-name %[6]s

Ctrl-C stops it.
`, s.APIAddr, s.AdminAddr, s.AWSAddr, header, people, cfg.Names.EventLog, cfg.Region, cfg.Kept())
}

func awsBanner(aws *app.Alone, cfg app.AWSConfig) string {
	return fmt.Sprintf(`The embedded AWS is running, with Leftfold's tables, stream and queues.
%[3]s

  export AWS_ENDPOINT_URL=http://%[1]s AWS_DEFAULT_REGION=%[2]s \
    AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local

Ctrl-C stops it.
`, aws.Addr, cfg.Region, cfg.Kept())
}

func issuerBanner(issuer *app.Alone, cfg app.IssuerConfig) string {
	return fmt.Sprintf(`An issuer is running that gives every token to everyone. A service accepts its
tokens when started with

  export AUTH_MODE=oidc OIDC_ISSUER=%[2]s OIDC_AUDIENCE=%[3]s

A token, and a new key to sign with:

  curl http://%[1]s/token -d client_id=dan \
    -d 'scope=users:read users:write roles:read roles:write events:read events:data audit:read'
  curl -X POST http://%[1]s/rotate

Ctrl-C stops it.
`, issuer.Addr, cfg.Issuer.URL, cfg.Issuer.Audience)
}
