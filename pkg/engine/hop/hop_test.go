package hop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

var (
	errUnavailable = errors.New("unavailable")
	recordedAt     = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// eventLog yields its records and then err, if that is set.
type eventLog struct {
	records []eventsourcing.Record
	err     error
}

func (l eventLog) All(context.Context, int) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for _, r := range l.records {
			if !yield(r, nil) {
				return
			}
		}
		if l.err != nil {
			yield(eventsourcing.Record{}, l.err)
		}
	}
}

// world is a Hop of records, where one without an ID does not decode; its target and its metrics.
type world struct {
	*hop.Hop[eventsourcing.Record]

	failAt   int // the call of Put, counted from 1, from which on all fail
	batches  [][]hop.Event
	logs     bytes.Buffer
	registry *prometheus.Registry
}

func newWorld(l eventLog) *world {
	w := &world{registry: prometheus.NewRegistry()}
	w.Hop = hop.New(hop.Config[eventsourcing.Record]{
		Name: "carry", Source: "a list", Target: "a test",
		Decode: func(r eventsourcing.Record) (hop.Event, error) {
			if r.ID == "" {
				return hop.Event{}, errors.New("no ID")
			}
			return hop.Event{Record: r}, nil
		},
		Put: func(_ context.Context, events []hop.Event) error {
			w.batches = append(w.batches, slices.Clone(events))
			if w.failAt > 0 && len(w.batches) >= w.failAt {
				return errUnavailable
			}
			return nil
		},
		EventLog: l, Now: func() time.Time { return recordedAt.Add(2 * time.Second) },
		Logger: slog.New(slog.NewTextHandler(&w.logs, nil)), Metrics: w.registry,
	})
	return w
}

// metric returns the value of a counter, or the count and the sum of a histogram.
func (w *world) metric(t *testing.T, name string) (value, sum float64) {
	t.Helper()
	families, err := w.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0, 0
}

func (w *world) sizes() (out []int) {
	for _, b := range w.batches {
		out = append(out, len(b))
	}
	return out
}

// mustHold fails unless the batches together are the records, in order, each with its envelope.
func (w *world) mustHold(t *testing.T, want ...eventsourcing.Record) {
	t.Helper()
	var got []eventsourcing.Record
	for _, e := range slices.Concat(w.batches...) {
		decoded, err := envelope.Decode(e.Envelope)
		require.NoError(t, err)
		assert.Equal(t, decoded, e.Record)
		got = append(got, decoded)
	}
	assert.Equal(t, want, got)
}

func record(id string, v eventsourcing.Version) eventsourcing.Record {
	return eventsourcing.Record{
		ID: fmt.Sprintf("event-%s-%d", id, v), Stream: eventsourcing.StreamID{Category: "test/thing", ID: id}, Version: v,
		Name: "test/thing/happened", Schema: 1, Data: json.RawMessage(`{}`), RecordedAt: recordedAt,
	}
}

// many returns n records of three streams, each in order.
func many(n int) (out []eventsourcing.Record) {
	for i := range n {
		out = append(out, record(fmt.Sprint(i%3), eventsourcing.Version(i/3+1)))
	}
	return out
}

func received(records ...eventsourcing.Record) (out []shards.Record[eventsourcing.Record]) {
	for i, r := range records {
		out = append(out, shards.Record[eventsourcing.Record]{Sequence: shards.Position(fmt.Sprint(i)), Value: r})
	}
	return out
}

func TestHandleMovesEventsInOrderAndMeasuresTheirLatency(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	require.NoError(t, w.Handle(t.Context(), "shard-1", received(many(7)...)))
	assert.Equal(t, []int{7}, w.sizes())
	w.mustHold(t, many(7)...)
	n, sum := w.metric(t, "carry_seconds")
	assert.InDelta(t, 7, n, 0)
	assert.InDelta(t, 7*2, sum, 1e-9, "seconds from recording to arrival")
}

func TestInvalidRecordsAreCountedLoggedAndSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	invalid := eventsourcing.Record{Name: "dan@example.com"}
	require.NoError(t, w.Handle(t.Context(), "shard-1", received(record("a", 1), invalid, record("b", 1))))
	w.mustHold(t, record("a", 1), record("b", 1))
	n, _ := w.metric(t, "carry_undecodable_total")
	assert.InDelta(t, 1, n, 0)
	assert.Contains(t, w.logs.String(), "shard=shard-1 sequence=1")
	assert.NotContains(t, w.logs.String(), "dan@example.com", "a record may contain personal data")

	w = newWorld(eventLog{})
	require.NoError(t, w.Handle(t.Context(), "shard-1", received(invalid)))
	assert.Empty(t, w.batches)
}

func TestAFailureIsReturnedAndNothingIsMeasured(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	w.failAt = 1
	require.ErrorIs(t, w.Handle(t.Context(), "shard-1", received(many(3)...)), errUnavailable)
	n, _ := w.metric(t, "carry_seconds")
	assert.Zero(t, n)
}

func TestABatchThatCannotBeEncodedIsNotMoved(t *testing.T) {
	t.Parallel()
	broken := record("x", 2)
	broken.Data = json.RawMessage(`{`)
	w := newWorld(eventLog{records: []eventsourcing.Record{broken}})
	require.ErrorContains(t, w.Handle(t.Context(), "shard-1", received(record("x", 1), broken)), "test/thing/x version 2")
	require.ErrorContains(t, w.Republish(t.Context(), "shard-1"), "test/thing/x version 2")
	assert.Empty(t, w.batches)
}

func TestRepublishMovesTheWholeEventLogInBatches(t *testing.T) {
	t.Parallel()
	for n, sizes := range map[int][]int{0: nil, 499: {499}, 500: {500}, 1201: {500, 500, 201}} {
		w := newWorld(eventLog{records: many(n)})
		require.NoError(t, w.Republish(t.Context(), "shard-1"))
		assert.Equal(t, sizes, w.sizes())
		w.mustHold(t, many(n)...)
		count, _ := w.metric(t, "carry_seconds")
		assert.InDelta(t, n, count, 0)
	}
}

func TestRepublishStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{records: many(1400)})
	w.failAt = 2
	require.ErrorIs(t, w.Republish(t.Context(), "shard-1"), errUnavailable)
	assert.Equal(t, []int{500, 500}, w.sizes())
	n, _ := w.metric(t, "carry_seconds")
	assert.InDelta(t, 500, n, 0, "those of the first batch")

	w = newWorld(eventLog{records: many(10), err: errUnavailable})
	require.ErrorIs(t, w.Republish(t.Context(), "shard-1"), errUnavailable)
	assert.Empty(t, w.batches)
}
