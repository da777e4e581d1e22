package fifoqueue

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/retry"
)

const (
	// callTimeout limits the calls that a stop has to wait for.
	callTimeout = 5 * time.Second
	// lingerFor is how long a finished message may wait to be deleted in one batch with others.
	lingerFor = 20 * time.Millisecond
)

// deleteFinished deletes finished messages in batches: a full batch at once, others after lingerFor, or at once when all
// messages in flight are finished. It returns when finished is closed and everything is deleted.
func (c *Consumer) deleteFinished(ctx context.Context) {
	_, loop, end := c.watch(ctx, "deleter", wakeEvery)
	defer end()
	wake := time.NewTicker(wakeEvery)
	defer wake.Stop()
	var deletes sync.WaitGroup
	defer deletes.Wait()
	var deleting atomic.Int64 // messages
	var pending []*delivery
	linger := time.NewTimer(lingerFor)
	defer linger.Stop()
	flush := func(least int) {
		for len(pending) >= least && len(pending) > 0 {
			batch := slices.Clone(pending[:min(maxBatch, len(pending))])
			pending = pending[len(batch):]
			deleting.Add(int64(len(batch)))
			deletes.Go(func() {
				c.delete(ctx, batch)
				deleting.Add(-int64(len(batch)))
			})
		}
	}
	for ; ; loop.Turn() {
		select {
		case <-wake.C:
		case done, ok := <-c.finished:
			if !ok {
				flush(1)
				return
			}
			pending = append(pending, done...)
			if len(pending) == len(done) || len(pending) >= maxBatch { // the remaining messages have just come: their wait begins now
				linger.Reset(lingerFor)
			}
			flush(maxBatch)
			if len(pending)+int(deleting.Load()) >= c.inFlight.count() {
				flush(1)
			}
		case <-linger.C:
			flush(1)
		}
	}
}

// maxDeletes is the most attempts to delete a message. After them it will be received again.
const maxDeletes = 5

func (c *Consumer) delete(ctx context.Context, batch []*delivery) {
	defer c.inFlight.remove(batch)
	left := batch
	for failures := 1; ; failures++ {
		left = c.deleteOnce(ctx, left)
		if len(left) == 0 {
			return
		}
		if failures == maxDeletes || c.cfg.Backoff.Wait(ctx, failures) != nil {
			c.counts.deleteFailures.Add(float64(len(left)))
			c.cfg.Logger.WarnContext(ctx, "finished messages not deleted, they will be received again", slog.Int("messages", len(left)))
			return
		}
	}
}

// deleteOnce returns the deliveries whose deletion may be retried.
func (c *Consumer) deleteOnce(ctx context.Context, batch []*delivery) (left []*delivery) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &sqs.DeleteMessageBatchInput{QueueUrl: aws.String(c.cfg.QueueURL)}
	for i, d := range batch {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(d.receipt),
		})
	}
	out, err := c.cfg.Client.DeleteMessageBatch(ctx, in)
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "deletion of messages failed", slog.Any("error", err))
		return batch
	}
	c.counts.deleted.Add(float64(len(out.Successful)))
	return c.failed(ctx, "delete message", batch, out.Failed)
}

// failed counts stale receipts and returns the other refused deliveries. A receipt is stale when the message has been
// received again, by whichever process.
func (c *Consumer) failed(
	ctx context.Context, operation string, batch []*delivery, entries []types.BatchResultErrorEntry,
) (left []*delivery) {
	for _, e := range entries {
		i := index(e.Id)
		if i < 0 || i >= len(batch) {
			continue
		}
		c.cfg.Logger.InfoContext(ctx, "operation refused by SQS", slog.String("operation", operation),
			slog.String("message_id", batch[i].ID), slog.Bool("stale", e.SenderFault),
			slog.String("code", aws.ToString(e.Code)), slog.String("reason", aws.ToString(e.Message)))
		if e.SenderFault {
			c.counts.stale.Inc()
		} else {
			left = append(left, batch[i])
		}
	}
	return left
}

// release makes deliveries of one group visible to all consumers after the delay. The last one is released first, so that
// the order of the group holds at every moment.
func (c *Consumer) release(ctx context.Context, ds []*delivery, delay time.Duration) {
	ctx = context.WithoutCancel(ctx)
	_ = c.inFlight.extending.Acquire(ctx, 1) // cannot fail
	c.inFlight.remove(ds)
	c.inFlight.extending.Release(1)
	ds = slices.Clone(ds)
	slices.Reverse(ds)
	for batch := range slices.Chunk(ds, maxBatch) {
		c.changeVisibility(ctx, "release message", batch, delay)
	}
}

// changeVisibility makes one attempt: after a failure the message becomes visible when its time runs out.
func (c *Consumer) changeVisibility(ctx context.Context, operation string, batch []*delivery, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(c.cfg.QueueURL)}
	for i, m := range batch {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(m.receipt), VisibilityTimeout: wholeSeconds(d),
		})
	}
	out, err := c.cfg.Client.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		c.cfg.Logger.WarnContext(ctx, "operation failed", slog.String("operation", operation), slog.Any("error", err))
		return
	}
	c.failed(ctx, operation, batch, out.Failed)
}

// heartbeat extends the visibility timeout of messages that are in flight for long, so that no other consumer receives them.
func (c *Consumer) heartbeat(ctx context.Context) {
	every := c.cfg.Visibility / 6
	ctx, loop, end := c.watch(ctx, "visibility heartbeat", every+callTimeout)
	defer end()
	for retry.Sleep(ctx, every) == nil {
		for more := true; more; loop.Turn() {
			more = c.extend(ctx)
		}
	}
}

func (c *Consumer) extend(ctx context.Context) (more bool) {
	if c.inFlight.extending.Acquire(ctx, 1) != nil {
		return false
	}
	defer c.inFlight.extending.Release(1)
	now := c.cfg.Now()
	batch := c.inFlight.takeDue(now.Add(-c.cfg.Visibility/4), now, maxBatch)
	if len(batch) == 0 {
		return false
	}
	c.changeVisibility(ctx, "extend visibility", batch, c.cfg.Visibility)
	return true
}
