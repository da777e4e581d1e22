// Package ordered sends entries in the order of their keys to services whose batch calls keep no order and may fail in part.
//
// The rule that makes it hold: an entry is sent only when every earlier entry of its key is acknowledged. So a batch
// holds at most one entry of a key, no two batches in flight share a key, and a failed entry is sent again before that
// key's next, while all other keys go on. Delivery is at least once: an answer may be lost after a success.
package ordered

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/retry"
)

// Options say how Send cuts and puts its batches.
type Options[E any] struct {
	// Key names what an entry's order belongs to. Required.
	Key func(E) string
	// Size is what an entry adds to a batch's bytes. Required.
	Size func(E) int
	// MaxCount bounds a batch's entries. Required.
	MaxCount int
	// MaxBytes bounds the sum of a batch's sizes. Required.
	MaxBytes int
	// Put sends a batch. failed holds the entries, by their index in the batch, that were not accepted, and why; the
	// others are acknowledged. A non-nil err means that nothing is known to be acknowledged. Errors wrapped by
	// Permanent are not tried again. Put is called from several goroutines and must not keep the batch. Required.
	Put func(ctx context.Context, batch []E) (failed map[int]error, err error)
	// InFlight bounds the batches under way at once. Defaults to 4.
	InFlight int
	// Backoff spaces the retries of an entry. Defaults to 50 ms, doubled up to 5 s.
	Backoff retry.Backoff
	// OnRetry is told how many entries of a batch will be sent again, and one of the reasons. Defaults to nobody.
	OnRetry func(entries int, reason error)
}

// WithJitter returns a change of Options: retries are spaced with this Jitter of retry.Backoff.
func WithJitter[E any](jitter func(time.Duration) time.Duration) func(*Options[E]) {
	return func(o *Options[E]) { o.Backoff.Jitter = jitter }
}

// Errors of Send.
var (
	// ErrTooLarge: an entry alone is over the limit. Nothing was sent.
	ErrTooLarge = errors.New("entry too large")
	// ErrPermanent marks what no retry can cure; see Permanent.
	ErrPermanent = errors.New("permanent failure")
)

// Permanent marks an error of Put as one that sending again cannot cure. It is an ErrPermanent.
func Permanent(err error) error { return fmt.Errorf("%w: %w", ErrPermanent, err) }

// Send returns nil when every entry is acknowledged. It retries without end; what ends it early is ctx, or a permanent
// failure: then the keys concerned stop at that entry, all others are sent to their end, and the error tells the
// failures. When it returns, no Put is under way.
func Send[E any](ctx context.Context, entries []E, o Options[E]) error {
	if err := o.check(); err != nil {
		return err
	}
	o.InFlight = cmp.Or(o.InFlight, 4)
	s := sender[E]{options: o, entries: entries}
	if err := s.sort(); err != nil {
		return err
	}
	return s.run(ctx)
}

func (o Options[E]) check() error {
	var errs []error
	if o.Key == nil || o.Size == nil || o.Put == nil {
		errs = append(errs, errors.New("relay: Key, Size and Put are required"))
	}
	if o.MaxCount < 1 || o.MaxBytes < 1 {
		errs = append(errs, errors.New("relay: MaxCount and MaxBytes must be positive"))
	}
	if o.InFlight < 0 {
		errs = append(errs, errors.New("relay: InFlight must not be negative"))
	}
	return errors.Join(errs...)
}
