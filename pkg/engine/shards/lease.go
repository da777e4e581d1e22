package shards

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// Leases is where readers keep their leases. Every write is conditional and bumps a counter, so that whoever acts on
// an old view is refused. Safe for concurrent use.
type Leases interface {
	// List returns all leases of a consumer, read consistently.
	List(ctx context.Context, consumer string) ([]Lease, error)
	// Put stores next if what is stored still has the owner and the counter of seen; the zero seen asks for nothing to
	// be stored. Otherwise it returns a *LostError, unless what is stored is next itself: then an earlier answer was lost.
	Put(ctx context.Context, next, seen Lease) error
	// Delete removes a lease as seen, or returns a *LostError. An absent one is a success.
	Delete(ctx context.Context, seen Lease) error
}

// Lease is one shard in the eyes of one consumer, or (StateReader) a reader's sign of life.
type Lease struct {
	Consumer string
	Shard    string
	// Owner reads the shard. Empty: nobody does.
	Owner string
	// Counter grows with every write. A lease whose counter stands still has a dead owner.
	Counter int64
	// Checkpoint is the position up to which all records are handled.
	Checkpoint Position
	Parents    []string
	State      State
	// ReadAt is a time up to which all that had arrived in the shard is handled. Zero: unknown.
	ReadAt time.Time
}

// State says what a lease is of.
type State string

// The states of a lease.
const (
	// StateOpen: the shard has, or may have, records that are not handled.
	StateOpen State = "open"
	// StateDone: the shard is closed and all its records are handled.
	StateDone State = "done"
	// StateReader: no shard, but a reader that is alive; how many there are decides on an even share.
	StateReader State = "reader"
)

// ErrLeaseLost says that somebody else wrote the lease.
var ErrLeaseLost = errors.New("lease lost")

// LostError is an ErrLeaseLost that says how the lease is now. The zero Stored: it is gone.
type LostError struct{ Stored Lease }

func (e *LostError) Error() string {
	return fmt.Sprintf("%v: now of %q at %d", ErrLeaseLost, e.Stored.Owner, e.Stored.Counter)
}

// Is makes errors.Is(err, ErrLeaseLost) true.
func (e *LostError) Is(target error) bool { return target == ErrLeaseLost }

// held is a lease this reader owns. Its heartbeat and its worker both write it.
type held struct {
	leases Leases
	now    func() time.Time

	mu        *semaphore.Weighted // a mutex whose waiters testing/synctest sees as blocked
	lease     Lease
	writtenAt time.Time // before the last write that succeeded: no other clock saw it earlier
}

// take makes of a lease as seen one that is held: next, with its owner.
func take(ctx context.Context, leases Leases, now func() time.Time, seen, next Lease) (*held, error) {
	next.Counter = seen.Counter + 1
	h := &held{leases: leases, now: now, mu: semaphore.NewWeighted(1), lease: next, writtenAt: now()}
	if err := leases.Put(ctx, next, seen); err != nil {
		return nil, err
	}
	return h, nil
}

// renew changes the lease in place and returns it as written, unless the last write is younger than age: then it returns
// the zero Lease. ErrLeaseLost says that it is another's now; after any other error it may be called again.
func (h *held) renew(ctx context.Context, age time.Duration, change func(*Lease)) (Lease, error) {
	if err := h.mu.Acquire(ctx, 1); err != nil {
		return Lease{}, err
	}
	defer h.mu.Release(1)
	if h.now().Sub(h.writtenAt) < age {
		return Lease{}, nil
	}
	for {
		next, at := h.lease, h.now()
		next.Counter++
		change(&next)
		err := h.leases.Put(ctx, next, h.lease)
		if err == nil {
			h.lease, h.writtenAt = next, at
			return next, nil
		}
		lost, ok := errors.AsType[*LostError](err)
		if !ok || lost.Stored.Owner != h.lease.Owner || lost.Stored.Counter <= h.lease.Counter {
			return Lease{}, err
		}
		h.lease = lost.Stored // an own write whose answer was lost
	}
}

func (h *held) current() Lease {
	_ = h.mu.Acquire(context.Background(), 1) // cannot fail
	defer h.mu.Release(1)
	return h.lease
}
