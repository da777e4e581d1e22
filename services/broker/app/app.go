// Package app wires broker from its configuration.
package app

import (
	"context"
	"path"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
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

// queues are the subscribers' queues and how to send to them.
type queues struct {
	urls   []string
	routes []route.Queue
}

func newQueues(ctx context.Context, cfg Config, p service.Platform, client *sqs.Client) (queues, error) {
	var out queues
	for _, s := range cfg.Subscriptions() {
		url, err := fifoqueue.QueueURL(ctx, client, s.Queue)
		if err != nil {
			return queues{}, err
		}
		publisher := fifoqueue.NewPublisher(client, url, retry.Backoff{Jitter: p.Jitter})
		out.urls = append(out.urls, url)
		out.routes = append(out.routes, route.Queue{Name: s.Queue, Categories: s.Categories, Sender: publisher.Options()})
	}
	return out, nil
}

// targets returns the time of creation of each queue: one made anew has the URL of the former, but none of its messages.
func (q queues) targets(client *sqs.Client) func(context.Context) (map[string]string, error) {
	return func(ctx context.Context) (map[string]string, error) {
		out := make(map[string]string, len(q.urls))
		for _, url := range q.urls {
			at, err := fifoqueue.CreatedAt(ctx, client, url)
			if err != nil {
				return nil, err
			}
			out[path.Base(url)] = at.Format(time.RFC3339)
		}
		return out, nil
	}
}

func newRouter(cfg Config, p service.Platform, db *dynamodb.Client, q queues) *hop.Hop[[]byte] {
	return route.NewRouter(q.routes, hop.Config[[]byte]{
		EventLog: dynamostore.NewStore(db, dynamostore.Config{
			Tables: dynamostore.Tables{Events: cfg.EventLog}, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
		}),
		SetAside: setaside.NewList(db, cfg.SetAside, p.Now).Keep,
		Now:      p.Now, Logger: p.Logger, Metrics: p.Metrics, Traces: p.Traces, Journey: p.Journey,
	})
}

func newReader(
	cfg Config, p service.Platform, db *dynamodb.Client, k *kinesis.Client, client *sqs.Client, q queues, router *hop.Hop[[]byte],
) (*shards.Reader[[]byte], error) {
	return shards.NewReader(shards.Config[[]byte]{
		Consumer: "broker", Owner: p.Instance,
		Stream: cfg.stream(k), Leases: shards.NewDynamoDBLeases(db, cfg.Leases),
		Open: router.Open, Republish: router.Republish, Targets: q.targets(client), Retention: cfg.Retention,
		Poll: cfg.Poll, PollIdle: cfg.PollIdle, Checkpoint: cfg.Checkpoint, LeaseDuration: cfg.LeaseDuration, StopTimeout: p.Drain,
		Backoff: retry.Backoff{Jitter: p.Jitter}, Now: p.Now, Logger: p.Logger, Metrics: p.Metrics, Loops: p.Loops,
	})
}

func newApp(
	cfg Config, db *dynamodb.Client, k *kinesis.Client, q *sqs.Client, reader *shards.Reader[[]byte],
) service.App {
	checks := []health.Check{
		awsconfig.StreamCheck(k, cfg.Stream), awsconfig.TableCheck(db, cfg.Leases),
		awsconfig.TableCheck(db, cfg.SetAside),
	}
	for _, s := range cfg.Subscriptions() {
		checks = append(checks, awsconfig.QueueCheck(q, s.Queue))
	}
	return service.App{
		Parts: []service.Part{{Name: "broker", Run: reader.Run}},
		First: []health.Check{{Name: "lease round of broker", Probe: reader.Ready}}, Checks: checks, Info: problems.Info(),
	}
}
