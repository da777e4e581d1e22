package dynamostore_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

var stream = eventsourcing.StreamID{Category: "test", ID: "1"}

func commit(s eventsourcing.StreamID, expected eventsourcing.Version, n int) eventsourcing.Commit {
	c := eventsourcing.Commit{Stream: s, Expected: expected}
	for i := range n {
		version := expected + eventsourcing.Version(i) + 1
		c.Records = append(c.Records, eventsourcing.Record{
			ID: fmt.Sprintf("%s@%d", s, version), Stream: s, Version: version,
			Name: "test/happened", Schema: 1, Data: []byte(`{}`), RecordedAt: time.UnixMilli(1_772_366_400_000).UTC(),
		})
	}
	return c
}

// whole has all that a commit can have, so that its transaction is: result, event 1, event 2, guard, take, release.
func whole() eventsourcing.Commit {
	c := commit(stream, 0, 2)
	c.Result = &eventsourcing.CommandResult{ID: "c", Outcome: []byte("ok"), ExpiresAt: time.Now().Add(time.Hour)}
	c.Guards = []eventsourcing.Guard{{Stream: eventsourcing.StreamID{Category: "test", ID: "guarded"}}}
	c.Take = []eventsourcing.Claim{{Category: "test", Name: "name", Value: "new"}}
	c.Release = []eventsourcing.Claim{{Category: "test", Name: "name", Value: "old"}}
	return c
}

func ids(t *testing.T, s eventsourcing.Store, stream eventsourcing.StreamID) []string {
	t.Helper()
	ids := []string{}
	for r, err := range s.Read(t.Context(), stream, 0) {
		require.NoError(t, err)
		ids = append(ids, r.ID)
	}
	return ids
}

// The design fixes the number of calls.
func TestEveryCommitCostsOneCall(t *testing.T) {
	t.Parallel()
	server, client := newServer(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	other := eventsourcing.StreamID{Category: "test", ID: "2"}
	costs := func(what string, operation func() error, want map[string]int64) {
		t.Helper()
		before := server.Calls()
		require.NoError(t, operation(), what)
		got := map[string]int64{}
		for op, n := range server.Calls() {
			if n -= before[op]; n > 0 {
				got[op] = n
			}
		}
		assert.Equal(t, want, got, what)
	}
	put, transaction := map[string]int64{"DynamoDB.PutItem": 1}, map[string]int64{"DynamoDB.TransactWriteItems": 1}
	query := map[string]int64{"DynamoDB.Query": 1}
	append := func(c eventsourcing.Commit) func() error {
		return func() error { return store.Append(t.Context(), c) }
	}

	costs("the first event", append(commit(stream, 0, 1)), put)
	costs("the next event", append(commit(stream, 1, 1)), put)
	costs("an own event repeated", append(commit(stream, 1, 1)), put)
	costs("two events", append(commit(stream, 2, 2)), transaction)
	costs("two own events repeated", append(commit(stream, 2, 2)), transaction)
	c := commit(stream, 4, 1)
	c.Take = []eventsourcing.Claim{{Category: "test", Name: "name", Value: "v"}}
	costs("an event with a claim", append(c), transaction)
	c = commit(other, 0, 1)
	c.Guards = []eventsourcing.Guard{{Stream: stream, Version: 5}}
	costs("an event with a guard", append(c), transaction)

	store = dynamostore.NewStore(client, dynamostore.Config{})
	costs("an event of a stream not read before", append(commit(other, 1, 1)), transaction)
	costs("the one after", append(commit(other, 2, 1)), put)
	costs("a read", func() error { ids(t, store, stream); return nil }, query)
	costs("an event of a stream read before", append(commit(stream, 5, 1)), put)
	costs("a result", func() error {
		_, err := store.Result(t.Context(), "c")
		require.ErrorIs(t, err, eventsourcing.ErrNoResult)
		return nil
	}, map[string]int64{"DynamoDB.GetItem": 1})
}

// An eventually consistent read could miss what was just written.
func TestReadsAreConsistent(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	require.NoError(t, store.Append(t.Context(), whole()))
	assert.Len(t, ids(t, store, stream), 2)
	for _, err := range store.All(t.Context(), 1) {
		require.NoError(t, err)
	}
	_, err := store.Result(t.Context(), whole().Result.ID)
	require.NoError(t, err)
	for _, operation := range []string{"Query", "Scan", "GetItem"} {
		assert.Positive(t, client.calls[operation], operation)
	}
	assert.Empty(t, client.stale)
}

func TestALostAnswerLosesNoCommit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		commit    eventsourcing.Commit
		operation string
	}{
		"of a plain append":  {commit(stream, 0, 1), "PutItem"},
		"of a transaction":   {commit(stream, 0, 2), "TransactWriteItems"},
		"of a whole command": {whole(), "TransactWriteItems"},
	} {
		for what, fault := range map[string]fault{"lost": lost, "torn": torn} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				client := newFaulty(t)
				now := time.Now()
				store := dynamostore.NewStore(client, dynamostore.Config{Now: func() time.Time { return now }})
				want := []string{}
				for _, r := range c.commit.Records {
					want = append(want, r.ID)
				}

				client.plan(c.operation, times(20, fault)...) // more than the SDK retries
				err := store.Append(t.Context(), c.commit)
				require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
				require.Equal(t, want, ids(t, store, stream), "the commit was written all the same")

				client.plan(c.operation)
				require.NoError(t, store.Append(t.Context(), c.commit))
				now = now.Add(time.Minute) // another time, another token
				require.NoError(t, store.Append(t.Context(), c.commit))
				require.Equal(t, want, ids(t, store, stream))
			})
		}
	}
}

func TestOneLostAnswerIsRetriedByTheClient(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	client.plan("PutItem", lost)
	require.NoError(t, store.Append(t.Context(), commit(stream, 0, 1)))
	assert.Equal(t, 2, client.calls["PutItem"])
	client.plan("TransactWriteItems", lost)
	require.NoError(t, store.Append(t.Context(), commit(stream, 1, 2)))
	require.Len(t, client.tokens, 2)
	assert.Equal(t, client.tokens[0], client.tokens[1])
	assert.Len(t, ids(t, store, stream), 3)
}

func TestContentionIsRetriedAndThenUnavailable(t *testing.T) {
	t.Parallel()
	busy := cancelled("None", "None", "TransactionConflict", "None", "None", "None")
	for name, c := range map[string]struct {
		commit    eventsourcing.Commit
		operation string
		fault     fault
	}{
		"conflict of transactions":    {whole(), "TransactWriteItems", busy},
		"conflict with a transaction": {commit(stream, 0, 1), "PutItem", answers(400, "TransactionConflictException")},
		"throttled in a transaction":  {commit(stream, 0, 2), "TransactWriteItems", cancelled("None", "ThrottlingError")},
		"over capacity": {
			commit(stream, 0, 2), "TransactWriteItems", cancelled("ProvisionedThroughputExceeded", "None"),
		},
		"conflict before a refusal": {
			commit(stream, 0, 2), "TransactWriteItems", cancelled("TransactionConflict", "ConditionalCheckFailed"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newFaulty(t)
			store := dynamostore.NewStore(client, dynamostore.Config{MaxAttempts: 4, Backoff: retry.Backoff{First: time.Microsecond}})
			client.plan(c.operation, times(4, c.fault)...)
			require.ErrorIs(t, store.Append(t.Context(), c.commit), eventsourcing.ErrUnavailable)
			assert.Equal(t, 4, client.calls[c.operation])
			assert.Empty(t, ids(t, store, stream))

			client.plan(c.operation, times(3, c.fault)...)
			require.NoError(t, store.Append(t.Context(), c.commit))
			assert.Len(t, ids(t, store, stream), len(c.commit.Records))
		})
	}
}

func TestContentionWithTheSameCommandIsAConflict(t *testing.T) {
	t.Parallel()
	client, contended := newFaulty(t), 0
	store := dynamostore.NewStore(client, dynamostore.Config{
		MaxAttempts: 4, Backoff: retry.Backoff{First: time.Microsecond}, OnContended: func() { contended++ },
	})
	client.plan("TransactWriteItems", times(4, cancelled("TransactionConflict", "TransactionConflict", "None", "None", "None", "None"))...)
	err := store.Append(t.Context(), whole())
	require.ErrorIs(t, err, eventsourcing.ErrConflict)
	require.NotErrorIs(t, err, eventsourcing.ErrUnavailable)
	assert.Equal(t, 4, contended)
	client.plan("TransactWriteItems", times(4, cancelled("ThrottlingError", "None", "None", "None", "None", "None"))...)
	require.ErrorIs(t, store.Append(t.Context(), whole()), eventsourcing.ErrUnavailable)
	assert.Empty(t, ids(t, store, stream))
}

func TestAnAppendThatWaitsEndsWithItsContext(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{Backoff: retry.Backoff{First: time.Hour}})
	ctx, cancel := context.WithCancel(t.Context())
	client.plan("PutItem", func(ctx context.Context, pass call) (*http.Response, error) {
		time.AfterFunc(time.Millisecond, cancel)
		return answers(400, "TransactionConflictException")(ctx, pass)
	})
	require.ErrorIs(t, store.Append(ctx, commit(stream, 0, 1)), context.Canceled)
}

func TestACancelledAppendIsNotUnavailable(t *testing.T) {
	t.Parallel()
	client := newFaulty(t)
	store := dynamostore.NewStore(client, dynamostore.Config{})
	for _, fault := range []fault{torn, lost, answers(503, "ServiceUnavailable"), hangs} {
		ctx, cancel := context.WithCancel(t.Context())
		client.plan("PutItem", func(ctx context.Context, pass call) (*http.Response, error) {
			cancel()
			return fault(ctx, pass)
		})
		err := store.Append(ctx, commit(stream, 0, 1))
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, eventsourcing.ErrUnavailable)
	}
}

func TestTheFirstRefusalDecides(t *testing.T) {
	t.Parallel()
	const ok, refused, conflict = "None", "ConditionalCheckFailed", "TransactionConflict"
	foreign := `{"Code":"ConditionalCheckFailed","Item":{"id":{"S":"another"}}}`
	for name, c := range map[string]struct {
		reasons []string
		want    error
	}{
		"command, all others too":    {[]string{refused, foreign, foreign, refused, refused, refused}, eventsourcing.ErrCommandRepeated},
		"command, event in conflict": {[]string{refused, conflict, ok, ok, ok, ok}, eventsourcing.ErrCommandRepeated},
		"first event":                {[]string{ok, foreign, ok, refused, refused, refused}, eventsourcing.ErrConflict},
		"second event":               {[]string{ok, ok, foreign, refused, refused, refused}, eventsourcing.ErrConflict},
		"event without its item":     {[]string{ok, refused, refused, ok, ok, ok}, eventsourcing.ErrConflict},
		"guard":                      {[]string{ok, ok, ok, refused, refused, conflict}, eventsourcing.ErrGuardMoved},
		"claim":                      {[]string{ok, ok, ok, ok, refused, refused}, eventsourcing.ErrClaimTaken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newFaulty(t)
			store := dynamostore.NewStore(client, dynamostore.Config{})
			client.plan("TransactWriteItems", cancelled(c.reasons...))
			require.ErrorIs(t, store.Append(t.Context(), whole()), c.want)
			assert.Equal(t, 1, client.calls["TransactWriteItems"])
		})
	}
}

// Other implementations of DynamoDB may omit old items, or reasons. Then a read decides whose events are in the log.
func TestAnOwnCommitIsRecognisedWithoutTheOldItems(t *testing.T) {
	t.Parallel()
	const ok, refused = "None", "ConditionalCheckFailed"
	own := `{"Code":"ConditionalCheckFailed","Item":{"id":{"S":"test/1@1"}}}`
	for name, reasons := range map[string][]string{
		"no items":  {ok, refused, refused, ok, ok, ok},
		"one item":  {ok, own, refused, ok, ok, ok},
		"one event": {refused, own, ok, ok, ok, ok},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newFaulty(t)
			store := dynamostore.NewStore(client, dynamostore.Config{})
			require.NoError(t, store.Append(t.Context(), whole()))
			client.plan("TransactWriteItems", cancelled(reasons...))
			require.NoError(t, store.Append(t.Context(), whole()))
			assert.Len(t, ids(t, store, stream), 2)
		})
	}
}

func TestPermanentFaultsAreNotRetried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fault
		want  string
	}{
		"token came back with another write": {answers(400, "IdempotentParameterMismatchException"), "IdempotentParameterMismatch"},
		"invalid request":                    {answers(400, "ValidationException"), "ValidationException"},
		"no such table":                      {answers(400, "ResourceNotFoundException"), "ResourceNotFoundException"},
		"not allowed":                        {answers(400, "AccessDeniedException"), "AccessDenied"},
		"invalid part":                       {cancelled("None", "ValidationError"), "action 1 of the transaction: ValidationError: because"},
		"fewer reasons than parts":           {cancelled("ConditionalCheckFailed"), "1 reasons for 2 actions"},
		"no reason":                          {cancelled("None", "None"), "without a reason"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newFaulty(t)
			store := dynamostore.NewStore(client, dynamostore.Config{})
			client.plan("TransactWriteItems", c.fault)
			err := store.Append(t.Context(), commit(stream, 0, 2))
			require.ErrorContains(t, err, c.want)
			for _, answer := range []error{eventsourcing.ErrUnavailable, eventsourcing.ErrConflict} {
				require.NotErrorIs(t, err, answer)
			}
			assert.Equal(t, 1, client.calls["TransactWriteItems"])
		})
	}
}

func TestPassingFaultsAreUnavailable(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fault{
		"throttled":           answers(400, "ThrottlingException"),
		"over capacity":       answers(400, "ProvisionedThroughputExceededException"),
		"over the limit":      answers(400, "RequestLimitExceeded"),
		"in progress":         answers(400, "TransactionInProgressException"),
		"broken":              answers(500, "InternalServerError"),
		"away":                answers(503, "ServiceUnavailable"),
		"connection lost":     lost,
		"answer breaking off": torn,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := newFaulty(t)
			store := dynamostore.NewStore(client, dynamostore.Config{})
			for name, operation := range map[string]func() error{
				"PutItem":            func() error { return store.Append(t.Context(), commit(stream, 0, 1)) },
				"TransactWriteItems": func() error { return store.Append(t.Context(), commit(stream, 0, 2)) },
				"GetItem":            func() error { _, err := store.Result(t.Context(), "c"); return err },
				"Query": func() (last error) {
					for _, last = range store.Read(t.Context(), stream, 0) {
					}
					return last
				},
				"Scan": func() (last error) {
					for _, last = range store.All(t.Context(), 1) {
					}
					return last
				},
			} {
				client.plan(name, times(20, fault)...)
				require.ErrorIs(t, operation(), eventsourcing.ErrUnavailable, name)
			}
		})
	}
	t.Run("the cause is kept", func(t *testing.T) {
		t.Parallel()
		client := newFaulty(t)
		store := dynamostore.NewStore(client, dynamostore.Config{})
		client.plan("PutItem", times(20, answers(400, "ProvisionedThroughputExceededException"))...)
		var cause *types.ProvisionedThroughputExceededException
		require.ErrorAs(t, store.Append(t.Context(), commit(stream, 0, 1)), &cause)
	})
}
