package kinesis

import (
	"crypto/md5"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawSequence(t *rapid.T, name string) sequence {
	return sequence{
		birth:   rapid.Int64Range(0, 1<<36-1).Draw(t, name+".birth"),
		counter: rapid.Uint64Range(0, endOfShard).Draw(t, name+".counter"),
		shard:   rapid.IntRange(0, maxShardIndex).Draw(t, name+".shard"),
	}
}

func number(t require.TestingT, s sequence) *big.Int {
	n, ok := new(big.Int).SetString(s.String(), 10)
	require.True(t, ok)
	return n
}

func TestSequenceNumbersAreParsed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawSequence(t, "s")
		got, ok := parseSequence(s.String())
		require.True(t, ok)
		require.Equal(t, s, got)
		require.Len(t, s.String(), 56) // as AWS's are
	})
}

// Within a shard the counter decides. A child was born later, so its numbers are above its parents' whatever the counters.
func TestSequenceNumbersGrowWithinALineage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawSequence(t, "a"), drawSequence(t, "b")
		if rapid.Bool().Draw(t, "same shard") {
			b.birth, b.shard = a.birth, a.shard
		}
		want := 0
		switch {
		case a.birth != b.birth:
			want = big.NewInt(a.birth).Cmp(big.NewInt(b.birth))
		case a.counter != b.counter:
			want = new(big.Int).SetUint64(a.counter).Cmp(new(big.Int).SetUint64(b.counter))
		default:
			want = big.NewInt(int64(a.shard)).Cmp(big.NewInt(int64(b.shard)))
		}
		require.Equal(t, want, number(t, a).Cmp(number(t, b)))
	})
}

func TestForeignSequenceNumbersAreRefused(t *testing.T) {
	t.Parallel()
	good := sequence{birth: 1_700_000_000, counter: 7, shard: 3}
	tooHighCounter := new(big.Int).Add(number(t, sequence{}), new(big.Int).Lsh(big.NewInt(1), 143))
	for name, s := range map[string]string{
		"empty": "", "words": "first", "negative": "-5", "small": "5",
		"leading zero": "0" + good.String(), "sign": "+" + good.String(),
		"other version": new(big.Int).Add(number(t, good), big.NewInt(1)).String(),
		"too long":      good.String() + "0", "counter over 63 bits": tooHighCounter.String(),
	} {
		_, ok := parseSequence(s)
		assert.False(t, ok, name)
	}
}

func TestHashKeyIsMD5AsANumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		sum := md5.Sum([]byte(key))
		want, _ := new(big.Int).SetString(hex.EncodeToString(sum[:]), 16)
		require.Equal(t, want.String(), hashOf(key).String())
		parsed, ok := parseHashKey(want.String())
		require.True(t, ok)
		require.Equal(t, hashOf(key), parsed)
	})
}

// The ranges of a stream of three, as ListShards of AWS shows them:
// https://github.com/mhart/kinesalite/blob/master/test/listShards.js (checked against AWS)
func TestEvenRangesOfThree(t *testing.T) {
	t.Parallel()
	var got [][2]string
	for _, r := range evenRanges(3) {
		got = append(got, [2]string{r.first.String(), r.last.String()})
	}
	assert.Equal(t, [][2]string{
		{"0", "113427455640312821154458202477256070484"},
		{"113427455640312821154458202477256070485", "226854911280625642308916404954512140969"},
		{"226854911280625642308916404954512140970", "340282366920938463463374607431768211455"},
	}, got)
}

func TestEvenRangesCoverTheKeySpaceWithoutGaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ranges := evenRanges(rapid.IntRange(1, 500).Draw(t, "n"))
		require.Equal(t, "0", ranges[0].first.String())
		require.Equal(t, "340282366920938463463374607431768211455", ranges[len(ranges)-1].last.String())
		for i := 1; i < len(ranges); i++ {
			require.Equal(t, ranges[i].first, ranges[i-1].last.plus(1))
		}
	})
}

func TestShardIDsAreParsed(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "shardId-000000000012", shardID(12))
	for id, want := range map[string]int{"shardId-000000000012": 12, "12": 12, "-0012": 12, "any-2147483647": maxShardIndex} {
		got, ok := parseShardID(id)
		assert.True(t, ok, id)
		assert.Equal(t, want, got, id)
	}
	for _, id := range []string{"", "shardId-", "2147483648", "shardId-002147483648", "ABKLFD8", "2.14E4", "shardId-+1"} {
		_, ok := parseShardID(id)
		assert.False(t, ok, id)
	}
}
