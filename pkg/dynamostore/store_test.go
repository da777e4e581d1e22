package dynamostore_test

import (
	"context"
	"crypto/rand"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/eventstoretest"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t testing.TB) eventsourcing.Store {
		_, client := newServer(t)
		return dynamostore.New(client, dynamostore.Config{})
	})
}

// A store that remembers next to nothing of what it read must keep the same promises.
func TestConformanceOfAForgetfulStore(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t testing.TB) eventsourcing.Store {
		_, client := newServer(t)
		return forgetful{client}
	})
}

// forgetful is a new store for every call.
type forgetful struct{ client *dynamodb.Client }

func (f forgetful) store() *dynamostore.Store { return dynamostore.New(f.client, dynamostore.Config{}) }

func (f forgetful) Append(ctx context.Context, c eventsourcing.Commit) error {
	return f.store().Append(ctx, c)
}

func (f forgetful) Read(
	ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return f.store().Read(ctx, s, after)
}

func (f forgetful) Remember(ctx context.Context, r eventsourcing.CommandResult) error {
	return f.store().Remember(ctx, r)
}

func (f forgetful) Result(ctx context.Context, commandID string) (eventsourcing.CommandResult, error) {
	return f.store().Result(ctx, commandID)
}

// TestConformanceAgainstAnEndpoint runs against whatever AWS_ENDPOINT_URL names, such as LocalStack.
func TestConformanceAgainstAnEndpoint(t *testing.T) {
	t.Parallel()
	if os.Getenv("AWS_ENDPOINT_URL") == "" {
		t.Skip("AWS_ENDPOINT_URL is not set")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	require.NoError(t, err)
	client := dynamodb.NewFromConfig(cfg)
	suffix := "-" + rand.Text()
	tables := dynamostore.Tables{
		Events: "EventLog" + suffix, Claims: "set-validations" + suffix, Commands: "commands" + suffix, Snapshots: "snapshots" + suffix,
	}
	provision(t, client, tables)
	store := dynamostore.New(client, dynamostore.Config{Tables: tables})
	t.Run("store", func(t *testing.T) {
		t.Parallel()
		eventstoretest.Run(t, func(testing.TB) eventsourcing.Store { return store })
	})
	t.Run("snapshots", func(t *testing.T) {
		t.Parallel()
		eventstoretest.RunSnapshots(t, func(testing.TB) eventsourcing.Snapshots { return dynamostore.NewSnapshots(client, tables) })
	})
}

func newServer(t testing.TB) (*localaws.Server, *dynamodb.Client) {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	client := dynamodb.NewFromConfig(server.Config())
	provision(t, client, dynamostore.Tables{})
	return server, client
}

func provision(t testing.TB, client *dynamodb.Client, tables dynamostore.Tables) {
	t.Helper()
	for _, table := range tables.Create() {
		_, err := client.CreateTable(t.Context(), table)
		require.NoError(t, err)
		require.NoError(t, dynamodb.NewTableExistsWaiter(client).Wait(t.Context(),
			&dynamodb.DescribeTableInput{TableName: table.TableName}, time.Minute))
		if os.Getenv("AWS_ENDPOINT_URL") != "" {
			t.Cleanup(func() {
				_, err := client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: table.TableName})
				assert.NoError(t, err)
			})
		}
	}
	_, err := client.UpdateTimeToLive(t.Context(), tables.Expire())
	require.NoError(t, err)
}
