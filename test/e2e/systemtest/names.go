package systemtest

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// Named returns the names of all tables, streams and queues with a prefix, so that a run on a shared AWS has its own, and the
// environment variables that set them.
func Named(t testing.TB, prefix string) (names topology.Names, env map[string]string) {
	t.Helper()
	env = map[string]string{}
	for _, v := range service.Variables(&topology.Names{}) {
		env[v.Name] = prefix + v.Default
	}
	require.NoError(t, service.LoadConfig(service.Fixed(env), &names))
	return names, env
}

// Remove deletes everything that provision.Run created and returns what it could not delete.
func Remove(ctx context.Context, cfg aws.Config, names topology.Names) error {
	db, q := dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	var errs []error
	tables := []string{
		names.EventLog, names.SetValidations, names.Scopes, names.Commands, names.Snapshots, names.Leases, names.SetAside, names.Generations,
	}
	for _, p := range names.Projections() {
		tables = append(tables, p.Table)
	}
	for _, table := range tables {
		_, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table})
		errs = append(errs, err)
	}
	stream := &kinesis.DeleteStreamInput{StreamName: &names.Stream, EnforceConsumerDeletion: aws.Bool(true)}
	_, err := kinesis.NewFromConfig(cfg).DeleteStream(ctx, stream)
	errs = append(errs, err)
	for _, s := range names.Subscriptions() {
		for _, queue := range []string{s.Queue, topology.DeadLetters(s.Queue)} {
			url, err := q.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &queue})
			if err == nil {
				_, err = q.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url.QueueUrl})
			}
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
