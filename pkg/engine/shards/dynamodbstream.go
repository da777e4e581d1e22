package shards

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// describePause keeps one process at half the rate that DescribeStream allows to all, 10 calls a second:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html
const describePause = 200 * time.Millisecond

// StreamsAPI is the part of *dynamodbstreams.Client that NewDynamoDBStream uses.
type StreamsAPI interface {
	DescribeStream(
		context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options),
	) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(
		context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options),
	) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(
		context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options),
	) (*dynamodbstreams.GetRecordsOutput, error)
}

// TableAPI is the part of *dynamodb.Client that NewDynamoDBStream uses.
type TableAPI interface {
	DescribeTable(context.Context, *dynamodb.DescribeTableInput, ...func(*dynamodb.Options)) (*dynamodb.DescribeTableOutput, error)
}

type dynamoDBStream[T any] struct {
	streams StreamsAPI
	tables  TableAPI
	table   string
	decode  func(image map[string]types.AttributeValue) (T, error)
	permits chan struct{} // holds one; calling DescribeStream takes it

	mu  sync.Mutex
	arn string
}

// NewDynamoDBStream returns the items inserted into a table, from its latest stream, whose view type must include new
// images. If the table gets another stream, unread records of the former one count as trimmed. Changed and removed items
// are skipped. An error of decode blocks the shard, since nothing else is skipped: for an item that cannot be decoded,
// return a value that says so.
//
// It needs dynamodb:DescribeTable on the table, and dynamodb:DescribeStream, dynamodb:GetShardIterator and
// dynamodb:GetRecords on its streams.
func NewDynamoDBStream[T any](
	streams StreamsAPI, tables TableAPI, tableName string, decode func(image map[string]types.AttributeValue) (T, error),
) Stream[T] {
	d := &dynamoDBStream[T]{streams: streams, tables: tables, table: tableName, decode: decode, permits: make(chan struct{}, 1)}
	d.permits <- struct{}{}
	return d
}

func (d *dynamoDBStream[T]) Shards(ctx context.Context) ([]Shard, error) {
	arn, err := d.lookUp(ctx)
	if err != nil {
		return nil, err
	}
	var shards []Shard
	for in := (&dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(arn)}); ; {
		out, err := d.describe(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("describe stream of table %s: %w", d.table, err)
		}
		for _, s := range out.StreamDescription.Shards {
			shards = append(shards, Shard{ID: aws.ToString(s.ShardId), Parents: parents(s.ParentShardId)})
		}
		in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId
		if aws.ToString(in.ExclusiveStartShardId) == "" {
			return shards, nil
		}
	}
}

// describe calls DescribeStream at most once each describePause.
func (d *dynamoDBStream[T]) describe(
	ctx context.Context, in *dynamodbstreams.DescribeStreamInput,
) (*dynamodbstreams.DescribeStreamOutput, error) {
	select {
	case <-d.permits:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	time.AfterFunc(describePause, func() { d.permits <- struct{}{} })
	return d.streams.DescribeStream(ctx, in)
}

// latest returns the ARN of the stream as of the last look-up.
func (d *dynamoDBStream[T]) latest(ctx context.Context) (string, error) {
	d.mu.Lock()
	arn := d.arn
	d.mu.Unlock()
	if arn != "" {
		return arn, nil
	}
	return d.lookUp(ctx)
}

func (d *dynamoDBStream[T]) lookUp(ctx context.Context) (string, error) {
	out, err := d.tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(d.table)})
	if err != nil {
		return "", fmt.Errorf("describe table %s: %w", d.table, err)
	}
	arn := aws.ToString(out.Table.LatestStreamArn)
	if arn == "" {
		return "", fmt.Errorf("table %s has no stream", d.table)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arn = arn
	return arn, nil
}

func (d *dynamoDBStream[T]) Open(ctx context.Context, shardID string, after Position) (Feed[T], error) {
	arn, err := d.latest(ctx)
	if err != nil {
		return nil, err
	}
	in := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: aws.String(arn), ShardId: aws.String(shardID), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}
	if after != TrimHorizon {
		in.ShardIteratorType = types.ShardIteratorTypeAfterSequenceNumber
		in.SequenceNumber = aws.String(string(after))
	}
	out, err := d.streams.GetShardIterator(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("open shard %s of table %s: %w", shardID, d.table, normalise(err))
	}
	return &dynamoDBFeed[T]{stream: d, iterator: out.ShardIterator}, nil
}

type dynamoDBFeed[T any] struct {
	stream   *dynamoDBStream[T]
	iterator *string
}

// A page is taken for full, so that more records are likely, from these sizes on. A page holds at most 1,000 records or
// 1 MB, and one record a new image of up to 400 KB:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
const (
	fullRecords = 1_000
	fullBytes   = 512 << 10
)

func (f *dynamoDBFeed[T]) Next(ctx context.Context) (Page[T], error) {
	table := f.stream.table
	out, err := f.stream.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: f.iterator})
	if err != nil {
		return Page[T]{}, fmt.Errorf("read stream of table %s: %w", table, normalise(err))
	}
	page, size := Page[T]{End: aws.ToString(out.NextShardIterator) == ""}, int64(0)
	for _, r := range out.Records {
		if r.Dynamodb == nil {
			return Page[T]{}, fmt.Errorf("read stream of table %s: record %s is empty", table, aws.ToString(r.EventID))
		}
		page.Last = Position(aws.ToString(r.Dynamodb.SequenceNumber))
		size += aws.ToInt64(r.Dynamodb.SizeBytes)
		if r.EventName != types.OperationTypeInsert {
			continue
		}
		value, err := f.stream.decode(r.Dynamodb.NewImage)
		if err != nil {
			return Page[T]{}, fmt.Errorf("decode record %s of table %s: %w", page.Last, table, err)
		}
		page.Records = append(page.Records, Record[T]{
			Sequence: page.Last, Value: value, ArrivedAt: aws.ToTime(r.Dynamodb.ApproximateCreationDateTime),
		})
	}
	page.More = len(out.Records) >= fullRecords || size >= fullBytes
	f.iterator = out.NextShardIterator
	return page, nil
}

func (f *dynamoDBFeed[T]) Close() {}
