// Package app wires streamer from its configuration.
package app

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/services/streamer/internal/publish"
)

func newDynamoDB(p service.Platform) *dynamodb.Client { return dynamodb.NewFromConfig(p.AWS) }

func newKinesis(p service.Platform) *kinesis.Client { return kinesis.NewFromConfig(p.AWS) }

func newPublisher(cfg Config, p service.Platform, db *dynamodb.Client, k *kinesis.Client) *hop.Hop[publish.Image] {
	eventLog := dynamostore.NewStore(db, dynamostore.Config{
		Tables: dynamostore.Tables{Events: cfg.EventLog}, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
	})
	target := ordered.NewKinesisPublisher(k, cfg.Stream, retry.Backoff{Jitter: p.Jitter})
	return publish.NewPublisher(cfg.Stream, target.Options(), hop.Config[publish.Image]{
		SetAside: setaside.NewList(db, cfg.SetAside, p.Now).Keep,
		EventLog: eventLog, Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Traces: p.Traces, Journey: p.Journey,
	})
}

func newReader(
	cfg Config, p service.Platform, db *dynamodb.Client, publisher *hop.Hop[publish.Image],
) (*shards.Reader[publish.Image], error) {
	return shards.NewReader(shards.Config[publish.Image]{
		Consumer: "streamer", Owner: p.Instance,
		Stream: shards.NewDynamoDBStream(dynamodbstreams.NewFromConfig(p.AWS), db, cfg.EventLog),
		Leases: shards.NewDynamoDBLeases(db, cfg.Leases),
		Open:   publisher.Open, Republish: publisher.Republish,
		Poll: cfg.Poll, PollIdle: cfg.PollIdle, Checkpoint: cfg.Checkpoint, LeaseDuration: cfg.LeaseDuration, StopTimeout: p.Drain,
		Backoff: retry.Backoff{Jitter: p.Jitter}, Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Loops: p.Loops,
	})
}

func newApp(
	cfg Config, db *dynamodb.Client, k *kinesis.Client, reader *shards.Reader[publish.Image],
) service.App {
	return service.App{
		Parts: []service.Part{{Name: "streamer", Run: reader.Run}},
		First: []health.Check{{Name: "lease round of streamer", Probe: reader.Ready}},
		Info:  problems.Info(),
		Checks: []health.Check{
			awsconfig.TableCheck(db, cfg.EventLog), awsconfig.TableCheck(db, cfg.Leases), awsconfig.TableCheck(db, cfg.SetAside),
			awsconfig.StreamCheck(k, cfg.Stream),
		},
	}
}
