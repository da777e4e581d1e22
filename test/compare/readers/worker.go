package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// job is what a worker is told by its arguments.
type job struct {
	sink     string // URL to which batches are posted
	stream   string
	failover time.Duration // without renewal, until a lease is free; 0 is the library's default
}

const leaseTable = "leases"

// work reads the stream by package shards until standard input ends.
func work(ctx context.Context, j job, stdin io.Reader) error {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, stdin)
		stop()
	}()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return err
	}
	cfg = awscall.Configure(cfg)
	reader, err := shards.NewReader(shards.Config[[]byte]{
		Consumer:      "readers",
		Stream:        shards.NewKinesisStream(kinesis.NewFromConfig(cfg), j.stream),
		Leases:        shards.NewDynamoDBLeases(dynamodb.NewFromConfig(cfg), leaseTable),
		LeaseDuration: j.failover,
		Retention:     24 * time.Hour,
		Handle: func(ctx context.Context, _ string, records []shards.Record[[]byte]) error {
			var batch bytes.Buffer
			for _, r := range records {
				_, _ = fmt.Fprintf(&batch, "%s %s\n", r.Key, r.Value)
			}
			return post(ctx, j.sink, &batch)
		},
		Republish: func(context.Context, string) error { return errors.New("records were trimmed, and no log has them") },
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return reader.Run(ctx)
}

func post(ctx context.Context, url string, batch io.Reader) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, batch)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("post a batch: %s", response.Status)
	}
	return nil
}
