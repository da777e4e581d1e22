package localaws_test

import (
	"context"
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

	"github.com/leftfold/leftfold/pkg/localaws"
)

// idleShard is a shard without records, of one of the two kinds of streams.
type idleShard struct {
	read  func(ctx context.Context) (records int, err error) // from its beginning
	write func()
	end   func() // of the shard
}

func idleTable(t *testing.T, server *localaws.Server) idleShard {
	db, streams := dynamodb.NewFromConfig(server.Config()), dynamodbstreams.NewFromConfig(server.Config())
	out, err := db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName:             aws.String("events"),
		AttributeDefinitions:  []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:             []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(1), WriteCapacityUnits: aws.Int64(1)}, // one shard
		StreamSpecification:   &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewImage},
	})
	require.NoError(t, err)
	stream, err := streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: out.TableDescription.LatestStreamArn})
	require.NoError(t, err)
	iterator, err := streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
		StreamArn: out.TableDescription.LatestStreamArn, ShardId: stream.StreamDescription.Shards[0].ShardId,
		ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
	})
	require.NoError(t, err)
	return idleShard{
		read: func(ctx context.Context) (int, error) {
			out, err := streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: iterator.ShardIterator})
			if err != nil {
				return 0, err
			}
			return len(out.Records), nil
		},
		write: func() {
			_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{
				TableName: aws.String("events"), Item: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "1"}},
			})
			assert.NoError(t, err)
		},
		end: func() { assert.NoError(t, server.RotateShards("events")) },
	}
}

func idleStream(t *testing.T, server *localaws.Server) idleShard {
	k, name := kinesis.NewFromConfig(server.Config()), aws.String("events")
	_, err := k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	iterator, err := k.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: name, ShardId: aws.String(shard0), ShardIteratorType: kinesistypes.ShardIteratorTypeTrimHorizon,
	})
	require.NoError(t, err)
	return idleShard{
		read: func(ctx context.Context) (int, error) {
			out, err := k.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})
			if err != nil {
				return 0, err
			}
			return len(out.Records), nil
		},
		write: func() {
			_, err := k.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: name, PartitionKey: name, Data: []byte("1")})
			assert.NoError(t, err)
		},
		end: func() {
			_, err := k.SplitShard(t.Context(), &kinesis.SplitShardInput{
				StreamName: name, ShardToSplit: aws.String(shard0), NewStartingHashKey: aws.String("1000"),
			})
			assert.NoError(t, err)
		},
	}
}

func TestReadsOfAnIdleShardAreHeld(t *testing.T) {
	t.Parallel()
	type step func(s idleShard, server *localaws.Server, leave context.CancelFunc)
	for name, tt := range map[string]struct {
		hold    time.Duration
		then    step // 300 ms after the read's beginning; nil: nothing
		waited  time.Duration
		records int
		err     error
	}{
		"by default they are not": {0, nil, 0, 0, nil},
		"until the longest time":  {time.Second, nil, time.Second, 0, nil},
		"until a record comes": {
			time.Second, func(s idleShard, _ *localaws.Server, _ context.CancelFunc) { s.write() }, 300 * time.Millisecond, 1, nil,
		},
		"until the shard ends": {
			time.Second, func(s idleShard, _ *localaws.Server, _ context.CancelFunc) { s.end() }, 300 * time.Millisecond, 0, nil,
		},
		"until the server is closed": {
			time.Second, func(_ idleShard, server *localaws.Server, _ context.CancelFunc) { server.Close() }, 300 * time.Millisecond, 0, nil,
		},
		"until the client leaves": {
			time.Second, func(_ idleShard, _ *localaws.Server, leave context.CancelFunc) { leave() }, 300 * time.Millisecond, 0, context.Canceled,
		},
	} {
		for kind, idle := range map[string]func(*testing.T, *localaws.Server) idleShard{"table": idleTable, "Kinesis": idleStream} {
			t.Run(name+", "+kind, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					server := localaws.New(localaws.Options{HoldReads: tt.hold})
					defer server.Close()
					shard := idle(t, server)
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					began := time.Now()
					if tt.then != nil {
						go func() {
							time.Sleep(300 * time.Millisecond)
							tt.then(shard, server, leave)
						}()
					}
					records, err := shard.read(ctx)
					require.ErrorIs(t, err, tt.err)
					assert.Equal(t, tt.records, records)
					assert.Equal(t, tt.waited, time.Since(began))
					if tt.err == nil { // what is there is read at once, and a closed server holds nothing
						shard.write()
						again := time.Now()
						_, err = shard.read(ctx)
						require.NoError(t, err)
						assert.Zero(t, time.Since(again))
					}
				})
			})
		}
	}
}
