package faults

// MaxRepeated is the maximum number of records that a read repeats.
const MaxRepeated = 10

// Strike is one fault that was drawn for one call. A nil Strike is no fault.
type Strike struct {
	target *target
	random random
}

// Take counts the strike and reports whether it takes place: false for a nil Strike, or if the rule has reached its limit
// on the operation. The caller must have checked that the fault makes a difference.
func (s *Strike) Take() bool {
	if s == nil {
		return false
	}
	if n := s.target.strikes.Add(1); s.target.rule.Limit > 0 && n > s.target.rule.Limit {
		s.target.strikes.Add(-1)
		return false
	}
	return true
}

// Chance returns the next random number in [0, 1).
func (s *Strike) Chance() float64 { return s.random.next() }

// Pick returns the next random number in [0, n).
func (s *Strike) Pick(n int) int { return int(s.random.next() * float64(n)) }

// golden and mix are from SplitMix64: https://prng.di.unimi.it/splitmix64.c
const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

type random uint64

func (d *random) next() float64 {
	*d += golden
	return float64(mix(uint64(*d))>>11) / (1 << 53)
}
