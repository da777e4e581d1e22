package sqs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

const (
	raceProducers = 8
	raceConsumers = 16
	raceGroups    = 40 // each fed by one producer, so that its order is known
	racePerGroup  = 60
)

// processed is the next expected number of each group.
type processed struct {
	mu   sync.Mutex
	next map[string]int
	left int
}

// With many producers and many consumers, which use long polls and sometimes release a message, each message is processed
// exactly once and each group in order.
func TestConcurrentConsumersProcessEachMessageOnceInOrder(t *testing.T) {
	t.Parallel()
	s, url := newFIFO(t, newTestClock().read) // no message in flight returns by itself, however slow the machine
	done := &processed{next: map[string]int{}, left: raceGroups * racePerGroup}
	ctx, finish := context.WithCancel(t.Context())
	defer finish()
	var work errgroup.Group
	for p := range raceProducers {
		work.Go(func() error { return produce(s, url, p) })
	}
	for range raceConsumers {
		work.Go(func() error {
			defer finish()
			return consume(ctx, s, url, done)
		})
	}
	require.NoError(t, work.Wait())
	assert.Zero(t, done.left)
	q, err := s.byURL(url)
	require.NoError(t, err)
	assert.Empty(t, q.messages)
	assert.Empty(t, q.groups)
}

func produce(s *Service, url string, producer int) error {
	for n := range racePerGroup {
		batch := &sendBatchInput{QueueURL: url}
		for g := producer; g < raceGroups; g += raceProducers {
			id := fmt.Sprintf("%d-%d", g, n)
			batch.Entries = append(batch.Entries, sendBatchEntry{id, sendEntry{
				MessageBody: strconv.Itoa(n), MessageGroupID: strconv.Itoa(g), MessageDeduplicationID: id,
			}})
		}
		for range 2 { // the second time all are duplicates
			out, err := s.sendMessageBatch(context.Background(), batch)
			if err != nil || len(out.Failed) > 0 {
				return fmt.Errorf("send: %w %v", err, out)
			}
		}
	}
	return nil
}

func consume(ctx context.Context, s *Service, url string, done *processed) error {
	q, err := s.byURL(url)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		max, wait := 7, 20
		out, err := s.receiveMessage(ctx, &receiveInput{
			QueueURL: url, MaxNumberOfMessages: &max, WaitTimeSeconds: &wait, MessageSystemAttributeNames: []string{"All"},
		})
		if err != nil {
			return err
		}
		given := map[string]bool{}
		for _, m := range out.Messages {
			group := m.Attributes["MessageGroupId"]
			if given[group] || strings.HasSuffix(m.Body, "5") && m.Attributes["ApproximateReceiveCount"] == "1" {
				given[group] = true // what comes after it in its group has to wait for it
				if err := q.changeVisibility(changeVisibility{m.ReceiptHandle, new(int)}); err != nil {
					return err
				}
				continue
			}
			last, err := done.process(q, group, m)
			if err != nil || last {
				return err
			}
		}
	}
	return nil // done, or another consumer failed
}

func (p *processed) process(q *queue, group string, m receivedMessage) (last bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if want := strconv.Itoa(p.next[group]); m.Body != want {
		return false, fmt.Errorf("group %s: got %s, want %s", group, m.Body, want)
	}
	p.next[group]++
	p.left--
	return p.left == 0, q.delete(m.ReceiptHandle)
}

// Two queues are each other's dead-letter queue, which must not deadlock. Each message moves back and forth and is then
// deleted once.
func TestTwoQueuesCanBeEachOthersDeadLetterQueue(t *testing.T) {
	t.Parallel()
	s, a := newFIFO(t, newTestClock().read)
	b, err := s.createQueue(t.Context(), &createQueueInput{QueueName: "b.fifo", Attributes: map[string]string{"FifoQueue": "true"}})
	require.NoError(t, err)
	for from, to := range map[string]string{a: s.arn("b.fifo"), b.QueueURL: s.arn("q.fifo")} {
		_, err := s.setQueueAttributes(t.Context(), &setAttributesInput{from, map[string]string{
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1"}`, to),
		}})
		require.NoError(t, err)
	}
	const messages = 300
	for i := range messages {
		send(t, s, a, "g", strconv.Itoa(i))
	}
	var mu sync.Mutex
	next := 0
	ctx, finish := context.WithCancel(t.Context())
	defer finish()
	var work errgroup.Group
	for _, url := range []string{a, b.QueueURL, a, b.QueueURL} {
		work.Go(func() error {
			q, err := s.byURL(url)
			for err == nil && ctx.Err() == nil {
				max, wait := 1, 1
				var out *receiveOutput
				out, err = s.receiveMessage(ctx, &receiveInput{
					QueueURL: url, MaxNumberOfMessages: &max, WaitTimeSeconds: &wait, MessageSystemAttributeNames: []string{"All"},
				})
				if err != nil {
					return err
				}
				for _, m := range out.Messages {
					if count, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"]); count < 4 {
						err = q.changeVisibility(changeVisibility{m.ReceiptHandle, new(int)})
						continue
					}
					mu.Lock()
					next++
					if next == messages {
						finish()
					}
					mu.Unlock()
					err = q.delete(m.ReceiptHandle)
				}
			}
			return err
		})
	}
	require.NoError(t, work.Wait())
	require.Equal(t, messages, next, "each message was moved to and fro, then deleted once")
}
