package fifoqueue_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/fifoqueue"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flaky is the SQS client with faults.
type flaky struct {
	*sqs.Client

	mu     sync.Mutex
	calls  map[string]int
	send   func(*sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error)
	delete func(*sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error)
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

func (f *flaky) SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, o ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	f.count("send")
	if f.send != nil {
		if out, err := f.send(in); out != nil || err != nil {
			return out, err
		}
	}
	return f.Client.SendMessageBatch(ctx, in, o...)
}

func (f *flaky) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, o ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	f.count("delete")
	if f.delete != nil {
		if out, err := f.delete(in); out != nil || err != nil {
			return out, err
		}
	}
	return f.Client.DeleteMessageBatch(ctx, in, o...)
}

func (f *flaky) ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, o ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.count("visibility")
	return f.Client.ChangeMessageVisibilityBatch(ctx, in, o...)
}

// bench is a queue, its dead-letter queue and what a handler saw.
type bench struct {
	t       *testing.T
	client  *flaky
	url     string
	deadURL string

	mu   sync.Mutex
	seen map[string][]string // bodies by group
}

func newBench(t *testing.T) *bench {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	client := sqs.NewFromConfig(server.Config())
	create := func(name string, attributes map[string]string) string {
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
		require.NoError(t, err)
		return *out.QueueUrl
	}
	b := &bench{t: t, client: &flaky{Client: client, calls: map[string]int{}}, seen: map[string][]string{}}
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

// send publishes bodies "group0", "group1"… in turn over the groups.
func (b *bench) send(from, to int, groups ...string) {
	b.t.Helper()
	var out []fifoqueue.Outgoing
	for n := from; n < to; n++ {
		for _, g := range groups {
			body := fmt.Sprint(g, n)
			out = append(out, fifoqueue.Outgoing{Group: g, DeduplicationID: body, Body: []byte(body)})
		}
	}
	require.NoError(b.t, fifoqueue.NewPublisher(b.client, b.url).Publish(b.t.Context(), out))
}

func (b *bench) handle(_ context.Context, group string, messages []fifoqueue.Message) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range messages {
		b.seen[group] = append(b.seen[group], string(m.Body))
	}
	return len(messages), nil
}

func (b *bench) got(group string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen[group])
}

type consumer struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func (b *bench) consume(h fifoqueue.Handler, tune ...func(*fifoqueue.Config)) *consumer {
	b.t.Helper()
	cfg := fifoqueue.Config{Client: b.client, QueueURL: b.url, DeadLetterURL: b.deadURL, Handler: h, Now: time.Now}
	for _, f := range tune {
		f(&cfg)
	}
	c, err := fifoqueue.New(cfg)
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

// left counts the messages of a queue: visible and in flight.
func (b *bench) left(url string) string {
	b.t.Helper()
	out, err := b.client.GetQueueAttributes(b.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	require.NoError(b.t, err)
	return out.Attributes["ApproximateNumberOfMessages"] + " visible, " +
		out.Attributes["ApproximateNumberOfMessagesNotVisible"] + " in flight"
}

func names(group string, from, to int) []string {
	var out []string
	for n := from; n < to; n++ {
		out = append(out, fmt.Sprint(group, n))
	}
	return out
}

func bubble(t *testing.T, f func(t *testing.T, b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newBench(t)) })
}

// after lets virtual time pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestGroupsAreConsumedInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		registry := prometheus.NewRegistry()
		c := b.consume(b.handle, func(c *fifoqueue.Config) { c.Metrics = registry; c.Receivers = 3 })
		b.send(0, 50, "a", "b", "c", "d")
		after(5 * time.Second)
		for _, g := range []string{"a", "b", "c", "d"} {
			assert.Equal(t, names(g, 0, 50), b.got(g))
		}
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		n, err := testutil.GatherAndCount(registry)
		require.NoError(t, err)
		assert.Equal(t, 8, n)
		c.end()
	})
}

func TestMessagesComeWhole(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		sentAt := time.Now()
		require.NoError(t, fifoqueue.NewPublisher(b.client, b.url).Publish(t.Context(), []fifoqueue.Outgoing{
			{Group: "g", DeduplicationID: "d", Body: []byte("äöü"), Attributes: map[string]string{"k": "v"}},
		}))
		var got fifoqueue.Message
		c := b.consume(func(_ context.Context, _ string, m []fifoqueue.Message) (int, error) { got = m[0]; return 1, nil })
		after(time.Second)
		c.end()
		assert.NotEmpty(t, got.ID)
		got.ID = ""
		assert.Equal(t, fifoqueue.Message{
			Group: "g", DeduplicationID: "d", Body: []byte("äöü"), Attributes: map[string]string{"k": "v"},
			ReceiveCount: 1, SentAt: sentAt.UTC(),
		}, got)
	})
}

func TestAFailingGroupWaitsAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("the table is away") },
		"panic": func() error { panic("nil map") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *bench) {
				b.send(0, 3, "bad", "good")
				var triesAt []time.Duration
				startedAt := time.Now()
				c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
					if group == "bad" && len(triesAt) < 4 && string(m[0].Body) == "bad0" {
						triesAt = append(triesAt, time.Since(startedAt).Round(time.Second))
						return 0, fail()
					}
					return b.handle(ctx, group, m)
				})
				after(time.Second / 2)
				assert.Equal(t, names("good", 0, 3), b.got("good"))
				assert.Empty(t, b.got("bad"))
				after(time.Minute)
				assert.Equal(t, names("bad", 0, 3), b.got("bad"))
				assert.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, triesAt)
				c.end()
			})
		})
	}
}

func TestWhatIsDoneBeforeAFailureDoesNotComeAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		b.send(0, 5, "a")
		failed := false
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			if !failed {
				failed = true
				_, _ = b.handle(ctx, group, m[:2])
				return 2, errors.New("two were enough")
			}
			return b.handle(ctx, group, m)
		})
		after(10 * time.Second)
		assert.Equal(t, names("a", 0, 5), b.got("a"))
		c.end()
	})
}

func TestABrokenHandlerContractIsAFailure(t *testing.T) {
	t.Parallel()
	for _, done := range []int{-1, 0, 1, 3} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *bench) {
				b.send(0, 2, "a")
				c := b.consume(func(context.Context, string, []fifoqueue.Message) (int, error) { return done, nil })
				after(100 * time.Millisecond)
				want := "0 visible, 2 in flight"
				if done == 1 {
					want = "0 visible, 1 in flight"
				}
				assert.Equal(t, want, b.left(b.url))
				c.end()
			})
		})
	}
}

func TestRejectedMessagesGoToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		b.send(0, 4, "a")
		away := true
		b.client.send = func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			if *in.QueueUrl == b.deadURL && away {
				away = false
				return nil, errors.New("away")
			}
			return nil, nil
		}
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			for i := range m {
				if string(m[i].Body) == "a1" {
					_, _ = b.handle(ctx, group, m[:i])
					return i, fifoqueue.Reject(errors.New("unknown event\n" + "ö"))
				}
			}
			return b.handle(ctx, group, m)
		})
		after(10 * time.Second)
		c.end()
		assert.Equal(t, []string{"a0", "a2", "a3"}, b.got("a"))
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &b.deadURL, VisibilityTimeout: 30, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		m := out.Messages[0]
		assert.Equal(t, "a1", *m.Body)
		assert.Equal(t, "a", m.Attributes["MessageGroupId"])
		assert.Equal(t, "a1", m.Attributes["MessageDeduplicationId"])
		assert.Equal(t, "message rejected: unknown event??", *m.MessageAttributes["reason"].StringValue)
	})
}

func TestVisibilityIsExtendedWhileAHandlerWorks(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		b.send(0, 2, "slow")
		slow := func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			<-time.After(10 * time.Minute)
			return b.handle(ctx, group, m)
		}
		one := b.consume(slow)
		other := b.consume(slow) // would get the message if its visibility ran out
		after(11 * time.Minute)
		assert.Equal(t, names("slow", 0, 2), b.got("slow"))
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		one.end()
		other.end()
	})
}

func TestAStopFinishesWhatIsBegunAndGivesBackTheRest(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		b.send(0, 3, "a", "b")
		begun := make(chan string, 2)
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			begun <- group
			<-time.After(4 * time.Second)
			return b.handle(ctx, group, m)
		}, func(c *fifoqueue.Config) { c.Concurrency = 1 })
		first := <-begun
		second := map[string]string{"a": "b", "b": "a"}[first]
		synctest.Wait()
		stoppedAt := time.Now()
		c.end()
		assert.Equal(t, 4*time.Second, time.Since(stoppedAt))
		assert.Equal(t, names(first, 0, 3), b.got(first))
		assert.Empty(t, b.got(second))
		assert.Equal(t, "3 visible, 0 in flight", b.left(b.url))
		c = b.consume(b.handle)
		after(100 * time.Millisecond)
		assert.Equal(t, names(second, 0, 3), b.got(second))
		c.end()
	})
}

func TestAStopTimeoutCutsHandlersOff(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		b.send(0, 3, "a")
		begun := make(chan struct{})
		c := b.consume(func(ctx context.Context, _ string, _ []fifoqueue.Message) (int, error) {
			close(begun)
			<-ctx.Done()
			return 1, ctx.Err()
		}, func(c *fifoqueue.Config) { c.StopTimeout = time.Second })
		<-begun
		c.stop()
		require.ErrorContains(t, <-c.done, "stop timeout")
		assert.Equal(t, "2 visible, 0 in flight", b.left(b.url), "what was done is deleted, the rest can be had at once")
	})
}

func TestDeletesComeInBatches(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		for n := range 100 { // a message each of many groups
			b.send(n, n+1, fmt.Sprint("g", n, "-"))
		}
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			<-time.After(time.Millisecond)
			return b.handle(ctx, group, m)
		})
		after(2 * time.Second)
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		assert.LessOrEqual(t, b.client.called("delete"), 12)
		c.end()
	})
}

func TestFailedDeletesAreTriedAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		b.send(0, 5, "a")
		turn := 0
		b.client.delete = func(in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
			if turn++; turn == 1 {
				return nil, errors.New("away")
			}
			if turn == 2 { // nothing deleted, and it says so
				out := &sqs.DeleteMessageBatchOutput{}
				for _, e := range in.Entries {
					out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String("InternalError")})
				}
				return out, nil
			}
			return nil, nil
		}
		c := b.consume(b.handle)
		after(5 * time.Minute)
		assert.Equal(t, names("a", 0, 5), b.got("a"), "once")
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		c.end()
	})
}

func TestPublisherKeepsOrderThroughPartialFailures(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		turn := 0
		b.client.send = func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			if turn++; turn%2 == 0 { // the first of the batch fails, the others are sent
				first := in.Entries[0]
				in.Entries = in.Entries[1:]
				out := &sqs.SendMessageBatchOutput{}
				if len(in.Entries) > 0 {
					var err error
					if out, err = b.client.Client.SendMessageBatch(t.Context(), in); err != nil {
						return nil, err
					}
				}
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: first.Id, Code: aws.String("InternalError")})
				return out, nil
			}
			return nil, nil
		}
		b.send(0, 20, "a", "b", "c")
		c := b.consume(b.handle)
		after(5 * time.Second)
		for _, g := range []string{"a", "b", "c"} {
			assert.Equal(t, names(g, 0, 20), b.got(g))
		}
		c.end()
	})
}

func TestPublisherTellsWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *bench) {
		p := fifoqueue.NewPublisher(b.client, b.url)
		bad := fifoqueue.Outgoing{Group: "a", DeduplicationID: "1", Body: []byte("\x01")}
		good := fifoqueue.Outgoing{Group: "b", DeduplicationID: "2", Body: []byte("x")}
		err := p.Publish(t.Context(), []fifoqueue.Outgoing{bad})
		require.ErrorIs(t, err, relay.ErrPermanent)
		require.ErrorContains(t, err, "live.fifo")
		big := fifoqueue.Outgoing{Group: "c", DeduplicationID: "3", Body: make([]byte, 1<<20+1)}
		require.ErrorIs(t, p.Publish(t.Context(), []fifoqueue.Outgoing{good, big}), relay.ErrTooLarge)
		require.ErrorContains(t, p.Publish(t.Context(), []fifoqueue.Outgoing{{Group: "a", Body: []byte("x")}}), "message 0")
	})
}

func TestNewReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := fifoqueue.New(fifoqueue.Config{Concurrency: -1, Wait: time.Minute, Visibility: time.Millisecond})
	for _, want := range []string{
		"Client is", "QueueURL is", "DeadLetterURL is", "Handler is", "Now is", "Concurrency must", "Wait must", "Visibility must",
	} {
		require.ErrorContains(t, err, want)
	}
}
