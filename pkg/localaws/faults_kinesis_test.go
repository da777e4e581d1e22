package localaws_test

import (
	"errors"
	"net/http"
	"strconv"
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

// stream is a stream of one shard.
func (f faulty) stream(t *testing.T) kinesisStream {
	t.Helper()
	s := kinesisStream{f.kinesis, aws.String("events")}
	_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: s.name, ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	return s
}

func (s kinesisStream) page(t *testing.T, iterator *string, limit int32) (data []string, next *string) {
	t.Helper()
	out, err := s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: &limit})
	require.NoError(t, err)
	for _, r := range out.Records {
		data = append(data, string(r.Data))
	}
	return data, out.NextShardIterator
}

func (s kinesisStream) fromStart(t *testing.T) *string {
	t.Helper()
	return s.iterator(t, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
}

func TestPartialFailsRecordsOfABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		s := f.stream(t)
		in := &kinesis.PutRecordsInput{StreamName: s.name}
		for i := range 100 {
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: []byte(strconv.Itoa(i)), PartitionKey: aws.String("k")})
		}
		f.set(t, once(localaws.FaultPartial, "Kinesis.*"))
		out, err := s.PutRecords(t.Context(), in)
		require.NoError(t, err)
		require.Len(t, out.Records, 100)
		var done []string
		codes := map[string]int{}
		for i, r := range out.Records {
			if r.ErrorCode == nil {
				assert.NotEmpty(t, *r.SequenceNumber)
				assert.NotEmpty(t, *r.ShardId)
				done = append(done, strconv.Itoa(i))
				continue
			}
			codes[*r.ErrorCode]++
			assert.NotEmpty(t, *r.ErrorMessage)
			assert.Nil(t, r.SequenceNumber)
			assert.Nil(t, r.ShardId)
		}
		assert.EqualValues(t, 100-len(done), *out.FailedRecordCount)
		assert.Len(t, codes, 2)
		assert.Greater(t, codes["ProvisionedThroughputExceededException"], 10)
		assert.Greater(t, codes["InternalFailure"], 10)
		got, _ := s.page(t, s.fromStart(t), 1000)
		assert.Equal(t, done, got, "the others took no effect")
		out, err = s.PutRecords(t.Context(), in)
		require.NoError(t, err)
		assert.Zero(t, *out.FailedRecordCount, "once was the limit")
		assert.Equal(t, map[string]int64{"Kinesis.PutRecords": 1}, f.strikes(t))
	})
}

func TestExpireIteratorStrikesKinesis(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		s := f.stream(t)
		f.set(t, once(localaws.FaultExpireIterator, "Kinesis.GetRecords"))
		it := s.fromStart(t)
		_, err := s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it})
		_, ok := errors.AsType[*types.ExpiredIteratorException](err)
		assert.True(t, ok, err)
		_, err = s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it})
		require.NoError(t, err)
	})
}

func TestDuplicateRepeatsKinesisRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		s := f.stream(t)
		for i := range 50 {
			s.put(t, "k", strconv.Itoa(i))
		}
		_, err := s.SplitShard(t.Context(), &kinesis.SplitShardInput{
			StreamName: s.name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("1000"),
		})
		require.NoError(t, err)
		f.set(t, always(localaws.FaultDuplicate, "Kinesis.GetRecords"))
		next, newest, delivered := s.fromStart(t), -1, 0
		for next != nil {
			var page []string
			page, next = s.page(t, next, 5)
			delivered += len(page)
			before := newest
			for i, data := range page {
				n := atoi(t, data)
				assert.LessOrEqual(t, n, newest+1, "no gap")
				assert.True(t, i == 0 || n == atoi(t, page[i-1])+1)
				newest = max(newest, n)
			}
			require.Greater(t, newest, before, "each page gets on")
		}
		assert.Equal(t, 49, newest)
		assert.Greater(t, delivered, 60)
	})
}

func TestTrimStreamRemovesRecordsAndClosedShards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		s := f.stream(t)
		first := s.put(t, "k", "old")
		start := s.fromStart(t)
		time.Sleep(time.Minute) // virtual
		middle := time.Now()
		s.put(t, "k", "new")
		require.NoError(t, f.TrimStream(*s.name, middle))
		got, _ := s.page(t, start, 10)
		assert.Equal(t, []string{"new"}, got, "the gap is not reported")
		got, _ = s.page(t, s.iterator(t, kinesis.GetShardIteratorInput{
			ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: first.SequenceNumber,
		}), 10)
		assert.Equal(t, []string{"new"}, got)

		_, err := s.SplitShard(t.Context(), &kinesis.SplitShardInput{
			StreamName: s.name, ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("1000"),
		})
		require.NoError(t, err)
		s.put(t, "k", "newer")
		status, body := own(t, f, http.MethodPost, "trim", `{"stream":"events"}`)
		assert.Equal(t, http.StatusNoContent, status, body)
		require.NoError(t, f.TrimStream(*s.name, middle), "what is gone stays gone")
		s.put(t, "k", "newest")
		listed, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: s.name})
		require.NoError(t, err)
		var left []string
		for _, sh := range listed.Shards {
			assert.NotEqual(t, "shardId-000000000000", *sh.ShardId, "gone with its records")
			data, _ := s.page(t, s.iterator(t, kinesis.GetShardIteratorInput{
				ShardId: sh.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
			}), 10)
			left = append(left, data...)
		}
		assert.Equal(t, []string{"newest"}, left)
		_, err = s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: start})
		assert.Equal(t, "ResourceNotFoundException", errorCode(err))
	})
}
