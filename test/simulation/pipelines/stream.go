package pipelines

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Records handles the records of a Kinesis shard, one after the other, as the record processor in the samples of the Kinesis Client Library
// does: one that fails is tried ten times, every three seconds, and then skipped, so that it does not block its shard for ever. Leases,
// checkpoints and the order of parents and children are the reader's.
// https://github.com/aws/aws-sdk-java/blob/master/src/samples/AmazonKinesis/AmazonKinesisApplicationSampleRecordProcessor.java
func Records(apply Apply) func(context.Context, string, []shards.Record[[]byte]) error {
	const attempts, pause = 10, 3 * time.Second
	return func(ctx context.Context, _ string, records []shards.Record[[]byte]) error {
		for _, r := range records {
			record, err := envelope.Decode(r.Value)
			if err != nil {
				continue
			}
			for range attempts {
				if err := apply(ctx, record); err == nil || errors.Is(err, ErrUnknown) {
					break
				}
				progress.Turn(ctx)
				if err := retry.Sleep(ctx, pause); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// Pipe sends the items of a DynamoDB stream to a standard queue, ten at a time, and again if the queue refused them, as a pipe of
// EventBridge does. It is AWS's, so it never crashes. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-batching-concurrency.html
func Pipe(client *sqs.Client, url string, backoff retry.Backoff) func(context.Context, string, []shards.Record[shards.Image]) error {
	return func(ctx context.Context, _ string, records []shards.Record[shards.Image]) error {
		var waiting []string
		for _, r := range records {
			record, err := dynamostore.FromStreamImage(r.Value)
			if err != nil {
				continue
			}
			body, err := envelope.Encode(record)
			if err != nil {
				return err
			}
			waiting = append(waiting, string(body))
		}
		for failures := 0; len(waiting) > 0; {
			progress.Turn(ctx)
			n := min(len(waiting), 10)
			refused, err := sendTo(ctx, client, url, waiting[:n])
			if err == nil {
				failures, waiting = 0, append(refused, waiting[n:]...)
				continue
			}
			failures++
			if err := backoff.Wait(ctx, failures); err != nil {
				return err
			}
		}
		return nil
	}
}

// sendTo returns what was not taken.
func sendTo(ctx context.Context, client *sqs.Client, url string, bodies []string) (refused []string, err error) {
	var entries []types.SendMessageBatchRequestEntry
	for i, body := range bodies {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(body)})
	}
	out, err := client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
	if err != nil {
		return nil, err
	}
	for _, f := range out.Failed {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil {
			return nil, err
		}
		refused = append(refused, bodies[i])
	}
	return refused, nil
}
