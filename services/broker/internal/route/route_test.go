package route_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/services/broker/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errAway    = errors.New("away")
	recordedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// queue keeps each batch it is given, or fails from the batch failAt on, counted from 1.
type queue struct {
	failAt int

	mu      sync.Mutex
	batches [][]fifoqueue.Outgoing
}

func (q *queue) Publish(_ context.Context, messages []fifoqueue.Outgoing) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.batches = append(q.batches, messages)
	if q.failAt > 0 && len(q.batches) >= q.failAt {
		return errAway
	}
	return nil
}

// held are the records in the queue, in order.
func (q *queue) held(t *testing.T) []eventsourcing.Record {
	t.Helper()
	out := []eventsourcing.Record{}
	for _, b := range q.batches {
		for _, m := range b {
			r, err := envelope.Decode(m.Body)
			require.NoError(t, err)
			assert.Equal(t, r.Stream.String(), m.Group)
			assert.Equal(t, fmt.Sprintf("%s#%d", r.Stream, r.Version), m.DeduplicationID)
			out = append(out, r)
		}
	}
	return out
}

func (q *queue) sizes() (out []int) {
	for _, b := range q.batches {
		out = append(out, len(b))
	}
	return out
}

// log is a whole log, which ends with err.
type log struct {
	records []eventsourcing.Record
	err     error
}

func (l log) All(context.Context, int) iter.Seq2[eventsourcing.Record, error] {
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

// world is a Router of the categories test/a and test/b, its two queues, and what it reports.
type world struct {
	*route.Router
	left, right queue
	logs        bytes.Buffer
	registry    *prometheus.Registry
}

func newWorld(from log) *world {
	w := &world{registry: prometheus.NewRegistry()}
	both := []route.Queue{&w.left, &w.right}
	w.Router = route.New(route.Config{
		Queues: map[string][]route.Queue{"test/a": both, "test/b": both, "test/left": {&w.left}},
		Log:    from, Now: func() time.Time { return recordedAt.Add(3 * time.Second) },
		Logger: slog.New(slog.NewTextHandler(&w.logs, nil)), Metrics: w.registry,
	})
	return w
}

// reported is a counter's value, or how many times a histogram was told.
func (w *world) reported(t *testing.T, name string) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func record(category string, v eventsourcing.Version) eventsourcing.Record {
	return eventsourcing.Record{
		ID: fmt.Sprintf("%s-%d", category, v), Stream: eventsourcing.StreamID{Category: category, ID: "x"}, Version: v,
		Name: category + "/happened", Schema: 1, Data: json.RawMessage(`{}`), RecordedAt: recordedAt,
	}
}

// many are n records of the two categories in turn.
func many(n int) []eventsourcing.Record {
	out := make([]eventsourcing.Record, 0, n)
	for i := range n {
		out = append(out, record([]string{"test/a", "test/b"}[i%2], eventsourcing.Version(i/2+1)))
	}
	return out
}

func handed(t *testing.T, records ...eventsourcing.Record) (out []shards.Record[[]byte]) {
	t.Helper()
	for _, r := range records {
		body, err := envelope.Encode(r)
		require.NoError(t, err)
		out = append(out, shards.Record[[]byte]{Sequence: "49590", Value: body})
	}
	return out
}

func TestEverySubscriberGetsEachStreamInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(log{})
	records := many(8)
	require.NoError(t, w.Handle(t.Context(), "shard-1", handed(t, records...)))
	assert.Equal(t, records, w.left.held(t), "both categories")
	assert.Equal(t, records, w.right.held(t), "both categories")
	assert.InDelta(t, 8, w.reported(t, "route_seconds"), 0)
}

func TestOnlySubscribersGetACategory(t *testing.T) {
	t.Parallel()
	w := newWorld(log{})
	a, left, stranger := record("test/a", 1), record("test/left", 1), record("test/unknown", 1)
	require.NoError(t, w.Handle(t.Context(), "shard-1", handed(t, stranger, a, left)))
	assert.Equal(t, []eventsourcing.Record{a, left}, w.left.held(t))
	assert.Equal(t, []eventsourcing.Record{a}, w.right.held(t))
	assert.Empty(t, w.logs.String(), "nobody wants it: no fault")
}

func TestWhatIsNoEventIsCountedAndPassedOver(t *testing.T) {
	t.Parallel()
	w := newWorld(log{})
	records := many(2)
	all := handed(t, records...)
	all = append(all[:1:1], shards.Record[[]byte]{Sequence: "13", Value: []byte(`{"name":"dan@example.com"}`)}, all[1])
	require.NoError(t, w.Handle(t.Context(), "shard-1", all))
	assert.Equal(t, records, w.left.held(t))
	assert.InDelta(t, 1, w.reported(t, "route_undecodable_total"), 0)
	assert.Contains(t, w.logs.String(), "sequence=13")
	assert.Contains(t, w.logs.String(), "shard=shard-1")
	assert.NotContains(t, w.logs.String(), "dan@example.com", "a body may hold personal data")
}

func TestAFailureOfOneQueueIsPassedUpAndNothingObserved(t *testing.T) {
	t.Parallel()
	w := newWorld(log{})
	w.right.failAt = 1
	require.ErrorIs(t, w.Handle(t.Context(), "shard-1", handed(t, many(2)...)), errAway)
	assert.Zero(t, w.reported(t, "route_seconds"))
}

func TestAgainRoutesTheWholeLogInBatches(t *testing.T) {
	t.Parallel()
	for n, sizes := range map[int][]int{0: nil, 499: {499}, 500: {500}, 1201: {500, 500, 201}} {
		records := many(n)
		w := newWorld(log{records: records})
		require.NoError(t, w.Again(t.Context(), "shard-1"))
		for _, q := range []*queue{&w.left, &w.right} {
			assert.Equal(t, sizes, q.sizes())
			assert.Equal(t, records, q.held(t))
		}
		assert.InDelta(t, n, w.reported(t, "route_seconds"), 0)
	}
}

func TestAgainStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(log{records: many(1400)})
	w.left.failAt = 2
	require.ErrorIs(t, w.Again(t.Context(), "shard-1"), errAway)
	assert.Equal(t, []int{500, 500}, w.left.sizes())

	w = newWorld(log{records: many(10), err: errAway})
	require.ErrorIs(t, w.Again(t.Context(), "shard-1"), errAway)
	assert.Empty(t, w.left.batches)

	broken := record("test/a", 2)
	broken.Data = json.RawMessage(`{`)
	w = newWorld(log{records: []eventsourcing.Record{broken}})
	require.ErrorContains(t, w.Again(t.Context(), "shard-1"), "test/a/x version 2")
}
