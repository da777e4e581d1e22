// Package hold lets reads that find nothing wait for something to read.
package hold

import (
	"context"
	"time"
)

// Changes signals the changes of something. It is guarded by the lock of what changes; its zero value is ready for use.
type Changes struct {
	next chan struct{} // nil if nothing waits
}

// Next returns a channel that is closed at the next change.
func (c *Changes) Next() <-chan struct{} {
	if c.next == nil {
		c.next = make(chan struct{})
	}
	return c.next
}

// Signal says that there is a change.
func (c *Changes) Signal() {
	if c.next != nil {
		close(c.next)
		c.next = nil
	}
}

// While waits until there is something to read, for longest, until closed is closed or ctx ends, whichever is first. nothing returns
// nil if there is something, else a channel that is closed when it has to be asked again.
func While(ctx context.Context, nothing func() <-chan struct{}, longest time.Duration, closed <-chan struct{}) {
	if longest <= 0 {
		return
	}
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for changed := nothing(); changed != nil; changed = nothing() {
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-closed:
			return
		case <-ctx.Done():
			return
		}
	}
}
