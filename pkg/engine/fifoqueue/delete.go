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
)

// deleteFinished deletes finished messages in batches: a full batch at once, others after Linger, or at once when all
// messages in flight are finished. It returns when finished is closed and everything is deleted.
func (c *Consumer) deleteFinished(ctx context.Context) {
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
			if len(pending) == len(done) || len(pending) >= maxBatch { // the remaining messages have just come: their wait begins now
				linger.Reset(c.cfg.Linger)
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

// callTimeout limits the calls that a stop has to wait for.
const callTimeout = 5 * time.Second
