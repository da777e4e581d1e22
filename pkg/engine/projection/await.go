package projection

import (
	"context"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// The pauses between the reads of a row that someone waits for: doubled from the first to the longest. Most events arrive
// within the first; a wait of 10 s costs some 25 read units.
const (
	firstAwait   = 25 * time.Millisecond
	longestAwait = 500 * time.Millisecond
)

// Await is Get of an own row whose fence is at least that version, so that a client can read what it wrote. If the row does
// not reach it within wait, the error is ErrNotYet.
func (r Reader) Await(
	ctx context.Context, id, row string, least eventsourcing.Version, wait time.Duration, out any,
) (found bool, err error) {
	key := Key{id, row}
	item, at, err := r.fenced(ctx, key)
	if err != nil {
		return false, err
	}
	if at < least {
		waitCtx, cancelWait := context.WithTimeoutCause(ctx, wait, ErrNotYet)
		defer cancelWait()
		if item, err = r.await(waitCtx, key, least); err != nil {
			return false, err
		}
	}
	if item == nil {
		return false, nil
	}
	return true, r.decodeOne(ctx, key, item, out)
}

func (r Reader) fenced(ctx context.Context, key Key) (Item, eventsourcing.Version, error) {
	item, err := r.item(ctx, key)
	if err != nil || item == nil {
		return nil, 0, err
	}
	var at Fence
	err = r.decodeOne(ctx, key, item, &at)
	return item, at.Version, err
}

// Waiting lets all that wait for one row share its reads. Its zero value is ready; safe for concurrent use.
type Waiting struct {
	mu   sync.Mutex
	rows map[Key]*waited
}

// waited is a row that at least one request waits for, and what was last read of it.
type waited struct {
	waiting int
	stop    context.CancelFunc
	joined  chan struct{} // has one once somebody came: the pauses begin anew
	next    chan struct{} // closed by the next read
	item    Item
	at      eventsourcing.Version
	err     error // of the last read; it is the last
}

// await returns the row once its fence is at least that version, or the cause of the context's end.
func (r Reader) await(ctx context.Context, key Key, least eventsourcing.Version) (Item, error) {
	w := r.Waiting
	if w == nil {
		w = new(Waiting)
	}
	row := w.join(ctx, key, r)
	defer w.leave(key, row)
	for {
		w.mu.Lock()
		item, at, err, next := row.item, row.at, row.err, row.next
		w.mu.Unlock()
		if err != nil || at >= least {
			return item, err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (w *Waiting) join(ctx context.Context, key Key, r Reader) *waited {
	w.mu.Lock()
	defer w.mu.Unlock()
	row := w.rows[key]
	if row == nil {
		row = &waited{joined: make(chan struct{}, 1), next: make(chan struct{})}
		ctx, row.stop = context.WithCancel(context.WithoutCancel(ctx))
		if w.rows == nil {
			w.rows = map[Key]*waited{}
		}
		w.rows[key] = row
		go w.read(ctx, key, row, r)
	}
	row.waiting++
	select {
	case row.joined <- struct{}{}:
	default:
	}
	return row
}

// leave ends the reads once nobody waits.
func (w *Waiting) leave(key Key, row *waited) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if row.waiting--; row.waiting == 0 {
		row.stop()
		w.forget(key, row)
	}
}

// forget lets the next that waits for the row begin anew.
func (w *Waiting) forget(key Key, row *waited) {
	if w.rows[key] == row {
		delete(w.rows, key)
	}
}

// read reads the row again and again, until ctx ends or a read fails.
func (w *Waiting) read(ctx context.Context, key Key, row *waited, r Reader) {
	for pause := firstAwait; ; pause = min(2*pause, longestAwait) {
		select {
		case <-time.After(pause):
		case <-row.joined:
			pause = firstAwait
			_ = retry.Sleep(ctx, pause) // whose end the next read reports
		case <-ctx.Done():
			return
		}
		item, at, err := r.fenced(ctx, key)
		w.mu.Lock()
		row.item, row.at, row.err = item, at, err
		close(row.next)
		row.next = make(chan struct{})
		if err != nil {
			w.forget(key, row)
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}
