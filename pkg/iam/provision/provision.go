// Package provision creates the tables, the stream and the queues that the services need. It is safe to run again.
package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// Config says what to create.
type Config struct {
	Names topology.Names
	// StreamShards is how many shards a new Kinesis stream gets. Defaults to 2.
	StreamShards int32
	// Patience is how long an AWS that does not answer is waited for. Defaults to not at all.
	Patience time.Duration
}

// usable bounds the wait for each resource to become usable.
const usable = 2 * time.Minute

// Run creates what is missing, leaves what exists unchanged, and returns once all of it can be used.
func Run(ctx context.Context, cfg aws.Config, c Config) error {
	if c.StreamShards == 0 {
		c.StreamShards = 2
	}
	return patiently(ctx, cfg, c.Patience, func() error { return everything(ctx, cfg, c) })
}

func everything(ctx context.Context, cfg aws.Config, c Config) error {
	db, k, q := dynamodb.NewFromConfig(cfg), kinesis.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	group, creating := errgroup.WithContext(ctx)
	store := dynamostore.Tables{
		Events: c.Names.EventLog, Claims: c.Names.SetValidations, Scopes: c.Names.Scopes, Commands: c.Names.Commands,
		Snapshots: c.Names.Snapshots,
	}
	tables := append(store.CreateTableInputs(),
		shards.CreateTableInput(c.Names.Leases), setaside.CreateTableInput(c.Names.SetAside),
		generation.CreateTableInput(c.Names.Generations), timers.Table{Name: c.Names.Timers}.CreateTableInput())
	for _, of := range c.Names.Consumers() {
		tables = append(tables, projection.CreateTableInput(of.Table))
		group.Go(func() error { return queue(creating, q, of.Queue) })
	}
	for _, t := range tables {
		group.Go(func() error { return table(creating, db, t) })
	}
	group.Go(func() error { return stream(creating, k, c) })
	if err := group.Wait(); err != nil {
		return err
	}
	return expire(ctx, db, store.TimeToLiveInput())
}

func table(ctx context.Context, db *dynamodb.Client, in *dynamodb.CreateTableInput) error {
	_, err := db.CreateTable(ctx, in)
	if _, exists := errors.AsType[*dynamodbtypes.ResourceInUseException](err); err != nil && !exists {
		return fmt.Errorf("create table %s: %w", *in.TableName, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(db, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: in.TableName}, usable); err != nil {
		return fmt.Errorf("wait for table %s: %w", *in.TableName, err)
	}
	return nil
}

// expire switches a table's TTL on; DynamoDB refuses to switch on what is on.
func expire(ctx context.Context, db *dynamodb.Client, in *dynamodb.UpdateTimeToLiveInput) error {
	out, err := db.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: in.TableName})
	if err != nil {
		return fmt.Errorf("describe expiry of table %s: %w", *in.TableName, err)
	}
	status := out.TimeToLiveDescription.TimeToLiveStatus
	if status == dynamodbtypes.TimeToLiveStatusEnabled || status == dynamodbtypes.TimeToLiveStatusEnabling {
		return nil
	}
	if _, err := db.UpdateTimeToLive(ctx, in); err != nil {
		return fmt.Errorf("switch on expiry of table %s: %w", *in.TableName, err)
	}
	return nil
}

func stream(ctx context.Context, k *kinesis.Client, c Config) error {
	name := aws.String(c.Names.Stream)
	_, err := k.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(c.StreamShards)})
	if _, exists := errors.AsType[*kinesistypes.ResourceInUseException](err); err != nil && !exists {
		return fmt.Errorf("create stream %s: %w", *name, err)
	}
	waiter := kinesis.NewStreamExistsWaiter(k, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, usable); err != nil {
		return fmt.Errorf("wait for stream %s: %w", *name, err)
	}
	return nil
}

// queue creates a queue and its dead-letter queue.
func queue(ctx context.Context, q *sqs.Client, name string) error {
	dlq, err := create(ctx, q, topology.DeadLetters(name), fifoqueue.DeadLetterAttributes())
	if err != nil {
		return err
	}
	const arn = sqstypes.QueueAttributeNameQueueArn
	out, err := q.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &dlq, AttributeNames: []sqstypes.QueueAttributeName{arn}})
	if err != nil {
		return fmt.Errorf("read the ARN of queue %s: %w", topology.DeadLetters(name), err)
	}
	_, err = create(ctx, q, name, fifoqueue.Attributes(out.Attributes[string(arn)]))
	return err
}

func create(ctx context.Context, q *sqs.Client, name string, attributes map[string]string) (url string, err error) {
	out, err := q.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	if err == nil {
		return *out.QueueUrl, nil
	}
	if _, other := errors.AsType[*sqstypes.QueueNameExists](err); other { // it exists with other attributes
		return fifoqueue.QueueURL(ctx, q, name)
	}
	return "", fmt.Errorf("create queue %s: %w", name, err)
}
