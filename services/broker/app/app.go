// Package app wires broker from its configuration.
package app

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/services/broker/internal/route"
)

func newDynamoDB(p service.Platform) *dynamodb.Client { return dynamodb.NewFromConfig(p.AWS) }

func newKinesis(p service.Platform) *kinesis.Client { return kinesis.NewFromConfig(p.AWS) }

func newSQS(p service.Platform) *sqs.Client { return sqs.NewFromConfig(p.AWS) }

func newQueues(ctx context.Context, cfg Config, p service.Platform, client *sqs.Client) ([]route.Queue, error) {
	var out []route.Queue
	for _, s := range cfg.Subscriptions() {
		url, err := fifoqueue.QueueURL(ctx, client, s.Queue)
		if err != nil {
			return nil, err
		}
		publisher := fifoqueue.NewPublisher(client, url, retry.Backoff{Jitter: p.Jitter})
		out = append(out, route.Queue{Categories: s.Categories, Sender: publisher.Options()})
	}
	return out, nil
}

func newRouter(cfg Config, p service.Platform, db *dynamodb.Client, queues []route.Queue) *hop.Hop[[]byte] {
	return route.NewRouter(queues, hop.Config[[]byte]{
		EventLog: dynamostore.NewStore(db, dynamostore.Config{
			Tables: dynamostore.Tables{Events: cfg.EventLog}, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
		}),
		SetAside: func(context.Context, hop.Place, error) error { return nil }, // the hop logs and counts it
		Now:      p.Now, Logger: p.Logger, Metrics: p.Metrics, Traces: p.Traces,
	})
}

func newReader(
	cfg Config, p service.Platform, db *dynamodb.Client, k *kinesis.Client, router *hop.Hop[[]byte],
) (*shards.Reader[[]byte], error) {
	return shards.NewReader(shards.Config[[]byte]{
		Consumer: "broker", Owner: p.Instance,
		Stream: cfg.stream(k), Leases: shards.NewDynamoDBLeases(db, cfg.Leases),
		Open: router.Open, Republish: router.Republish, Retention: cfg.Retention,
		Poll: cfg.Poll, Checkpoint: cfg.Checkpoint, LeaseDuration: cfg.LeaseDuration, StopTimeout: p.Drain,
		Backoff: retry.Backoff{Jitter: p.Jitter}, Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Loops: p.Loops,
	})
}

func newApp(
	cfg Config, db *dynamodb.Client, k *kinesis.Client, q *sqs.Client, reader *shards.Reader[[]byte],
) service.App {
	checks := []health.Check{awsconfig.StreamCheck(k, cfg.Stream), awsconfig.TableCheck(db, cfg.Leases)}
	for _, s := range cfg.Subscriptions() {
		checks = append(checks, awsconfig.QueueCheck(q, s.Queue))
	}
	return service.App{
		Parts: []service.Part{{Name: "broker", Run: reader.Run}},
		First: []health.Check{{Name: "lease round of broker", Probe: reader.Ready}}, Checks: checks, Info: problems.Info(),
	}
}
