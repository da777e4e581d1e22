package fifoqueue

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// delivery is one receive of one message. It is in flight until it is deleted or released.
type delivery struct {
	Message

	receipt    string
	extendedAt time.Time // guarded by inFlight.mu
}

// inFlight is what the consumer has received and neither deleted nor released.
type inFlight struct {
	mu         sync.Mutex
	deliveries map[*delivery]bool
	runs       int
	tails      map[string]*run // the last run of each group
	changed    chan struct{}   // closed and replaced when something is removed

	// extending is held while a batch is extended: releasing a message at that time would be undone by the extension.
	extending *semaphore.Weighted
}

// run is a group's messages of one receive, in order.
type run struct {
	group      string
	deliveries []*delivery
	before     <-chan struct{} // closed when the group's previous run has ended; nil: there is none
	ended      chan struct{}
}

func newInFlight() *inFlight {
	return &inFlight{
		deliveries: map[*delivery]bool{}, tails: map[string]*run{},
		changed: make(chan struct{}), extending: semaphore.NewWeighted(1),
	}
}

// waitForRoom waits until fewer than maxRuns runs and maxMessages messages are in flight. It returns false if that takes longer,
// or if ctx ends first.
func (f *inFlight) waitForRoom(ctx context.Context, maxRuns, maxMessages int, longest time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	for ctx.Err() == nil {
		f.mu.Lock()
		ok, changed := f.runs < maxRuns && len(f.deliveries) < maxMessages, f.changed
		f.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// add sorts received messages into runs. A run starts when the previous run of its group has ended.
func (f *inFlight) add(received []*delivery) []*run {
	f.mu.Lock()
	defer f.mu.Unlock()
	var runs []*run
	byGroup := map[string]*run{}
	for _, d := range received {
		f.deliveries[d] = true
		r := byGroup[d.Group]
		if r == nil {
			r = &run{group: d.Group, ended: make(chan struct{})}
			if before := f.tails[d.Group]; before != nil {
				r.before = before.ended
			}
			f.tails[d.Group], byGroup[d.Group] = r, r
			runs = append(runs, r)
		}
		r.deliveries = append(r.deliveries, d)
	}
	f.runs += len(runs)
	return runs
}

// end ends a run.
func (f *inFlight) end(r *run) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs--
	if f.tails[r.group] == r {
		delete(f.tails, r.group)
	}
	close(r.ended)
	f.notify()
}

func (f *inFlight) remove(ds []*delivery) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range ds {
		delete(f.deliveries, d)
	}
	f.notify()
}

func (f *inFlight) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *inFlight) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.deliveries)
}

// takeDue returns deliveries last extended before a time and marks them as extended now. Call with extending held.
func (f *inFlight) takeDue(before, now time.Time, most int) []*delivery {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*delivery
	for d := range f.deliveries {
		if d.extendedAt.Before(before) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *delivery) int { // deterministic for those received together
		return cmp.Or(a.extendedAt.Compare(b.extendedAt), strings.Compare(a.DeduplicationID, b.DeduplicationID))
	})
	out = out[:min(most, len(out))]
	for _, d := range out {
		d.extendedAt = now
	}
	return out
}

// oldest returns when the oldest message was sent; zero if there is none.
func (f *inFlight) oldest() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var oldest time.Time
	for d := range f.deliveries {
		if oldest.IsZero() || d.SentAt.Before(oldest) {
			oldest = d.SentAt
		}
	}
	return oldest
}
