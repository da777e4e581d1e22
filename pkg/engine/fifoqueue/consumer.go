package fifoqueue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/semaphore"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Consumer receives messages from one queue and calls a Handler with them. Any number of Consumers share a queue.
type Consumer struct {
	cfg      Config
	queue    string // its name
	counts   *counters
	slots    *semaphore.Weighted // running handlers
	dead     *Publisher
	inFlight *inFlight
	finished chan []*delivery // to be deleted
	runs     sync.WaitGroup

	polledAt atomic.Int64 // when a receive was answered last, or the Consumer was made; in nanoseconds since the Unix epoch
	polled   atomic.Bool  // a receive was answered
}

var errStopTimeout = errors.New("stop timeout")

// Run consumes until ctx ends. Then it waits for running handlers, deletes messages that are done and releases the
// others. It returns nil after such a stop, and an error if handlers were cancelled after StopTimeout. Nothing else ends
// it: failures are logged and retried. Call it once.
func (c *Consumer) Run(ctx context.Context) error {
	workCtx, cancelWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelWork(nil)
	upkeepCtx, cancelUpkeep := context.WithCancel(context.WithoutCancel(ctx)) // deletes and extensions outlive the handlers
	defer cancelUpkeep()

	var receivers, deleter, heartbeat sync.WaitGroup
	deleter.Go(func() { c.deleteFinished(upkeepCtx) })
	heartbeat.Go(func() { c.heartbeat(upkeepCtx) })
	for i := range c.cfg.Receivers {
		receivers.Go(func() { c.receive(ctx, workCtx, fmt.Sprintf("receiver %d", i+1)) })
	}
	receivers.Wait()
	timer := time.AfterFunc(c.cfg.StopTimeout, func() { cancelWork(errStopTimeout) })
	defer timer.Stop()
	c.runs.Wait()
	close(c.finished)
	deleter.Wait()
	cancelUpkeep()
	heartbeat.Wait()
	if c.cfg.Metrics != nil {
		c.cfg.Metrics.Unregister(c)
	}
	if errors.Is(context.Cause(workCtx), errStopTimeout) {
		return fmt.Errorf("stop consuming: handlers cancelled after %v: %w", c.cfg.StopTimeout, errStopTimeout)
	}
	return nil
}

const (
	// maxRunsPerReceive: a receive returns at most maxBatch messages, each perhaps of another group.
	maxRunsPerReceive = maxBatch
	// A receive waits for messages for maxWait, and the first one for firstWait, so that Ready does not. SQS allows 20 s, but a
	// connection that has gone silent is noticed only after the wait.
	maxWait, firstWait = 2 * time.Second, time.Second
	// A group waits firstRetryDelay after its first failure. That doubles with each further receive, up to maxRetryDelay. See
	// MaxReceiveCount.
	firstRetryDelay, maxRetryDelay = time.Second, 2 * time.Minute
)

// Deadlines of loops: of a receive with all its attempts, or one step of a handler. The deleter waits for nothing but channels,
// and wakes up every wakeEvery.
const (
	turnDeadline = 30 * time.Second
	wakeEvery    = 5 * time.Second
)

// watch registers a loop of this consumer until the function returned is called.
func (c *Consumer) watch(ctx context.Context, name string, deadline time.Duration) (context.Context, *progress.Loop, func()) {
	loop := progress.NewLoop(name+" of "+c.queue, deadline, c.cfg.Now)
	return progress.With(ctx, loop), loop, c.cfg.Loops.Register(loop)
}

// Ready returns nil once the queue has answered a receive, with messages or without.
func (c *Consumer) Ready(context.Context) error {
	if !c.polled.Load() {
		return errors.New("nothing received yet")
	}
	return nil
}

func (c *Consumer) receive(ctx, workCtx context.Context, name string) {
	ctx, loop, end := c.watch(ctx, name, turnDeadline)
	defer end()
	attempt, failures := rand.Text(), 0
	for ; ctx.Err() == nil; loop.Turn() {
		if !c.inFlight.waitForRoom(ctx, c.cfg.Concurrency, maxRunsPerReceive*c.cfg.Concurrency, wakeEvery) {
			continue
		}
		wait := maxWait
		if !c.polled.Load() {
			wait = firstWait
		}
		out, err := c.receiveOnce(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: aws.String(c.cfg.QueueURL), MaxNumberOfMessages: maxBatch,
			WaitTimeSeconds: wholeSeconds(wait), VisibilityTimeout: wholeSeconds(c.cfg.Visibility),
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
			MessageAttributeNames:       []string{"All"},
			// a retry with the same attempt ID returns the messages of a lost answer
			ReceiveRequestAttemptId: aws.String(attempt),
		})
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			failures++
			c.cfg.Logger.WarnContext(ctx, "receiving messages failed, retrying", slog.Any("error", err), slog.Int("failures", failures))
			_ = c.cfg.Backoff.Wait(ctx, failures) // the loop checks ctx
			continue
		}
		attempt, failures = rand.Text(), 0
		c.polledAt.Store(c.cfg.Now().UnixNano())
		c.polled.Store(true)
		c.dispatch(ctx, workCtx, out.Messages)
	}
}

// receiveOnce receives, if the consumer is open.
func (c *Consumer) receiveOnce(ctx context.Context, in *sqs.ReceiveMessageInput) (*sqs.ReceiveMessageOutput, error) {
	if c.cfg.Open != nil {
		if err := c.cfg.Open(ctx); err != nil {
			return nil, fmt.Errorf("not open: %w", err)
		}
	}
	return c.cfg.Client.ReceiveMessage(ctx, in)
}

func (c *Consumer) dispatch(ctx, workCtx context.Context, messages []types.Message) {
	now := c.cfg.Now()
	received := make([]*delivery, len(messages))
	for i, m := range messages {
		received[i] = &delivery{Message: parse(m), receipt: aws.ToString(m.ReceiptHandle), extendedAt: now}
	}
	c.counts.received.Add(float64(len(received)))
	for _, r := range c.inFlight.add(received) {
		c.runs.Go(func() {
			defer c.inFlight.end(r)
			c.process(ctx, workCtx, r)
		})
	}
}

// process handles a run until each of its deliveries is deleted or released.
func (c *Consumer) process(ctx, workCtx context.Context, r *run) {
	if r.before != nil {
		<-r.before
	}
	if c.slots.Acquire(ctx, 1) != nil {
		c.release(workCtx, r.deliveries, 0)
		return
	}
	defer c.slots.Release(1)
	for remaining := r.deliveries; len(remaining) > 0; {
		if ctx.Err() != nil {
			c.release(workCtx, remaining, 0)
			return
		}
		done, err := c.handle(workCtx, r.group, remaining)
		if done > 0 {
			c.finished <- remaining[:done]
			remaining = remaining[done:]
		}
		if errors.Is(err, ErrRejected) && len(remaining) > 0 {
			if err = c.reject(workCtx, remaining[0], err); err == nil {
				c.finished <- remaining[:1]
				remaining = remaining[1:]
			}
		}
		if err != nil {
			c.retryLater(workCtx, remaining, err)
			return
		}
	}
}

// handle calls the Handler and checks that it keeps its contract.
func (c *Consumer) handle(ctx context.Context, group string, ds []*delivery) (done int, err error) {
	messages := make([]Message, len(ds))
	for i, d := range ds {
		messages[i] = d.Message
	}
	ctx, _, end := c.watch(ctx, "handler", turnDeadline)
	defer end()
	defer func() {
		if p := recover(); p != nil {
			done, err = 0, fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	done, err = c.cfg.Handler(ctx, group, messages)
	switch {
	case done < 0 || done > len(ds):
		return 0, fmt.Errorf("handler returned %d of %d messages as done", done, len(ds))
	case done < len(ds) && err == nil:
		return done, errors.New("handler stopped early without an error")
	}
	return done, err
}

// reject moves a message to the dead-letter queue; the caller deletes it.
func (c *Consumer) reject(ctx context.Context, d *delivery, reason error) error {
	c.cfg.Logger.ErrorContext(ctx, "message rejected, moving it to the dead-letter queue", slog.String("group", d.Group),
		slog.String("message_id", d.ID), slog.String("deduplication_id", d.DeduplicationID), slog.Any("error", reason))
	if err := c.dead.Publish(ctx, []Outgoing{d.rejected(reason)}); err != nil {
		return fmt.Errorf("move to dead-letter queue: %w", err)
	}
	c.counts.rejected.Inc()
	return nil
}

// rejected returns the message as it goes to the dead-letter queue: with the reason, cut to what fits into a message of SQS
// beside the body, and then with its ID and as many of its attributes as fit, too.
func (d *delivery) rejected(reason error) Outgoing {
	out := Outgoing{Group: d.Group, DeduplicationID: d.DeduplicationID, Body: d.Body, Attributes: map[string]string{}}
	add := func(name, value string) {
		_, taken := out.Attributes[name]
		if fits := out.size()+attributeSize(name, value) <= maxBatchBytes; fits && !taken && value != "" && len(out.Attributes) < maxAttributes {
			out.Attributes[name] = value
		}
	}
	text := printable(reason.Error())
	add("reason", text[:min(len(text), max(0, maxBatchBytes-len(d.Body)-attributeSize("reason", "")))])
	add("message_id", d.ID)
	for _, name := range slices.Sorted(maps.Keys(d.Attributes)) {
		add(name, d.Attributes[name])
	}
	return out
}

// retryLater releases messages that were not handled, to be received again after a delay.
func (c *Consumer) retryLater(ctx context.Context, ds []*delivery, err error) {
	c.counts.failures.Inc()
	var delay time.Duration
	if len(ds) > 0 {
		noJitter := retry.Backoff{First: firstRetryDelay, Max: maxRetryDelay, Jitter: whole}
		delay = noJitter.Delay(ds[0].ReceiveCount)
		c.cfg.Logger.WarnContext(ctx, "handling messages failed, retrying", slog.String("group", ds[0].Group), slog.Any("error", err),
			slog.Int("receive_count", ds[0].ReceiveCount), slog.Duration("retry_in", delay))
	}
	if ctx.Err() != nil {
		delay = 0 // the handler was cancelled: the message is not at fault
	}
	c.release(ctx, ds, delay)
}

func whole(d time.Duration) time.Duration { return d }

func parse(m types.Message) Message {
	out := Message{
		ID: aws.ToString(m.MessageId), Body: []byte(aws.ToString(m.Body)),
		Group:           m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
		DeduplicationID: m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
	}
	// both are numbers in every answer of SQS; zero is harmless
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

// maxAttributes is the limit of SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
const maxAttributes = 10

// printable returns s as an SQS attribute may contain it: characters outside of ASCII replaced, and cut to 500 bytes.
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
