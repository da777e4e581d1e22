package publish_test

import (
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
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/services/streamer/internal/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = errors.New("away")

// target keeps each batch it is given, or fails from the batch failAt on, counted from 1.
type target struct {
	batches [][]ordered.KinesisRecord
	failAt  int
}

func (k *target) Publish(_ context.Context, records []ordered.KinesisRecord) error {
	if len(records) == 0 {
		return nil
	}
	k.batches = append(k.batches, records)
	if k.failAt > 0 && len(k.batches) >= k.failAt {
		return errAway
	}
	return nil
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

var recordedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func record(id string, v eventsourcing.Version) eventsourcing.Record {
	return eventsourcing.Record{
		ID: fmt.Sprintf("event-%s-%d", id, v), Stream: eventsourcing.StreamID{Category: "test/thing", ID: id}, Version: v,
		Name: "test/thing/happened", Schema: 1, Data: json.RawMessage(`{}`), RecordedAt: recordedAt,
	}
}

// many are n records of three streams, each in order.
func many(n int) []eventsourcing.Record {
	out := make([]eventsourcing.Record, 0, n)
	for i := range n {
		out = append(out, record(fmt.Sprint(i%3), eventsourcing.Version(i/3+1)))
	}
	return out
}

// setUp returns a Publisher whose clock stands two seconds after the records, and its latencies: their number and sum.
func setUp(t *testing.T, to *target, from log) (p *publish.Publisher, latencies func() (uint64, float64)) {
	t.Helper()
	registry := prometheus.NewRegistry()
	p = publish.New(publish.Config{
		Target: to, Log: from, Now: func() time.Time { return recordedAt.Add(2 * time.Second) },
		Logger: slog.New(slog.DiscardHandler), Metrics: registry,
	})
	return p, func() (uint64, float64) {
		families, err := registry.Gather()
		require.NoError(t, err)
		i := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == "publish_seconds" })
		require.GreaterOrEqual(t, i, 0)
		h := families[i].GetMetric()[0].GetHistogram()
		return h.GetSampleCount(), h.GetSampleSum()
	}
}

// mustHold fails unless the batches together are the records, in order, each under its stream's key.
func mustHold(t *testing.T, batches [][]ordered.KinesisRecord, want []eventsourcing.Record) {
	t.Helper()
	got := []eventsourcing.Record{}
	for _, b := range batches {
		for _, k := range b {
			r, err := envelope.Decode(k.Data)
			require.NoError(t, err)
			assert.Equal(t, r.Stream.String(), k.Key)
			got = append(got, r)
		}
	}
	assert.Equal(t, want, got)
}

func handed(records []eventsourcing.Record) (out []shards.Record[publish.Item]) {
	for _, r := range records {
		out = append(out, shards.Record[publish.Item]{Value: publish.Item{Record: r}})
	}
	return out
}

func TestHandlePublishesEachStreamInOrderUnderItsKey(t *testing.T) {
	t.Parallel()
	to := &target{}
	p, latencies := setUp(t, to, log{})
	records := many(7)
	require.NoError(t, p.Handle(t.Context(), "shard-1", handed(records)))
	assert.Len(t, to.batches, 1)
	mustHold(t, to.batches, records)
	n, sum := latencies()
	assert.Equal(t, uint64(7), n)
	assert.InDelta(t, 7*2, sum, 1e-9, "seconds from recording to publishing")
}

func TestWhatIsNoEventIsPassedOverAndHoldsUpNothing(t *testing.T) {
	t.Parallel()
	to := &target{}
	p, _ := setUp(t, to, log{})
	decode := publish.Decoded(func(id string) (eventsourcing.Record, error) {
		if id == "" {
			return eventsourcing.Record{}, errors.New("no event")
		}
		return record(id, 1), nil
	})
	var items []shards.Record[publish.Item]
	for _, image := range []string{"a", "", "b"} {
		item, err := decode(image)
		require.NoError(t, err)
		items = append(items, shards.Record[publish.Item]{Value: item})
	}
	require.NoError(t, p.Handle(t.Context(), "shard-1", items))
	mustHold(t, to.batches, []eventsourcing.Record{record("a", 1), record("b", 1)})
}

func TestHandlePassesFailuresUpAndObservesNothing(t *testing.T) {
	t.Parallel()
	p, latencies := setUp(t, &target{failAt: 1}, log{})
	require.ErrorIs(t, p.Handle(t.Context(), "shard-1", handed(many(3))), errAway)
	n, _ := latencies()
	assert.Zero(t, n)
}

func TestHandlePublishesNothingOfABatchThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	to := &target{}
	p, _ := setUp(t, to, log{})
	broken := record("x", 2)
	broken.Data = json.RawMessage(`{`)
	err := p.Handle(t.Context(), "shard-1", handed([]eventsourcing.Record{record("x", 1), broken}))
	require.ErrorContains(t, err, "test/thing/x version 2")
	assert.Empty(t, to.batches)
}

func TestAgainPublishesTheWholeLogInBatches(t *testing.T) {
	t.Parallel()
	for n, batches := range map[int][]int{0: nil, 499: {499}, 500: {500}, 1201: {500, 500, 201}} {
		to := &target{}
		records := many(n)
		p, latencies := setUp(t, to, log{records: records})
		require.NoError(t, p.Again(t.Context(), "shard-1"))
		var sizes []int
		for _, b := range to.batches {
			sizes = append(sizes, len(b))
		}
		assert.Equal(t, batches, sizes)
		mustHold(t, to.batches, records)
		observed, _ := latencies()
		assert.Equal(t, uint64(n), observed)
	}
}

func TestAgainStopsAtTheFirstFailure(t *testing.T) {
	t.Parallel()
	to := &target{failAt: 2}
	p, latencies := setUp(t, to, log{records: many(1400)})
	require.ErrorIs(t, p.Again(t.Context(), "shard-1"), errAway)
	assert.Len(t, to.batches, 2)
	n, _ := latencies()
	assert.Equal(t, uint64(500), n, "those of the first batch")

	to = &target{}
	p, _ = setUp(t, to, log{records: many(10), err: errAway})
	require.ErrorIs(t, p.Again(t.Context(), "shard-1"), errAway)
	assert.Empty(t, to.batches)
}
