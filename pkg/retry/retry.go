// Package retry computes the pauses between the attempts of an operation that failed for a passing reason.
package retry

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Backoff is exponential backoff with full jitter: each pause is drawn between zero and a limit that doubles from First
// to Max. Of the usual kinds of jitter, full jitter separates contenders for the same item best and costs the fewest
// calls: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
//
// The zero value is ready for use.
type Backoff struct {
	// First limits the first pause. Defaults to 50 ms.
	First time.Duration
	// Max limits all pauses. Defaults to 5 s, or First if that is more.
	Max time.Duration
	// Jitter draws a pause from zero up to its argument. Defaults to a uniform draw.
	Jitter func(time.Duration) time.Duration
}

// Or returns b with defaults of the caller's for First and Max.
func (b Backoff) Or(first, longest time.Duration) Backoff {
	b.First = cmp.Or(max(b.First, 0), first)
	b.Max = max(b.First, cmp.Or(b.Max, longest))
	return b
}

// Delay draws the pause after that many failures in a row.
func (b Backoff) Delay(failures int) time.Duration {
	b = b.Or(50*time.Millisecond, 5*time.Second)
	limit := b.First
	for n := 1; n < failures && limit < b.Max; n++ {
		limit *= 2
	}
	limit = min(limit, b.Max)
	if b.Jitter == nil {
		return rand.N(limit + 1) //nolint:gosec // jitter needs no secrecy
	}
	return b.Jitter(limit)
}

// Wait pauses for Delay(failures). If ctx ends first, it returns the context's cause at once.
func (b Backoff) Wait(ctx context.Context, failures int) error {
	return Sleep(ctx, b.Delay(failures))
}

// Sleep pauses for d. If ctx ends first, it returns the context's cause at once.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
