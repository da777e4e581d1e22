package kinesis

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
	"github.com/leftfold/leftfold/pkg/localaws/internal/hold"
)

const maxShardIndex = 1<<31 - 1

// shard is an ordered log of the records of a range of hash keys.
type shard struct {
	stream    *stream
	index     int
	parents   []string // none, the shard that was split, or the two that were merged
	keys      hashRange
	birth     int64 // Unix seconds; see sequence
	createdAt time.Time

	// closedAt and children are guarded by the stream's lock.
	closedAt time.Time // zero while the shard is open
	children []*shard
	gone     bool // removed by TrimStream

	mu      sync.Mutex
	reads   reads
	trimmed uint64       // number of records that were removed; records[i] has the counter trimmed+1+i
	records []record     // by arrival
	changes hold.Changes // records that arrive, and the shard's end
}

type record struct {
	partitionKey string
	data         []byte
	arrivedAt    time.Time
}

func (r record) size() int { return len(r.partitionKey) + len(r.data) }

func (s *shard) id() string { return shardID(s.index) }

func shardID(index int) string { return fmt.Sprintf("shardId-%012d", index) }

// parseShardID accepts what AWS accepts: digits after the first dash, or only digits.
func parseShardID(id string) (index int, ok bool) {
	digits := id
	if _, after, found := strings.Cut(id, "-"); found {
		digits, _, _ = strings.Cut(after, "-")
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), err == nil
}

func (s *shard) open() bool { return s.closedAt.IsZero() }

func (s *shard) sequence(counter uint64) sequence {
	return sequence{birth: s.birth, counter: counter, shard: s.index}
}

// append adds a record and returns its counter. The caller holds the stream for reading, as for all that reads or changes records.
func (s *shard) append(partitionKey string, data []byte, now, horizon time.Time) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim(horizon)
	if n := len(s.records); n > 0 && now.Before(s.records[n-1].arrivedAt) {
		now = s.records[n-1].arrivedAt // the log stays sorted if the clock is set back
	}
	s.records = append(s.records, record{partitionKey, data, now})
	counter := s.trimmed + uint64(len(s.records))
	s.saveRecord(counter)
	s.changes.Signal()
	return counter
}

func (s *shard) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes.Signal()
}

// change returns a channel that is closed when a record arrives or the shard is closed.
func (s *shard) change() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes.Next()
}

// nothing returns what change does if the shard has no record from a counter on, else nil.
func (s *shard) nothing(from uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := uint64(len(s.records)); n > 0 && from <= s.trimmed+n {
		return nil
	}
	return s.changes.Next()
}

// trim removes the records that arrived before the horizon. The caller holds the lock.
func (s *shard) trim(horizon time.Time) {
	n := s.firstSince(horizon)
	clear(s.records[:n]) // frees the data before append moves the slice
	s.records = s.records[n:]
	s.trimmed += uint64(n) //nolint:gosec // an index
	s.saveTrimmed(n)
}

func (s *shard) firstSince(t time.Time) int {
	return sort.Search(len(s.records), func(i int) bool { return !s.records[i].arrivedAt.Before(t) })
}

// since returns the counter of the first record that arrived at t or later, or of the next record if there is none.
func (s *shard) since(t time.Time) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trimmed + 1 + uint64(s.firstSince(t)) //nolint:gosec // an index
}

// tip returns the counter of the next record.
func (s *shard) tip() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trimmed + 1 + uint64(len(s.records))
}

// rewind moves from back if the fault strikes, so that records are read again; a full page still has a new record.
func (s *shard) rewind(from uint64, limit int, fault *faults.Strike) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest, tip := s.trimmed+1, s.trimmed+1+uint64(len(s.records))
	from = min(max(from, oldest), tip)
	most := min(int(from-oldest), limit-1, faults.MaxRepeated) //nolint:gosec // an index
	if most > 0 && fault.Take() {
		from -= uint64(1 + fault.Pick(most)) //nolint:gosec // an index
	}
	return from
}

// page is the result of one read of a shard.
type page struct {
	first   uint64 // the counter of records[0]
	records []record
	more    bool // further records exist
}

// next returns the counter at which to continue.
func (p page) next() uint64 { return p.first + uint64(len(p.records)) }

// read returns the records from a counter on, or from the oldest that is left: at most limit records, and at most maxBytes
// unless the first one is larger.
func (s *shard) read(from uint64, limit, maxBytes int, horizon time.Time) page {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trim(horizon)
	oldest, tip := s.trimmed+1, s.trimmed+1+uint64(len(s.records))
	from = min(max(from, oldest), tip)
	rest := s.records[from-oldest:]
	n, size := 0, 0
	for n < min(limit, len(rest)) {
		if size += rest[n].size(); n > 0 && size > maxBytes {
			break
		}
		n++
	}
	return page{first: from, records: slices.Clone(rest[:n]), more: n < len(rest)}
}
