package ordered

import "sync"

// Budget bounds what several Senders have pending together, so that a process which is behind everywhere holds no more than one that is
// behind somewhere. Each may have Share pending whatever the others have: none can stop another for good.
type Budget struct {
	total, share int

	mu    sync.Mutex
	used  int
	freed chan struct{} // closed when there is room again; nil: nobody waits
}

// NewBudget returns a Budget of that many bytes, of which every Sender may have share in any case.
func NewBudget(total, share int) *Budget { return &Budget{total: total, share: share} }

// take counts bytes that became pending, or, below zero, that are not any more.
func (b *Budget) take(bytes int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used += bytes
	if b.used < b.total && b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// full reports whether a Sender that has so many bytes pending may not have more now, and then what ends when there is room.
func (b *Budget) full(pending int) (freed <-chan struct{}, is bool) {
	if b == nil || pending < b.share {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.used < b.total {
		return nil, false
	}
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed, true
}
