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

// delivery is one receive of one message. It is in hand until it is deleted or given back.
type delivery struct {
	Message

	receipt    string
	extendedAt time.Time // guarded by hand.mu
}

// hand is what the consumer has received and not yet let go.
type hand struct {
	mu         sync.Mutex
	deliveries map[*delivery]bool
	runs       int
	tails      map[string]*run // the last run of each group
	changed    chan struct{}   // closed and replaced when something is let go

	// extending is held while a batch is extended, so that none of it is given back meanwhile: the extension would undo that.
	// It is a semaphore because testing/synctest sees its waiters as blocked.
	extending *semaphore.Weighted
}

// run is a group's messages of one receive, in order.
type run struct {
	group      string
	deliveries []*delivery
	before     <-chan struct{} // closed when the group's previous run has ended; nil: there is none
	ended      chan struct{}
}

func newHand() *hand {
	return &hand{
		deliveries: map[*delivery]bool{}, tails: map[string]*run{},
		changed: make(chan struct{}), extending: semaphore.NewWeighted(1),
	}
}

// room waits until fewer than maxRuns runs and maxMessages messages are in hand.
func (h *hand) room(ctx context.Context, maxRuns, maxMessages int) bool {
	for ctx.Err() == nil {
		h.mu.Lock()
		ok, changed := h.runs < maxRuns && len(h.deliveries) < maxMessages, h.changed
		h.mu.Unlock()
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

// take sorts received messages into runs. A run starts when the one before it of its group has ended.
func (h *hand) take(received []*delivery) []*run {
	h.mu.Lock()
	defer h.mu.Unlock()
	var runs []*run
	byGroup := map[string]*run{}
	for _, d := range received {
		h.deliveries[d] = true
		r := byGroup[d.Group]
		if r == nil {
			r = &run{group: d.Group, ended: make(chan struct{})}
			if before := h.tails[d.Group]; before != nil {
				r.before = before.ended
			}
			h.tails[d.Group], byGroup[d.Group] = r, r
			runs = append(runs, r)
		}
		r.deliveries = append(r.deliveries, d)
	}
	h.runs += len(runs)
	return runs
}

// end closes a run.
func (h *hand) end(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.runs--
	if h.tails[r.group] == r {
		delete(h.tails, r.group)
	}
	close(r.ended)
	h.announce()
}

// drop lets deliveries go.
func (h *hand) drop(ds []*delivery) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range ds {
		delete(h.deliveries, d)
	}
	h.announce()
}

func (h *hand) announce() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hand) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.deliveries)
}

// due lists deliveries last extended before a time, and marks them as extended now. Call with extending held.
func (h *hand) due(before, now time.Time, most int) []*delivery {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []*delivery
	for d := range h.deliveries {
		if d.extendedAt.Before(before) {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b *delivery) int { // of those received together in an order that does not change
		return cmp.Or(a.extendedAt.Compare(b.extendedAt), strings.Compare(a.DeduplicationID, b.DeduplicationID))
	})
	out = out[:min(most, len(out))]
	for _, d := range out {
		d.extendedAt = now
	}
	return out
}

// oldest is when the oldest message in hand was sent. Zero: there is none.
func (h *hand) oldest() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	var oldest time.Time
	for d := range h.deliveries {
		if oldest.IsZero() || d.SentAt.Before(oldest) {
			oldest = d.SentAt
		}
	}
	return oldest
}
