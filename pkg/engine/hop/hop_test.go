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
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

// world is a Hop of records to two targets, where a record without an ID does not decode.
type world struct {
	*hop.Hop[eventsourcing.Record]

	logs     bytes.Buffer
	registry *prometheus.Registry

	mu    sync.Mutex
	got   [2][]hop.Event                                             // by target
	put   func(target int, batch []hop.Event) (map[int]error, error) // may refuse
	store error                                                      // of SetAside
	aside []hop.Place
	done  []int
}

func newWorld(l eventLog) *world {
	w := &world{registry: prometheus.NewRegistry()}
	target := func(n int) hop.Target {
		return hop.NewTarget(ordered.Options[hop.Event]{
			Key: func(e hop.Event) string { return e.Stream.String() }, Size: func(e hop.Event) int { return len(e.Envelope) },
			MaxCount: 10, MaxBytes: 1 << 20,
			Put: func(_ context.Context, batch []hop.Event) (map[int]error, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				var failed map[int]error
				var err error
				if w.put != nil {
					failed, err = w.put(n, batch)
				}
				for i, e := range batch {
					if err == nil && failed[i] == nil {
						w.got[n] = append(w.got[n], e)
					}
				}
				return failed, err
			},
		}, func(e hop.Event) hop.Event { return e })
	}
	second := target(1)
	second.Takes = func(e hop.Event) bool { return e.Stream.ID != "0" }
	w.Hop = hop.New(hop.Config[eventsourcing.Record]{
		Name: "carry", Source: "a list", Target: "a test",
		Decode: func(r eventsourcing.Record) (hop.Event, error) {
			if r.ID == "" {
				return hop.Event{}, errors.New("no ID")
			}
			return hop.Encode(r)
		},
		Targets: []hop.Target{target(0), second},
		SetAside: func(_ context.Context, p hop.Place, _ error) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.store == nil {
				w.aside = append(w.aside, p)
			}
			return w.store
		},
		EventLog: l, Now: func() time.Time { return recordedAt.Add(2 * time.Second) },
		Logger: slog.New(slog.NewTextHandler(&w.logs, nil)), Metrics: w.registry,
	})
	return w
}

func always(context.Context) error { return nil }

// handle handles records to their end, and keeps which were done.
func (w *world) handle(t *testing.T, records ...eventsourcing.Record) {
	t.Helper()
	h := w.Open(t.Context(), "shard-1", always)
	require.NoError(t, h.Handle(t.Context(), received(records...), w.note))
	h.Wait()
}

func (w *world) note(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, i)
}

// metric returns the value of a counter by its labels' values, or the count and the sum of a histogram.
func (w *world) metric(t *testing.T, name string, labels ...string) (value, sum float64) {
	t.Helper()
	families, err := w.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetValue())
			}
			if f.GetName() == name && slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()), m.GetHistogram().GetSampleSum()
			}
		}
	}
	return 0, 0
}

// versions returns what a target got, by stream.
func (w *world) versions(target int) map[string][]eventsourcing.Version {
	out := map[string][]eventsourcing.Version{}
	for _, e := range w.got[target] {
		out[e.Stream.ID] = append(out[e.Stream.ID], e.Version)
	}
	return out
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
		out = append(out, shards.Record[eventsourcing.Record]{Sequence: shards.Position(fmt.Sprint(i)), Key: "key", Value: r})
	}
	return out
}

func TestEachTargetGetsWhatItTakesInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	w.handle(t, many(7)...)
	assert.Equal(t, map[string][]eventsourcing.Version{"0": {1, 2, 3}, "1": {1, 2}, "2": {1, 2}}, w.versions(0))
	assert.Equal(t, map[string][]eventsourcing.Version{"1": {1, 2}, "2": {1, 2}}, w.versions(1))
	for _, e := range w.got[0] {
		decoded, err := envelope.Decode(e.Envelope)
		require.NoError(t, err)
		assert.Equal(t, record(e.Stream.ID, e.Version), decoded)
	}
	assert.ElementsMatch(t, []int{0, 1, 2, 3, 4, 5, 6}, w.done, "each once")
	n, sum := w.metric(t, "carry_seconds")
	assert.InDelta(t, 7, n, 0)
	assert.InDelta(t, 7*2, sum, 1e-9, "seconds from recording to arrival")
}

func TestARecordThatIsNoEventIsSetAside(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	broken := record("x", 2)
	broken.Data = json.RawMessage(`{`)
	w.handle(t, record("a", 1), eventsourcing.Record{Name: "dan@example.com"}, broken, record("x", 3))
	assert.Equal(t, map[string][]eventsourcing.Version{"a": {1}, "x": {3}}, w.versions(0))
	assert.ElementsMatch(t, []hop.Place{
		{Operation: "carry", Shard: "shard-1", Sequence: "1", Stream: "key"},
		{Operation: "carry", Shard: "shard-1", Sequence: "2", Stream: "test/thing/x", Version: "2", EventID: "event-x-2"},
	}, w.aside)
	assert.ElementsMatch(t, []int{0, 1, 2, 3}, w.done)
	n, _ := w.metric(t, "carry_undecodable_total")
	assert.InDelta(t, 2, n, 0)
	assert.Contains(t, w.logs.String(), "shard=shard-1 sequence=1")
	assert.NotContains(t, w.logs.String(), "dan@example.com", "a record may contain personal data")
}

func TestAnEventThatATargetRefusesIsSetAsideAndTheNextGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	w.put = func(target int, batch []hop.Event) (map[int]error, error) {
		i := slices.IndexFunc(batch, func(e hop.Event) bool { return e.Stream.ID == "1" && e.Version == 2 })
		if target == 1 && i >= 0 {
			return map[int]error{i: ordered.Permanent(errors.New("no such character"))}, nil
		}
		return nil, nil
	}
	w.handle(t, many(9)...)
	assert.Equal(t, []hop.Place{
		{Operation: "carry", Shard: "shard-1", Sequence: "4", Stream: "test/thing/1", Version: "2", EventID: "event-1-2"},
	}, w.aside)
	assert.Equal(t, []eventsourcing.Version{1, 2, 3}, w.versions(0)["1"])
	assert.Equal(t, []eventsourcing.Version{1, 3}, w.versions(1)["1"])
	assert.Len(t, w.done, 9)
	n, _ := w.metric(t, "carry_refused_total")
	assert.InDelta(t, 1, n, 0)
	n, _ = w.metric(t, "carry_seconds")
	assert.InDelta(t, 8, n, 0, "it has not arrived")
}

// TestWhatCannotBeSetAsideDelaysNoOther: the record is not done, so that it is not lost, and the others go on.
func TestWhatCannotBeSetAsideDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventLog{})
		w.store = errUnavailable
		ctx, cancel := context.WithCancel(t.Context())
		h := w.Open(ctx, "shard-1", always)
		require.NoError(t, h.Handle(ctx, received(eventsourcing.Record{}, record("a", 1)), w.note))
		<-time.After(time.Hour)
		w.mu.Lock()
		assert.Equal(t, []int{1}, w.done)
		w.store = nil
		w.mu.Unlock()
		<-time.After(time.Minute)
		cancel()
		h.Wait()
		assert.Equal(t, []int{1, 0}, w.done)
	})
}

// TestRetriesAreCountedAndLoggedWithMeasure: the first is logged, and then each that doubles their number.
func TestRetriesAreCountedAndLoggedWithMeasure(t *testing.T) {
	t.Parallel()
	for reason, err := range map[string]error{
		"throttled": &smithy.GenericAPIError{Code: "ProvisionedThroughputExceededException"},
		"denied":    &smithy.GenericAPIError{Code: "KMS.AccessDeniedException"}, "unavailable": &smithy.GenericAPIError{Code: "InternalFailure"},
		"timeout": fmt.Errorf("put: %w", context.DeadlineExceeded), "lease": shards.ErrLeaseLost, "other": errUnavailable,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(eventLog{})
			calls := 0
			w.put = func(int, []hop.Event) (map[int]error, error) {
				if calls++; calls <= 100 {
					return nil, err
				}
				return nil, nil
			}
			w.handle(t, record("0", 1))
			n, _ := w.metric(t, "carry_retries_total", reason)
			assert.InDelta(t, 100, n, 0)
			assert.Equal(t, 7, strings.Count(w.logs.String(), "moving events failed, retrying"), "1, 2, 4, … 64")
		})
	}
}

func TestNothingIsSentWithoutTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventLog{})
		ctx, cancel := context.WithCancel(t.Context())
		h := w.Open(ctx, "shard-1", func(context.Context) error { return errUnavailable })
		require.NoError(t, h.Handle(ctx, received(record("a", 1), eventsourcing.Record{}), w.note))
		<-time.After(time.Hour)
		cancel()
		h.Wait()
		assert.Empty(t, w.got[0])
		assert.Empty(t, w.aside)
		assert.Empty(t, w.done)
	})
}

// TestEachAttemptIsProgress: an outage of the target is no reason to give the shard up.
func TestEachAttemptIsProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventLog{})
		w.put = func(int, []hop.Event) (map[int]error, error) { return nil, errUnavailable }
		loop := progress.NewLoop("work", time.Second, time.Now)
		ctx, cancel := context.WithCancel(progress.With(t.Context(), loop))
		h := w.Open(ctx, "shard-1", always)
		require.NoError(t, h.Handle(ctx, received(record("a", 1)), w.note))
		for range 100 {
			<-time.After(6 * time.Second)
			assert.LessOrEqual(t, loop.Age(), 5*time.Second, "the longest pause")
		}
		cancel()
		h.Wait()
	})
}

func TestRepublishMovesTheWholeEventLog(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 499, 500, 1201} {
		w := newWorld(eventLog{records: many(n)})
		require.NoError(t, w.Republish(t.Context(), "shard-1"))
		assert.Len(t, w.got[0], n)
		for _, versions := range w.versions(0) {
			assert.IsIncreasing(t, versions)
		}
		count, _ := w.metric(t, "carry_seconds")
		assert.InDelta(t, n, count, 0)
	}
}

func TestRepublishSetsAsideWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	broken := record("x", 2)
	broken.Data = json.RawMessage(`{`)
	w := newWorld(eventLog{records: []eventsourcing.Record{record("x", 1), broken, record("x", 3)}})
	require.NoError(t, w.Republish(t.Context(), "shard-1"))
	assert.Equal(t, []eventsourcing.Version{1, 3}, w.versions(0)["x"])
	assert.Equal(t, []hop.Place{{Operation: "carry", Shard: "shard-1", Stream: "test/thing/x", Version: "2", EventID: "event-x-2"}}, w.aside)
}

func TestRepublishReportsThatTheEventLogCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{records: many(10), err: errUnavailable})
	require.ErrorIs(t, w.Republish(t.Context(), "shard-1"), errUnavailable)
}

func TestRepublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(eventLog{records: many(1400)})
		w.put = func(int, []hop.Event) (map[int]error, error) { return nil, errUnavailable }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, w.Republish(ctx, "shard-1"), context.DeadlineExceeded)
	})
}
