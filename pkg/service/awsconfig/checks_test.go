package awsconfig_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checks returns one check of each kind.
func checks(cfg aws.Config) []health.Check {
	return []health.Check{
		awsconfig.TableCheck(dynamodb.NewFromConfig(cfg), "log"),
		awsconfig.StreamCheck(kinesis.NewFromConfig(cfg), "events"),
		awsconfig.QueueCheck(sqs.NewFromConfig(cfg), "users.fifo"),
	}
}

func TestChecksPassOnceEverythingExists(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	defer server.Close()
	missing := map[string]string{
		"log": "ResourceNotFoundException", "events": "ResourceNotFoundException",
		"users.fifo": "AWS.SimpleQueueService.NonExistentQueue",
	}
	for _, c := range checks(server.Config()) {
		require.EqualError(t, c.Probe(t.Context()), missing[c.Name], "what an operator reads first")
	}
	_, err := dynamodb.NewFromConfig(server.Config()).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("log"), BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
	})
	require.NoError(t, err)
	_, err = kinesis.NewFromConfig(server.Config()).CreateStream(t.Context(), &kinesis.CreateStreamInput{
		StreamName: aws.String("events"), ShardCount: aws.Int32(1),
	})
	require.NoError(t, err)
	_, err = sqs.NewFromConfig(server.Config()).CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("users.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	require.NoError(t, err)
	for _, c := range checks(server.Config()) {
		require.NoError(t, c.Probe(t.Context()), c.Name)
	}
}

// answering is an AWS that gives every call the same answer.
type answering struct {
	body string
	err  error
}

func (a answering) Do(*http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(a.body)),
	}, nil
}

func TestACheckReportsOnlyTheCause(t *testing.T) {
	t.Parallel()
	for _, c := range checks(config(answering{err: errors.New("no route to host")}, aws.NopRetryer{})) {
		err := c.Probe(t.Context())
		require.ErrorContains(t, err, "no route to host", c.Name)
		assert.NotContains(t, err.Error(), "operation error", c.Name)
	}
}

func TestAResourceInCreationOrDeletionIsNotActive(t *testing.T) {
	t.Parallel()
	for status, usable := range map[string]bool{"ACTIVE": true, "UPDATING": true, "CREATING": false, "DELETING": false} {
		body := `{"Table":{"TableStatus":"` + status + `"},"StreamDescriptionSummary":{"StreamStatus":"` + status + `"}}`
		for _, c := range checks(config(answering{body: body}, aws.NopRetryer{}))[:2] {
			err := c.Probe(t.Context())
			if usable {
				require.NoError(t, err, "%s %s", c.Name, status)
			} else {
				require.EqualError(t, err, "not active", "%s %s", c.Name, status)
			}
		}
	}
}

func TestChecksHonourTheirContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	server := localaws.New(localaws.Options{})
	defer server.Close()
	for _, c := range checks(server.Config()) {
		require.ErrorIs(t, c.Probe(ctx), context.Canceled, c.Name)
	}
}
