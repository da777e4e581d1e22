package shards

import (
	"context"
	"time"
)

// Changes of a lease beside the position, which every write stores.
func unchanged(*Lease)   {}
func shardDone(l *Lease) { l.State, l.Owner = StateDone, "" }

// move sets the position: all records up to last, and all that had arrived by readAt, are handled. It stores nothing.
func (w *worker[T]) move(last Position, readAt time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readAt = readAt
	if last == "" || last == w.position {
		return
	}
	w.position = last
	if w.aheadAt.IsZero() {
		w.aheadAt = w.cfg.Now()
	}
	w.signalMoved()
}

// signalMoved makes the heartbeat store the position soon.
func (w *worker[T]) signalMoved() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// ahead returns for how long the position has been ahead of the lease's; zero if it is not.
func (w *worker[T]) ahead() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.aheadAt.IsZero() {
		return 0
	}
	return max(1, w.cfg.Now().Sub(w.aheadAt))
}

// save writes the lease, with the change and the newest position, unless it was written within age.
func (w *worker[T]) save(ctx context.Context, age time.Duration, change func(*Lease)) error {
	startedAt := w.cfg.Now()
	written, err := w.lease.renew(ctx, age, func(l *Lease) {
		change(l)
		w.mu.Lock()
		defer w.mu.Unlock()
		l.Checkpoint, l.ReadAt = w.position, w.readAt
	})
	if err != nil || written.Counter == 0 {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.savedAt = startedAt
	switch {
	case w.position == written.Checkpoint:
		w.aheadAt = time.Time{}
	case !w.aheadAt.IsZero(): // it moved meanwhile
		w.aheadAt = startedAt
	}
	return nil
}

// lastReadAt is Lease.ReadAt.
func (w *worker[T]) lastReadAt() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readAt
}
