package awsconfig

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/service/health"
)

// errNotActive: the resource exists, but cannot be used yet or any more.
var errNotActive = errors.New("not active")

// TableCheck passes while a table can be used.
func TableCheck(db *dynamodb.Client, table string) health.Check {
	return health.Check{Name: table, Probe: func(ctx context.Context) error {
		out, err := db.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &table})
		usable := []types.TableStatus{types.TableStatusActive, types.TableStatusUpdating}
		if err == nil && !slices.Contains(usable, out.Table.TableStatus) {
			return errNotActive
		}
		return brief(err)
	}}
}

// StreamCheck passes while a Kinesis stream can be used.
func StreamCheck(k *kinesis.Client, stream string) health.Check {
	return health.Check{Name: stream, Probe: func(ctx context.Context) error {
		out, err := k.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
		usable := []kinesistypes.StreamStatus{kinesistypes.StreamStatusActive, kinesistypes.StreamStatusUpdating}
		if err == nil && !slices.Contains(usable, out.StreamDescriptionSummary.StreamStatus) {
			return errNotActive
		}
		return brief(err)
	}}
}

// QueueCheck passes while a queue exists.
func QueueCheck(q *sqs.Client, queue string) health.Check {
	return health.Check{Name: queue, Probe: func(ctx context.Context) error {
		_, err := q.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(queue)})
		return brief(err)
	}}
}

// brief keeps of an AWS error, if there is one, what an operator reads first.
func brief(err error) error {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return errors.New(answer.ErrorCode())
	}
	if op, ok := errors.AsType[*smithy.OperationError](err); ok {
		return op.Err
	}
	return err
}
