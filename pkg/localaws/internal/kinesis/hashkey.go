package kinesis

import (
	"bytes"
	"crypto/md5" //nolint:gosec // Kinesis maps partition keys by MD5; nothing is kept secret with it
	"math/big"
)

// hashKey is a point of the 128-bit key space, big-endian.
type hashKey [16]byte

// hashOf returns the hash key of a partition key: its MD5.
// https://docs.aws.amazon.com/streams/latest/dev/key-concepts.html#partition-key
func hashOf(partitionKey string) hashKey { return md5.Sum([]byte(partitionKey)) } //nolint:gosec // see the import

// parseHashKey returns false if decimal is not a number in [0, 2^128-1].
func parseHashKey(decimal string) (hashKey, bool) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return hashKey{}, false
	}
	return hashKeyOf(n), true
}

func hashKeyOf(n *big.Int) (h hashKey) {
	n.FillBytes(h[:])
	return h
}

func (h hashKey) int() *big.Int { return new(big.Int).SetBytes(h[:]) }

func (h hashKey) String() string { return h.int().String() }

func (h hashKey) compare(o hashKey) int { return bytes.Compare(h[:], o[:]) }

// plus returns h+d, which must be in the key space.
func (h hashKey) plus(d int64) hashKey { return hashKeyOf(new(big.Int).Add(h.int(), big.NewInt(d))) }

// hashRange is a range of hash keys, both ends included.
type hashRange struct{ first, last hashKey }

// evenRanges divides the key space into n ranges of equal length; the last also has the remainder.
func evenRanges(n int) []hashRange {
	end := new(big.Int).Lsh(big.NewInt(1), 128)
	step := new(big.Int).Div(end, big.NewInt(int64(n)))
	ranges := make([]hashRange, n)
	next := new(big.Int)
	for i := range ranges {
		ranges[i].first = hashKeyOf(next)
		next.Add(next, step)
		if i == n-1 {
			next.Set(end)
		}
		ranges[i].last = hashKeyOf(new(big.Int).Sub(next, big.NewInt(1)))
	}
	return ranges
}
