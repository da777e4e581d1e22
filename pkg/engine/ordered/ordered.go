// Package ordered sends entries in batches and keeps the order of each key, for services whose batch calls keep no order
// and may fail in part, such as PutRecords of Kinesis and SendMessageBatch of SQS.
//
// One rule keeps the order: an entry is sent only when all earlier entries of its key are acknowledged. So a batch has at
// most one entry of a key, no two batches in flight share a key, and a failed entry is sent again before the next entry
// of its key. All other keys continue: a key with many entries, or one that fails for ever, delays no other until
// Options.MaxPending is reached. Delivery is at least once: an answer may be lost after a success.
package ordered

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/leftfold/leftfold/pkg/retry"
)

// Options configure a Sender.
type Options[E any] struct {
	// Key returns the key within which an entry keeps its order. Required.
	Key func(E) string
	// Size returns how many bytes an entry adds to a batch. Required.
	Size func(E) int
	// MaxCount is the most entries of a batch. Required.
	MaxCount int
	// MaxBytes is the most bytes of a batch. A larger entry is refused with ErrTooLarge. Required.
	MaxBytes int
	// Check returns why an entry can never be sent; it is refused without a call of Put. Defaults to nil.
	Check func(E) error
	// Put sends a batch. failed holds the errors of the entries that were not accepted, by their index in the batch; the
	// others are acknowledged. After a non-nil err the whole batch counts as failed. An entry whose error is wrapped by
	// Permanent is refused and not retried; if err is, each entry is sent alone first, to find those at fault. Put is called
	// from several goroutines and must not keep the batch. Required.
	Put func(ctx context.Context, batch []E) (failed map[int]error, err error)
	// Done is called once for each entry: with nil once it is acknowledged, or with the reason once it is refused. The next
	// entry of its key is sent after that. It is called from several goroutines and must not block. Defaults to nothing.
	Done func(e E, reason error)
	// SetAside is called with an entry that is refused, and again after a pause until it returns nil; only then is the entry
	// done. It is called from several goroutines. Defaults to nothing.
	SetAside func(ctx context.Context, e E, reason error) error
	// OnRetry is called for each batch of which something failed and will be sent again. failures counts them since the
	// last time that nothing was left to send. It must not block. Defaults to nothing.
	OnRetry func(reason error, failures int)
	// InFlight is the most batches in flight at once. Defaults to 4.
	InFlight int
	// MaxPending is from how many bytes of entries that are not done on Add waits. Defaults to no limit.
	MaxPending int
	// Budget is what several Senders may have pending together; Add waits while it is used up, too. Defaults to none.
	Budget *Budget
	// Backoff spaces the retries of an entry. Defaults to 50 ms, doubled up to 5 s.
	Backoff retry.Backoff
}

// Reasons why an entry is refused.
var (
	// ErrTooLarge means that an entry is larger than a batch may be. It is an ErrPermanent.
	ErrTooLarge = fmt.Errorf("%w: entry too large", ErrPermanent)
	// ErrPermanent means that a retry cannot succeed; see Permanent.
	ErrPermanent = errors.New("permanent failure")
)

// Permanent wraps an error of Put that a retry cannot cure. The result is an ErrPermanent.
func Permanent(err error) error {
	if errors.Is(err, ErrPermanent) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrPermanent, err)
}

// NewSender returns a Sender that sends until ctx ends. It panics if o lacks what is required.
func NewSender[E any](ctx context.Context, o Options[E]) *Sender[E] {
	if o.Key == nil || o.Size == nil || o.Put == nil || o.MaxCount < 1 || o.MaxBytes < 1 || o.InFlight < 0 || o.MaxPending < 0 {
		panic("ordered: Key, Size and Put are required, MaxCount and MaxBytes positive, InFlight and MaxPending not negative")
	}
	o.InFlight, o.MaxPending = cmp.Or(o.InFlight, 4), cmp.Or(o.MaxPending, math.MaxInt)
	if o.Check == nil {
		o.Check = func(E) error { return nil }
	}
	if o.Done == nil {
		o.Done = func(E, error) {}
	}
	if o.SetAside == nil {
		o.SetAside = func(context.Context, E, error) error { return nil }
	}
	if o.OnRetry == nil {
		o.OnRetry = func(error, int) {}
	}
	s := &Sender[E]{ctx: ctx, o: o, lanes: map[string]*lane[E]{}}
	if o.Budget != nil {
		context.AfterFunc(ctx, s.release)
	}
	return s
}

// Send sends entries with a Sender of its own. It returns nil when all are acknowledged, and retries until ctx ends. An
// entry that is refused stops no other; the error joins the reasons. When Send returns, no call of Put is in flight.
func Send[E any](ctx context.Context, entries []E, o Options[E]) error {
	var mu sync.Mutex
	var refused []error
	left, done := len(entries), o.Done
	o.Done = func(e E, reason error) {
		mu.Lock()
		defer mu.Unlock()
		left--
		if reason != nil {
			refused = append(refused, reason)
		}
		if done != nil {
			done(e, reason)
		}
	}
	o.MaxPending, o.Budget = 0, nil
	s := NewSender(ctx, o)
	if err := s.Add(ctx, entries...); err == nil {
		s.Wait()
	}
	mu.Lock()
	defer mu.Unlock()
	if left > 0 {
		refused = append(refused, fmt.Errorf("send: %d of %d entries left: %w", left, len(entries), context.Cause(ctx)))
	}
	return errors.Join(refused...)
}
