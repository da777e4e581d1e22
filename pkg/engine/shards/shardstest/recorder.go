package shardstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Recorder records the entries that readers handled. It is safe for concurrent use.
type Recorder struct {
	mu      sync.Mutex
	counts  map[Entry]int
	next    map[string]int // expected entry of each key
	skips   []string
	changed chan struct{} // closed and replaced by each new entry
}

// NewRecorder returns an empty Recorder.
func NewRecorder() *Recorder {
	return &Recorder{counts: map[Entry]int{}, next: map[string]int{}, changed: make(chan struct{})}
}

// Add records an entry.
func (r *Recorder) Add(e Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[e]++
	switch want := r.next[e.Key]; {
	case e.N == want:
		r.next[e.Key]++
	case e.N > want:
		r.skips = append(r.skips, fmt.Sprintf("%s: %d instead of %d", e.Key, e.N, want))
	}
	if r.counts[e] == 1 {
		close(r.changed)
		r.changed = make(chan struct{})
	}
}

// Total returns the number of different entries.
func (r *Recorder) Total() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.counts)
}

// Repeats returns how often entries were handled again.
func (r *Recorder) Repeats() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	repeats := -len(r.counts)
	for n := range maps.Values(r.counts) {
		repeats += n
	}
	return repeats
}

// Skips describes the entries that came before an earlier one of their key.
func (r *Recorder) Skips() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.skips)
}

// Await waits for that many different entries. If ctx ends first, it returns an error with their number.
func (r *Recorder) Await(ctx context.Context, total int) error {
	for {
		r.mu.Lock()
		n, changed := len(r.counts), r.changed
		r.mu.Unlock()
		if n >= total {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d entries: %w", n, total, context.Cause(ctx))
		}
	}
}
