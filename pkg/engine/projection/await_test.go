package projection_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// Contract 5: a read with min_version=n returns version n or later, or that it is not there yet.
func TestAwaitReturnsTheVersionOrNotYet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		db := dynamodb.NewFromConfig(localaws.New(localaws.Options{}).Config())
		_, err := db.CreateTable(ctx, projection.CreateTableInput("doors"))
		require.NoError(t, err)
		log := new(memstore.Store)
		model, err := projection.NewProjector(projection.Config{
			Name: "doors", Table: "doors", DB: db, EventLog: log, Sources: []projection.Source{doorSource()},
		})
		require.NoError(t, err)
		reader := projection.Reader{DB: db, Table: "doors"}
		await := func(least eventsourcing.Version, wait time.Duration) (bool, error) {
			var row doorRow
			return reader.Await(ctx, "d1", "door", least, wait, &row)
		}

		found, err := await(0, 0)
		require.NoError(t, err)
		assert.False(t, found, "without a version and a row: not found, rather than not yet")
		started := time.Now()
		_, err = await(1, time.Second)
		require.ErrorIs(t, err, projection.ErrNotYet)
		assert.Equal(t, time.Second, time.Since(started), "it waits as long as requested")

		hung := eventsourcing.Record{
			ID: "e1", Stream: eventsourcing.StreamID{Category: "house/door", ID: "d1"}, Version: 1,
			Name: "house/door/hung", Schema: 1, Data: []byte(`{"room":"hall"}`), RecordedAt: time.Now().UTC(),
		}
		require.NoError(t, log.Append(ctx, eventsourcing.Commit{Stream: hung.Stream, Records: []eventsourcing.Record{hung}}))
		time.AfterFunc(300*time.Millisecond, func() {
			_, err := model.Apply(context.WithoutCancel(ctx), []eventsourcing.Record{hung})
			assert.NoError(t, err)
		})
		found, err = await(1, time.Minute)
		require.NoError(t, err)
		assert.True(t, found)
		_, err = await(2, 0)
		require.ErrorIs(t, err, projection.ErrNotYet, "without a wait it answers at once")

		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err = reader.Await(gone, "d1", "door", 9, time.Minute, &doorRow{})
		require.ErrorIs(t, err, context.Canceled)
	})
}
