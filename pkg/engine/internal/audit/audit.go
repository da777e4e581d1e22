// Package audit is what audits of different tables share: the checks of a page at once, and what these count.
package audit

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Each checks everything in a page, as many at once as parallel says. The first error ends it.
func Each[T any](ctx context.Context, parallel int, page []T, check func(context.Context, T) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, one := range page {
		group.Go(func() error { return check(groupCtx, one) })
	}
	return group.Wait()
}

// Tally is a result that is counted by checks at the same time. Its zero value counts from the zero R.
type Tally[R any] struct {
	mu     sync.Mutex
	result R
}

// Count lets one caller after the other change the result, or anything else that the checks share.
func (t *Tally[R]) Count(change func(*R)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.result)
}

// Result returns the result so far.
func (t *Tally[R]) Result() R {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.result
}

// Once tells the first report about something from the later ones. Its zero value has seen nothing; it is safe for concurrent use.
type Once[K comparable] struct{ seen sync.Map }

// First reports whether it is called with that key for the first time.
func (o *Once[K]) First(key K) bool {
	_, again := o.seen.LoadOrStore(key, nil)
	return !again
}
