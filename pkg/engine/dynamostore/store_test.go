package dynamostore_test

import (
	"context"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/eventsourcing/eventstoretest"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t testing.TB) eventsourcing.Store {
		_, client := newServer(t)
		return dynamostore.NewStore(client, dynamostore.Config{})
	})
}

func TestADryRunSaysWhatAnAppendDoes(t *testing.T) {
	t.Parallel()
	eventstoretest.RunDryRuns(t, func(t testing.TB) dryrun.Log {
		_, client := newServer(t)
		return dynamostore.NewStore(client, dynamostore.Config{})
	})
}

// TestADryRunSendsNoWrite, whatever the commit has.
func TestADryRunSendsNoWrite(t *testing.T) {
	t.Parallel()
	server, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	stream := eventsourcing.StreamID{Category: "test", ID: "1"}
	c := eventsourcing.Commit{
		Stream: stream,
		Records: []eventsourcing.Record{
			{ID: "e1", Stream: stream, Version: 1, Name: "test/happened", Schema: 1, Data: []byte(`{}`), RecordedAt: time.Now()},
		},
		Take:    []eventsourcing.Claim{{Category: "test", Name: "name", Value: "a"}},
		Release: []eventsourcing.Claim{{Category: "test", Name: "name", Value: "b"}},
		Guards:  []eventsourcing.Guard{{Stream: eventsourcing.StreamID{Category: "test", ID: "2"}}},
		Scopes:  []eventsourcing.ScopeMove{{Scope: eventsourcing.Scope{Subject: "test", Name: "all"}, Add: map[string]int64{"n": 1}}},
		Result:  &eventsourcing.CommandResult{ID: "c1", ExpiresAt: time.Now().Add(time.Hour)},
	}
	before := server.Calls()
	trial := dryrun.New(store, stream, 0)
	require.NoError(t, trial.Append(t.Context(), c))
	require.NoError(t, trial.Remember(t.Context(), *c.Result))
	for operation, n := range server.Calls() {
		read := slices.Contains([]string{"DynamoDB.Query", "DynamoDB.GetItem", "DynamoDB.BatchGetItem"}, operation)
		require.True(t, read || n == before[operation], operation)
	}
	require.NoError(t, store.Append(t.Context(), c), "it is as good as new")
}

// A store that has cached no versions keeps the same contract.
func TestConformanceWithoutKnownStreams(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(t testing.TB) eventsourcing.Store {
		_, client := newServer(t)
		return forgetful{client}
	})
}

// forgetful is a new store for every call.
type forgetful struct{ client *dynamodb.Client }

func (f forgetful) store() *dynamostore.Store {
	return dynamostore.NewStore(f.client, dynamostore.Config{})
}

func (f forgetful) Append(ctx context.Context, c eventsourcing.Commit) error {
	return f.store().Append(ctx, c)
}

func (f forgetful) Read(
	ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return f.store().Read(ctx, s, after)
}

func (f forgetful) Scopes(ctx context.Context, scopes []eventsourcing.Scope) (eventsourcing.ScopeStates, error) {
	return f.store().Scopes(ctx, scopes)
}

func (f forgetful) Remember(ctx context.Context, r eventsourcing.CommandResult) error {
	return f.store().Remember(ctx, r)
}

func (f forgetful) Result(ctx context.Context, commandID string) (eventsourcing.CommandResult, error) {
	return f.store().Result(ctx, commandID)
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
	for _, table := range tables.CreateTableInputs() {
		_, err := client.CreateTable(t.Context(), table)
		require.NoError(t, err)
		require.NoError(t, dynamodb.NewTableExistsWaiter(client).Wait(t.Context(),
			&dynamodb.DescribeTableInput{TableName: table.TableName}, time.Minute))
	}
	_, err := client.UpdateTimeToLive(t.Context(), tables.TimeToLiveInput())
	require.NoError(t, err)
}
