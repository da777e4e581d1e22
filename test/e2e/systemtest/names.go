package systemtest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
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
	defaults := topology.Names{}
	require.NoError(t, service.LoadConfig(nothing, &defaults))
	env = map[string]string{
		"TABLE_EVENT_LOG": defaults.EventLog, "TABLE_SET_VALIDATIONS": defaults.SetValidations, "TABLE_COMMANDS": defaults.Commands,
		"TABLE_SNAPSHOTS": defaults.Snapshots, "TABLE_LEASES": defaults.Leases, "TABLE_SET_ASIDE": defaults.SetAside,
		"TABLE_PROJECTION_USER": defaults.Users, "TABLE_PROJECTION_ROLES": defaults.Roles,
		"STREAM_EVENTS": defaults.Stream, "QUEUE_IAM_USER": defaults.UserQueue, "QUEUE_IAM_ROLE": defaults.RoleQueue,
	}
	for name := range env {
		env[name] = prefix + env[name]
	}
	require.NoError(t, service.LoadConfig(service.Fixed(env), &names))
	var all map[string]string
	text, err := json.Marshal(names)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &all))
	for field, name := range all {
		require.True(t, strings.HasPrefix(name, prefix), "topology.Names.%s is not renamed", field)
	}
	return names, env
}

func nothing(string) (string, bool) { return "", false }

// Remove deletes everything that provision.Run created and returns what it could not delete.
func Remove(ctx context.Context, cfg aws.Config, names topology.Names) error {
	db, q := dynamodb.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	var errs []error
	for _, table := range []string{
		names.EventLog, names.SetValidations, names.Commands, names.Snapshots, names.Leases, names.SetAside, names.Users, names.Roles,
	} {
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
