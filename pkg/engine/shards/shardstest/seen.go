package shardstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Seen is what readers saw of a stream. Safe for concurrent use.
type Seen struct {
	mu      sync.Mutex
	counts  map[Entry]int
	next    map[string]int // of each key, in order
	jumps   []string
	changed chan struct{} // closed and replaced by each new entry
}

// NewSeen has seen nothing.
func NewSeen() *Seen {
	return &Seen{counts: map[Entry]int{}, next: map[string]int{}, changed: make(chan struct{})}
}

// Add notes an entry.
func (s *Seen) Add(e Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[e]++
	switch want := s.next[e.Key]; {
	case e.N == want:
		s.next[e.Key]++
	case e.N > want:
		s.jumps = append(s.jumps, fmt.Sprintf("%s: %d instead of %d", e.Key, e.N, want))
	}
	if s.counts[e] == 1 {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// Total is how many different entries were seen.
func (s *Seen) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.counts)
}

// Repeats is how often entries were seen again.
func (s *Seen) Repeats() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	repeats := -len(s.counts)
	for n := range maps.Values(s.counts) {
		repeats += n
	}
	return repeats
}

// Jumps are the entries that came before one that a key's order puts before them.
func (s *Seen) Jumps() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.jumps)
}

// Await returns once so many different entries were seen, or with an error that says how many were when ctx ended.
func (s *Seen) Await(ctx context.Context, total int) error {
	for {
		s.mu.Lock()
		n, changed := len(s.counts), s.changed
		s.mu.Unlock()
		if n >= total {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("saw %d of %d: %w", n, total, context.Cause(ctx))
		}
	}
}
