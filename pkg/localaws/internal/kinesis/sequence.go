package kinesis

import (
	"encoding/binary"
	"math"
	"math/big"
)

// sequence is a position in a shard. As a decimal string it looks like AWS's: 56 digits, which as numbers increase within a
// shard, and in a child are all greater than in its parents, because a child's birth is later.
//
// The number is 24 bytes: 2, the shard's birth (36 bits and 4 of zero), the counter, 5 bytes of zero, the shard's index, 2.
// Birth, counter and index are where AWS has them, as far as its numbers show.
type sequence struct {
	birth   int64 // unix seconds at which the shard began
	counter uint64
	shard   int
}

// endOfShard is the counter of a closed shard's EndingSequenceNumber, after every record.
const endOfShard = math.MaxInt64

const sequenceVersion = 2

func (s sequence) String() string {
	var b [24]byte
	b[0] = sequenceVersion
	copy(b[1:6], binary.BigEndian.AppendUint64(nil, uint64(s.birth)<<4)[3:]) //nolint:gosec // births are after 1970
	binary.BigEndian.PutUint64(b[6:14], s.counter)
	binary.BigEndian.PutUint32(b[19:23], uint32(s.shard)) //nolint:gosec // indexes are bound by the shard quota
	b[23] = sequenceVersion
	return new(big.Int).SetBytes(b[:]).String()
}

// parseSequence returns false if decimal is not in the form of String.
func parseSequence(decimal string) (sequence, bool) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 24*8 {
		return sequence{}, false
	}
	var b [24]byte
	n.FillBytes(b[:])
	s := sequence{
		birth:   int64(binary.BigEndian.Uint64(append([]byte{0, 0, 0}, b[1:6]...)) >> 4),
		counter: binary.BigEndian.Uint64(b[6:14]),
		shard:   int(binary.BigEndian.Uint32(b[19:23])),
	}
	return s, s.counter <= endOfShard && s.shard <= maxShardIndex && s.String() == decimal
}
