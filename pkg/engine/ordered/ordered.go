// Package ordered sends entries in batches and keeps the order of each key, for services whose batch calls keep no order
// and may fail in part, such as PutRecords of Kinesis and SendMessageBatch of SQS.
//
// One rule keeps the order: an entry is sent only when all earlier entries of its key are acknowledged. So a batch has at
// most one entry of a key, no two batches in flight share a key, and a failed entry is sent again before the next entry
// of its key, while all other keys continue. Delivery is at least once: an answer may be lost after a success.
package ordered

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/pkg/retry"
)

// Options configure Send.
type Options[E any] struct {
	// Key returns the key within which an entry keeps its order. Required.
	Key func(E) string
	// Size returns how many bytes an entry adds to a batch. Required.
	Size func(E) int
	// MaxCount is the most entries of a batch. Required.
	MaxCount int
	// MaxBytes is the most bytes of a batch. Required.
	MaxBytes int
	// Put sends a batch. failed holds the errors of the entries that were not accepted, by their index in the batch; the
	// others are acknowledged. After a non-nil err the whole batch counts as failed. Errors wrapped by Permanent are not
	// retried. Put is called from several goroutines and must not keep the batch. Required.
	Put func(ctx context.Context, batch []E) (failed map[int]error, err error)
	// InFlight is the most batches in flight at once. Defaults to 4.
	InFlight int
	// Backoff spaces the retries of an entry. Defaults to 50 ms, doubled up to 5 s.
	Backoff retry.Backoff
}

// Errors of Send.
var (
	// ErrTooLarge means that one entry is larger than a batch may be. Nothing was sent.
	ErrTooLarge = errors.New("entry too large")
	// ErrPermanent means that a retry cannot succeed; see Permanent.
	ErrPermanent = errors.New("permanent failure")
)

// Permanent wraps an error of Put that a retry cannot cure. The result is an ErrPermanent.
func Permanent(err error) error { return fmt.Errorf("%w: %w", ErrPermanent, err) }

// Send returns nil when all entries are acknowledged. It retries until ctx ends. After a permanent failure of an entry it
// sends no more of that key, sends all other keys to their end, and returns an error that joins the failures. When Send
// returns, no call of Put is in flight.
func Send[E any](ctx context.Context, entries []E, o Options[E]) error {
	if o.Key == nil || o.Size == nil || o.Put == nil || o.MaxCount < 1 || o.MaxBytes < 1 || o.InFlight < 0 {
		return errors.New("ordered: Key, Size and Put are required, MaxCount and MaxBytes positive, InFlight not negative")
	}
	o.InFlight = cmp.Or(o.InFlight, 4)
	s := sender[E]{options: o, entries: entries}
	if err := s.group(); err != nil {
		return err
	}
	return s.run(ctx)
}
