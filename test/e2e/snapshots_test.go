package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestSnapshotsMayBeDeletedAtAnyTime deletes the snapshots, first the items and then the table: commands do not notice.
func TestSnapshotsMayBeDeletedAtAnyTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, map[string]string{"SNAPSHOT_EVERY": "5", "COMMAND_CACHE": "0", "TABLE_SNAPSHOTS": "photographs"}), t}
		table := aws.String(a.Names.Snapshots)
		ann := a.accept(http.MethodPost, "/users", object{"email": "ann@example.com"})
		version := ann.Version
		update := func(n int) {
			for range n {
				version++
				got := a.accept(http.MethodPut, "/users/"+ann.ID, object{"firstName": letters(newID()), "lastName": "Lee"})
				require.Equal(t, version, got.Version)
			}
			require.NoError(t, a.CommandAPI.Stop(), "queued snapshots are saved")
			require.NoError(t, a.CommandAPI.Restart(t.Context()))
		}
		used := func(result string) float64 {
			n, err := a.CommandAPI.Sum("leftfold_snapshots_total", "result", result)
			require.NoError(t, err)
			return n
		}
		update(12)
		items, err := a.Items(t.Context(), *table)
		require.NoError(t, err)
		require.Len(t, items, 1)
		assert.Positive(t, used("saved"))
		update(1)
		loaded := used("loaded")
		assert.Positive(t, loaded)

		_, err = a.DB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
			TableName: table, Key: map[string]types.AttributeValue{"stream": items[0]["stream"]},
		})
		require.NoError(t, err)
		update(12)
		items, err = a.Items(t.Context(), *table)
		require.NoError(t, err)
		assert.Len(t, items, 1, "there is one again")
		update(1)
		assert.Greater(t, used("loaded"), loaded)

		_, err = a.DB.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: table})
		require.NoError(t, err)
		update(12)
		assert.Positive(t, used("load_failed"))
		assert.Positive(t, used("save_failed"))
		_, err = a.Audit(t.Context())
		require.NoError(t, err)
	})
}

// BenchmarkLoad10000 loads an uncached user of 10,000 events in turn from the log only and from a snapshot that is 50 events old;
// ratio is the first time divided by the second.
func BenchmarkLoad10000(b *testing.B) {
	const events, every, rounds = 10_000, 100, 10
	server := localaws.New(localaws.Options{})
	b.Cleanup(server.Close)
	db := dynamodb.NewFromConfig(server.Config())
	for _, table := range (dynamostore.Tables{}).CreateTableInputs() {
		_, err := db.CreateTable(b.Context(), table)
		require.NoError(b, err)
	}
	load := func(snapshots eventsourcing.Snapshots) user.State {
		cfg := dynamostore.Config{}
		if snapshots != nil {
			cfg.FirstPage = every + 1
		}
		users, err := eventsourcing.NewRepository(eventsourcing.Config[user.State, user.Event]{
			Aggregate: user.Aggregate(), Store: dynamostore.NewStore(db, cfg), Snapshots: snapshots, SnapshotEvery: every,
		})
		require.NoError(b, err)
		state, version, err := users.Load(b.Context(), "ann")
		require.NoError(b, err)
		require.EqualValues(b, events, version)
		return state
	}
	snapshots := dynamostore.NewSnapshots(db, dynamostore.Tables{})
	write(b, dynamostore.NewStore(db, dynamostore.Config{}), snapshots, events, events-every/2)
	require.Equal(b, load(nil), load(snapshots))

	var took [2]time.Duration
	var reads [2]int64
	for range b.N * rounds {
		for i, from := range []eventsourcing.Snapshots{nil, snapshots} {
			before, started := server.Calls(), time.Now()
			load(from)
			took[i] += time.Since(started)
			for op, n := range server.Calls() {
				reads[i] += n - before[op]
			}
		}
	}
	loads := b.N * rounds
	for i, name := range []string{"without", "with"} {
		b.Run(name, func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took[i].Microseconds())/1_000/float64(loads), "ms/load")
			b.ReportMetric(float64(reads[i])/float64(loads), "AWS-calls/load")
			b.ReportMetric(took[0].Seconds()/took[i].Seconds(), "ratio")
		})
	}
}

// write creates a user of that many events, with a snapshot at a version.
func write(b *testing.B, store eventsourcing.Store, snapshots eventsourcing.Snapshots, events, at int) {
	users := user.Aggregate()
	stream := eventsourcing.StreamID{Category: users.Category, ID: "ann"}
	var state user.State
	commit := eventsourcing.Commit{Stream: stream}
	for v := 1; v <= events; v++ {
		var e user.Event = user.Updated{FirstName: user.Name(letters(newID())), LastName: "Lee"}
		if v == 1 {
			e = user.Registered{UserID: "ann", Email: "ann@example.com"}
		}
		data, schema, err := users.Codec.Encode(e)
		require.NoError(b, err)
		state = users.Evolve(state, e)
		commit.Records = append(commit.Records, eventsourcing.Record{
			ID: newID(), Stream: stream, Version: eventsourcing.Version(v), Name: e.EventName(), Schema: schema, Data: data,
			RecordedAt: time.Now(),
			Metadata:   eventsourcing.Metadata{CorrelationID: newID(), CausationID: newID(), Actor: "bench"},
		})
		if v == at {
			text, err := users.States.Encode(state)
			require.NoError(b, err)
			require.NoError(b, snapshots.Save(b.Context(), eventsourcing.Snapshot{
				Stream: stream, Version: eventsourcing.Version(v), EventID: commit.Records[len(commit.Records)-1].ID,
				Shape: users.States.Shape(), State: json.RawMessage(text),
			}))
		}
		if len(commit.Records) == 100 || v == events {
			require.NoError(b, store.Append(b.Context(), commit), fmt.Sprint(v))
			commit = eventsourcing.Commit{Stream: stream, Expected: eventsourcing.Version(v)}
		}
	}
}
