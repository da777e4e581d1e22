package dynamostore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	keeping "github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// turned is the only event of a wheel, whose state is how many there were.
type turned struct{}

func (turned) EventName() string { return "test/wheel/turned" }

// TestALoadThatRunsOutOfTimeIsContinuedByTheNext: each page of the log takes a second, and the stream has as many pages as
// 60,000 events of usual size, which no load of 9.5 s reads. Each continues where the one before was
// broken off, here in a process that has nothing in memory.
func TestALoadThatRunsOutOfTimeIsContinuedByTheNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const events, every = 6_000, 100
		server := localaws.New(localaws.Options{})
		defer server.Close()
		db := dynamodb.NewFromConfig(server.Config())
		for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
			_, err := db.CreateTable(t.Context(), table)
			require.NoError(t, err)
		}
		store := dynamostore.NewStore(db, dynamostore.Config{FirstPage: every + 1})
		turnWheel(t, store, events)
		require.NoError(t, server.SetFaults(localaws.Faults{Faults: []localaws.Fault{{
			Kind: localaws.FaultLatency, Operation: "DynamoDB.Query", Probability: 1,
			Min: localaws.Duration(time.Second), Max: localaws.Duration(time.Second),
		}}}))

		load := func() (turns int, pages int64, err error) {
			stop := make(chan error)
			writer := keeping.NewWriter(dynamostore.NewSnapshots(db, dynamostore.Tables{}), func(eventsourcing.SnapshotUse, error) {})
			running, stopRunning := context.WithCancel(t.Context())
			go func() { stop <- writer.Run(running) }()
			defer func() {
				synctest.Wait()
				stopRunning()
				require.NoError(t, <-stop)
			}()
			codec := eventsourcing.NewCodec(turned{})
			wheels, err := eventsourcing.NewRepository(eventsourcing.Config[int, turned]{
				Aggregate: eventsourcing.Aggregate[int, turned]{
					Category: "test/wheel", Codec: codec, States: keeping.NewCodec[int](1, codec),
					Evolve: func(turns int, _ turned) int { return turns + 1 },
				},
				Store: store, Snapshots: writer, SnapshotEvery: every,
			})
			require.NoError(t, err)
			before := server.Calls()["DynamoDB.Query"]
			ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond) // within the tenth page
			defer cancel()
			turns, _, err = wheels.Load(ctx, "w1")
			return turns, server.Calls()["DynamoDB.Query"] - before, err
		}
		for _, want := range []struct {
			pages int64
			whole bool
		}{{10, false}, {10, false}, {10, false}, {10, false}, {9, true}, {2, true}} {
			turns, pages, err := load()
			assert.Equal(t, want.pages, pages)
			if !want.whole {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				continue
			}
			require.NoError(t, err)
			assert.Equal(t, events, turns)
		}
		assert.EqualValues(t, 5, server.Calls()["DynamoDB.PutItem"], "a snapshot for each load that came on, and no more")
	})
}

// turnWheel writes that many events to one stream.
func turnWheel(t *testing.T, store *dynamostore.Store, events eventsourcing.Version) {
	t.Helper()
	stream := eventsourcing.StreamID{Category: "test/wheel", ID: "w1"}
	for at := eventsourcing.Version(0); at < events; at += 100 {
		commit := eventsourcing.Commit{Stream: stream, Expected: at}
		for v := at + 1; v <= at+100; v++ {
			commit.Records = append(commit.Records, eventsourcing.Record{
				ID: fmt.Sprint("e", v), Stream: stream, Version: v, Name: turned{}.EventName(), Schema: 1,
				Data: json.RawMessage(`{}`), RecordedAt: time.Now(),
				Metadata: eventsourcing.Metadata{CorrelationID: strings.Repeat("c", 6_500)},
			})
		}
		require.NoError(t, store.Append(t.Context(), commit))
	}
}
