// Standalone runs every service and an AWS in memory in one process: nothing to install, nothing to configure.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/dynamostore"
	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/pkg/projection"
	"github.com/leftfold/leftfold/services/standalone/app"
	"github.com/leftfold/leftfold/services/standalone/internal/demo"
)

const does = `every service and an AWS in memory in one process.

  leftfold         run until Ctrl-C
  leftfold demo    play a story through the pipeline, show each hop, and end

Unless set, LOG_LEVEL is warn here, LOG_FORMAT text, STREAM_POLL 10ms and STOP_TIMEOUT 5s.`

func main() {
	process.Exit("leftfold", os.Args[1:], func(ctx context.Context, args []string) error {
		var cfg app.Config
		var story demo.Config
		playing := len(args) == 1 && args[0] == "demo"
		if len(args) > 0 && !playing {
			return process.WriteHelp(os.Stdout, "leftfold", does, &cfg, &story)
		}
		lookup := app.Lookup(os.LookupEnv)
		if err := errors.Join(process.LoadConfig(ctx, lookup, &cfg), process.LoadConfig(ctx, lookup, &story)); err != nil {
			return err
		}
		system, err := app.New(ctx, cfg, os.Stderr)
		if err != nil {
			return err
		}
		if playing {
			return play(ctx, system, story, os.Stdout)
		}
		fmt.Print(banner(system)) //nolint:forbidigo // what a person reads
		return system.Run(ctx)
	})
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
