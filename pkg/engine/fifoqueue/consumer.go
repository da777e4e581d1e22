package fifoqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/semaphore"
)

// Consumer receives from one queue and hands messages to its Handler. Any number of Consumers share a queue.
type Consumer struct {
	cfg      Config
	counts   *counters
	slots    *semaphore.Weighted // handlers at work
	dead     *Publisher
	hand     *hand
	finished chan []*delivery // to be deleted
	runs     sync.WaitGroup
}

var errStopTimeout = errors.New("stop timeout")

// Run consumes until ctx ends. Then it lets handlers at work finish, deletes what is done and gives back what was not
// begun. It returns nil after such a stop, and an error if StopTimeout cut handlers off. Nothing else ends it: what
// fails is logged and tried again. A Consumer runs once.
func (c *Consumer) Run(ctx context.Context) error {
	hard, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	clean, rest := context.WithCancel(context.WithoutCancel(ctx))
	defer rest()

	var receivers, settlers, beats sync.WaitGroup
	settlers.Go(func() { c.settle(clean) })
	beats.Go(func() { c.heartbeat(clean) })
	for range c.cfg.Receivers {
		receivers.Go(func() { c.receive(ctx, hard) })
	}
	receivers.Wait()
	timer := time.AfterFunc(c.cfg.StopTimeout, func() { cut(errStopTimeout) })
	defer timer.Stop()
	c.runs.Wait()
	close(c.finished)
	settlers.Wait()
	rest()
	beats.Wait()
	if c.cfg.Metrics != nil {
		c.cfg.Metrics.Unregister(c)
	}
	if errors.Is(context.Cause(hard), errStopTimeout) {
		return fmt.Errorf("stop consuming: handlers cut off after %v: %w", c.cfg.StopTimeout, errStopTimeout)
	}
	return nil
}

// maxRunsPerReceive: a receive brings at most that many messages, so groups.
const maxRunsPerReceive = maxBatch

func (c *Consumer) receive(ctx, hard context.Context) {
	attempt, failures := rand.Text(), 0
	for c.hand.room(ctx, c.cfg.Concurrency, maxRunsPerReceive*c.cfg.Concurrency) {
		out, err := c.cfg.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(c.cfg.QueueURL), MaxNumberOfMessages: maxBatch,
			WaitTimeSeconds: wholeSeconds(c.cfg.Wait), VisibilityTimeout: wholeSeconds(c.cfg.Visibility),
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			MessageAttributeNames:       []string{"All"},
			// the same attempt brings the messages of a lost answer again
			ReceiveRequestAttemptId: aws.String(attempt),
		})
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			failures++
			c.cfg.Log.WarnContext(ctx, "receive messages", slog.Any("error", err), slog.Int("failures", failures))
			_ = c.cfg.Backoff.Wait(ctx, failures) // the loop sees why it ended
			continue
		}
		attempt, failures = rand.Text(), 0
		c.dispatch(ctx, hard, out.Messages)
	}
}

func (c *Consumer) dispatch(ctx, hard context.Context, messages []types.Message) {
	now := c.cfg.Now()
	received := make([]*delivery, len(messages))
	for i, m := range messages {
		received[i] = &delivery{Message: parse(m), receipt: aws.ToString(m.ReceiptHandle), extendedAt: now}
	}
	c.counts.received.Add(float64(len(received)))
	for _, r := range c.hand.take(received) {
		c.runs.Go(func() {
			defer c.hand.end(r)
			c.work(ctx, hard, r)
		})
	}
}

// work sees a run to its end: every delivery is deleted or given back.
func (c *Consumer) work(ctx, hard context.Context, r *run) {
	if r.before != nil {
		<-r.before
	}
	if c.slots.Acquire(ctx, 1) != nil {
		c.giveBack(hard, r.deliveries, 0)
		return
	}
	defer c.slots.Release(1)
	for rest := r.deliveries; len(rest) > 0; {
		if ctx.Err() != nil {
			c.giveBack(hard, rest, 0)
			return
		}
		done, err := c.handle(hard, r.group, rest)
		if done > 0 {
			c.finished <- rest[:done]
			rest = rest[done:]
		}
		if errors.Is(err, ErrRejected) && len(rest) > 0 {
			if err = c.reject(hard, rest[0], err); err == nil {
				c.finished <- rest[:1]
				rest = rest[1:]
			}
		}
		if err != nil {
			c.fail(ctx, hard, rest, err)
			return
		}
	}
}

// handle calls the Handler and holds it to its contract.
func (c *Consumer) handle(ctx context.Context, group string, ds []*delivery) (done int, err error) {
	messages := make([]Message, len(ds))
	for i, d := range ds {
		messages[i] = d.Message
	}
	defer func() {
		if p := recover(); p != nil {
			done, err = 0, fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	done, err = c.cfg.Handler(ctx, group, messages)
	switch {
	case done < 0 || done > len(ds):
		return 0, fmt.Errorf("handler says %d of %d messages are done", done, len(ds))
	case done < len(ds) && err == nil:
		return done, errors.New("handler stopped early and gave no reason")
	}
	return done, err
}

// reject moves a message to the dead-letter queue; the caller deletes it.
func (c *Consumer) reject(ctx context.Context, d *delivery, reason error) error {
	c.cfg.Log.ErrorContext(ctx, "message rejected", slog.String("group", d.Group), slog.String("message_id", d.ID),
		slog.String("deduplication_id", d.DeduplicationID), slog.Any("error", reason))
	attributes := map[string]string{"reason": printable(reason.Error()), "message_id": d.ID}
	for name, value := range d.Attributes {
		if _, taken := attributes[name]; !taken && len(attributes) < maxAttributes {
			attributes[name] = value
		}
	}
	err := c.dead.Publish(ctx, []Outgoing{{
		Group: d.Group, DeduplicationID: d.DeduplicationID, Body: d.Body, Attributes: attributes,
	}})
	if err != nil {
		return fmt.Errorf("move to dead-letter queue: %w", err)
	}
	c.counts.rejected.Inc()
	return nil
}

// fail lets the rest of a group wait.
func (c *Consumer) fail(ctx, hard context.Context, rest []*delivery, err error) {
	c.counts.failures.Inc()
	delay := c.cfg.RetryDelay
	if len(rest) > 0 {
		for n := 1; n < rest[0].ReceiveCount && delay < c.cfg.MaxRetryDelay; n++ {
			delay *= 2
		}
		delay = min(delay, c.cfg.MaxRetryDelay)
		c.cfg.Log.WarnContext(ctx, "handle messages", slog.String("group", rest[0].Group), slog.Any("error", err),
			slog.Int("receive_count", rest[0].ReceiveCount), slog.Duration("retry_in", delay))
	}
	if hard.Err() != nil {
		delay = 0 // it was cut off, that is not its fault
	}
	c.giveBack(hard, rest, delay)
}

func parse(m types.Message) Message {
	out := Message{
		ID: aws.ToString(m.MessageId), Body: []byte(aws.ToString(m.Body)),
		Group:           m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
		DeduplicationID: m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
	}
	// both are numbers in every answer of SQS; zero does no harm
	out.ReceiveCount, _ = strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	sent, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	out.SentAt = time.UnixMilli(sent).UTC()
	for name, value := range m.MessageAttributes {
		if value.StringValue != nil {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[name] = *value.StringValue
		}
	}
	return out
}

// maxAttributes is SQS's: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
const maxAttributes = 10

// printable cuts a text to what every SQS attribute may hold.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 500)]
}

func wholeSeconds(d time.Duration) int32 { return int32(d / time.Second) } //nolint:gosec // at most 12 hours
