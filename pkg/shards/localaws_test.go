package shards_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/relay"
	"github.com/leftfold/leftfold/pkg/shards"
)

func newLocalAWS(t *testing.T) (aws.Config, *shards.DynamoDBLeases) {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	cfg := server.Config()
	db := dynamodb.NewFromConfig(cfg)
	_, err := db.CreateTable(t.Context(), shards.Table("leases"))
	require.NoError(t, err)
	after(time.Second)
	return cfg, shards.NewDynamoDBLeases(db, "leases")
}

func TestDynamoDBLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, leases := newLocalAWS(t)
		ctx := t.Context()
		first := shards.Lease{
			Consumer: "c", Shard: "s", Counter: 1, Parents: []string{"p", "q"}, State: shards.StateOpen,
			ReadAt: time.UnixMilli(1_700_000_000_123).UTC(),
		}
		require.NoError(t, leases.Put(ctx, first, shards.Lease{}))
		require.NoError(t, leases.Put(ctx, first, shards.Lease{}), "its own write, whose answer was lost")
		got, err := leases.List(ctx, "c")
		require.NoError(t, err)
		assert.Equal(t, []shards.Lease{first}, got)

		other := first
		other.Owner = "o"
		require.ErrorIs(t, leases.Put(ctx, other, shards.Lease{}), shards.ErrLeaseLost)
		second := first
		second.Owner, second.Counter, second.Checkpoint = "x", 2, "17"
		require.NoError(t, leases.Put(ctx, second, first))
		late := second
		late.Owner = "y"
		lost, ok := errors.AsType[*shards.LostError](leases.Put(ctx, late, first))
		require.True(t, ok)
		assert.Equal(t, second, lost.Stored)

		require.ErrorIs(t, leases.Delete(ctx, first), shards.ErrLeaseLost)
		require.NoError(t, leases.Delete(ctx, second))
		require.NoError(t, leases.Delete(ctx, second), "gone already")
		lost, ok = errors.AsType[*shards.LostError](leases.Put(ctx, late, second))
		require.True(t, ok)
		assert.Zero(t, lost.Stored)
		for n := range 30 { // more than a page: 64 KB of checkpoint each
			l := shards.Lease{Consumer: "many", Shard: fmt.Sprint(n), Counter: 1, State: shards.StateOpen, Checkpoint: shards.Position(make([]byte, 64<<10))}
			require.NoError(t, leases.Put(ctx, l, shards.Lease{}))
		}
		got, err = leases.List(ctx, "many")
		require.NoError(t, err)
		assert.Len(t, got, 30)
	})
}

// order checks that the values of each key come in order, first time each.
type order struct {
	mu      sync.Mutex
	next    map[string]int
	wrong   []string
	repeats int
}

func (o *order) see(key string, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch want := o.next[key]; {
	case n == want:
		o.next[key]++
	case n < want:
		o.repeats++
	default:
		o.wrong = append(o.wrong, fmt.Sprintf("%s: %d instead of %d", key, n, want))
	}
}

func (o *order) total() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	sum := 0
	for _, n := range o.next {
		sum += n
	}
	return sum
}

func TestKinesisSplitsAndMergesKeepEveryKeysOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, leases := newLocalAWS(t)
		client := kinesis.NewFromConfig(cfg)
		_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(2)})
		require.NoError(t, err)
		after(time.Minute)
		seen := &order{next: map[string]int{}}
		start := func(owner string) *reader {
			r, err := shards.New(shards.Config[[]byte]{
				Consumer: "c", Owner: owner, Stream: shards.NewKinesis(client, "s"), Leases: leases, Now: time.Now,
				Retention: 24 * time.Hour,
				OnTrimmed: func(context.Context, string) error { return errors.New("nothing was trimmed") },
				Handle: func(_ context.Context, _ string, records []shards.Record[[]byte]) error {
					for _, r := range records {
						n, err := strconv.Atoi(string(r.Value))
						if err != nil {
							return err
						}
						seen.see(r.Key, n)
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
		sink := relay.NewKinesis(client, "s")
		sent := 0
		send := func() {
			var batch []relay.KinesisRecord
			for n := sent; n < sent+10; n++ {
				for k := range 20 {
					batch = append(batch, relay.KinesisRecord{Key: fmt.Sprint("k", k), Data: []byte(strconv.Itoa(n))})
				}
			}
			require.NoError(t, sink.Publish(t.Context(), batch))
			sent += 10
		}
		list := func() []string {
			out, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
			require.NoError(t, err)
			var open []string
			for _, s := range out.Shards {
				if s.SequenceNumberRange.EndingSequenceNumber == nil {
					open = append(open, *s.ShardId)
				}
			}
			return open
		}
		send()
		x := start("x")
		send()
		_, err = client.SplitShard(t.Context(), &kinesis.SplitShardInput{
			StreamName: aws.String("s"), ShardToSplit: aws.String(list()[0]), NewStartingHashKey: aws.String("42535295865117307932921825928971026432"),
		})
		require.NoError(t, err)
		after(time.Minute)
		require.Len(t, list(), 3)
		send()
		y := start("y")
		after(5 * time.Second)
		send()
		x.end()
		send()
		open := list()
		_, err = client.MergeShards(t.Context(), &kinesis.MergeShardsInput{
			StreamName: aws.String("s"), ShardToMerge: aws.String(open[1]), AdjacentShardToMerge: aws.String(open[2]),
		})
		require.NoError(t, err)
		y.end() // before it can read the parents to their ends
		after(time.Minute)
		require.Len(t, list(), 2)
		lineage, err := shards.NewKinesis(client, "s").Shards(t.Context())
		require.NoError(t, err)
		assert.ElementsMatch(t, open[1:], lineage[len(lineage)-1].Parents, "a merge has two")
		send()
		z := start("z")
		after(10 * time.Second)
		z.end()
		assert.Empty(t, seen.wrong)
		assert.Zero(t, seen.repeats)
		assert.Equal(t, 20*sent, seen.total())
	})
}

func TestDynamoDBStreamIsReadAndItsTrimmingNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, leases := newLocalAWS(t)
		db, streams := dynamodb.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg)
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
			r, err := shards.New(shards.Config[string]{
				Consumer: "c", Owner: owner, Leases: leases, Now: time.Now,
				Stream: shards.NewDynamoDBStream(streams, db, "log", func(image map[string]streamtypes.AttributeValue) (string, error) {
					stream, ok := image["stream"].(*streamtypes.AttributeValueMemberS)
					version, ok2 := image["version"].(*streamtypes.AttributeValueMemberN)
					if !ok || !ok2 {
						return "", errors.New("no key")
					}
					return stream.Value + "#" + version.Value, nil
				}),
				OnTrimmed: func(context.Context, string) error { mu.Lock(); defer mu.Unlock(); trimmed++; return nil },
				Handle: func(_ context.Context, _ string, records []shards.Record[string]) error {
					mu.Lock()
					defer mu.Unlock()
					for _, r := range records {
						got[r.Value]++
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
			assert.Equal(t, 1, got[fmt.Sprintf("s%d#11", n)], "and it goes on")
		}
	})
}
