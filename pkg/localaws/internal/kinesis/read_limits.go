package kinesis

import (
	"slices"
	"time"
)

// A shard answers five GetRecords a second, of all its readers together, with 2 MB a second. One of 10 MB uses up the next
// five seconds: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
const (
	maxReads     = 5
	maxReadBytes = 2 << 20
)

// reads are the reads of a shard that count against its limits.
type reads []read

type read struct {
	size  int
	until time.Time // it counts
}

// refuses says whether a read exceeds the limits. What is refused does not count.
func (s *shard) refuses(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = slices.DeleteFunc(s.reads, func(r read) bool { return !now.Before(r.until) })
	size := 0
	for _, r := range s.reads {
		size += r.size
	}
	return len(s.reads) >= maxReads || size >= maxReadBytes
}

// count adds a read.
func (s *shard) count(p page, now time.Time) {
	size := 0
	for _, r := range p.records {
		size += r.size()
	}
	counts := max(time.Second, time.Duration(size)*time.Second/maxReadBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, read{size, now.Add(counts)})
}
