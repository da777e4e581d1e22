package kinesis

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A read ends before it would exceed 10 MB, and the next one continues.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
func TestReadsEndAt10MB(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	name, key, shard, horizon := "s", "k", "shardId-0", trimHorizon
	for i := range 12 {
		data := make([]byte, 1<<20-1) // a MiB with its key
		data[0] = byte(i)
		_, err := a.k.putRecord(t.Context(), &putRecordInput{
			streamRef: streamRef{StreamName: &name}, recordInput: recordInput{PartitionKey: &key, Data: data},
		})
		require.NoError(t, err)
	}
	it, err := a.k.getShardIterator(t.Context(), &getShardIteratorInput{
		streamRef: streamRef{StreamName: &name}, ShardID: &shard, ShardIteratorType: &horizon,
	})
	require.NoError(t, err)
	first, err := a.k.getRecords(t.Context(), &getRecordsInput{ShardIterator: &it.ShardIterator})
	require.NoError(t, err)
	require.Len(t, first.Records, 10)
	assert.Positive(t, first.MillisBehindLatest)
	second, err := a.k.getRecords(t.Context(), &getRecordsInput{ShardIterator: first.NextShardIterator})
	require.NoError(t, err)
	require.Len(t, second.Records, 2)
	assert.Equal(t, byte(10), second.Records[0].Data[0])
	assert.Zero(t, second.MillisBehindLatest)
}

// A first record that is larger than the bound is returned alone.
func TestReadsReturnAtLeastOneRecord(t *testing.T) {
	t.Parallel()
	s := &shard{stream: &stream{}}
	now := time.Unix(1, 0)
	s.append("key", make([]byte, 100), now, time.Time{})
	s.append("key", []byte("x"), now, time.Time{})
	p := s.read(0, 10, 50, time.Time{})
	assert.Len(t, p.records, 1)
	assert.True(t, p.more)
	assert.Len(t, s.read(p.next(), 10, 50, time.Time{}).records, 1)
}

// A shard stays sorted and searchable by time if the clock is set back.
func TestShardsStaySortedWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	s := &shard{stream: &stream{}}
	for _, second := range []int64{10, 5, 20} {
		s.append("key", nil, time.Unix(second, 0), time.Time{})
	}
	assert.EqualValues(t, 1, s.since(time.Unix(10, 0)))
	assert.EqualValues(t, 3, s.since(time.Unix(11, 0)))
}

// Trimmed data is freed, and the numbering continues.
func TestTrimmedRecordsAreFreed(t *testing.T) {
	t.Parallel()
	s := &shard{stream: &stream{}}
	for second := range int64(5) {
		s.append("key", []byte("data"), time.Unix(second, 0), time.Time{})
	}
	backing := s.records
	p := s.read(0, 10, 1<<20, time.Unix(3, 0))
	assert.EqualValues(t, 4, p.first)
	assert.Len(t, p.records, 2)
	for _, r := range backing[:3] {
		assert.Zero(t, r)
	}
	assert.EqualValues(t, 6, s.append("key", nil, time.Unix(6, 0), time.Unix(9, 0)))
	assert.EqualValues(t, 7, s.tip())
}

// An iterator of a deleted stream reads a new stream of the same name from the start.
// https://github.com/mhart/kinesalite/blob/master/test/getRecords.js (checked against AWS)
func TestIteratorsOfADeletedStreamReadItsSuccessorFromTheStart(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	a := api{t, New(Options{Region: "us-east-1", AccountID: "000000000000", Now: func() time.Time { return now }})}
	a.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	for range 3 {
		a.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"b2xk"}`)
	}
	it := a.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"LATEST"}`)
	read := fmt.Sprintf(`{"ShardIterator":%q}`, it["ShardIterator"])
	a.ok("DeleteStream", `{"StreamName":"s"}`)
	code, message := a.refused("GetRecords", read)
	assert.Equal(t, notFound, code)
	assert.Equal(t, "Shard shardId-000000000000 in stream s under account 000000000000 does not exist", message)
	now = now.Add(time.Minute)
	a.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	a.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"bmV3"}`)
	assert.Len(t, a.ok("GetRecords", read)["Records"], 1)

	code, _ = a.refused("ListShards", `{"StreamName":"s","StreamCreationTimestamp":1700000000}`)
	assert.Equal(t, notFound, code)
	a.ok("ListShards", `{"StreamName":"s","StreamCreationTimestamp":1700000060}`)
}

// The time of creation tells a stream from a former one, also for a reader that knows it to the second.
func TestAStreamMadeAnewAtOnceIsCreatedInALaterSecond(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 5e8)
	a := api{t, New(Options{Region: "us-east-1", AccountID: "000000000000", Now: func() time.Time { return now }})}
	for second := range int64(3) {
		a.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
		a.ok("ListShards", fmt.Sprintf(`{"StreamName":"s","StreamCreationTimestamp":%d}`, now.Unix()+second))
		a.ok("DeleteStream", `{"StreamName":"s"}`)
	}
}

// Records that expired under the old retention do not return with a longer one.
func TestLongerRetentionDoesNotRestoreExpiredRecords(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	a := api{t, New(Options{Region: "us-east-1", AccountID: "000000000000", Now: func() time.Time { return now }})}
	a.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	a.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"b2xk"}`)
	now = now.Add(25 * time.Hour)
	a.ok("IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`)
	it := a.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"TRIM_HORIZON"}`)
	assert.Empty(t, a.ok("GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it["ShardIterator"]))["Records"])
}

func TestShardQuotaCountsOpenShards(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, step := range []struct {
		operation, body string
		open            int64
	}{
		{"CreateStream", `{"StreamName":"s","ShardCount":2}`, 2},
		{"CreateStream", `{"StreamName":"t","ShardCount":3}`, 5},
		{"SplitShard", `{"StreamName":"s","ShardToSplit":"0","NewStartingHashKey":"10"}`, 6},
		{"MergeShards", `{"StreamName":"s","ShardToMerge":"2","AdjacentShardToMerge":"3"}`, 5},
		{"DeleteStream", `{"StreamName":"t"}`, 2},
	} {
		a.ok(step.operation, step.body)
		assert.Equal(t, step.open, a.k.openShards.Load(), step.operation)
	}
}

// The times that a record and a stream show, in milliseconds, select that record and its shard.
func TestShownTimesFindTheirRecordsAndShards(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 123_456_789)
	a := api{t, New(Options{Region: "us-east-1", AccountID: "000000000000", Now: func() time.Time { return now }})}
	a.ok("CreateStream", `{"StreamName":"s","ShardCount":1}`)
	a.ok("PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":""}`)
	it := a.ok("GetShardIterator", `{"StreamName":"s","ShardId":"0","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1700000000.123}`)
	got := a.ok("GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it["ShardIterator"]))
	records, ok := got["Records"].([]any)
	require.True(t, ok)
	require.Len(t, records, 1)
	record, ok := records[0].(map[string]any)
	require.True(t, ok)
	assert.InDelta(t, 1700000000.123, record["ApproximateArrivalTimestamp"], 1e-6)
	shards := a.ok("ListShards", `{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":1700000000.123}}`)["Shards"]
	assert.Len(t, shards, 1)
}
