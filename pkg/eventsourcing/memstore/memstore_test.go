package memstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/eventstoretest"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

func TestStore(t *testing.T) {
	t.Parallel()
	eventstoretest.Run(t, func(testing.TB) eventsourcing.Store { return new(memstore.Store) })
}

func TestSnapshots(t *testing.T) {
	t.Parallel()
	eventstoretest.RunSnapshots(t, func(testing.TB) eventsourcing.Snapshots { return new(memstore.Snapshots) })
}

func TestResultIsForgottenAtItsExpiry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	store := &memstore.Store{Now: func() time.Time { return now }}
	stream := eventsourcing.StreamID{Category: "test", ID: "1"}
	commit := eventsourcing.Commit{
		Stream: stream,
		Records: []eventsourcing.Record{{
			ID: "e1", Stream: stream, Version: 1, Name: "test/happened", Schema: 1, Data: []byte(`{}`), RecordedAt: now,
		}},
		Result: &eventsourcing.CommandResult{ID: "c1", ExpiresAt: now.Add(time.Second)},
	}
	require.NoError(t, store.Append(t.Context(), commit))
	_, err := store.Result(t.Context(), "c1")
	require.NoError(t, err)
	now = now.Add(time.Second)
	_, err = store.Result(t.Context(), "c1")
	require.ErrorIs(t, err, eventsourcing.ErrNoResult)
}

func TestCallersKeepTheirSlices(t *testing.T) {
	t.Parallel()
	store := new(memstore.Store)
	stream := eventsourcing.StreamID{Category: "test", ID: "1"}
	record := eventsourcing.Record{
		ID: "e1", Stream: stream, Version: 1, Name: "test/happened", Schema: 1, Data: []byte(`{"a":1}`), RecordedAt: time.Now(),
		Enrichment: []eventsourcing.Enrichment{{Aggregate: "x", ID: "1", Data: []byte(`{"b":2}`)}},
	}
	outcome := []byte("done")
	require.NoError(t, store.Append(t.Context(), eventsourcing.Commit{
		Stream: stream, Records: []eventsourcing.Record{record},
		Result: &eventsourcing.CommandResult{ID: "c1", Outcome: outcome, ExpiresAt: time.Now().Add(time.Hour)},
	}))
	scribble := func(r eventsourcing.Record) {
		clear(r.Data)
		clear(r.Enrichment[0].Data)
		clear(r.Enrichment)
	}
	scribble(record)
	clear(outcome)
	for range 2 { // what is read is the reader's own, too
		for r, err := range store.Read(t.Context(), stream, 0) {
			require.NoError(t, err)
			require.JSONEq(t, `{"a":1}`, string(r.Data))
			require.JSONEq(t, `{"b":2}`, string(r.Enrichment[0].Data))
			scribble(r)
		}
		result, err := store.Result(t.Context(), "c1")
		require.NoError(t, err)
		require.Equal(t, "done", string(result.Outcome))
		clear(result.Outcome)
	}
}
