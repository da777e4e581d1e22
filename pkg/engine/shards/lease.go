package shards

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
)

// Leases stores the leases of readers. Every write is conditional and increments a counter, so that a write based on an
// outdated lease is refused. It is safe for concurrent use.
type Leases interface {
	// List returns all leases of a consumer, read consistently. One that cannot be read has a key only.
	List(ctx context.Context, consumer string) ([]Lease, error)
	// Put stores next if the stored lease has the owner and the counter of expected; the zero expected stands for no stored
	// lease. Otherwise it returns a *LostError, unless next itself is stored: then the answer to an earlier Put was lost.
	Put(ctx context.Context, next, expected Lease) error
	// Delete removes a lease that has the owner and the counter of expected, or returns a *LostError. If there is none, it
	// succeeds.
	Delete(ctx context.Context, expected Lease) error
}

// Lease is one consumer's state of one shard, or of its source, or, with StateReader, the presence of a reader.
type Lease struct {
	Consumer string `dynamodbav:"consumer"`
	Shard    string `dynamodbav:"shard"`
	// Owner is the reader of the shard. Empty: none.
	Owner string `dynamodbav:"owner"`
	// Counter grows with every write. If it stops, the owner is dead.
	Counter int64 `dynamodbav:"counter"`
	// Checkpoint is the position up to which all records are handled.
	Checkpoint Position `dynamodbav:"checkpoint"`
	Parents    []string `dynamodbav:"parents"`
	State      State    `dynamodbav:"state"`
	// Source is where Checkpoint and State are valid. Builds that knew no sources left it empty.
	Source Source `dynamodbav:"source,omitempty"`
	// Targets are those of Config.Targets, in the lease of the source.
	Targets map[string]string `dynamodbav:"targets,omitempty"`
	// ReadAt is a time: all records that had arrived in the shard by then are handled. Zero: unknown.
	ReadAt time.Time `dynamodbav:"-"`

	damaged *damaged // not nil: the stored lease cannot be read
}

// State is the progress of a shard or of a source, or says that the lease is a reader's.
type State string

// The states of a lease.
const (
	// StateOpen: the shard has, or may have, records that are not handled.
	StateOpen State = "open"
	// StateDone: the shard is closed and all its records are handled.
	StateDone State = "done"
	// StateReader: not a shard, but a reader that is alive. The number of readers decides what an even share is.
	StateReader State = "reader"
	// StateGap: not a shard, but the consumer's source, which replaced another one: the log is to be published again.
	StateGap State = "gap"
	// StateWhole: not a shard, but the consumer's source. What former ones lost has been published again.
	StateWhole State = "whole"
)

// ErrLeaseLost means that another reader wrote the lease.
var ErrLeaseLost = errors.New("lease lost")

// LostError is an ErrLeaseLost with the lease that is stored now. Stored is zero if there is none.
type LostError struct{ Stored Lease }

func (e *LostError) Error() string {
	return fmt.Sprintf("%v: owner is %q at counter %d", ErrLeaseLost, e.Stored.Owner, e.Stored.Counter)
}

// Is makes errors.Is(err, ErrLeaseLost) true.
func (e *LostError) Is(target error) bool { return target == ErrLeaseLost }

// held is a lease that this reader owns. Its heartbeat and its worker both write it.
type held struct {
	leases Leases
	now    func() time.Time

	mu        *semaphore.Weighted // a mutex whose waiters testing/synctest sees as blocked
	lease     Lease
	writtenAt time.Time // before the last write that succeeded
}

// take stores next in place of the expected lease and returns it as held.
func take(ctx context.Context, leases Leases, now func() time.Time, expected, next Lease) (*held, error) {
	next.Counter = expected.Counter + 1
	h := &held{leases: leases, now: now, mu: semaphore.NewWeighted(1), lease: next, writtenAt: now()}
	if err := leases.Put(ctx, next, expected); err != nil {
		return nil, err
	}
	return h, nil
}

// renew changes the lease and returns it as written. If the last write is younger than age, it returns the zero Lease.
// After ErrLeaseLost another reader owns the lease; after any other error renew may be called again.
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
		h.lease = lost.Stored // written by us: the answer was lost
	}
}

// Release frees all that readers of a consumer hold that have ended without releasing it, so that the next ones need not wait until the
// leases are over. Call it only if all have ended: two that read one shard repeat what they have in flight, out of order.
func Release(ctx context.Context, leases Leases, consumer string) error {
	stored, err := leases.List(ctx, consumer)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	for _, l := range stored {
		switch {
		case l.damaged != nil || l.Owner == "":
		case l.State == StateReader:
			err = leases.Delete(ctx, l)
		default:
			free := l
			free.Owner, free.Counter = "", l.Counter+1
			err = leases.Put(ctx, free, l)
		}
		if err != nil {
			return fmt.Errorf("release the lease of %s: %w", l.Shard, err)
		}
	}
	return nil
}
