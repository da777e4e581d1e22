package shardstest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Kinesis creates a Kinesis stream of two shards, which the test's end deletes. open returns the way to read it.
func Kinesis(
	t *testing.T, client *kinesis.Client, name string, leases shards.Leases, open func(*kinesis.Client, string) shards.Stream[[]byte],
) Subject[[]byte] {
	t.Helper()
	_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(2)})
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := client.DeleteStream(context.WithoutCancel(t.Context()), &kinesis.DeleteStreamInput{
			StreamName: &name, EnforceConsumerDeletion: aws.Bool(true),
		})
		assert.NoError(t, err)
	})
	active := func(ctx context.Context) error {
		return kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second }).
			Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &name}, patience)
	}
	require.NoError(t, active(t.Context()))
	r := resharder{client: client, stream: name, active: active}
	return Subject[[]byte]{
		Stream: open(client, name), Leases: leases, Ordered: true,
		Put: func(ctx context.Context, entries []Entry) error {
			var records []ordered.KinesisRecord
			for _, e := range entries {
				records = append(records, ordered.KinesisRecord{Key: e.Key, Data: []byte(strconv.Itoa(e.N))})
			}
			return ordered.NewKinesisPublisher(client, name, retry.Backoff{}).Publish(ctx, records)
		},
		Entry: func(r shards.Record[[]byte]) (Entry, error) {
			n, err := strconv.Atoi(string(r.Value))
			return Entry{Key: r.Key, N: n}, err
		},
		Reshard: r.reshard,
	}
}

// resharder splits the first shard and merges its halves, alternately.
type resharder struct {
	client *kinesis.Client
	stream string
	active func(context.Context) error
	halves bool
}

// middle of the first of two shards: 2^126.
const middle = "85070591730234615865843651857942052864"

func (r *resharder) reshard(ctx context.Context) error {
	open, err := r.open(ctx)
	if err != nil {
		return err
	}
	if r.halves {
		_, err = r.client.MergeShards(ctx, &kinesis.MergeShardsInput{
			StreamName: &r.stream, ShardToMerge: aws.String(open["0"]), AdjacentShardToMerge: aws.String(open[middle]),
		})
	} else {
		_, err = r.client.SplitShard(ctx, &kinesis.SplitShardInput{
			StreamName: &r.stream, ShardToSplit: aws.String(open["0"]), NewStartingHashKey: aws.String(middle),
		})
	}
	if err != nil {
		return err
	}
	r.halves = !r.halves
	return r.active(ctx)
}

// open returns the shards that accept records, by the start of their hash key range.
func (r *resharder) open(ctx context.Context) (map[string]string, error) {
	out, err := r.client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &r.stream})
	if err != nil {
		return nil, err
	}
	open := map[string]string{}
	closed := map[string]bool{}
	for _, s := range out.Shards {
		closed[aws.ToString(s.ParentShardId)], closed[aws.ToString(s.AdjacentParentShardId)] = true, true
	}
	for _, s := range out.Shards {
		if !closed[*s.ShardId] {
			open[*s.HashKeyRange.StartingHashKey] = *s.ShardId
		}
	}
	return open, nil
}

// DynamoDB creates a table with a stream, which the test's end deletes.
func DynamoDB(
	t *testing.T, db *dynamodb.Client, streams *dynamodbstreams.Client, name string, leases shards.Leases,
) Subject[shards.Image] {
	t.Helper()
	createTable(t, db, &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("key"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("n"), AttributeType: types.ScalarAttributeTypeN},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("key"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("n"), KeyType: types.KeyTypeRange},
		},
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	return Subject[shards.Image]{
		Stream: shards.NewDynamoDBStream(streams, db, name), Leases: leases,
		Put: func(ctx context.Context, entries []Entry) error {
			for _, e := range entries {
				_, err := db.PutItem(ctx, &dynamodb.PutItemInput{TableName: &name, Item: map[string]types.AttributeValue{
					"key": &types.AttributeValueMemberS{Value: e.Key}, "n": &types.AttributeValueMemberN{Value: strconv.Itoa(e.N)},
				}})
				if err != nil {
					return err
				}
			}
			return nil
		},
		Entry: entry,
	}
}

func entry(r shards.Record[shards.Image]) (Entry, error) {
	key, isText := r.Value["key"].(*streamtypes.AttributeValueMemberS)
	n, isNumber := r.Value["n"].(*streamtypes.AttributeValueMemberN)
	if !isText || !isNumber {
		return Entry{}, fmt.Errorf("not an entry: %v", r.Value)
	}
	number, err := strconv.Atoi(n.Value)
	return Entry{Key: key.Value, N: number}, err
}

// Leases creates a table of leases, which the test's end deletes.
func Leases(t *testing.T, db *dynamodb.Client, name string) *shards.DynamoDBLeases {
	t.Helper()
	createTable(t, db, shards.CreateTableInput(name))
	return shards.NewDynamoDBLeases(db, name)
}

// createTable creates a table, waits until it is active, and deletes it at the test's end.
func createTable(t *testing.T, db *dynamodb.Client, in *dynamodb.CreateTableInput) {
	t.Helper()
	_, err := db.CreateTable(t.Context(), in)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := db.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: in.TableName})
		assert.NoError(t, err)
	})
	require.NoError(t, dynamodb.NewTableExistsWaiter(db, func(o *dynamodb.TableExistsWaiterOptions) { o.MinDelay = time.Second }).
		Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: in.TableName}, patience))
}
