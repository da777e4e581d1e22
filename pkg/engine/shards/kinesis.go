package shards

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// ListShardsAPI is the part of *kinesis.Client that lists shards.
type ListShardsAPI interface {
	DescribeStreamSummary(
		context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options),
	) (*kinesis.DescribeStreamSummaryOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
}

// KinesisAPI is the part of *kinesis.Client that NewKinesisStream uses.
type KinesisAPI interface {
	ListShardsAPI
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

type kinesisStream struct {
	kinesisShards

	client KinesisAPI
}

// NewKinesisStream returns the Kinesis stream of that name, read by polling. Kinesis does not report a trimmed position: set
// Config.Retention to the stream's retention (24 hours, unless changed).
//
// It needs kinesis:DescribeStreamSummary, kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords on the stream.
func NewKinesisStream(client KinesisAPI, streamName string) Stream[[]byte] {
	return &kinesisStream{kinesisShards{client, streamName}, client}
}

// kinesisShards lists the shards of a stream.
type kinesisShards struct {
	lister ListShardsAPI
	name   string
}

// Shards makes two calls for up to 1,000 shards, of which AWS allows an account 20 of the first and a stream 1,000 of the
// second in a second: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_DescribeStreamSummary.html
func (k kinesisShards) Shards(ctx context.Context) (Listing, error) {
	found, err := k.lister.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(k.name)})
	if err != nil {
		return Listing{}, fmt.Errorf("describe stream %s: %w", k.name, err)
	}
	stream := found.StreamDescriptionSummary
	if s := stream.StreamStatus; s != types.StreamStatusActive && s != types.StreamStatusUpdating {
		return Listing{}, fmt.Errorf("describe stream %s: it is %s, want ACTIVE", k.name, s)
	}
	created := aws.ToTime(stream.StreamCreationTimestamp)
	listing := Listing{Source: Source(aws.ToString(stream.StreamARN) + "@" + created.UTC().Format(time.RFC3339))}
	// The creation time makes the call fail for a stream that replaced the described one since.
	for in := (&kinesis.ListShardsInput{StreamName: aws.String(k.name), StreamCreationTimestamp: &created}); ; {
		out, err := k.lister.ListShards(ctx, in)
		if err != nil {
			return Listing{}, fmt.Errorf("list shards of stream %s: %w", k.name, err)
		}
		for _, s := range out.Shards {
			listing.Shards = append(listing.Shards, Shard{
				ID: aws.ToString(s.ShardId), Parents: parents(s.ParentShardId, s.AdjacentParentShardId),
				Closed: s.SequenceNumberRange != nil && s.SequenceNumberRange.EndingSequenceNumber != nil,
			})
		}
		if aws.ToString(out.NextToken) == "" {
			return listing, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // the token stands for the stream
	}
}

func (k *kinesisStream) Open(ctx context.Context, shardID string, after Position) (Feed[[]byte], error) {
	in := &kinesis.GetShardIteratorInput{
		StreamName: aws.String(k.name), ShardId: aws.String(shardID), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}
	if after != TrimHorizon {
		in.ShardIteratorType = types.ShardIteratorTypeAfterSequenceNumber
		in.StartingSequenceNumber = aws.String(string(after))
	}
	out, err := k.client.GetShardIterator(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("open shard %s of stream %s: %w", shardID, k.name, atPosition(after, err))
	}
	return &kinesisFeed{stream: k, iterator: out.ShardIterator}, nil
}

type kinesisFeed struct {
	stream   *kinesisStream
	iterator *string
}

// pageRecords bounds what a shard has in memory. A shard takes 1,000 records a second, and may be asked five times in it, so that a
// backlog is read five times as fast as it can grow: https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
const pageRecords = 1_000

func (f *kinesisFeed) Next(ctx context.Context) (Page[[]byte], error) {
	out, err := f.stream.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator, Limit: aws.Int32(pageRecords)},
		func(o *kinesis.Options) { o.Retryer = refusedOnce{o.Retryer} })
	if err != nil {
		return Page[[]byte]{}, fmt.Errorf("read stream %s: %w", f.stream.name, normalise(err))
	}
	f.iterator = out.NextShardIterator
	behind := millis(out.MillisBehindLatest)
	return Page[[]byte]{
		Records: kinesisRecords(out.Records), End: aws.ToString(f.iterator) == "", Behind: behind, More: behind > 0,
	}, nil
}

func (f *kinesisFeed) Close() {}

// refusedOnce leaves refusals by throttling to the Reader, which slows down; the SDK would repeat them unseen.
type refusedOnce struct{ aws.Retryer }

func (r refusedOnce) IsErrorRetryable(err error) bool {
	return !errors.Is(normalise(err), ErrThrottled) && r.Retryer.IsErrorRetryable(err)
}

func millis(n *int64) time.Duration { return time.Duration(aws.ToInt64(n)) * time.Millisecond }

func kinesisRecords(records []types.Record) []Record[[]byte] {
	out := make([]Record[[]byte], len(records))
	for i, r := range records {
		out[i] = Record[[]byte]{
			Sequence: Position(aws.ToString(r.SequenceNumber)), Key: aws.ToString(r.PartitionKey), Value: r.Data,
			ArrivedAt: aws.ToTime(r.ApproximateArrivalTimestamp),
		}
	}
	return out
}

func parents(ids ...*string) []string {
	var out []string
	for _, id := range ids {
		if aws.ToString(id) != "" {
			out = append(out, *id)
		}
	}
	return out
}

// atPosition is normalise for a call that opens a shard after a position. Of its arguments only the position can be wrong:
// the others are from a listing.
func atPosition(after Position, err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if ok && after != TrimHorizon && (api.ErrorCode() == "InvalidArgumentException" || api.ErrorCode() == "ValidationException") {
		return fmt.Errorf("%w: %w", ErrForeignPosition, err)
	}
	return normalise(err)
}

// normalise wraps err in the error of this package that it means, if any. After any other error, such as a failure
// inside AWS, a Reader opens a new feed.
func normalise(err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return err
	}
	switch api.ErrorCode() {
	case "ExpiredIteratorException":
		return fmt.Errorf("%w: %w", ErrIteratorExpired, err)
	case "TrimmedDataAccessException":
		return fmt.Errorf("%w: %w", ErrTrimmed, err)
	case "ResourceNotFoundException":
		return fmt.Errorf("%w: %w", ErrShardGone, err)
	case "LimitExceededException", "ProvisionedThroughputExceededException", "ThrottlingException", "KMSThrottlingException":
		return fmt.Errorf("%w: %w", ErrThrottled, err)
	default:
		return err
	}
}
