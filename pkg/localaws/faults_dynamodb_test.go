package localaws_test

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"
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

	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestPartialLeavesItemsUnprocessed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		createTable(t, f.db, "others", false)
		for _, fault := range []localaws.Fault{
			always(localaws.FaultPartial, "*"),
			{Kind: localaws.FaultThrottle, Operation: "DynamoDB.*", Probability: 1, Share: 0.3},
		} {
			f.set(t, fault)
			requests := map[string][]types.WriteRequest{}
			for i := range 20 {
				table := []string{"things", "others"}[i%2]
				requests[table] = append(requests[table], types.WriteRequest{PutRequest: &types.PutRequest{
					Item: avs{"pk": str(string(fault.Kind) + strconv.Itoa(i))},
				}})
			}
			out, err := f.db.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: requests})
			require.NoError(t, err)
			left := map[string]bool{}
			for _, unprocessed := range out.UnprocessedItems {
				for _, r := range unprocessed {
					left[text(r.PutRequest.Item["pk"])] = true
				}
			}
			assert.NotEmpty(t, left)
			assert.Less(t, len(left), 20)
			assert.Equal(t, map[string]int64{"DynamoDB.BatchWriteItem": 1}, f.strikes(t))
			f.set(t)
			for table, all := range requests {
				for _, r := range all {
					key := avs{"pk": r.PutRequest.Item["pk"]}
					assert.Equal(t, !left[text(key["pk"])], get(t, f.db, table, key) != nil)
				}
			}
		}
		f.set(t, always(localaws.FaultPartial, "*"))
		_, err := f.db.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
			"things": {{PutRequest: &types.PutRequest{Item: avs{"pk": str("only")}}}},
		}})
		assert.Equal(t, "ProvisionedThroughputExceededException", errorCode(err), "a batch of which nothing can be processed")
		f.set(t)
		assert.False(t, f.has(t, "only"))
	})
}

func TestPartialLeavesKeysUnprocessed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		wanted := map[string]types.KeysAndAttributes{"things": {ConsistentRead: aws.Bool(true)}}
		for i := range 10 {
			require.NoError(t, f.putThing(t.Context(), strconv.Itoa(i)))
			wanted["things"] = types.KeysAndAttributes{Keys: append(wanted["things"].Keys, avs{"pk": str(strconv.Itoa(i))})}
		}
		f.set(t, always(localaws.FaultPartial, "DynamoDB.BatchGetItem"))
		var got []string
		rounds := 0
		for ; len(wanted) > 0; rounds++ { // as a client must
			out, err := f.db.BatchGetItem(t.Context(), &dynamodb.BatchGetItemInput{RequestItems: wanted})
			if errorCode(err) == "ProvisionedThroughputExceededException" { // one is left and never done
				break
			}
			require.NoError(t, err)
			assert.NotEmpty(t, out.UnprocessedKeys)
			for _, item := range out.Responses["things"] {
				got = append(got, text(item["pk"]))
			}
			wanted = out.UnprocessedKeys
		}
		assert.Greater(t, rounds, 1)
		for _, key := range wanted["things"].Keys {
			got = append(got, text(key["pk"]))
		}
		slices.Sort(got)
		assert.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, got, "each once, read or left")
	})
}

func TestTransactionConflictHasNoEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		createTable(t, f.db, "things", false)
		f.set(t, localaws.Fault{Kind: localaws.FaultTransactionConflict, Operation: "*", Probability: 1, Limit: 30})
		err := f.putThing(t.Context(), "a")
		_, ok := errors.AsType[*types.TransactionConflictException](err)
		assert.True(t, ok, err)
		_, err = f.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("things"), Key: avs{"pk": str("a")}})
		assert.Equal(t, "TransactionConflictException", errorCode(err))
		_, err = f.db.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{TableName: aws.String("things"), Key: avs{"pk": str("a")}})
		assert.Equal(t, "TransactionConflictException", errorCode(err))

		write := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String("token")}
		read := &dynamodb.TransactGetItemsInput{}
		for _, id := range []string{"a", "b", "c"} {
			write.TransactItems = append(write.TransactItems, types.TransactWriteItem{
				Put: &types.Put{TableName: aws.String("things"), Item: avs{"pk": str(id)}},
			})
			read.TransactItems = append(read.TransactItems, types.TransactGetItem{
				Get: &types.Get{TableName: aws.String("things"), Key: avs{"pk": str(id)}},
			})
		}
		blamed := map[int]bool{}
		for range 30 {
			_, err := f.db.TransactWriteItems(t.Context(), write)
			i := conflicting(t, err)
			blamed[i] = true
		}
		assert.Len(t, blamed, 3, "any of the items")
		_, err = f.db.TransactGetItems(t.Context(), read)
		conflicting(t, err)
		assert.False(t, f.has(t, "a"))
		_, err = f.db.TransactWriteItems(t.Context(), write)
		require.NoError(t, err, "the limit is reached, and the token is still good")
		assert.True(t, f.has(t, "c"))
	})
}

// conflicting returns the one item with a conflict in a cancelled transaction.
func conflicting(t *testing.T, err error) int {
	t.Helper()
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	require.True(t, ok, "%v", err)
	require.Len(t, cancelled.CancellationReasons, 3)
	isConflict := func(r types.CancellationReason) bool { return *r.Code == "TransactionConflict" }
	i := slices.IndexFunc(cancelled.CancellationReasons, isConflict)
	require.GreaterOrEqual(t, i, 0)
	assert.False(t, slices.ContainsFunc(cancelled.CancellationReasons[i+1:], isConflict))
	return i
}

// shards returns the ids of a stream's shards.
func (f faulty) shards(t *testing.T, stream string) (out []string) {
	t.Helper()
	d, err := f.changes.DescribeStream(t.Context(), &dynamodbstreams.DescribeStreamInput{StreamArn: &stream})
	require.NoError(t, err)
	for _, sh := range d.StreamDescription.Shards {
		out = append(out, *sh.ShardId)
	}
	return out
}

func (f faulty) iterator(t *testing.T, stream, shard, kind, sequence string) *string {
	t.Helper()
	in := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: &stream, ShardId: &shard, ShardIteratorType: streamtypes.ShardIteratorType(kind),
	}
	if sequence != "" {
		in.SequenceNumber = &sequence
	}
	out, err := f.changes.GetShardIterator(t.Context(), in)
	require.NoError(t, err)
	return out.ShardIterator
}

// changed is the part of a record that the tests compare.
type changed struct{ id, sequence, n string }

// readPage also returns the next iterator.
func (f faulty) readPage(t *testing.T, iterator *string, limit int32) ([]changed, *string) {
	t.Helper()
	out, err := f.changes.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: iterator, Limit: &limit})
	require.NoError(t, err)
	var records []changed
	for _, r := range out.Records {
		records = append(records, changed{text(r.Dynamodb.Keys["pk"]), *r.Dynamodb.SequenceNumber, text(r.Dynamodb.NewImage["n"])})
	}
	return records, out.NextShardIterator
}

// writeThings changes several items alternately, so that each shard has records of several.
func (f faulty) writeThings(t *testing.T, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		put(t, f.db, "things", avs{"pk": str("item " + strconv.Itoa(i%7)), "n": num(i)})
	}
}

func TestReorderKeepsTheOrderOfEachItem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		stream := createTable(t, f.db, "things", false)
		shard := f.shards(t, stream)[0]
		start := f.iterator(t, stream, shard, "TRIM_HORIZON", "")
		f.writeThings(t, 0, 60)
		first, next := f.readPage(t, start, 10)
		f.set(t, always(localaws.FaultReorder, "DynamoDBStreams.GetRecords"))
		again, _ := f.readPage(t, start, 10)
		assert.Equal(t, first, again, "what was read stays")
		assert.Empty(t, f.strikes(t))

		f.writeThings(t, 60, 80)
		second, _ := f.readPage(t, next, 1000)
		assert.Equal(t, map[string]int64{"DynamoDBStreams.GetRecords": 1}, f.strikes(t))
		all := slices.Concat(first, second)
		assert.True(t, slices.IsSortedFunc(all, func(a, b changed) int { return cmp.Compare(a.sequence, b.sequence) }), "numbers grow")
		byNumber := func(a, b changed) int { return atoi(t, a.n) - atoi(t, b.n) }
		assert.True(t, slices.IsSortedFunc(first, byNumber))
		assert.False(t, slices.IsSortedFunc(second, byNumber), "records have changed places")
		items := map[string][]changed{}
		for _, r := range all {
			items[r.id] = append(items[r.id], r)
		}
		assert.Greater(t, len(items), 1)
		for id, records := range items {
			assert.True(t, slices.IsSortedFunc(records, byNumber), "those of %s have not: %v", id, records)
		}
		assert.ElementsMatch(t, numbersOf(t, items), numbers(t, all), "nothing is lost or doubled")

		f.set(t)
		whole, _ := f.readPage(t, start, 1000)
		assert.Equal(t, all, whole, "the new order holds for good")
		rest, _ := f.readPage(t, f.iterator(t, stream, shard, "AFTER_SEQUENCE_NUMBER", all[20].sequence), 1000)
		assert.Equal(t, all[21:], rest, "and from wherever it is read")
	})
}

// numbersOf returns the numbers that were written to each item of one shard.
func numbersOf(t *testing.T, items map[string][]changed) (out []int) {
	t.Helper()
	for i := range 80 {
		if items["item "+strconv.Itoa(i%7)] != nil {
			out = append(out, i)
		}
	}
	return out
}

func numbers(t *testing.T, records []changed) (out []int) {
	t.Helper()
	for _, r := range records {
		out = append(out, atoi(t, r.n))
	}
	return out
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}

// An iterator of type LATEST reads everything that is written after it was made, and nothing before.
func TestReorderKeepsOldRecordsBeforeLatest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		stream := createTable(t, f.db, "things", false)
		f.writeThings(t, 0, 40)
		shard := f.shards(t, stream)[0]
		start, latest := f.iterator(t, stream, shard, "TRIM_HORIZON", ""), f.iterator(t, stream, shard, "LATEST", "")
		f.writeThings(t, 40, 80)
		f.set(t, always(localaws.FaultReorder, "*"))
		all, _ := f.readPage(t, start, 1000)
		f.set(t)
		late, _ := f.readPage(t, latest, 1000)
		for _, r := range late {
			assert.GreaterOrEqual(t, atoi(t, r.n), 40)
		}
		assert.Equal(t, all[len(all)-len(late):], late)
		for _, r := range all[:len(all)-len(late)] {
			assert.Less(t, atoi(t, r.n), 40)
		}
	})
}

func TestDuplicateRepeatsStreamRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		stream := createTable(t, f.db, "things", false)
		shard := f.shards(t, stream)[0]
		f.writeThings(t, 0, 100)
		next := f.iterator(t, stream, shard, "TRIM_HORIZON", "")
		whole, _ := f.readPage(t, next, 1000)
		require.NoError(t, f.RotateShards("things")) // so that it ends
		f.set(t, always(localaws.FaultDuplicate, "DynamoDBStreams.*"))
		seen, delivered, last := map[string]bool{}, 0, ""
		for next != nil {
			var page []changed
			page, next = f.readPage(t, next, 5)
			for i, r := range page {
				assert.True(t, i == 0 || r.sequence > page[i-1].sequence)
				seen[r.sequence] = true
			}
			delivered += len(page)
			require.Greater(t, page[len(page)-1].sequence, last, "each page gets on")
			last = page[len(page)-1].sequence
		}
		assert.Len(t, seen, len(whole), "all are there")
		assert.Greater(t, delivered, len(whole)+10, "some more than once")
		assert.Greater(t, f.strikes(t)["DynamoDBStreams.GetRecords"], int64(5))
	})
}

func TestExpireIteratorStrikesDynamoDBStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		stream := createTable(t, f.db, "things", false)
		it := f.iterator(t, stream, f.shards(t, stream)[0], "TRIM_HORIZON", "")
		f.set(t, once(localaws.FaultExpireIterator, "*"))
		_, err := f.changes.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: it})
		_, ok := errors.AsType[*streamtypes.ExpiredIteratorException](err)
		assert.True(t, ok, err)
		_, err = f.changes.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: it})
		require.NoError(t, err)
	})
}

func TestTrimTableRemovesRecordsAndClosedShards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		stream := createTable(t, f.db, "things", false)
		old := f.shards(t, stream)
		start := f.iterator(t, stream, old[0], "TRIM_HORIZON", "")
		f.writeThings(t, 0, 40)
		middle := time.Now().Add(time.Minute)
		time.Sleep(2 * time.Minute) // virtual
		f.writeThings(t, 40, 80)

		status, body := own(t, f, http.MethodPost, "trim", `{"table":"things","before":"`+middle.Format(time.RFC3339)+`"}`)
		assert.Equal(t, http.StatusNoContent, status, body)
		_, err := f.changes.GetRecords(t.Context(), &dynamodbstreams.GetRecordsInput{ShardIterator: start})
		_, ok := errors.AsType[*streamtypes.TrimmedDataAccessException](err)
		assert.True(t, ok, err)
		left, _ := f.readPage(t, f.iterator(t, stream, old[0], "TRIM_HORIZON", ""), 1000)
		assert.NotEmpty(t, left)
		assert.GreaterOrEqual(t, slices.Min(numbers(t, left)), 40)

		status, body = own(t, f, http.MethodPost, "rotate", `{"table":"things"}`)
		assert.Equal(t, http.StatusNoContent, status, body)
		assert.Len(t, f.shards(t, stream), 2*len(old))
		f.writeThings(t, 80, 90)
		status, body = own(t, f, http.MethodPost, "trim", `{"table":"things"}`)
		assert.Equal(t, http.StatusNoContent, status, body)
		young := f.shards(t, stream)
		assert.Len(t, young, len(old), "closed shards are gone with their records")
		for _, shard := range young {
			assert.NotContains(t, old, shard)
			page, _ := f.readPage(t, f.iterator(t, stream, shard, "TRIM_HORIZON", ""), 1000)
			assert.Empty(t, page)
		}
		f.writeThings(t, 90, 100)
		var after []int
		for _, shard := range young {
			page, _ := f.readPage(t, f.iterator(t, stream, shard, "TRIM_HORIZON", ""), 1000)
			after = append(after, numbers(t, page)...)
		}
		assert.ElementsMatch(t, []int{90, 91, 92, 93, 94, 95, 96, 97, 98, 99}, after, "what comes later is kept")
	})
}

func TestRotateAndTrimRefuseBadRequests(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, tt := range []struct{ path, body, says string }{
		{"trim", `{"table":"none"}`, "Table: none not found"},
		{"trim", `{"stream":"none"}`, "Stream none under account"},
		{"trim", `{}`, "either a"},
		{"trim", `{"table":"a","stream":"b"}`, "either a"},
		{"trim", `{"table":"a","before":"yesterday"}`, "yesterday"},
		{"rotate", `{"table":"none"}`, "none not found"},
		{"rotate", `{"stream":"b"}`, "takes a"},
		{"rotate", `{"tabel":"b"}`, "tabel"},
		{"rotate", ``, "no body"},
	} {
		status, body := own(t, server, http.MethodPost, tt.path, tt.body)
		assert.Equal(t, http.StatusBadRequest, status, tt.body)
		assert.Contains(t, body, tt.says)
	}
}
