package shards_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	kinesistypes "github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/shards/shardstest"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

func newLocalAWS(t *testing.T) (*localaws.Server, *shards.DynamoDBLeases) {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	return server, shardstest.Leases(t, dynamodb.NewFromConfig(server.Config()), "leases")
}

// modes are the ways to read a Kinesis stream; both keep the same contract.
var modes = map[string]func(*kinesis.Client, string) shards.Stream[[]byte]{
	"polling": func(c *kinesis.Client, name string) shards.Stream[[]byte] { return shards.NewKinesisStream(c, name) },
	"fan-out": func(c *kinesis.Client, name string) shards.Stream[[]byte] {
		return shards.NewKinesisFanOut(c, name, "broker")
	},
}

// inBothModes runs a test on a Kinesis stream of some shards.
func inBothModes(t *testing.T, shardCount int32, f func(t *testing.T, k *kinesisFleet)) {
	t.Helper()
	for mode, stream := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f(t, newKinesisFleet(t, shardCount, stream)) })
		})
	}
}

// kinesisFleet puts numbered records of some keys into a Kinesis stream and reads them.
type kinesisFleet struct {
	*kinesis.Client

	t       *testing.T
	server  *localaws.Server
	leases  *shards.DynamoDBLeases
	stream  func(*kinesis.Client, string) shards.Stream[[]byte]
	handled *shardstest.Recorder
	sent    int // of each key

	mu      sync.Mutex
	trimmed []string
}

func newKinesisFleet(t *testing.T, shardCount int32, stream func(*kinesis.Client, string) shards.Stream[[]byte]) *kinesisFleet {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	return newKinesisFleetOn(t, server, shardCount, stream)
}

func newKinesisFleetOn(
	t *testing.T, server *localaws.Server, shardCount int32, stream func(*kinesis.Client, string) shards.Stream[[]byte],
) *kinesisFleet {
	t.Helper()
	k := &kinesisFleet{
		Client: kinesis.NewFromConfig(server.Config()), t: t, server: server, stream: stream, handled: shardstest.NewRecorder(),
		leases: shardstest.Leases(t, dynamodb.NewFromConfig(server.Config()), "leases"),
	}
	_, err := k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: &shardCount})
	require.NoError(t, err)
	after(time.Minute)
	return k
}

func (k *kinesisFleet) start(owner string, tune ...func(*shards.Config[[]byte])) *reader {
	k.t.Helper()
	cfg := shards.Config[[]byte]{
		Consumer: "c", Owner: owner, Stream: k.stream(k.Client, "s"), Leases: k.leases, Now: time.Now, Retention: 24 * time.Hour,
		Handle: k.handle, Republish: k.republish,
	}
	for _, f := range tune {
		f(&cfg)
	}
	r, err := shards.NewReader(cfg)
	require.NoError(k.t, err)
	ctx, cancel := context.WithCancel(k.t.Context())
	out := &reader{t: k.t, stop: cancel, done: make(chan error, 1)}
	go func() { out.done <- r.Run(ctx) }()
	return out
}

func (k *kinesisFleet) handle(_ context.Context, _ string, records []shards.Record[[]byte]) error {
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			return err
		}
		k.handled.Add(shardstest.Entry{Key: r.Key, N: n})
	}
	return nil
}

func (k *kinesisFleet) republish(_ context.Context, shard string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trimmed = append(k.trimmed, shard)
	return nil
}

const keys = 20

// send puts the next n records of each key.
func (k *kinesisFleet) send(n int) {
	k.t.Helper()
	var batch []ordered.KinesisRecord
	for i := k.sent; i < k.sent+n; i++ {
		for key := range keys {
			batch = append(batch, ordered.KinesisRecord{Key: fmt.Sprint("k", key), Data: []byte(strconv.Itoa(i))})
		}
	}
	require.NoError(k.t, ordered.NewKinesisPublisher(k.Client, "s", retry.Backoff{}).Publish(k.t.Context(), batch))
	k.sent += n
}

// open returns the shards that accept records.
func (k *kinesisFleet) open() []string {
	k.t.Helper()
	out, err := k.ListShards(k.t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
	require.NoError(k.t, err)
	var open []string
	for _, s := range out.Shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, *s.ShardId)
		}
	}
	return open
}

func (k *kinesisFleet) split(shard, at string) {
	k.t.Helper()
	_, err := k.SplitShard(k.t.Context(), &kinesis.SplitShardInput{
		StreamName: aws.String("s"), ShardToSplit: &shard, NewStartingHashKey: &at,
	})
	require.NoError(k.t, err)
}

func (k *kinesisFleet) merge(a, b string) {
	k.t.Helper()
	_, err := k.MergeShards(k.t.Context(), &kinesis.MergeShardsInput{StreamName: aws.String("s"), ShardToMerge: &a, AdjacentShardToMerge: &b})
	require.NoError(k.t, err)
}

// complete asserts that every record was handled once, in order.
func (k *kinesisFleet) complete() {
	k.t.Helper()
	assert.Empty(k.t, k.handled.Skips())
	assert.Zero(k.t, k.handled.Repeats(), "repeated")
	assert.Equal(k.t, keys*k.sent, k.handled.Total())
	assert.Empty(k.t, k.trimmed)
}

// quarter is where the upper half of the lower of two shards begins.
const quarter = "42535295865117307932921825928971026432"

func TestKinesisSplitsAndMergesKeepEveryKeysOrder(t *testing.T) {
	t.Parallel()
	inBothModes(t, 2, func(t *testing.T, k *kinesisFleet) {
		k.send(10)
		x := k.start("x")
		k.send(10)
		k.split(k.open()[0], quarter)
		after(time.Minute)
		require.Len(t, k.open(), 3)
		k.send(10)
		y := k.start("y")
		after(5 * time.Second)
		k.send(10)
		x.end()
		k.send(10)
		open := k.open()
		k.merge(open[1], open[2])
		y.end() // before it can read the parents to their ends
		after(time.Minute)
		require.Len(t, k.open(), 2)
		lineage, err := k.stream(k.Client, "s").Shards(t.Context())
		require.NoError(t, err)
		assert.ElementsMatch(t, open[1:], lineage.Shards[len(lineage.Shards)-1].Parents, "a merge has two")
		k.send(10)
		z := k.start("z")
		after(20 * time.Second)
		z.end()
		k.complete()
	})
}

func TestDynamoDBStreamIsReadAndItsTrimmingNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, leases := newLocalAWS(t)
		db, streams := dynamodb.NewFromConfig(server.Config()), dynamodbstreams.NewFromConfig(server.Config())
		_, err := db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: aws.String("log"), BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{
				{AttributeName: aws.String("stream"), AttributeType: types.ScalarAttributeTypeS},
				{AttributeName: aws.String("version"), AttributeType: types.ScalarAttributeTypeN},
			},
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String("stream"), KeyType: types.KeyTypeHash},
				{AttributeName: aws.String("version"), KeyType: types.KeyTypeRange},
			},
			StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
		})
		require.NoError(t, err)
		after(time.Minute)
		var mu sync.Mutex
		got := map[string]int{}
		trimmed := 0
		start := func(owner string) *reader {
			r, err := shards.NewReader(shards.Config[shards.Image]{
				Consumer: "c", Owner: owner, Leases: leases, Now: time.Now,
				Stream:    shards.NewDynamoDBStream(streams, db, "log"),
				Republish: func(context.Context, string) error { mu.Lock(); defer mu.Unlock(); trimmed++; return nil },
				Handle: func(_ context.Context, _ string, records []shards.Record[shards.Image]) error {
					mu.Lock()
					defer mu.Unlock()
					for _, r := range records {
						stream, ok := r.Value["stream"].(*streamtypes.AttributeValueMemberS)
						version, ok2 := r.Value["version"].(*streamtypes.AttributeValueMemberN)
						if !ok || !ok2 {
							return errors.New("no key")
						}
						got[stream.Value+"#"+version.Value]++
					}
					return nil
				},
			})
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			out := &reader{t: t, stop: cancel, done: make(chan error, 1)}
			go func() { out.done <- r.Run(ctx) }()
			return out
		}
		want := map[string]int{}
		put := func(version int) {
			for n := range 10 {
				key := map[string]types.AttributeValue{
					"stream":  &types.AttributeValueMemberS{Value: fmt.Sprint("s", n)},
					"version": &types.AttributeValueMemberN{Value: strconv.Itoa(version)},
				}
				_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("log"), Item: key})
				require.NoError(t, err)
				want[fmt.Sprintf("s%d#%d", n, version)] = 1
				if n == 0 { // what is removed, as by TTL, is passed over
					_, err = db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("log"), Key: key})
					require.NoError(t, err)
				}
			}
		}
		put(1)
		x := start("x")
		for version := 2; version < 8; version++ {
			after(time.Minute)
			put(version)
		}
		after(5 * time.Second)
		x.end()
		put(8)
		after(6 * time.Hour)
		put(9)
		y := start("y")
		after(10 * time.Second)
		assert.Equal(t, want, got)
		assert.Zero(t, trimmed)
		y.end()

		put(10)
		after(36 * time.Hour) // longer than a stream keeps anything
		put(11)
		z := start("z")
		after(time.Minute)
		z.end()
		assert.Positive(t, trimmed)
		for n := range 10 {
			assert.Equal(t, 1, got[fmt.Sprintf("s%d#11", n)], "and reading continues")
		}
	})
}

// A backlog comes in pages of at most 1,000 records, so that what a shard has in memory is bounded.
func TestAPageOfAKinesisStreamIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, _ := newLocalAWS(t)
		client := kinesis.NewFromConfig(server.Config())
		_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
		require.NoError(t, err)
		after(time.Minute)
		const records = 1_500
		for page := range slices.Chunk(make([]kinesistypes.PutRecordsRequestEntry, records), 500) {
			for i := range page {
				page[i] = kinesistypes.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte("x")}
			}
			_, err := client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: page})
			require.NoError(t, err)
			after(time.Second)
		}
		stream := shards.NewKinesisStream(client, "s")
		all, err := stream.Shards(t.Context())
		require.NoError(t, err)
		feed, err := stream.Open(t.Context(), all.Shards[0].ID, shards.TrimHorizon)
		require.NoError(t, err)
		defer feed.Close()
		for _, want := range []int{1_000, 500} {
			page, err := feed.Next(t.Context())
			require.NoError(t, err)
			assert.Len(t, page.Records, want)
			assert.Equal(t, want == 1_000, page.More)
		}
	})
}

func TestAFullPageOfADynamoDBStreamIsFollowedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, leases := newLocalAWS(t)
		db := dynamodb.NewFromConfig(server.Config())
		_, err := db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
			TableName: aws.String("log"), BillingMode: types.BillingModePayPerRequest,
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
			StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
		})
		require.NoError(t, err)
		after(time.Minute)
		const items = 12_000 // over the shards there are: more than a page for each
		for n := range items {
			_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("log"), Item: map[string]types.AttributeValue{
				"id": &types.AttributeValueMemberS{Value: strconv.Itoa(n)},
			}})
			require.NoError(t, err)
		}
		var handled, full atomic.Int64
		r, err := shards.NewReader(shards.Config[shards.Image]{
			Consumer: "c", Leases: leases, Now: time.Now, Poll: time.Hour,
			Stream:    shards.NewDynamoDBStream(dynamodbstreams.NewFromConfig(server.Config()), db, "log"),
			Republish: func(context.Context, string) error { return nil },
			Handle: func(_ context.Context, _ string, records []shards.Record[shards.Image]) error {
				handled.Add(int64(len(records)))
				if len(records) == 1_000 {
					full.Add(1)
				}
				return nil
			},
		})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		after(time.Minute)
		assert.EqualValues(t, items, handled.Load())
		assert.Positive(t, full.Load())
		stop()
		require.NoError(t, <-done)
	})
}
