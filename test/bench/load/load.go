// Package load makes load and measures how long it takes.
package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sync/errgroup"
)

// Latencies are the times of calls, to three digits. Safe for concurrent use.
type Latencies struct {
	mu sync.Mutex
	of *hdrhistogram.Histogram // in microseconds
}

// longest is what a longer time counts as.
const longest = 10 * time.Minute

// NewLatencies returns an empty set.
func NewLatencies() *Latencies {
	return &Latencies{of: hdrhistogram.New(1, longest.Microseconds(), 3)}
}

// Add adds a time.
func (l *Latencies) Add(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.of.RecordValue(min(max(d, time.Microsecond), longest).Microseconds()); err != nil {
		panic(fmt.Sprintf("a time within the bounds: %v", err))
	}
}

// Milliseconds returns the time within which a share of the calls, from 0 to 1, were done; 0 if there were none.
func (l *Latencies) Milliseconds(share float64) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return float64(l.of.ValueAtQuantile(100*share)) / 1000
}

// Open makes n calls at a rate of so many a second, whether those before have ended or not, and returns once all have. Each is told when it
// was due: who counts from there sees what a user sees who waits for a system that is slow, or for a client that is late itself. The first
// error ends all.
func Open(ctx context.Context, perSecond float64, n int, call func(ctx context.Context, i int, due time.Time) error) error {
	calls, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		due := start.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return calls.Wait()
		}
		calls.Go(func() error { return call(ctx, i, due) })
	}
	return calls.Wait()
}

// Flat lets clients make n calls as fast as they go, each one after the other, and returns how long that took. The first error ends all.
func Flat(ctx context.Context, clients, n int, call func(ctx context.Context, i int) error) (time.Duration, error) {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	start := time.Now()
	for range clients {
		group.Go(func() error {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				if err := call(ctx, i); err != nil {
					return err
				}
			}
			return context.Cause(ctx)
		})
	}
	err := group.Wait()
	return time.Since(start), err
}
