package shards

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"golang.org/x/time/rate"
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

// Image is an item as DynamoDB Streams returns it.
type Image = map[string]types.AttributeValue

type dynamoDBStream struct {
	streams   StreamsAPI
	tables    TableAPI
	table     string
	arn       atomic.Value  // a string: of the stream, as last looked up
	describes *rate.Limiter // calls of DescribeStream
}

// NewDynamoDBStream returns the items inserted into a table, from its stream, whose view type must include new images. A
// stream that is switched off and on again is another Source. Changed and removed items are skipped.
//
// It needs dynamodb:DescribeTable on the table, and dynamodb:DescribeStream, dynamodb:GetShardIterator and
// dynamodb:GetRecords on its streams.
func NewDynamoDBStream(streams StreamsAPI, tables TableAPI, tableName string) Stream[Image] {
	return &dynamoDBStream{
		streams: streams, tables: tables, table: tableName, describes: rate.NewLimiter(rate.Every(describePause), 1),
	}
}

func (d *dynamoDBStream) Shards(ctx context.Context) (Listing, error) {
	arn, err := d.lookUp(ctx)
	if err != nil {
		return Listing{}, err
	}
	listing := Listing{Source: Source(arn)} // it ends with the time of creation
	for in := (&dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(arn)}); ; {
		if err := d.describes.Wait(ctx); err != nil {
			return Listing{}, err
		}
		out, err := d.streams.DescribeStream(ctx, in)
		if err != nil {
			return Listing{}, fmt.Errorf("describe stream of table %s: %w", d.table, err)
		}
		if err := d.usable(out.StreamDescription); err != nil {
			return Listing{}, err
		}
		for _, s := range out.StreamDescription.Shards {
			listing.Shards = append(listing.Shards, Shard{
				ID: aws.ToString(s.ShardId), Parents: parents(s.ParentShardId),
				Closed: s.SequenceNumberRange != nil && s.SequenceNumberRange.EndingSequenceNumber != nil,
			})
		}
		in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId
		if aws.ToString(in.ExclusiveStartShardId) == "" {
			return listing, nil
		}
	}
}

// usable returns what to do about a stream that is off, or whose records have no new images.
func (d *dynamoDBStream) usable(s *types.StreamDescription) error {
	switch {
	case s.StreamStatus != types.StreamStatusEnabled:
		return fmt.Errorf("the stream of table %s is %s: enable it with view type NEW_IMAGE", d.table, s.StreamStatus)
	case s.StreamViewType != types.StreamViewTypeNewImage && s.StreamViewType != types.StreamViewTypeNewAndOldImages:
		return fmt.Errorf("the stream of table %s has view type %s, so it has no new items: disable it and enable it with NEW_IMAGE",
			d.table, s.StreamViewType)
	default:
		return nil
	}
}

func (d *dynamoDBStream) lookUp(ctx context.Context) (string, error) {
	out, err := d.tables.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(d.table)})
	if err != nil {
		return "", fmt.Errorf("describe table %s: %w", d.table, err)
	}
	arn := aws.ToString(out.Table.LatestStreamArn)
	if arn == "" {
		return "", fmt.Errorf("table %s has no stream: enable it with view type NEW_IMAGE", d.table)
	}
	d.arn.Store(arn)
	return arn, nil
}

func (d *dynamoDBStream) Open(ctx context.Context, shardID string, after Position) (Feed[Image], error) {
	arn, known := d.arn.Load().(string)
	if !known {
		var err error
		if arn, err = d.lookUp(ctx); err != nil {
			return nil, err
		}
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
		return nil, fmt.Errorf("open shard %s of table %s: %w", shardID, d.table, atPosition(after, err))
	}
	return &dynamoDBFeed{stream: d, iterator: out.ShardIterator}, nil
}

type dynamoDBFeed struct {
	stream   *dynamoDBStream
	iterator *string
}

// A page is taken for full, so that more records are likely, from these sizes on. A page holds at most 1,000 records or
// 1 MB, and one record a new image of up to 400 KB:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
const (
	fullRecords = 1_000
	fullBytes   = 512 << 10
)

func (f *dynamoDBFeed) Next(ctx context.Context) (Page[Image], error) {
	table := f.stream.table
	out, err := f.stream.streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: f.iterator},
		func(o *dynamodbstreams.Options) { o.Retryer = refusedOnce{o.Retryer} })
	if err != nil {
		return Page[Image]{}, fmt.Errorf("read stream of table %s: %w", table, normalise(err))
	}
	page, size := Page[Image]{End: aws.ToString(out.NextShardIterator) == ""}, int64(0)
	for _, r := range out.Records {
		if r.Dynamodb == nil {
			return Page[Image]{}, fmt.Errorf("read stream of table %s: record %s is empty", table, aws.ToString(r.EventID))
		}
		page.Last = Position(aws.ToString(r.Dynamodb.SequenceNumber))
		size += aws.ToInt64(r.Dynamodb.SizeBytes)
		if r.EventName != types.OperationTypeInsert {
			continue
		}
		page.Records = append(page.Records, Record[Image]{
			Sequence: page.Last, Value: r.Dynamodb.NewImage, ArrivedAt: aws.ToTime(r.Dynamodb.ApproximateCreationDateTime),
		})
	}
	page.More = len(out.Records) >= fullRecords || size >= fullBytes
	f.iterator = out.NextShardIterator
	return page, nil
}

func (f *dynamoDBFeed) Close() {}
