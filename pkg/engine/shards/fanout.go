package shards

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/schemas"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/transport/http/protocol/awsjson"
)

// renewAfter is how long a subscription is used. Kinesis ends one after 5 minutes:
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
const renewAfter = 4*time.Minute + 30*time.Second

// silentAfter is how long a subscription may push nothing; then its connection is taken for broken, before the shard is given up:
// see minPatience. While a shard has no records, Kinesis pushes events that report the position, in practice every 5 seconds:
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShardEvent.html
const silentAfter = 9 * time.Second

// FanOutAPI is the part of *kinesis.Client that NewKinesisFanOut uses.
type FanOutAPI interface {
	ListShardsAPI
	DescribeStreamConsumer(
		context.Context, *kinesis.DescribeStreamConsumerInput, ...func(*kinesis.Options),
	) (*kinesis.DescribeStreamConsumerOutput, error)
	RegisterStreamConsumer(
		context.Context, *kinesis.RegisterStreamConsumerInput, ...func(*kinesis.Options),
	) (*kinesis.RegisterStreamConsumerOutput, error)
	SubscribeToShard(context.Context, *kinesis.SubscribeToShardInput, ...func(*kinesis.Options)) (*kinesis.SubscribeToShardOutput, error)
}

type fanOut struct {
	kinesisShards

	client   FanOutAPI
	consumer string
	arn      atomic.Value // a string: of the consumer, as last looked up; empty if it may be gone
}

// NewKinesisFanOut returns the Kinesis stream of that name, read by enhanced fan-out: records are pushed, and Config.Poll is
// not used. All readers share the stream consumer. It is registered if it does not exist, and stays so when reading ends.
// Set Config.Retention as for NewKinesisStream.
//
// A consumer can subscribe to a shard once in 5 seconds: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html
// So a shard that changes its owner within 5 s of a subscription is idle for the remaining time.
//
// It needs kinesis:ListShards, kinesis:DescribeStreamSummary, kinesis:DescribeStreamConsumer and, unless the consumer is
// registered already, kinesis:RegisterStreamConsumer on the stream and its consumers, and kinesis:SubscribeToShard on the
// consumer.
func NewKinesisFanOut(client FanOutAPI, streamName, consumerName string) Stream[[]byte] {
	return &fanOut{kinesisShards: kinesisShards{client, streamName}, client: client, consumer: consumerName}
}

func (f *fanOut) Open(ctx context.Context, shardID string, after Position) (Feed[[]byte], error) {
	consumer, err := f.lookUp(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up consumer %s of stream %s: %w", f.consumer, f.name, normaliseBusy(err))
	}
	from := &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
	if after != TrimHorizon {
		from = &types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: aws.String(string(after))}
	}
	ctx, cancel := context.WithCancel(ctx)
	out, err := f.client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: aws.String(consumer), ShardId: aws.String(shardID), StartingPosition: from,
	}, ownProtocol)
	if err != nil {
		cancel()
		if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone { // the shard, or the consumer
			f.arn.Store("")
		}
		return nil, fmt.Errorf("subscribe to shard %s of stream %s: %w", shardID, f.name, normaliseBusy(atPosition(after, err)))
	}
	return &fanOutFeed{name: f.name, shard: shardID, events: out.GetStream(), cancel: cancel, renew: time.NewTimer(renewAfter)}, nil
}

// ownProtocol gives a subscription its own protocol state. Subscriptions of one client share it otherwise, and race:
// https://github.com/aws/smithy-go/issues/714
func ownProtocol(o *kinesis.Options) { o.Protocol = awsjson.New11(schemas.Kinesis_20131202) }

// normaliseBusy is normalise for calls that also fail while another reader subscribes, or the consumer is being created.
func normaliseBusy(err error) error {
	if _, busy := errors.AsType[*types.ResourceInUseException](err); busy {
		return fmt.Errorf("%w: %w", ErrThrottled, err)
	}
	return normalise(err)
}

// lookUp returns the ARN of the consumer, and registers it if need be.
func (f *fanOut) lookUp(ctx context.Context) (arn string, err error) {
	if arn, _ := f.arn.Load().(string); arn != "" {
		return arn, nil
	}
	stream, err := f.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(f.name)})
	if err != nil {
		return "", err
	}
	streamARN, name := stream.StreamDescriptionSummary.StreamARN, aws.String(f.consumer)
	found, err := f.client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: streamARN, ConsumerName: name})
	if err == nil {
		f.arn.Store(*found.ConsumerDescription.ConsumerARN)
		return *found.ConsumerDescription.ConsumerARN, nil
	}
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); !missing {
		return "", err
	}
	made, err := f.client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: streamARN, ConsumerName: name})
	if err != nil {
		return "", err
	}
	f.arn.Store(*made.Consumer.ConsumerARN)
	return *made.Consumer.ConsumerARN, nil
}

// fanOutFeed is one subscription. When it has ended, or soon will, a new feed continues.
type fanOutFeed struct {
	name, shard string
	events      *kinesis.SubscribeToShardEventStream
	cancel      context.CancelFunc // ends the connection
	renew       *time.Timer
}

func (f *fanOutFeed) Next(ctx context.Context) (Page[[]byte], error) {
	select {
	case <-f.renew.C: // first: age is the usual reason why a subscription ends
		return Page[[]byte]{}, ErrIteratorExpired
	default:
	}
	silent := time.NewTimer(silentAfter)
	defer silent.Stop()
	select {
	case event, ok := <-f.events.Events():
		if !ok {
			return Page[[]byte]{}, fmt.Errorf("read shard %s of stream %s: %w", f.shard, f.name, f.failure())
		}
		return f.page(event)
	case <-f.renew.C:
		return Page[[]byte]{}, ErrIteratorExpired
	case <-silent.C:
		return Page[[]byte]{}, fmt.Errorf("read shard %s of stream %s: %w", f.shard, f.name, errSilent)
	case <-ctx.Done():
		return Page[[]byte]{}, context.Cause(ctx)
	}
}

var (
	errSubscriptionEnded = errors.New("subscription ended")
	errSilent            = fmt.Errorf("subscription pushed nothing for %v", silentAfter)
)

// failure returns why there are no more events. A broken connection gives no reason.
func (f *fanOutFeed) failure() error {
	err := f.events.Err()
	if err == nil {
		return errSubscriptionEnded
	}
	if _, gone := errors.AsType[*types.ResourceNotFoundException](err); gone {
		return fmt.Errorf("%w: %w", ErrShardGone, err)
	}
	return err
}

func (f *fanOutFeed) page(event types.SubscribeToShardEventStream) (Page[[]byte], error) {
	e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
	if !ok {
		return Page[[]byte]{}, fmt.Errorf("read shard %s of stream %s: unknown event %T", f.shard, f.name, event)
	}
	end := len(e.Value.ChildShards) > 0
	if !end && aws.ToString(e.Value.ContinuationSequenceNumber) == "" { // it must not be taken for the end
		return Page[[]byte]{}, fmt.Errorf("read shard %s of stream %s: event with neither a continuation nor children", f.shard, f.name)
	}
	return Page[[]byte]{Records: kinesisRecords(e.Value.Records), End: end, Behind: millis(e.Value.MillisBehindLatest), More: true}, nil
}

func (f *fanOutFeed) Close() {
	f.renew.Stop()
	_ = f.events.Close() // Next has returned this error
	f.cancel()
}
