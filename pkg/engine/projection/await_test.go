package projection_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
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

// TestWaitingIsCheap counts what a row that never comes costs those who wait for it.
func TestWaitingIsCheap(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		waiters int
		every   time.Duration // between their arrivals
		most    int64
	}{
		"one":                 {1, 0, 26},
		"many at once":        {200, 0, 200 + 26},
		"many, one by one":    {100, 50 * time.Millisecond, 100 + 2*100 + 26},
		"two with long pause": {2, 5 * time.Second, 2 * 26},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := localaws.New(localaws.Options{})
				db := dynamodb.NewFromConfig(server.Config())
				_, err := db.CreateTable(t.Context(), projection.CreateTableInput("doors"))
				require.NoError(t, err)
				reader := projection.Reader{DB: db, Table: "doors", Waiting: new(projection.Waiting)}
				var waiters sync.WaitGroup
				for range tt.waiters {
					waiters.Go(func() {
						_, err := reader.Await(t.Context(), "d1", "door", 1, 10*time.Second, &doorRow{})
						assert.ErrorIs(t, err, projection.ErrNotYet)
					})
					time.Sleep(tt.every)
				}
				waiters.Wait()
				synctest.Wait()
				reads := server.Calls()["DynamoDB.GetItem"]
				assert.LessOrEqual(t, reads, tt.most)
				time.Sleep(time.Minute)
				assert.Equal(t, reads, server.Calls()["DynamoDB.GetItem"], "nobody waits any more")
			})
		})
	}
}

// TestWhoWaitsIsAnsweredSoon: one who comes late is not held up by the long pauses of those who have waited long already, and
// different versions of a row may be waited for at once.
func TestWhoWaitsIsAnsweredSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{})
		db := dynamodb.NewFromConfig(server.Config())
		_, err := db.CreateTable(t.Context(), projection.CreateTableInput("doors"))
		require.NoError(t, err)
		reader := projection.Reader{DB: db, Table: "doors", Waiting: new(projection.Waiting)}
		var waiters sync.WaitGroup
		waiters.Go(func() {
			_, err := reader.Await(t.Context(), "d1", "door", 9, 8*time.Second, &doorRow{})
			assert.ErrorIs(t, err, projection.ErrNotYet)
		})
		time.Sleep(5*time.Second + time.Millisecond)
		waiters.Go(func() {
			began := time.Now()
			found, err := reader.Await(t.Context(), "d1", "door", 1, 8*time.Second, &doorRow{})
			assert.True(t, found, err)
			assert.LessOrEqual(t, time.Since(began), 100*time.Millisecond)
		})
		time.Sleep(10 * time.Millisecond)
		_, err = db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("doors"), Item: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: "d1"}, "row": &types.AttributeValueMemberS{Value: "door"},
			"version": &types.AttributeValueMemberN{Value: "1"}, "stream": &types.AttributeValueMemberS{Value: "house/door/d1"},
		}})
		require.NoError(t, err)
		waiters.Wait()
	})
}

// TestAFailedReadEndsAWait: all that wait for the row get the error, and the next begins anew.
func TestAFailedReadEndsAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{})
		cfg := server.Config()
		cfg.RetryMaxAttempts = 1
		db := dynamodb.NewFromConfig(cfg)
		_, err := db.CreateTable(t.Context(), projection.CreateTableInput("doors"))
		require.NoError(t, err)
		reader := projection.Reader{DB: db, Table: "doors", Waiting: new(projection.Waiting)}
		var waiters sync.WaitGroup
		for range 3 {
			waiters.Go(func() {
				_, err := reader.Await(t.Context(), "d1", "door", 1, 10*time.Second, &doorRow{})
				assert.ErrorContains(t, err, "InternalServerError")
			})
		}
		time.Sleep(time.Second)
		require.NoError(t, server.SetFaults(localaws.Faults{Faults: []localaws.Fault{
			{Kind: localaws.FaultFail, Operation: "DynamoDB.GetItem", Probability: 1, Limit: 1},
		}}))
		waiters.Wait()
		_, err = reader.Await(t.Context(), "d1", "door", 1, 10*time.Second, &doorRow{})
		require.ErrorIs(t, err, projection.ErrNotYet)
	})
}
