package fifoqueue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
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

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestGroupsAreConsumedInOrder(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		registry := prometheus.NewRegistry()
		c := b.consume(b.handle, func(c *fifoqueue.Config) { c.Metrics = registry; c.Receivers = 3 })
		b.send(0, 50, "a", "b", "c", "d")
		after(5 * time.Second)
		for _, g := range []string{"a", "b", "c", "d"} {
			assert.Equal(t, names(g, 50), b.got(g))
		}
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		n, err := testutil.GatherAndCount(registry)
		require.NoError(t, err)
		assert.Equal(t, 8, n)
		c.end()
	})
}

func TestAMessageIsReceivedAsItWasPublished(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		sentAt := time.Now()
		require.NoError(t, fifoqueue.NewPublisher(b.client, b.url, retry.Backoff{}).Publish(t.Context(), []fifoqueue.Outgoing{
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

func TestAFailingGroupDelaysNoOther(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("table unavailable") },
		"panic": func() error { panic("nil map") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *fixture) {
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
				assert.Equal(t, names("good", 3), b.got("good"))
				assert.Empty(t, b.got("bad"))
				after(time.Minute)
				assert.Equal(t, names("bad", 3), b.got("bad"))
				assert.Equal(t, []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}, triesAt)
				c.end()
			})
		})
	}
}

func TestMessagesDoneBeforeAFailureAreDeleted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 5, "a")
		failed := false
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			if !failed {
				failed = true
				_, _ = b.handle(ctx, group, m[:2])
				return 2, errors.New("stopped after two")
			}
			return b.handle(ctx, group, m)
		})
		after(10 * time.Second)
		assert.Equal(t, names("a", 5), b.got("a"))
		c.end()
	})
}

func TestABrokenHandlerContractIsAFailure(t *testing.T) {
	t.Parallel()
	for _, done := range []int{-1, 0, 1, 3} {
		t.Run(fmt.Sprint(done), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *fixture) {
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
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 4, "a")
		fails := true
		b.client.send = func(in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
			if *in.QueueUrl == b.deadURL && fails {
				fails = false
				return nil, errors.New("unavailable")
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

// TestARejectedMessageFitsIntoTheDeadLetterQueue: SQS counts the body and the attributes, up to 1 MiB.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
func TestARejectedMessageFitsIntoTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	const (
		reason = "message rejected: unknown event"
		name   = len("reason") + len("String")
		whole  = name + len(reason)
		id     = len("message_id") + len("String") + len("00000000-0000-0000-0000-000000000000")
		own    = len("trace") + len("String") + len("t")
	)
	for room, want := range map[int]struct {
		reason string
		names  []string
	}{
		0:                {},
		own:              {"", []string{"trace"}},
		name + 1:         {"m", []string{"reason"}},
		whole - 1:        {reason[:len(reason)-1], []string{"reason"}},
		whole:            {reason, []string{"reason"}},
		whole + own:      {reason, []string{"reason", "trace"}},
		whole + id - 1:   {reason, []string{"reason", "trace"}},
		whole + id:       {reason, []string{"message_id", "reason"}},
		whole + id + own: {reason, []string{"message_id", "reason", "trace"}},
	} {
		t.Run(fmt.Sprintf("with %d bytes left", room), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *fixture) {
				sent := fifoqueue.Outgoing{Group: "a", DeduplicationID: "1", Body: bytes.Repeat([]byte("x"), 1<<20-room)}
				if room > 0 {
					sent.Attributes = map[string]string{"trace": "t"}
				}
				require.NoError(t, fifoqueue.NewPublisher(b.client, b.url, retry.Backoff{}).Publish(t.Context(), []fifoqueue.Outgoing{sent}))
				c := b.consume(func(context.Context, string, []fifoqueue.Message) (int, error) {
					return 0, fifoqueue.Reject(errors.New("unknown event"))
				})
				after(10 * time.Second)
				c.end()
				assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
				out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
					QueueUrl: &b.deadURL, MessageAttributeNames: []string{"All"},
				})
				require.NoError(t, err)
				require.Len(t, out.Messages, 1)
				assert.Len(t, *out.Messages[0].Body, len(sent.Body))
				attributes := out.Messages[0].MessageAttributes
				assert.Equal(t, want.names, slices.Sorted(maps.Keys(attributes)))
				assert.Equal(t, want.reason, aws.ToString(attributes["reason"].StringValue))
			})
		})
	}
}

func TestVisibilityIsExtendedWhileAHandlerWorks(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 2, "slow")
		slow := func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			<-time.After(10 * time.Minute)
			return b.handle(ctx, group, m)
		}
		one := b.consume(slow)
		other := b.consume(slow) // receives the message if its visibility timeout runs out
		after(11 * time.Minute)
		assert.Equal(t, names("slow", 2), b.got("slow"))
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		one.end()
		other.end()
	})
}

func TestCallsForOneGroupDoNotOverlap(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 1, "slow")
		b.client.extend = func() error { return errors.New("unavailable") } // so that the message is received again
		var running atomic.Int32
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			assert.Equal(t, int32(1), running.Add(1))
			defer running.Add(-1)
			<-time.After(time.Minute)
			return b.handle(ctx, group, m)
		}, func(c *fifoqueue.Config) { c.StopTimeout = 2 * time.Minute })
		after(10 * time.Minute)
		assert.Greater(t, len(b.got("slow")), 1)
		c.end()
	})
}

func TestAStopFinishesRunningHandlersAndReleasesOtherMessages(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 3, "a", "b")
		started := make(chan string, 2)
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			started <- group
			<-time.After(4 * time.Second)
			return b.handle(ctx, group, m)
		}, func(c *fifoqueue.Config) { c.Concurrency = 1 })
		first := <-started
		second := map[string]string{"a": "b", "b": "a"}[first]
		synctest.Wait()
		stoppedAt := time.Now()
		c.end()
		assert.Equal(t, 4*time.Second, time.Since(stoppedAt))
		assert.Equal(t, names(first, 3), b.got(first))
		assert.Empty(t, b.got(second))
		assert.Equal(t, "3 visible, 0 in flight", b.left(b.url))
		assert.Equal(t, []string{second + "2", second + "1", second + "0"}, b.client.released, "the last one first")
		c = b.consume(b.handle)
		after(100 * time.Millisecond)
		assert.Equal(t, names(second, 3), b.got(second))
		c.end()
	})
}

func TestNoHandlerStartsAfterAStop(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 3, "a")
		started, proceed := make(chan struct{}, 3), make(chan struct{})
		c := b.consume(func(context.Context, string, []fifoqueue.Message) (int, error) {
			started <- struct{}{}
			<-proceed
			return 0, fifoqueue.Reject(errors.New("unknown event"))
		})
		<-started
		c.stop()
		synctest.Wait()
		close(proceed)
		c.end()
		assert.Empty(t, started)
		assert.Equal(t, "2 visible, 0 in flight", b.left(b.url))
		assert.Equal(t, "1 visible, 0 in flight", b.left(b.deadURL))
	})
}

func TestHandlersAreCancelledAfterStopTimeout(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 3, "a")
		started := make(chan struct{})
		c := b.consume(func(ctx context.Context, _ string, _ []fifoqueue.Message) (int, error) {
			close(started)
			<-ctx.Done()
			return 1, ctx.Err()
		}, func(c *fifoqueue.Config) { c.StopTimeout = time.Second })
		<-started
		c.stop()
		require.ErrorContains(t, <-c.done, "stop timeout")
		assert.Equal(t, "2 visible, 0 in flight", b.left(b.url), "done messages are deleted, the others visible at once")
	})
}

func TestMessagesAreDeletedInBatches(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
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

func TestAMessageWaitsForLingerFromItsOwnEnd(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		takes := map[string]time.Duration{
			"a": time.Millisecond, "c": 16 * time.Millisecond, "b": 31 * time.Millisecond, "d": 31 * time.Millisecond, "e": time.Second,
		}
		b.send(0, 5, "a")
		b.send(0, 5, "b")
		b.send(0, 7, "c") // with the five of a a full delete, and two more
		b.send(0, 3, "d") // with those two and the five of b another
		b.send(0, 10, "e")
		c := b.consume(func(ctx context.Context, group string, m []fifoqueue.Message) (int, error) {
			<-time.After(takes[group])
			return b.handle(ctx, group, m)
		})
		after(500 * time.Millisecond)
		assert.Equal(t, "0 visible, 10 in flight", b.left(b.url))
		assert.Equal(t, 2, b.client.called("delete"))
		after(time.Second)
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		c.end()
	})
}

func TestFailedDeletionsAreRetried(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 5, "a")
		turn := 0
		b.client.delete = func(in *sqs.DeleteMessageBatchInput) (*sqs.DeleteMessageBatchOutput, error) {
			if turn++; turn == 1 {
				return nil, errors.New("unavailable")
			}
			if turn == 2 { // an answer that nothing was deleted
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
		assert.Equal(t, names("a", 5), b.got("a"), "once")
		assert.Equal(t, "0 visible, 0 in flight", b.left(b.url))
		c.end()
	})
}

func TestNewConsumerReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := fifoqueue.NewConsumer(fifoqueue.Config{Concurrency: -1, StopTimeout: -1, Visibility: time.Millisecond})
	for _, want := range []string{
		"Client is", "QueueURL is", "DeadLetterURL is", "Handler is", "Now is", "Concurrency must", "StopTimeout must", "Visibility must",
	} {
		require.ErrorContains(t, err, want)
	}
}
