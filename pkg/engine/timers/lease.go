package timers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// lease lets one of several Pollers work. Two at once do no harm: it saves their queries.
type lease struct {
	leases   shards.Leases
	name     shards.Lease // its key
	owner    string
	duration time.Duration
	now      func() time.Time

	// used by the goroutine that renews
	row    shards.Lease // as seen or written last; zero: there is none
	seenAt time.Time    // since when the row is as it is, by this clock

	mu        sync.Mutex
	heldUntil time.Time
}

func (l *lease) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now().Before(l.heldUntil)
}

func (l *lease) hold(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heldUntil = until
}

// round takes the lease, renews it, or sees whose it is.
func (l *lease) round(ctx context.Context) error {
	if !l.held() {
		if err := l.look(ctx); err != nil {
			return err
		}
		if owner := l.row.Owner; owner != "" && owner != l.owner && l.now().Sub(l.seenAt) < l.duration {
			return nil
		}
	}
	at := l.now()
	err := l.put(ctx, l.owner)
	if errors.Is(err, shards.ErrLeaseLost) {
		l.hold(time.Time{})
		return nil // the next round sees to whom
	}
	if err != nil {
		return fmt.Errorf("renew the lease of %s: %w", l.name.Consumer, err) // it is held until it is over
	}
	l.hold(at.Add(l.duration))
	return nil
}

// look reads the lease.
func (l *lease) look(ctx context.Context) error {
	stored, err := l.leases.List(ctx, l.name.Consumer)
	if err != nil {
		return fmt.Errorf("read the lease of %s: %w", l.name.Consumer, err)
	}
	var row shards.Lease
	for _, other := range stored {
		if other.Shard == l.name.Shard {
			row = other
		}
	}
	if row.Owner != l.row.Owner || row.Counter != l.row.Counter {
		l.seenAt = l.now()
	}
	l.row = row
	return nil
}

// put writes the lease, if it is as it was seen.
func (l *lease) put(ctx context.Context, owner string) error {
	next := l.name
	next.Owner, next.Counter, next.State = owner, l.row.Counter+1, shards.StateOpen
	err := l.leases.Put(ctx, next, l.row)
	if err == nil {
		l.row, l.seenAt = next, l.now()
	}
	return err
}

// release lets the next Poller work at once.
func (l *lease) release(ctx context.Context) error {
	if !l.held() {
		return nil
	}
	l.hold(time.Time{})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.duration)
	defer cancel()
	return l.put(ctx, "")
}
