package sqs

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testClock is a clock that tests set.
type testClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *testClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *testClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newTestClock() *testClock {
	return &testClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// newFIFO returns a service with one high-throughput FIFO queue, and its URL.
func newFIFO(t require.TestingT, now func() time.Time) (*Service, string) {
	s := New(Options{Region: "eu-central-1", AccountID: "123456789012", Now: now})
	out, err := s.createQueue(context.Background(), &createQueueInput{QueueName: "q.fifo", Attributes: map[string]string{
		"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
	}})
	require.NoError(t, err)
	return s, out.QueueURL
}

func send(t require.TestingT, s *Service, url, group, id string) *sendOutput {
	out, err := s.sendMessage(context.Background(), &sendInput{url, sendEntry{
		MessageBody: id, MessageGroupID: group, MessageDeduplicationID: id,
	}})
	require.NoError(t, err)
	return out
}

func receive(t require.TestingT, s *Service, url string, n int, visibility time.Duration) []receivedMessage {
	seconds := int(visibility.Seconds())
	out, err := s.receiveMessage(context.Background(), &receiveInput{
		QueueURL: url, MaxNumberOfMessages: &n, VisibilityTimeout: &seconds, MessageSystemAttributeNames: []string{"All"},
	})
	require.NoError(t, err)
	return out.Messages
}

// The fastest of many receives must hardly depend on the length of the queue, although half of it is a locked group at the
// front: a receive that scans all messages is slower by two orders of magnitude.
func TestReceiveDoesNotScanTheQueue(t *testing.T) {
	t.Parallel()
	fastest := func(backlog int) time.Duration {
		s, url := newFIFO(t, newTestClock().read)
		for i := range backlog {
			group := "big"
			if i >= backlog/2 {
				group = strconv.Itoa(i)
			}
			send(t, s, url, group, strconv.Itoa(i))
		}
		best := time.Hour
		for range 200 {
			started := time.Now()
			require.Len(t, receive(t, s, url, 1, time.Hour), 1)
			best = min(best, time.Since(started))
		}
		return best
	}
	short, long := fastest(1_000), fastest(200_000)
	require.Less(t, long, 20*short)
}

func BenchmarkReceiveDelete(b *testing.B) {
	for _, backlog := range []int{1_000, 200_000} {
		b.Run(strconv.Itoa(backlog), func(b *testing.B) {
			s, url := newFIFO(b, newTestClock().read)
			for i := range backlog {
				send(b, s, url, strconv.Itoa(i%1000), strconv.Itoa(i))
			}
			q, err := s.byURL(url)
			require.NoError(b, err)
			next := backlog
			for b.Loop() {
				for _, m := range receive(b, s, url, 10, time.Hour) {
					require.NoError(b, q.delete(m.ReceiptHandle))
					send(b, s, url, m.Attributes["MessageGroupId"], strconv.Itoa(next))
					next++
				}
			}
		})
	}
}

// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html: a standard
// queue answers OverLimit to short polls, a FIFO queue answers nothing.
func TestReceivesStopAtTheInFlightLimit(t *testing.T) {
	t.Parallel()
	for _, fifo := range []bool{true, false} {
		t.Run("fifo "+strconv.FormatBool(fifo), func(t *testing.T) {
			t.Parallel()
			s, url := newFIFO(t, newTestClock().read)
			entry := sendEntry{MessageBody: "b", MessageGroupID: "g", MessageDeduplicationID: "d"}
			if !fifo {
				out, err := s.createQueue(t.Context(), &createQueueInput{QueueName: "standard"})
				require.NoError(t, err)
				url, entry.MessageDeduplicationID = out.QueueURL, ""
			}
			_, err := s.sendMessage(t.Context(), &sendInput{url, entry})
			require.NoError(t, err)
			q, err := s.byURL(url)
			require.NoError(t, err)
			q.counts[inFlight] = maxInFlight // as if so many were
			out, err := s.receiveMessage(t.Context(), &receiveInput{QueueURL: url})
			if fifo {
				require.NoError(t, err)
				require.Empty(t, out.Messages)
			} else {
				require.ErrorContains(t, err, "OverLimit")
			}
			q.counts[inFlight] = maxInFlight - 1
			require.Len(t, receive(t, s, url, 10, time.Hour), 1)
		})
	}
}
