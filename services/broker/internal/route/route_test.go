package route_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/services/broker/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue keeps the messages it is called with, or returns err.
type queue struct {
	messages []fifoqueue.Outgoing
	err      error
}

func (q *queue) Publish(_ context.Context, messages []fifoqueue.Outgoing) error {
	q.messages = append(q.messages, messages...)
	return q.err
}

// world is a router of three categories, its two queues and what it logs.
type world struct {
	*hop.Hop[[]byte]

	left, right queue
	logs        bytes.Buffer
	registry    *prometheus.Registry
}

func newWorld() *world {
	w := &world{registry: prometheus.NewRegistry()}
	both := []route.Queue{&w.left, &w.right}
	w.Hop = route.NewRouter(
		map[string][]route.Queue{"test/a": both, "test/b": both, "test/left": {&w.left}},
		hop.Config[[]byte]{Now: time.Now, Logger: slog.New(slog.NewTextHandler(&w.logs, nil)), Metrics: w.registry},
	)
	return w
}

// received encodes version v of stream x of the category.
func received(t *testing.T, category string, v eventsourcing.Version) shards.Record[[]byte] {
	t.Helper()
	body, err := envelope.Encode(eventsourcing.Record{
		ID: fmt.Sprintf("%s-%d", category, v), Stream: eventsourcing.StreamID{Category: category, ID: "x"}, Version: v,
		Name: category + "/happened", Schema: 1, Data: json.RawMessage(`{}`), RecordedAt: time.Now(),
	})
	require.NoError(t, err)
	return shards.Record[[]byte]{Value: body}
}

func message(category string, v eventsourcing.Version, from shards.Record[[]byte]) fifoqueue.Outgoing {
	return fifoqueue.Outgoing{Group: category + "/x", DeduplicationID: fmt.Sprintf("%s/x#%d", category, v), Body: from.Value}
}

func TestEachSubscriberReceivesItsCategoriesInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld()
	a1, b1, left, a2 := received(t, "test/a", 1), received(t, "test/b", 1), received(t, "test/left", 1), received(t, "test/a", 2)
	unsubscribed := received(t, "test/unknown", 1)
	require.NoError(t, w.Handle(t.Context(), "shard-1", []shards.Record[[]byte]{a1, unsubscribed, b1, left, a2}))
	assert.Equal(t, []fifoqueue.Outgoing{
		message("test/a", 1, a1), message("test/b", 1, b1), message("test/left", 1, left), message("test/a", 2, a2),
	}, w.left.messages)
	assert.Equal(t, []fifoqueue.Outgoing{message("test/a", 1, a1), message("test/b", 1, b1), message("test/a", 2, a2)}, w.right.messages)
	assert.Empty(t, w.logs.String(), "a category without subscribers is no fault")
	n, err := testutil.GatherAndCount(w.registry, "route_seconds", "route_undecodable_total")
	require.NoError(t, err)
	assert.Equal(t, 2, n)
}

func TestAnEnvelopeIsRoutedUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld()
	r := received(t, "test/left", 1)
	r.Value = bytes.Replace(r.Value, []byte("{"), []byte(`{"future":true, `), 1)
	require.NoError(t, w.Handle(t.Context(), "shard-1", []shards.Record[[]byte]{{Value: []byte(`{"id":1}`)}, r}))
	assert.Equal(t, []fifoqueue.Outgoing{message("test/left", 1, r)}, w.left.messages)
	assert.Contains(t, w.logs.String(), "record skipped")
}

func TestAFailureOfOneQueueIsReturned(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.right.err = errors.New("unavailable")
	require.ErrorIs(t, w.Handle(t.Context(), "shard-1", []shards.Record[[]byte]{received(t, "test/a", 1)}), w.right.err)
}
