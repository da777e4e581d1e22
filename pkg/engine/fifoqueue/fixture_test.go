package fifoqueue_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flaky is an SQS client that counts calls and can fail.
type flaky struct {
	*sqs.Client

	mu       sync.Mutex
	calls    map[string]int
	bodies   map[string]string // by receipt
	released []string          // bodies of released messages, in order
	send     func(*sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error)
	delete   func(*sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error)
	extend   func() error
	receive  func(context.Context) error
}

func (f *flaky) count(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[call]++
}

func (f *flaky) called(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[call]
}

func (f *flaky) SendMessageBatch(
	ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options),
) (*sqs.SendMessageBatchOutput, error) {
	f.count("send")
	if f.send != nil {
		if out, err := f.send(in); out != nil || err != nil {
			return out, err
		}
	}
	return f.Client.SendMessageBatch(ctx, in, o...)
}

func (f *flaky) DeleteMessageBatch(
	ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options),
) (*sqs.DeleteMessageBatchOutput, error) {
	f.count("delete")
	if f.delete != nil {
		if out, err := f.delete(in); out != nil || err != nil {
			return out, err
		}
	}
	return f.Client.DeleteMessageBatch(ctx, in, o...)
}

func (f *flaky) ReceiveMessage(
	ctx context.Context, in *sqs.ReceiveMessageInput, o ...func(*sqs.Options),
) (*sqs.ReceiveMessageOutput, error) {
	if f.receive != nil {
		if err := f.receive(ctx); err != nil {
			return nil, err
		}
	}
	out, err := f.Client.ReceiveMessage(ctx, in, o...)
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, m := range out.Messages {
			f.bodies[*m.ReceiptHandle] = *m.Body
		}
	}
	return out, err
}

func (f *flaky) ChangeMessageVisibilityBatch(
	ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options),
) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.count("visibility")
	f.mu.Lock()
	for _, e := range in.Entries {
		if e.VisibilityTimeout == 0 {
			f.released = append(f.released, f.bodies[*e.ReceiptHandle])
		}
	}
	f.mu.Unlock()
	if f.extend != nil {
		if err := f.extend(); err != nil {
			return nil, err
		}
	}
	return f.Client.ChangeMessageVisibilityBatch(ctx, in, o...)
}

// fixture is a queue, its dead-letter queue and the messages that a handler was called with.
type fixture struct {
	t       *testing.T
	client  *flaky
	url     string
	deadURL string

	mu   sync.Mutex
	seen map[string][]string // bodies by group
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	client := sqs.NewFromConfig(server.Config())
	create := func(name string, attributes map[string]string) string {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
		require.NoError(t, err)
		return *out.QueueUrl
	}
	b := &fixture{t: t, client: &flaky{Client: client, calls: map[string]int{}, bodies: map[string]string{}}, seen: map[string][]string{}}
	b.deadURL = create("dead.fifo", fifoqueue.DeadLetterAttributes())
	arn, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &b.deadURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	require.NoError(t, err)
	create("live.fifo", fifoqueue.Attributes(arn.Attributes["QueueArn"]))
	b.url, err = fifoqueue.QueueURL(t.Context(), client, "live.fifo")
	require.NoError(t, err)
	return b
}

// send publishes bodies "group0", "group1"… to each of the groups in turn.
func (b *fixture) send(from, to int, groups ...string) {
	b.t.Helper()
	var out []fifoqueue.Outgoing
	for n := from; n < to; n++ {
		for _, g := range groups {
			body := fmt.Sprint(g, n)
			out = append(out, fifoqueue.Outgoing{Group: g, DeduplicationID: body, Body: []byte(body)})
		}
	}
	require.NoError(b.t, fifoqueue.NewPublisher(b.client, b.url, retry.Backoff{}).Publish(b.t.Context(), out))
}

func (b *fixture) handle(_ context.Context, group string, messages []fifoqueue.Message) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		b.seen[group] = append(b.seen[group], string(m.Body))
	}
	return len(messages), nil
}

func (b *fixture) got(group string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen[group])
}

type consumer struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func (b *fixture) consume(h fifoqueue.Handler, tune ...func(*fifoqueue.Config)) *consumer {
	b.t.Helper()
	cfg := fifoqueue.Config{Client: b.client, QueueURL: b.url, DeadLetterURL: b.deadURL, Handler: h, Now: time.Now}
	for _, f := range tune {
		f(&cfg)
	}
	c, err := fifoqueue.NewConsumer(cfg)
	require.NoError(b.t, err)
	ctx, cancel := context.WithCancel(b.t.Context())
	out := &consumer{t: b.t, stop: cancel, done: make(chan error, 1)}
	go func() { out.done <- c.Run(ctx) }()
	return out
}

func (c *consumer) end() {
	c.t.Helper()
	c.stop()
	require.NoError(c.t, <-c.done)
}

// left returns the numbers of visible messages and of those in flight in a queue.
func (b *fixture) left(url string) string {
	b.t.Helper()
	out, err := b.client.GetQueueAttributes(b.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(b.t, err)
	return out.Attributes["ApproximateNumberOfMessages"] + " visible, " +
		out.Attributes["ApproximateNumberOfMessagesNotVisible"] + " in flight"
}

func names(group string, count int) []string {
	var out []string
	for n := range count {
		out = append(out, fmt.Sprint(group, n))
	}
	return out
}

func bubble(t *testing.T, f func(t *testing.T, b *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFixture(t)) })
}

// after sleeps in virtual time, until all goroutines wait.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
