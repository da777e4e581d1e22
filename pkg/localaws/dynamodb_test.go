package localaws_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streamtypes "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/localaws"
)

type avs = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int) types.AttributeValue { return &types.AttributeValueMemberN{Value: strconv.Itoa(n)} }

// text returns the text of an S or N of either client; "" for other values.
func text(v any) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case *streamtypes.AttributeValueMemberS:
		return v.Value
	case *streamtypes.AttributeValueMemberN:
		return v.Value
	default:
		return ""
	}
}

func number(t *testing.T, v types.AttributeValue) int {
	t.Helper()
	n, err := strconv.Atoi(text(v))
	require.NoError(t, err)
	return n
}

// newDynamoDB returns clients of a new server. They do not retry, so that the tests see every error.
func newDynamoDB(t *testing.T) (*dynamodb.Client, *dynamodbstreams.Client) {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	cfg := server.Config()
	cfg.RetryMaxAttempts = 1
	return dynamodb.NewFromConfig(cfg), dynamodbstreams.NewFromConfig(cfg)
}

// createTable creates a table with the string key "pk", the number key "sk" if sorted, and a stream.
func createTable(t *testing.T, db *dynamodb.Client, name string, sorted bool, opts ...func(*dynamodb.CreateTableInput)) string {
	t.Helper()
	in := &dynamodb.CreateTableInput{
		TableName:            aws.String(name),
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: "S"}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: "HASH"}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: "NEW_AND_OLD_IMAGES"},
	}
	if sorted {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String("sk"), AttributeType: "N"})
		in.KeySchema = append(in.KeySchema, types.KeySchemaElement{AttributeName: aws.String("sk"), KeyType: "RANGE"})
	}
	for _, o := range opts {
		o(in)
	}
	out, err := db.CreateTable(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, types.TableStatusCreating, out.TableDescription.TableStatus)
	require.NoError(t, dynamodb.NewTableExistsWaiter(db).Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, time.Minute))
	return aws.ToString(out.TableDescription.LatestStreamArn)
}

func put(t *testing.T, db *dynamodb.Client, table string, item avs) {
	t.Helper()
	_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item})
	require.NoError(t, err)
}

func get(t *testing.T, db *dynamodb.Client, table string, key avs) avs {
	t.Helper()
	out, err := db.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &table, Key: key, ConsistentRead: aws.Bool(true)})
	require.NoError(t, err)
	return out.Item
}

func TestDynamoDBConditionalPutReturnsTheOldItem(t *testing.T) {
	t.Parallel()
	db, _ := newDynamoDB(t)
	createTable(t, db, "events", true)
	in := &dynamodb.PutItemInput{
		TableName: aws.String("events"), Item: avs{"pk": str("user-1"), "sk": num(1), "name": str("registered")},
		ConditionExpression:                 aws.String("attribute_not_exists(sk)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	_, err := db.PutItem(t.Context(), in)
	require.NoError(t, err)
	in.Item = avs{"pk": str("user-1"), "sk": num(1), "name": str("other")}
	_, err = db.PutItem(t.Context(), in)
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &failed)
	assert.Equal(t, "The conditional request failed", failed.ErrorMessage())
	assert.Equal(t, "registered", text(failed.Item["name"]))
	assert.Equal(t, "registered", text(get(t, db, "events", avs{"pk": str("user-1"), "sk": num(1)})["name"]))
}

func TestDynamoDBUpdateReturnsTheRequestedValues(t *testing.T) {
	t.Parallel()
	db, _ := newDynamoDB(t)
	createTable(t, db, "counters", false)
	update := func(returns types.ReturnValue) avs {
		out, err := db.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
			TableName: aws.String("counters"), Key: avs{"pk": str("a")}, UpdateExpression: aws.String("ADD n :one SET #m = :m"),
			ExpressionAttributeNames:  map[string]string{"#m": "mark"},
			ExpressionAttributeValues: avs{":one": num(1), ":m": str("x")}, ReturnValues: returns,
		})
		require.NoError(t, err)
		return out.Attributes
	}
	assert.Empty(t, update(types.ReturnValueAllOld), "there was no item")
	assert.Equal(t, avs{"n": num(1), "mark": str("x")}, update(types.ReturnValueUpdatedOld))
	assert.Equal(t, avs{"n": num(3), "mark": str("x")}, update(types.ReturnValueUpdatedNew))
	assert.Equal(t, avs{"pk": str("a"), "n": num(4), "mark": str("x")}, update(types.ReturnValueAllNew))
	assert.Equal(t, avs{"pk": str("a"), "n": num(4), "mark": str("x")}, update(types.ReturnValueAllOld))
	assert.Empty(t, update(types.ReturnValueNone))
}

// A page ends before it would exceed 1 MB, independently of the filter.
func TestDynamoDBQueryPagesEndAt1MB(t *testing.T) {
	t.Parallel()
	db, _ := newDynamoDB(t)
	createTable(t, db, "events", true)
	const items = 25
	for i := range items {
		put(t, db, "events", avs{"pk": str("s"), "sk": num(i), "data": str(strings.Repeat("x", 100<<10))})
	}
	for _, forward := range []bool{true, false} {
		pages, seen := 0, []int{}
		p := dynamodb.NewQueryPaginator(db, &dynamodb.QueryInput{
			TableName: aws.String("events"), KeyConditionExpression: aws.String("pk = :s AND sk >= :from"),
			FilterExpression: aws.String("NOT contains(excluded, :s)"), ScanIndexForward: &forward,
			ExpressionAttributeValues: avs{":s": str("s"), ":from": num(2)},
		})
		for p.HasMorePages() {
			out, err := p.NextPage(t.Context())
			require.NoError(t, err)
			assert.LessOrEqual(t, len(out.Items), 10, "eleven items of 100 KB are more than 1 MB")
			pages++
			for _, item := range out.Items {
				seen = append(seen, number(t, item["sk"]))
			}
		}
		assert.Equal(t, 3, pages)
		require.Len(t, seen, items-2)
		for i, n := range seen {
			if forward {
				assert.Equal(t, i+2, n)
			} else {
				assert.Equal(t, items-1-i, n)
			}
		}
	}
}

func TestDynamoDBParallelScanReadsEachItemOnce(t *testing.T) {
	t.Parallel()
	db, _ := newDynamoDB(t)
	createTable(t, db, "users", false)
	const items, segments = 500, 7
	for i := range items {
		put(t, db, "users", avs{"pk": str(fmt.Sprint("user-", i))})
	}
	var mu sync.Mutex
	seen, sizes := map[string]int{}, make([]int, segments)
	var g errgroup.Group
	for s := range segments {
		g.Go(func() error {
			p := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{
				TableName: aws.String("users"), Limit: aws.Int32(11),
				Segment: aws.Int32(int32(s)), TotalSegments: aws.Int32(segments),
			})
			for p.HasMorePages() {
				out, err := p.NextPage(t.Context())
				if err != nil {
					return err
				}
				mu.Lock()
				sizes[s] += len(out.Items)
				for _, item := range out.Items {
					seen[text(item["pk"])]++
				}
				mu.Unlock()
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	assert.Len(t, seen, items)
	for key, n := range seen {
		assert.Equal(t, 1, n, key)
	}
	for s, n := range sizes {
		assert.Positive(t, n, "segment %d", s)
	}
}

func TestDynamoDBCancelledTransactionsGiveReasons(t *testing.T) {
	t.Parallel()
	db, _ := newDynamoDB(t)
	createTable(t, db, "events", true)
	createTable(t, db, "claims", false)
	put(t, db, "claims", avs{"pk": str("taken"), "owner": str("u2")})
	_, err := db.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String("events"), Item: avs{"pk": str("u1"), "sk": num(1)}}},
		{Put: &types.Put{
			TableName: aws.String("claims"), Item: avs{"pk": str("taken"), "owner": str("u1")},
			ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		{ConditionCheck: &types.ConditionCheck{
			TableName: aws.String("events"), Key: avs{"pk": str("role"), "sk": num(7)},
			ConditionExpression: aws.String("attribute_exists(pk)"),
		}},
		{Delete: &types.Delete{TableName: aws.String("claims"), Key: avs{"pk": str("free")}}},
	}})
	var cancelled *types.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	assert.Equal(t, "Transaction cancelled, please refer cancellation reasons for specific reasons "+
		"[None, ConditionalCheckFailed, ConditionalCheckFailed, None]", cancelled.ErrorMessage())
	require.Len(t, cancelled.CancellationReasons, 4)
	assert.Equal(t, "None", aws.ToString(cancelled.CancellationReasons[0].Code))
	assert.Equal(t, "u2", text(cancelled.CancellationReasons[1].Item["owner"]))
	assert.Equal(t, "The conditional request failed", aws.ToString(cancelled.CancellationReasons[2].Message))
	assert.Nil(t, get(t, db, "events", avs{"pk": str("u1"), "sk": num(1)}), "nothing is written")
}

func TestDynamoDBClientRequestTokenMakesTransactionsIdempotent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, _ := newDynamoDB(t)
		createTable(t, db, "counters", false)
		add := func(token string, n int) error {
			_, err := db.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{
				ClientRequestToken: &token,
				TransactItems: []types.TransactWriteItem{{Update: &types.Update{
					TableName: aws.String("counters"), Key: avs{"pk": str("a")}, UpdateExpression: aws.String("ADD n :n"),
					ExpressionAttributeValues: avs{":n": num(n)},
				}}},
			})
			return err
		}
		count := func() int { return number(t, get(t, db, "counters", avs{"pk": str("a")})["n"]) }
		require.NoError(t, add("t1", 1))
		require.NoError(t, add("t1", 1), "a repetition succeeds")
		assert.Equal(t, 1, count(), "and changes nothing")
		var mismatch *types.IdempotentParameterMismatchException
		require.ErrorAs(t, add("t1", 2), &mismatch)
		require.NoError(t, add("t2", 1))
		assert.Equal(t, 2, count())
		time.Sleep(10*time.Minute + time.Second)
		require.NoError(t, add("t1", 1), "the token is forgotten")
		assert.Equal(t, 3, count())
	})
}

func TestDynamoDBGlobalSecondaryIndexFollowsTheTable(t *testing.T) {
	t.Parallel()
	db, _ := newDynamoDB(t)
	createTable(t, db, "users", false, func(in *dynamodb.CreateTableInput) {
		in.AttributeDefinitions = append(in.AttributeDefinitions,
			types.AttributeDefinition{AttributeName: aws.String("city"), AttributeType: "S"},
			types.AttributeDefinition{AttributeName: aws.String("age"), AttributeType: "N"})
		in.GlobalSecondaryIndexes = []types.GlobalSecondaryIndex{{
			IndexName: aws.String("by-city"),
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String("city"), KeyType: "HASH"}, {AttributeName: aws.String("age"), KeyType: "RANGE"},
			},
			Projection: &types.Projection{ProjectionType: "INCLUDE", NonKeyAttributes: []string{"name"}},
		}}
	})
	for i := range 10 {
		put(t, db, "users", avs{
			"pk": str(fmt.Sprint("u", i)), "city": str("Rome"), "age": num(30 + i%2), "name": str("n"), "secret": str("s"),
		})
	}
	put(t, db, "users", avs{"pk": str("homeless"), "age": num(1)})
	query := func() []avs {
		var items []avs
		p := dynamodb.NewQueryPaginator(db, &dynamodb.QueryInput{
			TableName: aws.String("users"), IndexName: aws.String("by-city"), Limit: aws.Int32(3),
			KeyConditionExpression: aws.String("city = :c"), ExpressionAttributeValues: avs{":c": str("Rome")},
		})
		for p.HasMorePages() {
			out, err := p.NextPage(t.Context())
			require.NoError(t, err)
			items = append(items, out.Items...)
		}
		return items
	}
	items := query()
	require.Len(t, items, 10)
	for i, item := range items {
		assert.Equal(t, 30+i/5, number(t, item["age"]), "in the order of the sort key")
		assert.NotContains(t, item, "secret")
		assert.Contains(t, item, "name")
	}
	put(t, db, "users", avs{"pk": str("u0"), "city": str("Oslo"), "age": num(30)})
	_, err := db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("users"), Key: avs{"pk": str("u1")}})
	require.NoError(t, err)
	assert.Len(t, query(), 8, "moved and deleted items are gone from the index")
	_, err = db.Query(t.Context(), &dynamodb.QueryInput{
		TableName: aws.String("users"), IndexName: aws.String("by-city"), ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("city = :c"), ExpressionAttributeValues: avs{":c": str("Rome")},
	})
	require.ErrorContains(t, err, "Consistent reads are not supported on global secondary indexes")
}

func TestDynamoDBItemsExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, streams := newDynamoDB(t)
		arn := createTable(t, db, "commands", false)
		put(t, db, "commands", avs{"pk": str("before"), "ttl": num(int(time.Now().Add(time.Hour).Unix()))})
		_, err := db.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
			TableName:               aws.String("commands"),
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("ttl"), Enabled: aws.Bool(true)},
		})
		require.NoError(t, err)
		put(t, db, "commands", avs{"pk": str("after"), "ttl": num(int(time.Now().Add(time.Hour).Unix()))})
		put(t, db, "commands", avs{"pk": str("renewed"), "ttl": num(int(time.Now().Add(time.Hour).Unix()))})
		put(t, db, "commands", avs{"pk": str("renewed"), "ttl": num(int(time.Now().Add(2 * time.Hour).Unix()))})
		put(t, db, "commands", avs{"pk": str("ancient"), "ttl": num(1)})
		time.Sleep(time.Hour + 2*time.Second)
		// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html
		assert.NotNil(t, get(t, db, "commands", avs{"pk": str("before")}), "expired items are read until they are deleted")
		assert.NotNil(t, get(t, db, "commands", avs{"pk": str("after")}), "expired items are read until they are deleted")
		time.Sleep(time.Hour)
		assert.Nil(t, get(t, db, "commands", avs{"pk": str("before")}))
		assert.Nil(t, get(t, db, "commands", avs{"pk": str("after")}))
		assert.NotNil(t, get(t, db, "commands", avs{"pk": str("renewed")}))
		assert.NotNil(t, get(t, db, "commands", avs{"pk": str("ancient")}), "more than five years back is taken for a mistake")
		removed := 0
		for _, r := range readStream(t, streams, arn) {
			if r.EventName == streamtypes.OperationTypeRemove {
				removed++
				require.NotNil(t, r.UserIdentity)
				assert.Equal(t, "dynamodb.amazonaws.com", aws.ToString(r.UserIdentity.PrincipalId))
				assert.Equal(t, "Service", aws.ToString(r.UserIdentity.Type))
			} else {
				assert.Nil(t, r.UserIdentity)
			}
		}
		assert.Equal(t, 2, removed)
	})
}

// readStream reads every shard from its beginning to its current end.
func readStream(t *testing.T, streams *dynamodbstreams.Client, arn string) []streamtypes.Record {
	t.Helper()
	d, err := streams.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: &arn})
	require.NoError(t, err)
	var records []streamtypes.Record
	for _, sh := range d.StreamDescription.Shards {
		it, err := streams.GetShardIterator(t.Context(), &dynamodbstreams.GetShardIteratorInput{
			StreamArn: &arn, ShardId: sh.ShardId, ShardIteratorType: streamtypes.ShardIteratorTypeTrimHorizon,
		})
		require.NoError(t, err)
		for next := it.ShardIterator; next != nil; {
			out, err := streams.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: next})
			require.NoError(t, err)
			records = append(records, out.Records...)
			if next = out.NextShardIterator; len(out.Records) == 0 {
				break
			}
		}
	}
	return records
}

func TestDynamoDBStreamsRecordOnlyRealChanges(t *testing.T) {
	t.Parallel()
	db, streams := newDynamoDB(t)
	arn := createTable(t, db, "users", false)
	item := avs{"pk": str("a"), "n": num(1)}
	put(t, db, "users", item)
	put(t, db, "users", item) // no change, no record
	put(t, db, "users", avs{"pk": str("a"), "n": num(2)})
	for range 2 { // the second deletes nothing
		_, err := db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("users"), Key: avs{"pk": str("a")}})
		require.NoError(t, err)
	}
	records := readStream(t, streams, arn)
	require.Len(t, records, 3)
	assert.Equal(t, streamtypes.OperationTypeInsert, records[0].EventName)
	assert.Nil(t, records[0].Dynamodb.OldImage)
	assert.Equal(t, streamtypes.OperationTypeModify, records[1].EventName)
	assert.Equal(t, &streamtypes.AttributeValueMemberN{Value: "1"}, records[1].Dynamodb.OldImage["n"])
	assert.Equal(t, &streamtypes.AttributeValueMemberN{Value: "2"}, records[1].Dynamodb.NewImage["n"])
	assert.Equal(t, streamtypes.OperationTypeRemove, records[2].EventName)
	assert.Nil(t, records[2].Dynamodb.NewImage)
	for i, r := range records {
		assert.Equal(t, map[string]streamtypes.AttributeValue{"pk": &streamtypes.AttributeValueMemberS{Value: "a"}}, r.Dynamodb.Keys)
		assert.GreaterOrEqual(t, len(aws.ToString(r.Dynamodb.SequenceNumber)), 21)
		assert.WithinDuration(t, time.Now(), aws.ToTime(r.Dynamodb.ApproximateCreationDateTime), time.Minute)
		if i > 0 {
			assert.Greater(t, aws.ToString(r.Dynamodb.SequenceNumber), aws.ToString(records[i-1].Dynamodb.SequenceNumber))
		}
	}
}
