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

// KinesisAPI is what a Kinesis stream needs of the AWS client.
type KinesisAPI interface {
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
	GetShardIterator(context.Context, *kinesis.GetShardIteratorInput, ...func(*kinesis.Options)) (*kinesis.GetShardIteratorOutput, error)
	GetRecords(context.Context, *kinesis.GetRecordsInput, ...func(*kinesis.Options)) (*kinesis.GetRecordsOutput, error)
}

type kinesisStream struct {
	client KinesisAPI
	name   string
}

// NewKinesis reads the Kinesis stream of that name. Kinesis does not tell that a position was trimmed away: give the
// stream's retention (24 hours, unless changed) as Config.Retention.
func NewKinesis(client KinesisAPI, streamName string) Stream[[]byte] {
	return &kinesisStream{client: client, name: streamName}
}

func (k *kinesisStream) Shards(ctx context.Context) ([]Shard, error) {
	var shards []Shard
	for in := (&kinesis.ListShardsInput{StreamName: aws.String(k.name)}); ; {
		out, err := k.client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list shards of stream %s: %w", k.name, err)
		}
		for _, s := range out.Shards {
			shards = append(shards, Shard{ID: aws.ToString(s.ShardId), Parents: parents(s.ParentShardId, s.AdjacentParentShardId)})
		}
		if aws.ToString(out.NextToken) == "" {
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // the token stands for the name
	}
}

func (k *kinesisStream) Iterator(ctx context.Context, shardID string, after Position) (string, error) {
	in := &kinesis.GetShardIteratorInput{
		StreamName: aws.String(k.name), ShardId: aws.String(shardID), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	}
	if after != TrimHorizon {
		in.ShardIteratorType = types.ShardIteratorTypeAfterSequenceNumber
		in.StartingSequenceNumber = aws.String(string(after))
	}
	out, err := k.client.GetShardIterator(ctx, in)
	if err != nil {
		return "", fmt.Errorf("open shard %s of stream %s: %w", shardID, k.name, normalise(err))
	}
	return aws.ToString(out.ShardIterator), nil
}

func (k *kinesisStream) Read(ctx context.Context, iterator string) (Page[[]byte], error) {
	out, err := k.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String(iterator)})
	if err != nil {
		return Page[[]byte]{}, fmt.Errorf("read stream %s: %w", k.name, normalise(err))
	}
	page := Page[[]byte]{
		Records: make([]Record[[]byte], len(out.Records)),
		Next:    aws.ToString(out.NextShardIterator),
		Behind:  time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond,
	}
	page.More = page.Behind > 0
	for i, r := range out.Records {
		page.Records[i] = Record[[]byte]{
			Sequence: Position(aws.ToString(r.SequenceNumber)), Key: aws.ToString(r.PartitionKey), Value: r.Data,
			ArrivedAt: aws.ToTime(r.ApproximateArrivalTimestamp),
		}
	}
	return page, nil
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

// normalise adds the error that a Reader understands. A failure inside AWS is none of them: any unknown error makes a
// Reader open a new iterator.
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
