package shards_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory stores leases in memory.
type memory struct {
	mu     sync.Mutex
	leases map[string]shards.Lease
	fail   func(operation string, l shards.Lease) error // before a write
	lose   func(l shards.Lease) error                   // after a write: its answer is lost
}

func newMemory() *memory { return &memory{leases: map[string]shards.Lease{}} }

func (m *memory) List(_ context.Context, consumer string) ([]shards.Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []shards.Lease
	for _, l := range m.leases {
		if l.Consumer == consumer {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b shards.Lease) int { return strings.Compare(a.Shard, b.Shard) })
	return out, nil
}

func (m *memory) Put(ctx context.Context, next, expected shards.Lease) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		if err := m.fail("put", next); err != nil {
			return err
		}
	}
	stored := m.leases[next.Shard]
	if reflect.DeepEqual(stored, next) {
		return nil
	}
	if stored.Counter != expected.Counter || stored.Owner != expected.Owner {
		return &shards.LostError{Stored: stored}
	}
	m.leases[next.Shard] = next
	if m.lose != nil {
		return m.lose(next)
	}
	return nil
}

func (m *memory) Delete(_ context.Context, expected shards.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	stored, ok := m.leases[expected.Shard]
	if ok && (stored.Counter != expected.Counter || stored.Owner != expected.Owner) {
		return &shards.LostError{Stored: stored}
	}
	delete(m.leases, expected.Shard)
	return nil
}

func (m *memory) lease(shard string) shards.Lease {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leases[shard]
}

// stream is a sharded stream in memory.
type stream struct {
	mu     sync.Mutex
	now    func() time.Time
	names  []string
	shards map[string]*memShard
	page   int
	reads  map[string]int

	source  shards.Source
	trimmed map[string]int           // records trimmed away, by shard
	refuse  func(shard string) error // of a read
}

type memShard struct {
	parents []string
	records []shards.Record[string]
	closed  bool
	hidden  bool // not listed any more
}

func newStream() *stream {
	return &stream{
		now: time.Now, shards: map[string]*memShard{}, page: 3, reads: map[string]int{}, source: "first",
		trimmed: map[string]int{},
	}
}

func (s *stream) open(id string, parents ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, id)
	s.shards[id] = &memShard{parents: parents}
	for _, p := range parents {
		s.shards[p].closed = true
	}
}

// replace deletes the stream and makes another one under its name, without shards.
func (s *stream) replace(source shards.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.source, s.names, s.shards, s.trimmed = source, nil, map[string]*memShard{}, map[string]int{}
}

func (s *stream) hide(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shards[id].hidden = true
}

func (s *stream) readsOf(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads[id]
}

func (s *stream) put(id string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.shards[id]
	for _, v := range values {
		sh.records = append(sh.records, shards.Record[string]{
			Sequence: shards.Position(strconv.Itoa(len(sh.records))), Value: v, ArrivedAt: s.now(),
		})
	}
}

func (s *stream) Shards(context.Context) (shards.Listing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.source == "" {
		return shards.Listing{}, errors.New("there is no stream")
	}
	out := shards.Listing{Source: s.source}
	for _, id := range slices.Backward(s.names) { // children first: a reader must not rely on it
		if !s.shards[id].hidden {
			out.Shards = append(out.Shards, shards.Shard{ID: id, Parents: s.shards[id].parents, Closed: s.shards[id].closed})
		}
	}
	return out, nil
}

func (s *stream) Open(_ context.Context, id string, after shards.Position) (shards.Feed[string], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, ok := s.shards[id]
	if !ok || sh.hidden {
		return nil, shards.ErrShardGone
	}
	from := s.trimmed[id]
	if after != shards.TrimHorizon {
		n, err := strconv.Atoi(string(after))
		if err != nil {
			return nil, err
		}
		if n+1 < from {
			return nil, fmt.Errorf("open: %w", shards.ErrTrimmed)
		}
		if from = n + 1; from > len(sh.records) {
			return nil, fmt.Errorf("open: %w", shards.ErrForeignPosition)
		}
	}
	return &feed{stream: s, shard: sh, id: id, from: from}, nil
}

var errRemote = errors.New("InternalFailure")

// feed reads a shard of a stream.
type feed struct {
	stream *stream
	shard  *memShard
	id     string
	from   int
}

func (f *feed) Next(ctx context.Context) (shards.Page[string], error) {
	if err := ctx.Err(); err != nil {
		return shards.Page[string]{}, err
	}
	s := f.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads[f.id]++
	if s.refuse != nil {
		if err := s.refuse(f.id); err != nil {
			return shards.Page[string]{}, err
		}
	}
	sh := s.shards[f.id]
	if sh != f.shard {
		return shards.Page[string]{}, fmt.Errorf("read: %w", shards.ErrShardGone)
	}
	to := min(f.from+s.page, len(sh.records))
	page := shards.Page[string]{Records: slices.Clone(sh.records[f.from:to]), More: to < len(sh.records)}
	page.End = sh.closed && to == len(sh.records)
	f.from = to
	return page, nil
}

func (f *feed) Close() {}

// log is what was handled, in order, by shard.
type log struct {
	mu      sync.Mutex
	order   []string
	byShard map[string][]string
	by      map[string][]string // values by owner
}

func newLog() *log { return &log{byShard: map[string][]string{}, by: map[string][]string{}} }

func (l *log) handle(owner string) func(context.Context, string, []shards.Record[string]) error {
	return func(_ context.Context, shard string, records []shards.Record[string]) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, r := range records {
			l.order = append(l.order, r.Value)
			l.byShard[shard] = append(l.byShard[shard], r.Value)
			l.by[owner] = append(l.by[owner], r.Value)
		}
		return nil
	}
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

func numbers(from, to int) []string {
	var out []string
	for n := from; n < to; n++ {
		out = append(out, strconv.Itoa(n))
	}
	return out
}
