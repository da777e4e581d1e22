package localaws_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"sync"
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

// kinesisStream is one stream and a client of the official SDK.
type kinesisStream struct {
	*kinesis.Client

	name *string
}

// newKinesis returns a stream with some shards in a new server.
func newKinesis(t testing.TB, shards int32) kinesisStream {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	s := kinesisStream{kinesis.NewFromConfig(server.Config()), aws.String("events")}
	_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: s.name, ShardCount: &shards})
	require.NoError(t, err)
	return s
}

func (s kinesisStream) put(t testing.TB, key, data string) *kinesis.PutRecordOutput {
	t.Helper()
	out, err := s.PutRecord(context.WithoutCancel(t.Context()),
		&kinesis.PutRecordInput{StreamName: s.name, PartitionKey: &key, Data: []byte(data)})
	require.NoError(t, err)
	return out
}

// iterator sets the stream and, by default, the first shard.
func (s kinesisStream) iterator(t testing.TB, in kinesis.GetShardIteratorInput) *string {
	t.Helper()
	in.StreamName = s.name
	if in.ShardId == nil {
		in.ShardId = aws.String("shardId-000000000000")
	}
	out, err := s.GetShardIterator(t.Context(), &in)
	require.NoError(t, err)
	return out.ShardIterator
}

func (s kinesisStream) read(t testing.TB, iterator *string, limit int32) *kinesis.GetRecordsOutput {
	t.Helper()
	in := &kinesis.GetRecordsInput{ShardIterator: iterator}
	if limit > 0 {
		in.Limit = &limit
	}
	out, err := s.GetRecords(t.Context(), in)
	require.NoError(t, err)
	return out
}

// drain reads a shard from TRIM_HORIZON to its tip or end.
func (s kinesisStream) drain(t testing.TB, shard string) []types.Record {
	t.Helper()
	var records []types.Record
	it := s.iterator(t, kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	for it != nil {
		out := s.read(t, it, 0)
		records = append(records, out.Records...)
		if *out.MillisBehindLatest == 0 {
			break
		}
		it = out.NextShardIterator
	}
	return records
}

func (s kinesisStream) shards(t testing.TB) []types.Shard {
	t.Helper()
	out, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: s.name})
	require.NoError(t, err)
	return out.Shards
}

func payloads(records []types.Record) []string {
	out := []string{}
	for _, r := range records {
		out = append(out, string(r.Data))
	}
	return out
}

func sequenceNumber(t testing.TB, s *string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(aws.ToString(s), 10)
	require.True(t, ok, "sequence number %q", aws.ToString(s))
	return n
}

func TestKinesisReturnsWhatWasPut(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	before := time.Now().Truncate(time.Millisecond)
	first := s.put(t, "user-1", "registered")
	second := s.put(t, "user-2", "\x00\xff")
	assert.Equal(t, "shardId-000000000000", *first.ShardId)
	assert.Positive(t, sequenceNumber(t, second.SequenceNumber).Cmp(sequenceNumber(t, first.SequenceNumber)))

	out := s.read(t, s.iterator(t, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}), 0)
	require.Len(t, out.Records, 2)
	assert.Equal(t, []string{"registered", "\x00\xff"}, payloads(out.Records))
	assert.Equal(t, "user-1", *out.Records[0].PartitionKey)
	assert.Equal(t, first.SequenceNumber, out.Records[0].SequenceNumber)
	assert.Equal(t, second.SequenceNumber, out.Records[1].SequenceNumber)
	assert.WithinRange(t, *out.Records[0].ApproximateArrivalTimestamp, before, time.Now())
	assert.Zero(t, *out.MillisBehindLatest)
	assert.Empty(t, out.ChildShards)

	s.put(t, "user-1", "updated")
	assert.Equal(t, []string{"updated"}, payloads(s.read(t, out.NextShardIterator, 0).Records))
}

func TestKinesisBatchesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	entries := make([]types.PutRecordsRequestEntry, 500)
	for i := range entries {
		entries[i] = types.PutRecordsRequestEntry{PartitionKey: aws.String(strconv.Itoa(i)), Data: []byte(strconv.Itoa(i))}
	}
	out, err := s.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: s.name, Records: entries})
	require.NoError(t, err)
	assert.Zero(t, *out.FailedRecordCount)
	require.Len(t, out.Records, 500)
	records := s.drain(t, "shardId-000000000000")
	require.Len(t, records, 500)
	for i, r := range records {
		assert.Equal(t, strconv.Itoa(i), string(r.Data))
		assert.Equal(t, *out.Records[i].SequenceNumber, *r.SequenceNumber)
		assert.Empty(t, aws.ToString(out.Records[i].ErrorCode))
	}
}

// One record above the stream's limit fails the whole call.
// https://docs.aws.amazon.com/streams/latest/dev/large-records.html
func TestKinesisOversizedRecordRefusesTheBatch(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	batch := &kinesis.PutRecordsInput{StreamName: s.name, Records: []types.PutRecordsRequestEntry{
		{PartitionKey: aws.String("k"), Data: []byte("small")},
		{PartitionKey: aws.String("k"), Data: make([]byte, 1<<20)}, // with its key over 1 MiB
	}}
	_, err := s.PutRecords(t.Context(), batch)
	require.ErrorContains(t, err, "ValidationException")
	require.ErrorContains(t, err, "records.2.member.data")
	require.Empty(t, s.drain(t, "shardId-000000000000"))

	summary, err := s.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: s.name})
	require.NoError(t, err)
	require.EqualValues(t, 1024, *summary.StreamDescriptionSummary.MaxRecordSizeInKiB)
	_, err = s.UpdateMaxRecordSize(t.Context(), &kinesis.UpdateMaxRecordSizeInput{
		StreamARN: summary.StreamDescriptionSummary.StreamARN, MaxRecordSizeInKiB: aws.Int32(2048),
	})
	require.NoError(t, err)
	_, err = s.PutRecords(t.Context(), batch)
	require.NoError(t, err)
	require.Len(t, s.drain(t, "shardId-000000000000"), 2)
}

func TestKinesisIteratorsOfEachTypeStartWhereDocumented(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		var puts []*kinesis.PutRecordOutput
		for _, data := range []string{"a", "b", "c"} {
			puts = append(puts, s.put(t, "k", data))
			time.Sleep(time.Second)
		}
		start := s.shards(t)[0].SequenceNumberRange.StartingSequenceNumber
		secondAt := time.Now().Add(-2 * time.Second)
		tests := []struct {
			name string
			in   kinesis.GetShardIteratorInput
			want []string
		}{
			{"trim horizon", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, []string{"a", "b", "c", "d"}},
			{"latest", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}, []string{"d"}},
			{
				"at", kinesis.GetShardIteratorInput{
					ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: puts[1].SequenceNumber,
				}, []string{"b", "c", "d"},
			},
			{
				"after", kinesis.GetShardIteratorInput{
					ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: puts[1].SequenceNumber,
				}, []string{"c", "d"},
			},
			{
				"at the shard's start", kinesis.GetShardIteratorInput{
					ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: start,
				}, []string{"a", "b", "c", "d"},
			},
			{
				"after the shard's start", kinesis.GetShardIteratorInput{
					ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: start,
				}, []string{"a", "b", "c", "d"},
			},
			{
				"at a record's time",
				kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &secondAt},
				[]string{"b", "c", "d"},
			},
			{
				"between two records", kinesis.GetShardIteratorInput{
					ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(secondAt.Add(time.Millisecond)),
				}, []string{"c", "d"},
			},
			{
				"before the stream", kinesis.GetShardIteratorInput{
					ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(secondAt.Add(-time.Hour)),
				}, []string{"a", "b", "c", "d"},
			},
			{
				"now",
				kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Now())},
				[]string{"d"},
			},
		}
		iterators := make([]*string, len(tests))
		for i, tt := range tests {
			iterators[i] = s.iterator(t, tt.in)
		}
		s.put(t, "k", "d") // after the iterators, so that "latest" has something to find
		for i, tt := range tests {
			assert.Equal(t, tt.want, payloads(s.read(t, iterators[i], 0).Records), tt.name)
		}
	})
}

func TestKinesisIteratorsExpireAfterFiveMinutes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 2)
		it := s.iterator(t, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
		page, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: s.name, MaxResults: aws.Int32(1)})
		require.NoError(t, err)

		time.Sleep(5 * time.Minute)
		it2 := s.read(t, it, 0).NextShardIterator // just before it expires
		_, err = s.ListShards(t.Context(), &kinesis.ListShardsInput{NextToken: page.NextToken})
		require.NoError(t, err)

		time.Sleep(time.Millisecond)
		_, err = s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it})
		var expired *types.ExpiredIteratorException
		require.ErrorAs(t, err, &expired)
		// AWS's words: https://github.com/mhart/kinesalite/blob/master/test/getRecords.js
		require.Equal(t, "Iterator expired. The iterator was created at time Sat Jan 01 00:00:00 UTC 2000 while right now it is "+
			"Sat Jan 01 00:05:00 UTC 2000 which is further in the future than the tolerated delay of 300000 milliseconds.", expired.ErrorMessage())
		_, err = s.ListShards(t.Context(), &kinesis.ListShardsInput{NextToken: page.NextToken})
		var expiredToken *types.ExpiredNextTokenException
		require.ErrorAs(t, err, &expiredToken)

		s.read(t, it2, 0) // each read restarts the five minutes
	})
}

// https://docs.aws.amazon.com/streams/latest/dev/kinesis-extended-retention.html
func TestKinesisTrimsAfterTheRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		old := s.put(t, "k", "old")
		time.Sleep(12 * time.Hour)
		s.put(t, "k", "young")
		time.Sleep(12 * time.Hour)
		require.Equal(t, []string{"old", "young"}, payloads(s.drain(t, "shardId-000000000000")), "exactly a day")
		time.Sleep(time.Millisecond)
		require.Equal(t, []string{"young"}, payloads(s.drain(t, "shardId-000000000000")))
		it := s.iterator(t, kinesis.GetShardIteratorInput{
			ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: old.SequenceNumber,
		})
		require.Equal(t, []string{"young"}, payloads(s.read(t, it, 0).Records), "a trimmed number is the oldest left")

		_, err := s.IncreaseStreamRetentionPeriod(t.Context(), &kinesis.IncreaseStreamRetentionPeriodInput{
			StreamName: s.name, RetentionPeriodHours: aws.Int32(48),
		})
		require.NoError(t, err)
		time.Sleep(35 * time.Hour)
		require.Equal(t, []string{"young"}, payloads(s.drain(t, "shardId-000000000000")))
		_, err = s.DecreaseStreamRetentionPeriod(t.Context(), &kinesis.DecreaseStreamRetentionPeriodInput{
			StreamName: s.name, RetentionPeriodHours: aws.Int32(24),
		})
		require.NoError(t, err)
		require.Empty(t, s.drain(t, "shardId-000000000000"))
		newest := s.put(t, "k", "new")
		require.Positive(t, sequenceNumber(t, newest.SequenceNumber).Cmp(sequenceNumber(t, old.SequenceNumber)))
		require.Equal(t, []string{"new"}, payloads(s.drain(t, "shardId-000000000000")))
	})
}

func TestKinesisReportsMillisBehindLatest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1)
		for _, data := range []string{"a", "b", "c"} {
			s.put(t, "k", data)
			time.Sleep(time.Second)
		}
		it := s.iterator(t, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		var behind []int64
		for range 4 {
			out := s.read(t, it, 1)
			behind = append(behind, *out.MillisBehindLatest)
			it = out.NextShardIterator
		}
		assert.Equal(t, []int64{3000, 2000, 0, 0}, behind)

		s.put(t, "k", "d")
		s.put(t, "k", "e") // in the same millisecond
		assert.Positive(t, *s.read(t, it, 1).MillisBehindLatest, "0 would say that there is nothing more")
	})
}

func TestKinesisConcurrentPutsAreReadOnceInOrder(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 4)
	const writers, each = 50, 20
	sequences := make([]map[string]string, writers) // by payload
	var wg sync.WaitGroup
	for w := range writers {
		sequences[w] = map[string]string{}
		wg.Go(func() {
			for i := range each {
				data := fmt.Sprintf("%d/%d", w, i)
				sequences[w][data] = *s.put(t, strconv.Itoa(w), data).SequenceNumber
			}
		})
	}
	wg.Wait()
	seen := map[string]string{}
	next := make([]int, writers)
	for _, shard := range s.shards(t) {
		last := new(big.Int)
		for _, r := range s.drain(t, *shard.ShardId) {
			n := sequenceNumber(t, r.SequenceNumber)
			require.Positive(t, n.Cmp(last), "sequence numbers of a shard grow")
			last = n
			require.NotContains(t, seen, string(r.Data))
			seen[string(r.Data)] = *r.SequenceNumber
			w, err := strconv.Atoi(*r.PartitionKey)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%d/%d", w, next[w]), string(r.Data), "a writer's records are in its order")
			next[w]++
		}
	}
	require.Len(t, seen, writers*each)
	for _, mine := range sequences {
		for data, n := range mine {
			require.Equal(t, n, seen[data])
		}
	}
}

func TestKinesisStreamsAreListedAndDeleted(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	for _, name := range []string{"b", "a", "c"} {
		_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)})
		require.NoError(t, err)
	}
	var names []string
	for pages := kinesis.NewListStreamsPaginator(s, &kinesis.ListStreamsInput{Limit: aws.Int32(3)}); pages.HasMorePages(); {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.StreamNames), 3)
		names = append(names, page.StreamNames...)
	}
	require.Equal(t, []string{"a", "b", "c", "events"}, names)

	s.put(t, "k", "lost")
	it := s.iterator(t, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	_, err := s.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: s.name})
	require.NoError(t, err)
	_, err = s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it})
	var notFound *types.ResourceNotFoundException
	require.ErrorAs(t, err, &notFound)
	_, err = s.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamName: s.name})
	require.ErrorAs(t, err, &notFound)
	out, err := s.ListStreams(t.Context(), &kinesis.ListStreamsInput{})
	require.NoError(t, err)
	require.False(t, slices.Contains(out.StreamNames, *s.name))
}

func TestKinesisStreamsAreTagged(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	_, err := s.AddTagsToStream(t.Context(), &kinesis.AddTagsToStreamInput{
		StreamName: s.name, Tags: map[string]string{"team": "iam", "stage": "test"},
	})
	require.NoError(t, err)
	_, err = s.RemoveTagsFromStream(t.Context(), &kinesis.RemoveTagsFromStreamInput{StreamName: s.name, TagKeys: []string{"stage"}})
	require.NoError(t, err)
	out, err := s.ListTagsForStream(t.Context(), &kinesis.ListTagsForStreamInput{StreamName: s.name})
	require.NoError(t, err)
	require.Equal(t, []types.Tag{{Key: aws.String("team"), Value: aws.String("iam")}}, out.Tags)
	tooMany := map[string]string{}
	for i := range 50 {
		tooMany[strconv.Itoa(i)] = ""
	}
	_, err = s.AddTagsToStream(t.Context(), &kinesis.AddTagsToStreamInput{StreamName: s.name, Tags: tooMany})
	var invalid *types.InvalidArgumentException
	require.ErrorAs(t, err, &invalid)
}

// https://github.com/etspaceman/kinesis-mock/issues/336, https://docs.aws.amazon.com/streams/latest/dev/how-do-i-size-a-stream.html
func TestKinesisStreamsWithoutAShardCountAreOnDemand(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("demand")})
	require.NoError(t, err)
	d, err := s.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String("demand")})
	require.NoError(t, err)
	assert.Equal(t, types.StreamModeOnDemand, d.StreamDescription.StreamModeDetails.StreamMode)
	assert.Len(t, d.StreamDescription.Shards, 4)
	_, err = s.CreateStream(t.Context(), &kinesis.CreateStreamInput{
		StreamName: aws.String("provisioned"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeProvisioned},
	})
	require.ErrorContains(t, err, "ShardCount is required")
}
