package pipelines

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Queue consumes a queue: it receives up to ten messages, lets Handle handle them, and deletes those that Handle returns. The others are
// received again after the queue's visibility timeout:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
type Queue struct {
	SQS    *sqs.Client
	URL    string
	Handle func(context.Context, []types.Message) (handled []types.Message)
	Pause  func() time.Duration // after a failure
}

// Run consumes until ctx ends.
func (q Queue) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		out, err := q.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.URL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			_ = retry.Sleep(ctx, q.Pause()) // the loop looks at ctx
			continue
		}
		var entries []types.DeleteMessageBatchRequestEntry
		for i, m := range q.Handle(ctx, out.Messages) {
			entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if len(entries) == 0 {
			continue
		}
		// What could not be deleted is received again.
		_, _ = q.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.URL, Entries: entries})
	}
	return nil
}

// InOrder handles messages of a FIFO queue. Once a message has failed, those of its group that follow it are not handled either:
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func InOrder(apply Apply) func(context.Context, []types.Message) []types.Message {
	return func(ctx context.Context, messages []types.Message) (handled []types.Message) {
		failed := map[string]bool{}
		for _, m := range messages {
			group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
			if failed[group] {
				continue
			}
			if err := applyBody(ctx, apply, m); err != nil {
				failed[group] = true
				continue
			}
			handled = append(handled, m)
		}
		return handled
	}
}

// Each handles messages of a standard queue, each for itself and once by the table of what was done.
func Each(apply Apply, once Once) func(context.Context, []types.Message) []types.Message {
	return func(ctx context.Context, messages []types.Message) (handled []types.Message) {
		for _, m := range messages {
			err := once.Do(ctx, aws.ToString(m.MessageId), func() error { return applyBody(ctx, apply, m) })
			if err == nil {
				handled = append(handled, m)
			}
		}
		return handled
	}
}

func applyBody(ctx context.Context, apply Apply, m types.Message) error {
	record, err := envelope.Decode([]byte(aws.ToString(m.Body)))
	if err != nil {
		return errors.Join(ErrUnknown, err)
	}
	return apply(ctx, record)
}
