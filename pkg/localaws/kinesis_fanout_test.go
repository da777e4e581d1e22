package localaws_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

const shard0 = "shardId-000000000000"

// register registers a consumer of the stream.
func (s kinesisStream) register(t testing.TB, name string) *types.Consumer {
	t.Helper()
	out, err := s.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: s.arn(t), ConsumerName: &name})
	require.NoError(t, err)
	return out.Consumer
}

func (s kinesisStream) arn(t testing.TB) *string {
	t.Helper()
	out, err := s.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: s.name})
	require.NoError(t, err)
	return out.StreamDescriptionSummary.StreamARN
}

// subscribe uses a client of its own, since all event streams of one share some state: aws/smithy-go issue 714.
func (s kinesisStream) subscribe(
	ctx context.Context, consumer *types.Consumer, from types.StartingPosition,
) (*kinesis.SubscribeToShardEventStream, error) {
	options := s.Options()
	client := kinesis.NewFromConfig(aws.Config{
		Region: options.Region, BaseEndpoint: options.BaseEndpoint, HTTPClient: options.HTTPClient, Credentials: options.Credentials,
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	})
	out, err := client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shard0), StartingPosition: &from,
	})
	if err != nil {
		return nil, err
	}
	return out.GetStream(), nil
}

func (s kinesisStream) subscribed(
	t testing.TB, consumer *types.Consumer, from types.StartingPosition,
) *kinesis.SubscribeToShardEventStream {
	t.Helper()
	events, err := s.subscribe(t.Context(), consumer, from)
	require.NoError(t, err)
	t.Cleanup(func() { _ = events.Close() })
	return events
}

// event returns the stream's next event, or nil at its end.
func event(t testing.TB, events *kinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	t.Helper()
	e, ok := <-events.Events()
	if !ok {
		return nil
	}
	known, ok := e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
	require.True(t, ok, "%T", e)
	return &known.Value
}

// news returns the next event with records.
func news(t testing.TB, events *kinesis.SubscribeToShardEventStream) []string {
	t.Helper()
	for {
		e := event(t, events)
		require.NotNil(t, e, "%v", events.Err())
		if len(e.Records) > 0 {
			return payloads(e.Records)
		}
	}
}

var horizon = types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}

func TestConsumersAreRegisteredListedAndDeregistered(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	ctx, stream := t.Context(), s.arn(t)
	made := s.register(t, "c00")
	assert.Regexp(t, `^arn:aws:kinesis:us-east-1:000000000000:stream/events/consumer/c00:\d+$`, *made.ConsumerARN)
	assert.Equal(t, types.ConsumerStatusActive, made.ConsumerStatus)
	for _, in := range []kinesis.DescribeStreamConsumerInput{
		{ConsumerARN: made.ConsumerARN},
		{StreamARN: stream, ConsumerName: made.ConsumerName},
		{ConsumerARN: made.ConsumerARN, StreamARN: stream, ConsumerName: made.ConsumerName},
	} {
		out, err := s.DescribeStreamConsumer(ctx, &in)
		require.NoError(t, err)
		assert.Equal(t, *made.ConsumerARN, *out.ConsumerDescription.ConsumerARN)
		assert.Equal(t, *stream, *out.ConsumerDescription.StreamARN)
		assert.True(t, made.ConsumerCreationTimestamp.Equal(*out.ConsumerDescription.ConsumerCreationTimestamp))
	}
	for code, in := range map[string]kinesis.DescribeStreamConsumerInput{
		"InvalidArgumentException":  {ConsumerName: made.ConsumerName},
		"ResourceNotFoundException": {StreamARN: stream, ConsumerName: aws.String("none")},
		"ValidationException":       {ConsumerARN: stream},
	} {
		_, err := s.DescribeStreamConsumer(ctx, &in)
		assert.Equal(t, code, errorCode(err))
	}
	_, err := s.DescribeStreamConsumer(
		ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: made.ConsumerARN, ConsumerName: aws.String("other")},
	)
	assert.Equal(t, "InvalidArgumentException", errorCode(err), "they conflict")
	_, err = s.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: aws.String(*made.ConsumerARN + "0")})
	assert.Equal(t, "ResourceNotFoundException", errorCode(err), "made at another time")

	_, err = s.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: stream, ConsumerName: made.ConsumerName})
	assert.Equal(t, "ResourceInUseException", errorCode(err))
	for n := 1; n < 20; n++ {
		s.register(t, fmt.Sprintf("c%02d", n))
	}
	_, err = s.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: stream, ConsumerName: aws.String("c20")})
	assert.Equal(t, "LimitExceededException", errorCode(err))
	summary, err := s.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: s.name})
	require.NoError(t, err)
	assert.EqualValues(t, 20, *summary.StreamDescriptionSummary.ConsumerCount)

	pages := kinesis.NewListStreamConsumersPaginator(s, &kinesis.ListStreamConsumersInput{StreamARN: stream, MaxResults: aws.Int32(7)})
	var names []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Consumers), 7)
		for _, c := range page.Consumers {
			names = append(names, *c.ConsumerName)
		}
	}
	assert.Len(t, names, 20)
	assert.IsIncreasing(t, names)
	_, err = s.ListStreamConsumers(ctx, &kinesis.ListStreamConsumersInput{StreamARN: stream, NextToken: aws.String("x")})
	assert.Equal(t, "InvalidArgumentException", errorCode(err))

	_, err = s.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: made.ConsumerARN})
	require.NoError(t, err)
	_, err = s.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: made.ConsumerARN})
	assert.Equal(t, "ResourceNotFoundException", errorCode(err))
	_, err = s.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: s.name})
	assert.Equal(t, "ResourceInUseException", errorCode(err))
	_, err = s.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: s.name, EnforceConsumerDeletion: aws.Bool(true)})
	require.NoError(t, err)
}

func TestSubscriptionsPushRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		s.put(t, "k", "0")
		second := s.put(t, "k", "1")
		events := s.subscribed(t, s.register(t, "c"), horizon)
		e := event(t, events)
		assert.Equal(t, []string{"0", "1"}, payloads(e.Records))
		assert.Equal(t, *second.SequenceNumber, *e.ContinuationSequenceNumber)
		assert.Zero(t, *e.MillisBehindLatest)
		assert.Equal(t, "k", *e.Records[0].PartitionKey)
		assert.False(t, e.Records[0].ApproximateArrivalTimestamp.IsZero())
		at := time.Now()
		for n := range 10 {
			third := s.put(t, "k", strconv.Itoa(n))
			e = event(t, events)
			assert.Equal(t, []string{strconv.Itoa(n)}, payloads(e.Records))
			assert.Equal(t, *third.SequenceNumber, *e.ContinuationSequenceNumber)
		}
		assert.Zero(t, time.Since(at), "at once")
		e = event(t, events)
		assert.Empty(t, e.Records)
		assert.NotNil(t, e.Records)
		assert.NotEmpty(t, *e.ContinuationSequenceNumber, "an event without records has a position, too")
		assert.Equal(t, 5*time.Second, time.Since(at))
		require.NoError(t, events.Close())
		synctest.Wait()
	})
}

func TestSubscriptionsBeginAtTheirStartingPosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		s.put(t, "k", "0")
		time.Sleep(time.Minute) // virtual
		middle := time.Now()
		one := s.put(t, "k", "1").SequenceNumber
		s.put(t, "k", "2")
		for _, tt := range []struct {
			from types.StartingPosition
			want []string
		}{
			{horizon, []string{"0", "1", "2"}},
			{types.StartingPosition{Type: types.ShardIteratorTypeLatest}, []string{}},
			{types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: &middle}, []string{"1", "2"}},
			{types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: one}, []string{"1", "2"}},
			{types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: one}, []string{"2"}},
		} {
			events := s.subscribed(t, s.register(t, string(tt.from.Type)), tt.from)
			assert.Equal(t, tt.want, payloads(event(t, events).Records), tt.from.Type)
			require.NoError(t, events.Close())
		}
		consumer := s.register(t, "c")
		empty := s.subscribed(t, consumer, types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		after := event(t, empty).ContinuationSequenceNumber
		require.NoError(t, empty.Close())
		s.put(t, "k", "3")
		time.Sleep(5 * time.Second) // virtual
		again := s.subscribed(t, consumer, types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: after})
		assert.Equal(t, []string{"3"}, payloads(event(t, again).Records), "a continuation continues")
		for _, wrong := range []types.StartingPosition{
			{Type: types.ShardIteratorTypeAfterSequenceNumber},
			{Type: types.ShardIteratorTypeLatest, SequenceNumber: one},
			{Type: types.ShardIteratorTypeAtTimestamp},
			{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: aws.String("17")},
		} {
			_, err := s.subscribe(t.Context(), s.register(t, fmt.Sprintf("wrong-%s-%t", wrong.Type, wrong.SequenceNumber == nil)), wrong)
			assert.Equal(t, "InvalidArgumentException", errorCode(err), wrong.Type)
		}
	})
}

func TestSubscriptionsLastFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		at := time.Now()
		events := s.subscribed(t, s.register(t, "c"), horizon)
		for event(t, events) != nil {
		}
		assert.Equal(t, 5*time.Minute, time.Since(at))
		require.NoError(t, events.Err())
	})
}

func TestSubscriptionsReportTheEndOfTheirShard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		events := s.subscribed(t, s.register(t, "c"), horizon)
		event(t, events)
		s.put(t, "k", "last")
		_, err := s.SplitShard(t.Context(), &kinesis.SplitShardInput{
			StreamName: s.name, ShardToSplit: aws.String(shard0), NewStartingHashKey: aws.String("1000"),
		})
		require.NoError(t, err)
		var got []string
		for e := event(t, events); ; e = event(t, events) {
			require.NotNil(t, e)
			got = append(got, payloads(e.Records)...)
			if len(e.ChildShards) > 0 {
				assert.Nil(t, e.ContinuationSequenceNumber)
				assert.Len(t, e.ChildShards, 2)
				assert.Equal(t, []string{shard0}, e.ChildShards[0].ParentShards)
				break
			}
		}
		assert.Equal(t, []string{"last"}, got)
		assert.Nil(t, event(t, events))
		require.NoError(t, events.Err())
	})
}

func TestOneSubscriptionForEachConsumerAndShard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		consumer := s.register(t, "c")
		first := s.subscribed(t, consumer, horizon)
		event(t, first)
		other := s.subscribed(t, s.register(t, "d"), horizon)
		event(t, other)
		time.Sleep(4999 * time.Millisecond) // virtual
		_, err := s.subscribe(t.Context(), consumer, horizon)
		assert.Equal(t, "ResourceInUseException", errorCode(err))
		time.Sleep(time.Millisecond) // virtual
		second := s.subscribed(t, consumer, horizon)
		for event(t, first) != nil {
		}
		assert.Equal(t, "ResourceInUseException", errorCode(first.Err()), "the second took over")
		require.NoError(t, second.Close())
		_, err = s.subscribe(t.Context(), consumer, horizon)
		assert.Equal(t, "ResourceInUseException", errorCode(err), "although that has ended")
		s.put(t, "k", "0")
		assert.Equal(t, []string{"0"}, news(t, other), "other consumers do not mind")
	})
}

func TestSubscriptionsEndWithTheirConsumerAndStream(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(*testing.T, kinesisStream, *types.Consumer){
		"consumer": func(t *testing.T, s kinesisStream, c *types.Consumer) {
			_, err := s.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: c.ConsumerARN})
			require.NoError(t, err)
		},
		"stream": func(t *testing.T, s kinesisStream, _ *types.Consumer) {
			_, err := s.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: s.name, EnforceConsumerDeletion: aws.Bool(true)})
			require.NoError(t, err)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newKinesis(t, 1)
				consumer := s.register(t, "c")
				events := s.subscribed(t, consumer, horizon)
				event(t, events)
				end(t, s, consumer)
				assert.Nil(t, event(t, events))
				assert.Equal(t, "ResourceNotFoundException", errorCode(events.Err()))
				_, err := s.subscribe(t.Context(), consumer, horizon)
				assert.Equal(t, "ResourceNotFoundException", errorCode(err))
			})
		})
	}
}

func TestSubscriptionsEndWithClientAndServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it fails if goroutines are left
		server := localaws.New(localaws.Options{})
		s := kinesisStream{kinesis.NewFromConfig(server.Config()), aws.String("events")}
		_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: s.name, ShardCount: aws.Int32(1)})
		require.NoError(t, err)
		ctx, leave := context.WithCancel(t.Context())
		left, err := s.subscribe(ctx, s.register(t, "left"), horizon)
		require.NoError(t, err)
		event(t, left)
		leave()
		assert.Nil(t, event(t, left))

		for n := range 3 { // more than a pipe holds
			s.put(t, "k", strings.Repeat(strconv.Itoa(n), 1<<20-1))
		}
		unread, err := s.subscribe(t.Context(), s.register(t, "unread"), horizon)
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, unread.Close())

		open, err := s.subscribe(t.Context(), s.register(t, "open"), types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		require.NoError(t, err)
		event(t, open)
		server.Close()
		assert.Nil(t, event(t, open))
		require.NoError(t, open.Err())
		late, err := s.subscribe(t.Context(), s.register(t, "late"), types.StartingPosition{Type: types.ShardIteratorTypeLatest})
		require.NoError(t, err)
		assert.NotNil(t, event(t, late))
		assert.Nil(t, event(t, late))
	})
}

func TestSubscriptionsWorkOverHTTP(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	port := httptest.NewServer(server)
	defer port.Close()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	config := server.Config()
	config.BaseEndpoint, config.HTTPClient = &port.URL, client
	s := kinesisStream{kinesis.NewFromConfig(config), aws.String("events")}
	_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: s.name, ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	var events *kinesis.SubscribeToShardEventStream
	for n := 0; ; n++ {
		events, err = s.subscribe(t.Context(), s.register(t, fmt.Sprint("c", n)), horizon)
		if err == nil {
			t.Cleanup(func() { _ = events.Close() })
			if pushed(t, s, events) {
				break
			}
			err = events.Err()
		}
		// The SDK closes a request's body when it has the response. Sometimes net/http is still reading the body then and
		// reports a connection error.
		require.ErrorIs(t, err, net.ErrClosed)
	}
	server.Close()
	for event(t, events) != nil {
	}
	require.NoError(t, events.Err())
}

// pushed puts a hundred records, each after the previous one has arrived, unless the connection breaks.
func pushed(t *testing.T, s kinesisStream, events *kinesis.SubscribeToShardEventStream) bool {
	t.Helper()
	for range 100 {
		last := s.put(t, "k", "data").SequenceNumber
		for {
			e := event(t, events)
			if e == nil {
				return false
			}
			if n := len(e.Records); n > 0 && *e.Records[n-1].SequenceNumber == *last {
				break
			}
		}
	}
	return true
}

func TestFaultsStrikeSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		s := f.stream(t)
		for n := range 50 {
			s.put(t, "k", strconv.Itoa(n))
		}
		f.set(t, always(localaws.FaultThrottle, "Kinesis.SubscribeToShard"))
		_, err := s.subscribe(t.Context(), s.register(t, "throttled"), horizon)
		assert.Equal(t, "LimitExceededException", errorCode(err))

		f.set(t, always(localaws.FaultLoseAnswer, "Kinesis.SubscribeToShard"))
		ends := map[string]int{}
		for n := range 20 {
			consumer := s.register(t, fmt.Sprint("c", n))
			events := s.subscribed(t, consumer, horizon)
			some := 0
			for event(t, events) != nil {
				some++
			}
			ends[errorCode(events.Err())]++
			assert.LessOrEqual(t, some, 10)
			if n%10 == 9 { // 20 consumers are the limit
				for i := range 10 {
					_, err := s.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{
						StreamARN: s.arn(t), ConsumerName: aws.String(fmt.Sprint("c", n-i)),
					})
					require.NoError(t, err)
				}
			}
		}
		assert.Len(t, ends, 2, "broken connections and reported errors: %v", ends)
		assert.Positive(t, ends[""])

		middle := f.kinesisAfter(t, s, 25)
		f.set(t, always(localaws.FaultDuplicate, "Kinesis.SubscribeToShard"))
		e := event(t, s.subscribed(t, s.register(t, "twice"), middle))
		assert.Greater(t, len(e.Records), 24, "some from before")
		assert.Equal(t, "49", string(e.Records[len(e.Records)-1].Data))
	})
}

// kinesisAfter returns the position after the n-th record.
func (f faulty) kinesisAfter(t *testing.T, s kinesisStream, n int) types.StartingPosition {
	t.Helper()
	out, err := s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: s.fromStart(t)})
	require.NoError(t, err)
	return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: out.Records[n].SequenceNumber}
}
