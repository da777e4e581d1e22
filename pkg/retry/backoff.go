// Package retry spaces out retries.
package retry

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Backoff doubles from First to Max. Its zero value is ready for use.
type Backoff struct {
	// First is the longest first delay. Defaults to 50 ms.
	First time.Duration
	// Max is the longest delay. Defaults to 5 s, or First if that is more.
	Max time.Duration
	// Jitter draws a duration from zero up to its argument. Defaults to a uniform draw.
	Jitter func(time.Duration) time.Duration
}

// Delay is the pause before try number failures+1: between a half and the whole of the doubled First.
func (b Backoff) Delay(failures int) time.Duration {
	first := cmp.Or(b.First, 50*time.Millisecond)
	longest := max(first, cmp.Or(b.Max, 5*time.Second))
	delay := first
	for n := 1; n < failures && delay < longest; n++ {
		delay *= 2
	}
	delay = min(delay, longest)
	if b.Jitter == nil {
		return delay/2 + rand.N(delay/2+1) //nolint:gosec // jitter needs no secrecy
	}
	return delay/2 + b.Jitter(delay/2)
}

// Wait pauses as Delay says. It returns the context's cause at once when ctx ends.
func (b Backoff) Wait(ctx context.Context, failures int) error {
	return Sleep(ctx, b.Delay(failures))
}

// Sleep pauses for d. It returns the context's cause at once when ctx ends.
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
