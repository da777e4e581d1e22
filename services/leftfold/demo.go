package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
	"github.com/leftfold/leftfold/services/leftfold/internal/fleet"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

// interrupted is the exit code of what Ctrl-C ended, as shells have it.
const interrupted = 130

// runDemo plays on the system that DEMO_API names, on the one that runs at API_ADDR, or else on one of its own.
func runDemo(ctx context.Context, lookup service.Lookup, out *os.File, logs io.Writer) error {
	var cfg app.Config
	var story demo.Config
	if err := service.LoadConfig(lookup, &cfg, &story); err != nil {
		return err
	}
	var err error
	at := "http://" + cfg.CommandAPI.Addr
	switch {
	case story.API != "" && story.API != demo.Alone:
		var named aws.Config
		if named, err = awsconfig.Load(ctx); err == nil {
			err = playOn(ctx, story.API, named, cfg, story, out)
		}
	case story.API == "" && isLeftfold(ctx, at):
		embedded := aws.Config{
			Region: cfg.Region, BaseEndpoint: aws.String("http://" + cfg.AWSAddr),
			Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
		}
		err = playOn(ctx, at, embedded, cfg, story, out)
	default:
		err = playAlone(ctx, cfg, story, out, logs)
	}
	if errors.Is(err, demo.ErrStopped) {
		return outcome{code: interrupted}
	}
	return err
}

// isLeftfold reports whether such a system answers. Where none listens, the refusal comes at once; a busy one may take seconds.
func isLeftfold(ctx context.Context, api string) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, api+"/openapi.json", http.NoBody)
	if err != nil {
		return false
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = answer.Body.Close() }() // of a reader
	var document struct {
		Info struct{ Title string } `json:"info"`
	}
	err = json.NewDecoder(io.LimitReader(answer.Body, 4<<20)).Decode(&document)
	return err == nil && document.Info.Title == problems.Info().Title
}

// playAlone plays on a system of its own, on free ports, that ends with the story.
func playAlone(ctx context.Context, cfg app.Config, story demo.Config, out *os.File, logs io.Writer) error {
	system, err := app.New(ctx, cfg.OnFreePorts(), logs)
	if err != nil {
		return err
	}
	system.Config.Admin.Addr = system.AdminAddr
	return system.During(ctx, func(ctx context.Context) error {
		return play(ctx, story, "http://"+system.APIAddr, system.Config, system.AWS.Config(), out)
	})
}

// playOn plays on a system that runs, with the AWS that has its log.
func playOn(ctx context.Context, api string, target aws.Config, cfg app.Config, story demo.Config, out *os.File) error {
	db := dynamodb.NewFromConfig(target, func(o *dynamodb.Options) { o.RetryMaxAttempts = 2 })
	if _, err := db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &cfg.Names.EventLog}); err != nil {
		return fmt.Errorf("read the event log, with which the demo compares what %s shows; "+
			"AWS_ENDPOINT_URL, AWS_REGION and credentials name the AWS of DEMO_API, AWS_ADDR and AWS_REGION that of make run: %w", api, err)
	}
	return play(ctx, story, api, cfg, target, out)
}

// stage is the system at that API.
func stage(ctx context.Context, api string, cfg app.Config, target aws.Config) (demo.Stage, error) {
	db := dynamodb.NewFromConfig(target)
	models, err := oracle.Models(ctx, db, cfg.Names)
	return demo.Stage{
		API: api, Admins: fleet.Admins(cfg), Models: models, Now: time.Now, //nolint:forbidigo // durations for a person
		EventLog: dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: cfg.Names.EventLog}}),
	}, err
}

// play plays the story and draws its progress if out is a terminal.
func play(ctx context.Context, story demo.Config, api string, cfg app.Config, target aws.Config, out *os.File) error {
	on, err := stage(ctx, api, cfg, target)
	if err != nil {
		return err
	}
	on.Out, on.Terminal = out, output.IsTerminal(out)
	return demo.Play(ctx, story, on)
}
