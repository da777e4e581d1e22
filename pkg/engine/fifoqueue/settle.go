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

// settle deletes what is finished, in batches: full ones at once, others after Linger, or at once when all that is in
// hand waits for nothing else. It ends when finished is closed and everything is deleted.
func (c *Consumer) settle(ctx context.Context) {
	var deletes sync.WaitGroup
	defer deletes.Wait()
	var deleting atomic.Int64 // messages
	var pending []*delivery
	linger := time.NewTimer(c.cfg.Linger)
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
	for {
		select {
		case done, ok := <-c.finished:
			if !ok {
				flush(1)
				return
			}
			pending = append(pending, done...)
			if len(pending) == len(done) || len(pending) >= maxBatch { // what stays has not waited yet
				linger.Reset(c.cfg.Linger)
			}
			flush(maxBatch)
			if len(pending)+int(deleting.Load()) >= c.hand.count() {
				flush(1)
			}
		case <-linger.C:
			flush(1)
		}
	}
}

// maxDeletes bounds the tries of a delete. After them the message comes again.
const maxDeletes = 5

func (c *Consumer) delete(ctx context.Context, batch []*delivery) {
	defer c.hand.drop(batch)
	left := batch
	for failures := 1; ; failures++ {
		left = c.deleteOnce(ctx, left)
		if len(left) == 0 {
			return
		}
		if failures == maxDeletes || c.cfg.Backoff.Wait(ctx, failures) != nil {
			c.counts.deleteFailures.Add(float64(len(left)))
			c.cfg.Log.WarnContext(ctx, "messages done but not deleted: they come again", slog.Int("messages", len(left)))
			return
		}
	}
}

// deleteOnce returns what is worth another try.
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
		c.cfg.Log.WarnContext(ctx, "delete messages", slog.Any("error", err))
		return batch
	}
	c.counts.deleted.Add(float64(len(out.Successful)))
	return c.failed(ctx, "delete message", batch, out.Failed)
}

// failed counts stale receipts and returns what else was refused. A receipt is stale when the message came again: to
// whom, is the fence's matter.
func (c *Consumer) failed(ctx context.Context, deed string, batch []*delivery, entries []types.BatchResultErrorEntry) (left []*delivery) {
	for _, e := range entries {
		i := index(e.Id)
		if i < 0 || i >= len(batch) {
			continue
		}
		c.cfg.Log.InfoContext(ctx, "SQS refused", slog.String("deed", deed), slog.String("message_id", batch[i].ID), slog.Bool("stale", e.SenderFault),
			slog.String("code", aws.ToString(e.Code)), slog.String("reason", aws.ToString(e.Message)))
		if e.SenderFault {
			c.counts.stale.Inc()
		} else {
			left = append(left, batch[i])
		}
	}
	return left
}

// callTimeout bounds the calls that a stop has to wait for.
const callTimeout = 5 * time.Second

// giveBack lets deliveries of one group go, to come again after the delay. The last goes first, so that the group's order holds
// at every moment.
func (c *Consumer) giveBack(ctx context.Context, ds []*delivery, delay time.Duration) {
	ctx = context.WithoutCancel(ctx)
	_ = c.hand.extending.Acquire(ctx, 1) // cannot fail
	c.hand.drop(ds)
	c.hand.extending.Release(1)
	ds = slices.Clone(ds)
	slices.Reverse(ds)
	for batch := range slices.Chunk(ds, maxBatch) {
		c.changeVisibility(ctx, "give message back", batch, delay)
	}
}

// changeVisibility makes one try: what fails comes again when its visibility runs out.
func (c *Consumer) changeVisibility(ctx context.Context, deed string, batch []*delivery, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: aws.String(c.cfg.QueueURL)}
	for i, d2 := range batch {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: aws.String(d2.receipt), VisibilityTimeout: wholeSeconds(d),
		})
	}
	out, err := c.cfg.Client.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "call SQS", slog.String("deed", deed), slog.Any("error", err))
		return
	}
	c.failed(ctx, deed, batch, out.Failed)
}

// heartbeat extends what stays in hand for long.
func (c *Consumer) heartbeat(ctx context.Context) {
	for retry.Sleep(ctx, c.cfg.Visibility/6) == nil {
		for c.extend(ctx) {
		}
	}
}

func (c *Consumer) extend(ctx context.Context) (more bool) {
	if c.hand.extending.Acquire(ctx, 1) != nil {
		return false
	}
	defer c.hand.extending.Release(1)
	now := c.cfg.Now()
	batch := c.hand.due(now.Add(-c.cfg.Visibility/4), now, maxBatch)
	if len(batch) == 0 {
		return false
	}
	c.changeVisibility(ctx, "extend visibility", batch, c.cfg.Visibility)
	return true
}
