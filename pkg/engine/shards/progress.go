package shards

import (
	"context"
	"time"
)

// What a write of the lease changes beside the position, which every write carries.
func unchanged(*Lease)   {}
func shardDone(l *Lease) { l.State, l.Owner = StateDone, "" }

// move notes that all up to last is handled, and with it all that had arrived by readAt. Nothing is kept yet.
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
	w.hasMoved()
}

// hasMoved lets the heartbeat keep the position soon.
func (w *worker[T]) hasMoved() {
	select {
	case w.moved <- struct{}{}:
	default:
	}
}

// ahead is for how long the position has been ahead of the lease's; zero: it is not.
func (w *worker[T]) ahead() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.aheadAt.IsZero() {
		return 0
	}
	return max(1, w.cfg.Now().Sub(w.aheadAt))
}

// keep writes the lease, changed, with the newest position, unless it was written within age.
func (w *worker[T]) keep(ctx context.Context, age time.Duration, change func(*Lease)) error {
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
	w.keptAt = startedAt
	switch {
	case w.position == written.Checkpoint:
		w.aheadAt = time.Time{}
	case !w.aheadAt.IsZero(): // it moved on meanwhile
		w.aheadAt = startedAt
	}
	return nil
}

func (w *worker[T]) arrived() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readAt
}
