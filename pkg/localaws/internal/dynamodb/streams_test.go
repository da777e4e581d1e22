package dynamodb

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newStreamServer(t *testing.T) (*server, string) {
	t.Helper()
	s := newServer(t)
	out := s.ok("CreateTable", `{"TableName":"users","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
		"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}`)
	return s, as[string](as[object](out["TableDescription"])["LatestStreamArn"])
}

func (s *server) shards(arn, more string) (shards []object, last any) {
	s.t.Helper()
	d := as[object](s.ok("DescribeStream", `{"StreamArn":"`+arn+`"`+more+`}`)["StreamDescription"])
	for _, sh := range as[[]any](d["Shards"]) {
		shards = append(shards, as[object](sh))
	}
	return shards, d["LastEvaluatedShardId"]
}

func iteratorRequest(arn, shard, kind, number string) string {
	if number != "" {
		number = `,"SequenceNumber":"` + number + `"`
	}
	return `{"StreamArn":"` + arn + `","ShardId":"` + shard + `","ShardIteratorType":"` + kind + `"` + number + `}`
}

func (s *server) iterator(arn, shard, kind, number string) string {
	s.t.Helper()
	return as[string](s.ok("GetShardIterator", iteratorRequest(arn, shard, kind, number))["ShardIterator"])
}

// records returns the page's items and sequence numbers, and the next iterator or "".
func (s *server) records(iterator, more string) (ids, numbers []string, next string) {
	s.t.Helper()
	out := s.ok("GetRecords", `{"ShardIterator":"`+iterator+`"`+more+`}`)
	for _, r := range as[[]any](out["Records"]) {
		change := as[object](as[object](r)["dynamodb"])
		ids = append(ids, as[string](as[object](as[object](change["Keys"])["id"])["S"]))
		numbers = append(numbers, as[string](change["SequenceNumber"]))
	}
	next, _ = out["NextShardIterator"].(string)
	return ids, numbers, next
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_DescribeStream.html
func TestDescribeStreamPagesAndFilters(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	assert.Equal(t, "arn:aws:dynamodb:eu-west-1:123456789012:table/users/stream/2026-05-11T21:21:33.291", arn)
	d := as[object](s.ok("DescribeStream", `{"StreamArn":"`+arn+`"}`)["StreamDescription"])
	assert.Equal(t, "ENABLED", d["StreamStatus"])
	assert.Equal(t, "NEW_IMAGE", d["StreamViewType"])
	assert.Equal(t, "2026-05-11T21:21:33.291", d["StreamLabel"])
	require.NoError(t, s.RotateShards("users"))
	all, last := s.shards(arn, "")
	require.Len(t, all, 4)
	assert.Nil(t, last)
	for i, sh := range all {
		numbers := as[object](sh["SequenceNumberRange"])
		assert.GreaterOrEqual(t, len(as[string](numbers["StartingSequenceNumber"])), 21)
		if i < 2 {
			assert.NotContains(t, sh, "ParentShardId")
			assert.Greater(t, numbers["EndingSequenceNumber"], numbers["StartingSequenceNumber"])
			continue
		}
		assert.Equal(t, all[i-2]["ShardId"], sh["ParentShardId"])
		assert.NotContains(t, numbers, "EndingSequenceNumber", "an open shard has no end")
		assert.Greater(t, numbers["StartingSequenceNumber"], as[object](all[i-2]["SequenceNumberRange"])["EndingSequenceNumber"])
	}
	var paged []object
	for page, more := 0, `,"Limit":3`; more != ""; page++ {
		require.Less(t, page, 2)
		shards, last := s.shards(arn, more)
		paged, more = append(paged, shards...), ""
		if last != nil {
			more = fmt.Sprintf(`,"Limit":3,"ExclusiveStartShardId":%q`, last)
		}
	}
	assert.Equal(t, all, paged)
	children, _ := s.shards(arn, fmt.Sprintf(`,"ShardFilter":{"Type":"CHILD_SHARDS","ShardId":%q}`, all[1]["ShardId"]))
	assert.Equal(t, all[3:], children)
}

// Sources: https://github.com/scylladb/scylladb/issues/5862 and https://github.com/scylladb/scylladb/issues/28368
func TestUpdatesThatOnlyRemoveCreateNoItem(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	const key = `"TableName":"users","Key":{"id":{"S":"a"}}`
	for _, expression := range []string{
		`"UpdateExpression":"REMOVE a, b"`,
		`"UpdateExpression":"DELETE s :v","ExpressionAttributeValues":{":v":{"SS":["x"]}}`,
	} {
		for _, choice := range []string{"ALL_NEW", "ALL_OLD", "UPDATED_NEW", "UPDATED_OLD"} {
			out := s.ok("UpdateItem", `{`+key+`,`+expression+`,"ReturnValues":"`+choice+`"}`)
			assert.NotContains(t, out, "Attributes")
		}
		s.ok("TransactWriteItems", `{"TransactItems":[{"Update":{`+key+`,`+expression+`}}]}`)
		assert.NotContains(t, s.ok("GetItem", `{`+key+`,"ConsistentRead":true}`), "Item")
	}
	shards, _ := s.shards(arn, "")
	for _, sh := range shards {
		ids, _, _ := s.records(s.iterator(arn, as[string](sh["ShardId"]), "TRIM_HORIZON", ""), "")
		assert.Empty(t, ids)
	}
	s.ok("UpdateItem", `{`+key+`}`)
	assert.Contains(t, s.ok("GetItem", `{`+key+`}`), "Item", "an update without an expression creates an item")
	s.ok("UpdateItem", `{`+key+`,"UpdateExpression":"REMOVE a"}`)
	assert.Contains(t, s.ok("GetItem", `{`+key+`}`), "Item", "an item that exists stays, although it has only its key")
}

// No page of AWS promises it, but clients rely on it: https://github.com/scylladb/scylladb/issues/7409
func TestShardsAreListedInTheOrderOfTheirIDs(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	for range 10 {
		require.NoError(t, s.RotateShards("users"))
	}
	shards, _ := s.shards(arn, "")
	ids := make([]string, len(shards))
	for i, sh := range shards {
		ids[i] = as[string](sh["ShardId"])
	}
	require.Len(t, ids, 22)
	assert.IsIncreasing(t, ids)
	s.clock.advance(streamRetention + time.Second)
	require.NoError(t, s.RotateShards("users"))
	s.clock.advance(streamRetention + time.Second)
	left, _ := s.shards(arn, fmt.Sprintf(`,"ExclusiveStartShardId":%q`, ids[3]))
	assert.Len(t, left, 2, "a page can start after a shard that has expired")
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
func TestStreamsOfProvisionedTablesHaveAShardPerPartition(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for i, c := range []struct{ read, write, shards int }{{1, 1, 1}, {1500, 500, 1}, {3000, 1, 2}, {3000, 1000, 2}, {1, 2500, 3}} {
		out := s.ok("CreateTable", fmt.Sprintf(`{"TableName":"table-%d","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
			"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"},
			"ProvisionedThroughput":{"ReadCapacityUnits":%d,"WriteCapacityUnits":%d}}`, i, c.read, c.write))
		shards, _ := s.shards(as[string](as[object](out["TableDescription"])["LatestStreamArn"]), "")
		assert.Len(t, shards, c.shards, "%+v", c)
	}
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html; Kinesis refuses it,
// too: https://github.com/mhart/kinesalite/tree/master/test/getShardIterator.js
func TestOnlyIteratorsAtASequenceNumberTakeOne(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	shards, _ := s.shards(arn, "")
	id := as[string](shards[0]["ShardId"])
	number := as[string](as[object](shards[0]["SequenceNumberRange"])["StartingSequenceNumber"])
	for _, kind := range []string{"LATEST", "TRIM_HORIZON"} {
		s.fails("GetShardIterator", iteratorRequest(arn, id, kind, number), "ValidationException",
			"Invalid SequenceNumber: ShardIteratorType "+kind+" does not take one")
		s.iterator(arn, id, kind, "")
	}
	s.iterator(arn, id, "AT_SEQUENCE_NUMBER", number)
}

// Every item's records stay in one lineage, parent before child, and a closed shard has an end.
func TestShardRotationKeepsTheOrderOfEachItem(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	const rounds, users = 4, 10
	for round := range rounds {
		for u := range users {
			s.putUser(fmt.Sprint("u", u), fmt.Sprintf(`,"n":{"N":"%d"}`, round))
		}
		require.NoError(t, s.RotateShards("users"))
	}
	shards, _ := s.shards(arn, "")
	require.Len(t, shards, 2*(rounds+1))
	lineage, seen, used := map[string]string{}, map[string]int{}, map[string]int{}
	for _, sh := range shards {
		id := as[string](sh["ShardId"])
		root := id
		if parent, ok := sh["ParentShardId"].(string); ok {
			root = lineage[parent]
		}
		lineage[id] = root
		next, pages := s.iterator(arn, id, "TRIM_HORIZON", ""), 0
		_, open := as[object](sh["SequenceNumberRange"])["EndingSequenceNumber"]
		for open = !open; next != ""; pages++ {
			var ids []string
			ids, _, next = s.records(next, `,"Limit":2`)
			for _, user := range ids {
				seen[user]++
				if lineage[user] == "" {
					lineage[user] = root
				}
				assert.Equal(t, lineage[user], root, "user %s changed its lineage", user)
				used[root]++
			}
			if open && len(ids) == 0 {
				break
			}
			require.NotEmpty(t, ids, "the last page of a closed shard comes without an iterator")
		}
		assert.Equal(t, open, next != "")
	}
	assert.Len(t, used, 2, "both shards are used")
	for u := range users {
		assert.Equal(t, rounds, seen[fmt.Sprint("u", u)])
	}
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetShardIterator.html
func TestIteratorsOfEachTypeStartWhereDocumented(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	for i := range 5 {
		s.putUser("a", fmt.Sprintf(`,"n":{"N":"%d"}`, i))
	}
	var shard string
	var numbers []string
	shards, _ := s.shards(arn, "")
	for _, sh := range shards {
		if _, n, _ := s.records(s.iterator(arn, as[string](sh["ShardId"]), "TRIM_HORIZON", ""), ""); n != nil {
			shard, numbers = as[string](sh["ShardId"]), n
		}
	}
	require.Len(t, numbers, 5)
	_, got, _ := s.records(s.iterator(arn, shard, "AT_SEQUENCE_NUMBER", numbers[2]), "")
	assert.Equal(t, numbers[2:], got)
	_, got, _ = s.records(s.iterator(arn, shard, "AFTER_SEQUENCE_NUMBER", numbers[2]), "")
	assert.Equal(t, numbers[3:], got)
	latest := s.iterator(arn, shard, "LATEST", "")
	_, got, latest = s.records(latest, "")
	assert.Empty(t, got)
	s.putUser("a", "")
	_, got, _ = s.records(latest, "")
	assert.Len(t, got, 1)

	s.fails("GetRecords", `{"ShardIterator":"nonsense"}`, "ValidationException", "Invalid ShardIterator")
	s.fails("GetShardIterator", iteratorRequest(arn, "shardId-00000000000000000000-00000000", "LATEST", ""), "ResourceNotFoundException",
		"Requested resource not found: Shard: shardId-00000000000000000000-00000000 in Stream: "+arn+" not found")
	status, out := s.do("GetShardIterator", iteratorRequest(arn, shard, "AT_SEQUENCE_NUMBER", "199999999999999999999"))
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Equal(t, namespace+"#ValidationException", out["__type"])

	s.clock.advance(15*time.Minute + time.Second)
	status, out = s.do("GetRecords", `{"ShardIterator":"`+latest+`"}`)
	assert.Equal(t, http.StatusBadRequest, status)
	assert.Equal(t, namespace+"#ExpiredIteratorException", out["__type"])
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html (24-hour lifetime)
func TestRecordsAreTrimmedAfterADay(t *testing.T) {
	t.Parallel()
	s, arn := newStreamServer(t)
	s.putUser("a", "")
	var shard, old string
	shards, _ := s.shards(arn, "")
	for _, sh := range shards {
		if _, n, _ := s.records(s.iterator(arn, as[string](sh["ShardId"]), "TRIM_HORIZON", ""), ""); n != nil {
			shard, old = as[string](sh["ShardId"]), n[0]
		}
	}
	s.clock.advance(24*time.Hour - time.Minute)
	s.putUser("a", `,"n":{"N":"1"}`)
	before := s.iterator(arn, shard, "TRIM_HORIZON", "")
	s.clock.advance(2 * time.Minute)
	const past = "The operation attempted to read past the oldest stream record in a shard."
	s.fails("GetRecords", `{"ShardIterator":"`+before+`"}`, "TrimmedDataAccessException", past)
	s.fails("GetShardIterator", iteratorRequest(arn, shard, "AFTER_SEQUENCE_NUMBER", old), "TrimmedDataAccessException", past)
	ids, _, _ := s.records(s.iterator(arn, shard, "TRIM_HORIZON", ""), "")
	assert.Len(t, ids, 1, "the younger record is still there")

	require.NoError(t, s.RotateShards("users"))
	s.clock.advance(24*time.Hour + time.Second)
	shards, _ = s.shards(arn, "")
	require.Len(t, shards, 2, "closed shards go with their records")
	assert.Contains(t, shards[0], "ParentShardId")
}

// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html#Streams.Enabling
func TestStreamsOutliveTheirTableByADay(t *testing.T) {
	t.Parallel()
	s, first := newStreamServer(t)
	s.putUser("a", "")
	s.fails("UpdateTable", `{"TableName":"users","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`,
		"ValidationException", "Table already has an enabled stream: TableName: users")
	s.ok("UpdateTable", `{"TableName":"users","StreamSpecification":{"StreamEnabled":false}}`)
	s.putUser("b", "")
	out := s.ok("UpdateTable", `{"TableName":"users","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}`)
	second := as[string](as[object](out["TableDescription"])["LatestStreamArn"])
	assert.NotEqual(t, first, second, "a new stream has a new name")
	s.putUser("c", "")
	s.ok("DeleteTable", `{"TableName":"users"}`)
	for arn, want := range map[string]string{first: "a", second: "c"} {
		d := as[object](s.ok("DescribeStream", `{"StreamArn":"`+arn+`"}`)["StreamDescription"])
		assert.Equal(t, "DISABLED", d["StreamStatus"])
		var found []string
		for _, sh := range as[[]any](d["Shards"]) {
			ids, _, next := s.records(s.iterator(arn, as[string](as[object](sh)["ShardId"]), "TRIM_HORIZON", ""), "")
			assert.Empty(t, next, "its shards are closed")
			found = append(found, ids...)
		}
		assert.Equal(t, []string{want}, found)
	}
	list := s.ok("ListStreams", `{"TableName":"users","Limit":1}`)
	assert.Equal(t, first, list["LastEvaluatedStreamArn"])
	list = s.ok("ListStreams", fmt.Sprintf(`{"TableName":"users","Limit":1,"ExclusiveStartStreamArn":%q}`, first))
	assert.Len(t, list["Streams"], 1)
	assert.NotContains(t, list, "LastEvaluatedStreamArn")
	s.clock.advance(24*time.Hour + time.Second)
	assert.Empty(t, s.ok("ListStreams", `{}`)["Streams"])
	s.fails("DescribeStream", `{"StreamArn":"`+first+`"}`, "ResourceNotFoundException",
		"Requested resource not found: Stream: "+first+" not found")
}

func TestStreamViewsSelectTheImages(t *testing.T) {
	t.Parallel()
	for view, images := range map[string][]string{
		"KEYS_ONLY": {}, "NEW_IMAGE": {"NewImage"}, "OLD_IMAGE": {"OldImage"}, "NEW_AND_OLD_IMAGES": {"NewImage", "OldImage"},
	} {
		t.Run(view, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.ok("CreateTable", stringTable)
			out := s.ok("UpdateTable", `{"TableName":"users","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"`+view+`"}}`)
			arn := as[string](as[object](out["TableDescription"])["LatestStreamArn"])
			s.putUser("a", "")
			s.putUser("a", `,"n":{"N":"1"}`)
			shards, _ := s.shards(arn, "")
			var records []any
			for _, sh := range shards {
				it := s.iterator(arn, as[string](sh["ShardId"]), "TRIM_HORIZON", "")
				records = append(records, as[[]any](s.ok("GetRecords", `{"ShardIterator":"`+it+`"}`)["Records"])...)
			}
			require.Len(t, records, 2)
			assert.Equal(t, "INSERT", as[object](records[0])["eventName"])
			r := as[object](records[1])
			assert.Equal(t, "MODIFY", r["eventName"])
			assert.Equal(t, "aws:dynamodb", r["eventSource"])
			assert.Equal(t, "eu-west-1", r["awsRegion"])
			assert.Len(t, r["eventID"], 32)
			change := as[object](r["dynamodb"])
			assert.EqualValues(t, s.clock.Now().Unix(), change["ApproximateCreationDateTime"])
			assert.Equal(t, view, change["StreamViewType"])
			size := map[string]float64{"KEYS_ONLY": 3, "NEW_IMAGE": 9, "OLD_IMAGE": 6, "NEW_AND_OLD_IMAGES": 12}[view]
			assert.InDelta(t, size, change["SizeBytes"], 0, "id+a, and each image")
			for _, image := range []string{"NewImage", "OldImage"} {
				assert.Equal(t, slices.Contains(images, image), change[image] != nil, image)
			}
		})
	}
}
