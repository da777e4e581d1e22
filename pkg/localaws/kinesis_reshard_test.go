package localaws_test

import (
	"crypto/md5"
	"encoding/hex"
	"math/big"
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
	"pgregory.net/rapid"
)

const maxHashKey = "340282366920938463463374607431768211455" // 2^128-1

func bigNumber(t require.TestingT, s *string) *big.Int {
	n, ok := new(big.Int).SetString(aws.ToString(s), 10)
	require.True(t, ok)
	return n
}

// split splits a shard in the middle.
func (s kinesisStream) split(t testing.TB, shard types.Shard) {
	t.Helper()
	middle := new(big.Int).Add(bigNumber(t, shard.HashKeyRange.StartingHashKey), bigNumber(t, shard.HashKeyRange.EndingHashKey))
	_, err := s.SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: s.name, ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle.Rsh(middle, 1).String()),
	})
	require.NoError(t, err)
}

func (s kinesisStream) merge(t testing.TB, lower, upper string) {
	t.Helper()
	_, err := s.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: s.name, ShardToMerge: &lower, AdjacentShardToMerge: &upper})
	require.NoError(t, err)
}

func shardIDs(shards []types.Shard) []string {
	ids := []string{}
	for _, s := range shards {
		n, _ := strconv.Atoi((*s.ShardId)[len("shardId-"):])
		ids = append(ids, strconv.Itoa(n))
	}
	return ids
}

// https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html
func TestKinesisSplitThenMergeKeepsTheLineage(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 1)
	s.put(t, "k", "to the first")
	s.split(t, s.shards(t)[0])
	s.put(t, "k", "to a half")
	s.merge(t, "shardId-000000000001", "shardId-000000000002")
	last := s.put(t, "k", "to the last")

	shards := s.shards(t)
	require.Len(t, shards, 4)
	root, low, high, merged := shards[0], shards[1], shards[2], shards[3]
	assert.Nil(t, root.ParentShardId)
	for _, child := range []types.Shard{low, high} {
		assert.Equal(t, root.ShardId, child.ParentShardId)
		assert.Nil(t, child.AdjacentParentShardId)
	}
	assert.Equal(t, low.ShardId, merged.ParentShardId)
	assert.Equal(t, high.ShardId, merged.AdjacentParentShardId)
	assert.Equal(t, *merged.ShardId, *last.ShardId)

	assert.Equal(t, "0", *low.HashKeyRange.StartingHashKey)
	assert.Equal(t, "170141183460469231731687303715884105726", *low.HashKeyRange.EndingHashKey)
	assert.Equal(t, "170141183460469231731687303715884105727", *high.HashKeyRange.StartingHashKey)
	assert.Equal(t, maxHashKey, *high.HashKeyRange.EndingHashKey)
	assert.Equal(t, "0", *merged.HashKeyRange.StartingHashKey)
	assert.Equal(t, maxHashKey, *merged.HashKeyRange.EndingHashKey)

	for _, closed := range []types.Shard{root, low, high} {
		assert.Positive(t, bigNumber(t, closed.SequenceNumberRange.EndingSequenceNumber).
			Cmp(bigNumber(t, closed.SequenceNumberRange.StartingSequenceNumber)))
	}
	assert.Nil(t, merged.SequenceNumberRange.EndingSequenceNumber)
	for _, edge := range [][2]types.Shard{{root, low}, {root, high}, {low, merged}, {high, merged}} {
		assert.Negative(t, bigNumber(t, edge[0].SequenceNumberRange.EndingSequenceNumber).
			Cmp(bigNumber(t, edge[1].SequenceNumberRange.StartingSequenceNumber)), "a child's numbers are past its parents'")
	}

	assert.Equal(t, []string{"to the first"}, payloads(s.drain(t, *root.ShardId)))
	assert.Equal(t, []string{"to a half"}, payloads(append(s.drain(t, *low.ShardId), s.drain(t, *high.ShardId)...)))
	assert.Equal(t, []string{"to the last"}, payloads(s.drain(t, *merged.ShardId)))

	_, err := s.SplitShard(t.Context(), &kinesis.SplitShardInput{
		StreamName: s.name, ShardToSplit: low.ShardId, NewStartingHashKey: aws.String("10"),
	})
	require.ErrorContains(t, err, "has already been merged or split, and thus is not eligible for merging or splitting.")
	summary, err := s.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: s.name})
	require.NoError(t, err)
	assert.EqualValues(t, 1, *summary.StreamDescriptionSummary.OpenShardCount)
}

// The last page of a closed shard has no next iterator, but the child shards.
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
func TestKinesisClosedShardEndsWithItsChildren(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 2)
	s.put(t, "k", "a")
	tail := map[string]*string{} // iterators at the tip
	for _, shard := range s.shards(t) {
		it := s.iterator(t, kinesis.GetShardIteratorInput{ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		tail[*shard.ShardId] = s.read(t, it, 0).NextShardIterator
	}
	s.put(t, "k", "b")
	s.merge(t, "shardId-000000000000", "shardId-000000000001")

	read := []string{}
	for _, it := range tail {
		out := s.read(t, it, 0)
		read = append(read, payloads(out.Records)...)
		assert.Nil(t, out.NextShardIterator)
		assert.Zero(t, *out.MillisBehindLatest)
		require.Len(t, out.ChildShards, 1)
		assert.Equal(t, "shardId-000000000002", *out.ChildShards[0].ShardId)
		assert.Equal(t, []string{"shardId-000000000000", "shardId-000000000001"}, out.ChildShards[0].ParentShards)
		assert.Equal(t, maxHashKey, *out.ChildShards[0].HashKeyRange.EndingHashKey)
	}
	assert.Equal(t, []string{"b"}, read)

	s.split(t, s.shards(t)[2])
	it := s.iterator(t, kinesis.GetShardIteratorInput{
		ShardId: aws.String("shardId-000000000002"), ShardIteratorType: types.ShardIteratorTypeLatest,
	})
	assert.Len(t, s.read(t, it, 0).ChildShards, 2)
}

func TestKinesisListShardsHasPages(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 7)
	in := &kinesis.ListShardsInput{StreamName: s.name, MaxResults: aws.Int32(3)}
	var pages [][]string
	for {
		out, err := s.ListShards(t.Context(), in)
		require.NoError(t, err)
		pages = append(pages, shardIDs(out.Shards))
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(3)}
	}
	assert.Equal(t, [][]string{{"0", "1", "2"}, {"3", "4", "5"}, {"6"}}, pages)

	out, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{
		StreamName: s.name, ExclusiveStartShardId: aws.String("shardId-000000000004"),
	})
	require.NoError(t, err)
	assert.Equal(t, []string{"5", "6"}, shardIDs(out.Shards))

	var described []string
	for p := kinesis.NewDescribeStreamPaginator(s, &kinesis.DescribeStreamInput{StreamName: s.name, Limit: aws.Int32(4)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.StreamDescription.Shards), 4)
		described = append(described, shardIDs(page.StreamDescription.Shards)...)
	}
	assert.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6"}, described)
}

// A token continues with the filter of its first request.
func TestKinesisListShardsTokensKeepTheFilter(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 2)
	s.split(t, s.shards(t)[1])
	out, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{
		StreamName: s.name, MaxResults: aws.Int32(1), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"0"}, shardIDs(out.Shards))
	out, err = s.ListShards(t.Context(), &kinesis.ListShardsInput{NextToken: out.NextToken})
	require.NoError(t, err)
	require.Equal(t, []string{"2", "3"}, shardIDs(out.Shards))
}

// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_ShardFilter.html
func TestKinesisShardFiltersSelectByLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newKinesis(t, 1) // 0
		begin := time.Now()
		time.Sleep(10 * time.Hour)
		s.split(t, s.shards(t)[0]) // 1, 2 at 10 h
		time.Sleep(10 * time.Hour)
		s.merge(t, "shardId-000000000001", "shardId-000000000002") // 3 at 20 h
		at := func(h int) *time.Time { return aws.Time(begin.Add(time.Duration(h) * time.Hour)) }
		list := func(f types.ShardFilter) []string {
			out, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: s.name, ShardFilter: &f})
			require.NoError(t, err)
			return shardIDs(out.Shards)
		}
		time.Sleep(time.Hour)
		assert.Equal(t, []string{"3"}, list(types.ShardFilter{Type: types.ShardFilterTypeAtLatest}))
		assert.Equal(t, []string{"0"}, list(types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}))
		assert.Equal(t, []string{"0", "1", "2", "3"}, list(types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}))
		assert.Equal(t, []string{"2", "3"}, list(types.ShardFilter{
			Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String("shardId-000000000001"),
		}))
		assert.Equal(t, []string{"0"}, list(types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: at(5)}))
		assert.Equal(t, []string{"1", "2"}, list(types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: at(15)}))
		assert.Equal(t, []string{"1", "2", "3"}, list(types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at(15)}))
		assert.Equal(t, []string{"0", "1", "2", "3"}, list(types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: at(-9)}))

		time.Sleep(16 * time.Hour) // 37 h: the horizon is at 13 h, and the root is gone
		assert.Equal(t, []string{"1", "2"}, list(types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}))
		assert.Equal(t, []string{"1", "2", "3"}, list(types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}))
		assert.Equal(t, []string{"1", "2", "3"}, shardIDs(s.shards(t)))
		_, err := s.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
			StreamName: s.name, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		var notFound *types.ResourceNotFoundException
		require.ErrorAs(t, err, &notFound)
	})
}

// After any splits and merges, every record is in the open shard whose range contains the MD5 of its key or its explicit
// hash key. The model uses only ListShards.
func TestKinesisRoutesByHashKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := newKinesis(t, rapid.Int32Range(1, 5).Draw(rt, "shards"))
		for range rapid.IntRange(0, 4).Draw(rt, "reshards") {
			open := s.openShards(t)
			i := rapid.IntRange(0, len(open)-1).Draw(rt, "shard")
			if above := neighbour(open, open[i]); above != nil && rapid.Bool().Draw(rt, "merge") {
				s.merge(t, *open[i].ShardId, *above.ShardId)
			} else {
				s.split(t, open[i])
			}
		}
		open := s.openShards(t)
		for range 8 {
			key := rapid.StringN(1, 20, 256).Draw(rt, "key")
			in := &kinesis.PutRecordInput{StreamName: s.name, PartitionKey: &key, Data: []byte(key)}
			sum := md5.Sum([]byte(key))
			hash, _ := new(big.Int).SetString(hex.EncodeToString(sum[:]), 16)
			if rapid.Bool().Draw(rt, "explicit") {
				// the edges of ranges, above all
				edge := rapid.SampledFrom(open).Draw(rt, "edge").HashKeyRange
				hash = bigNumber(rt, rapid.SampledFrom([]*string{edge.StartingHashKey, edge.EndingHashKey}).Draw(rt, "end"))
				in.ExplicitHashKey = aws.String(hash.String())
			}
			var want []string
			for _, shard := range open {
				if bigNumber(rt, shard.HashKeyRange.StartingHashKey).Cmp(hash) <= 0 && hash.Cmp(bigNumber(rt, shard.HashKeyRange.EndingHashKey)) <= 0 {
					want = append(want, *shard.ShardId)
				}
			}
			out, err := s.PutRecord(t.Context(), in)
			require.NoError(rt, err)
			require.Equal(rt, want, []string{*out.ShardId})
		}
	})
}

func (s kinesisStream) openShards(t testing.TB) []types.Shard {
	t.Helper()
	out, err := s.ListShards(t.Context(), &kinesis.ListShardsInput{
		StreamName: s.name, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	})
	require.NoError(t, err)
	return out.Shards
}

// neighbour returns the shard that begins where another ends.
func neighbour(shards []types.Shard, of types.Shard) *types.Shard {
	end, _ := new(big.Int).SetString(*of.HashKeyRange.EndingHashKey, 10)
	start := end.Add(end, big.NewInt(1)).String()
	for _, s := range shards {
		if *s.HashKeyRange.StartingHashKey == start {
			return &s
		}
	}
	return nil
}

// Writers continue while their shards are split and merged. If parents are read before children, every record is read once,
// and each key's records in the order of their writer.
func TestKinesisOrderSurvivesResharding(t *testing.T) {
	t.Parallel()
	s := newKinesis(t, 2)
	const writers, each = 8, 100
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				s.put(t, strconv.Itoa(w), strconv.Itoa(i))
			}
		})
	}
	for i := range 20 {
		open := s.openShards(t)
		above := neighbour(open, open[0])
		if i%2 == 0 || above == nil {
			s.split(t, open[i%len(open)])
		} else {
			s.merge(t, *open[0].ShardId, *above.ShardId)
		}
	}
	wg.Wait()
	next := map[string]int{}
	last := map[string]*big.Int{}
	for _, shard := range s.shards(t) { // a child's index is greater than its parents'
		for _, r := range s.drain(t, *shard.ShardId) {
			require.Equal(t, strconv.Itoa(next[*r.PartitionKey]), string(r.Data), "key %s", *r.PartitionKey)
			next[*r.PartitionKey]++
			n := bigNumber(t, r.SequenceNumber)
			if before := last[*r.PartitionKey]; before != nil {
				require.Positive(t, n.Cmp(before))
			}
			last[*r.PartitionKey] = n
		}
	}
	for w := range writers {
		require.Equal(t, each, next[strconv.Itoa(w)], "writer %d", w)
	}
}
