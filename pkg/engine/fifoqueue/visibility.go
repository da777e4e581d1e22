package fifoqueue

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/retry"
)

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
	for retry.Sleep(ctx, c.cfg.Visibility/6) == nil {
		for c.extend(ctx) {
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
