package route_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
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
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/services/broker/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue keeps the messages it is called with.
type queue struct {
	mu       sync.Mutex
	messages []fifoqueue.Outgoing
}

func (q *queue) SendMessageBatch(
	_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options),
) (*sqs.SendMessageBatchOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := &sqs.SendMessageBatchOutput{}
	for _, e := range in.Entries {
		q.messages = append(q.messages, fifoqueue.Outgoing{
			Group: *e.MessageGroupId, DeduplicationID: *e.MessageDeduplicationId, Body: []byte(*e.MessageBody),
		})
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: e.Id})
	}
	return out, nil
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
	w.Hop = route.NewRouter(
		[]route.Queue{
			{Categories: []string{"test/a", "test/b", "test/left"}, Sender: fifoqueue.NewPublisher(&w.left, "left", retry.Backoff{}).Options()},
			{Categories: []string{"test/a", "test/b"}, Sender: fifoqueue.NewPublisher(&w.right, "right", retry.Backoff{}).Options()},
		},
		hop.Config[[]byte]{
			SetAside: func(context.Context, hop.Place, error) error { return nil },
			Now:      time.Now, Logger: slog.New(slog.NewTextHandler(&w.logs, nil)), Metrics: w.registry,
		},
	)
	return w
}

// handle returns the indexes of the records that were done.
func (w *world) handle(t *testing.T, records ...shards.Record[[]byte]) (done []int) {
	t.Helper()
	var mu sync.Mutex
	h := w.Open(t.Context(), "shard-1", func(context.Context) error { return nil })
	require.NoError(t, h.Handle(t.Context(), records, func(i int) {
		mu.Lock()
		defer mu.Unlock()
		done = append(done, i)
	}))
	h.Wait()
	slices.Sort(done)
	return done
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
	assert.Equal(t, []int{0, 1, 2, 3, 4}, w.handle(t, a1, unsubscribed, b1, left, a2))
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
	assert.Equal(t, []int{0, 1}, w.handle(t, shards.Record[[]byte]{Value: []byte(`{"id":1}`)}, r))
	assert.Equal(t, []fifoqueue.Outgoing{message("test/left", 1, r)}, w.left.messages)
	assert.Contains(t, w.logs.String(), "record set aside")
}
