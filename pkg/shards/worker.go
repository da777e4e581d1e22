package shards

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/relay/backoff"
)

// worker reads one shard while it holds the lease.
type worker[T any] struct {
	cfg    *Config[T]
	shard  string
	lease  *held
	counts *counters
	log    *slog.Logger

	ctx  context.Context         // the worker's life: ends when the lease is lost or the stop's time is up
	cut  context.CancelCauseFunc // ends ctx
	soft context.Context         // ends, with ctx or by stop, when no more is to be begun
	stop context.CancelFunc      // ends soft

	position Position // all records up to it are handled

	mu        sync.Mutex
	behind    time.Duration
	readAt    time.Time
	checkedAt time.Time // of the last checkpoint, or the start
}

func newWorker[T any](hard context.Context, cfg *Config[T], h *held, counts *counters) *worker[T] {
	l := h.current()
	w := &worker[T]{
		cfg: cfg, shard: l.Shard, lease: h, counts: counts, log: cfg.Log.With(slog.String("shard", l.Shard)),
		position: l.Checkpoint, readAt: l.ReadAt, checkedAt: cfg.Now(),
	}
	w.ctx, w.cut = context.WithCancelCause(hard)
	w.soft, w.stop = context.WithCancel(w.ctx) //nolint:gosec // called by the Reader; run ends ctx, and soft with it
	return w
}

func (w *worker[T]) stopping() bool { return w.soft.Err() != nil }

// run reads until the shard is done, the lease lost or the worker stopped; unless the lease is lost, it is given back.
func (w *worker[T]) run() (done bool) {
	var beats sync.WaitGroup
	beating, rest := context.WithCancel(w.ctx)
	beats.Go(func() { w.heartbeat(beating) })
	done, err := w.read()
	rest()
	beats.Wait()
	defer w.cut(nil)
	switch {
	case errors.Is(err, ErrLeaseLost) || errors.Is(context.Cause(w.ctx), ErrLeaseLost):
		w.log.WarnContext(w.ctx, "lease lost")
	case done:
		w.log.InfoContext(w.ctx, "shard done")
	default:
		w.release()
	}
	return done
}

// release gives the lease back. If that fails, others take it after the lease duration.
func (w *worker[T]) release() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), w.cfg.LeaseDuration)
	defer cancel()
	if err := w.lease.update(ctx, func(l *Lease) { l.Owner, l.ReadAt = "", w.arrived() }); err != nil {
		w.log.WarnContext(ctx, "release lease", slog.Any("error", err))
	}
}

func (w *worker[T]) heartbeat(ctx context.Context) {
	every := w.cfg.LeaseDuration / 3
	for backoff.Sleep(ctx, every) == nil {
		err := w.lease.renew(ctx, every/2, func(l *Lease) { l.ReadAt = w.arrived() })
		switch {
		case errors.Is(err, ErrLeaseLost):
			w.cut(err)
		case err != nil && ctx.Err() == nil:
			w.log.WarnContext(ctx, "renew lease", slog.Any("error", err))
		}
	}
}

// read handles page after page. The error is nil after a stop or the shard's end.
func (w *worker[T]) read() (done bool, err error) {
	iterator := ""
	for failures := 0; !w.stopping(); {
		startedAt := w.cfg.Now()
		page, err := w.next(&iterator)
		if w.stopping() {
			return false, nil // a read that the stop ended failed for no other reason
		}
		if err != nil {
			failures++
			if done, err := w.recover(err, failures, &iterator); done || err != nil {
				return done, err
			}
			continue
		}
		failures = 0
		if err := w.process(page, startedAt); err != nil {
			return false, ignore(err, errStopped)
		}
		if page.Next == "" {
			return true, nil
		}
		iterator = page.Next
		if !page.More {
			_ = backoff.Sleep(w.soft, w.cfg.Poll) // the loop sees why it ended
		}
	}
	return false, nil
}

var errStopped = errors.New("stopped")

func ignore(err, ignored error) error {
	if errors.Is(err, ignored) {
		return nil
	}
	return err
}

func (w *worker[T]) next(iterator *string) (Page[T], error) {
	if *iterator == "" {
		readAt := w.arrived()
		if w.cfg.Retention > 0 && !readAt.IsZero() && w.cfg.Now().Sub(readAt) >= w.cfg.Retention {
			return Page[T]{}, ErrTrimmed
		}
		var err error
		if *iterator, err = w.cfg.Stream.Iterator(w.soft, w.shard, w.position); err != nil {
			return Page[T]{}, err
		}
	}
	return w.cfg.Stream.Read(w.soft, *iterator)
}

// recover does what a failed read asks for. Whatever else failed, a new iterator from the position is the cure.
func (w *worker[T]) recover(err error, failures int, iterator *string) (done bool, _ error) {
	w.counts.readFailures.WithLabelValues(reason(err)).Inc()
	switch {
	case errors.Is(err, ErrThrottled):
	case errors.Is(err, ErrTrimmed):
		*iterator = ""
		if err := w.trimmed(); err != nil {
			return false, ignore(err, errStopped)
		}
	case errors.Is(err, ErrShardGone) && w.gone():
		err := w.trimmed()
		if err == nil {
			err = w.write(func(l *Lease) { l.State, l.Owner = StateDone, "" })
		}
		return err == nil, ignore(err, errStopped)
	default:
		*iterator = ""
		if errors.Is(err, ErrIteratorExpired) && failures == 1 {
			return false, nil
		}
		w.log.WarnContext(w.ctx, "read shard", slog.Any("error", err), slog.Int("failures", failures))
	}
	_ = w.cfg.Backoff.Wait(w.soft, failures) // the loop sees why it ended
	return false, nil
}

// gone makes sure that the stream lives but no longer has the shard.
func (w *worker[T]) gone() bool {
	shards, err := w.cfg.Stream.Shards(w.soft)
	return err == nil && !slices.ContainsFunc(shards, func(s Shard) bool { return s.ID == w.shard })
}

// trimmed reports lost records until that is acknowledged, then starts over at the oldest that are kept.
func (w *worker[T]) trimmed() error {
	w.log.WarnContext(w.ctx, "records trimmed unread", slog.String("position", string(w.position)))
	w.counts.trimmed.Inc()
	if err := w.insist("catch up", func(ctx context.Context) error { return w.cfg.OnTrimmed(ctx, w.shard) }); err != nil {
		return err
	}
	w.position = TrimHorizon
	w.mu.Lock()
	w.readAt = time.Time{}
	w.mu.Unlock()
	return w.write(func(l *Lease) { l.Checkpoint, l.ReadAt = TrimHorizon, time.Time{} })
}

// process handles a page and only then moves the position; the last page's write ends the shard as well.
func (w *worker[T]) process(page Page[T], startedAt time.Time) error {
	w.mu.Lock()
	w.behind = page.Behind
	if n := len(page.Records); n > 0 {
		w.behind = max(w.behind, startedAt.Sub(page.Records[n-1].ArrivedAt))
	}
	w.mu.Unlock()
	if len(page.Records) > 0 {
		err := w.insist("handle records", func(ctx context.Context) error {
			return w.cfg.Handle(ctx, w.shard, page.Records)
		})
		if err != nil {
			return err
		}
		w.counts.records.Add(float64(len(page.Records)))
	}
	w.mu.Lock()
	w.readAt = startedAt.Add(-page.Behind)
	w.mu.Unlock()
	if last := page.last(); last != "" {
		w.position = last
	} else if page.Next != "" {
		return nil
	}
	return w.write(func(l *Lease) {
		l.Checkpoint, l.ReadAt = w.position, w.arrived()
		if page.Next == "" {
			l.State, l.Owner = StateDone, ""
		}
	})
}

// insist calls f until it succeeds. Before every call it makes sure that the lease is held: a process may have
// been paused for longer than that lasts.
func (w *worker[T]) insist(deed string, f func(ctx context.Context) error) error {
	for failures := 1; ; failures++ {
		err := w.lease.renew(w.ctx, w.cfg.LeaseDuration, func(*Lease) {})
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
		if err == nil {
			if err = f(w.ctx); err == nil {
				return nil
			}
		}
		if cause := context.Cause(w.ctx); cause != nil {
			return errors.Join(errStopped, cause)
		}
		w.counts.handleFailures.Inc()
		w.log.WarnContext(w.ctx, "will try again", slog.String("deed", deed), slog.Any("error", err), slog.Int("failures", failures))
		if w.cfg.Backoff.Wait(w.soft, failures) != nil {
			return errStopped
		}
	}
}

// write changes the lease until that succeeds, the lease is lost, or the stop's time is up.
func (w *worker[T]) write(change func(*Lease)) error {
	for failures := 1; ; failures++ {
		err := w.lease.update(w.ctx, change)
		if err == nil {
			w.mu.Lock()
			w.checkedAt = w.cfg.Now()
			w.mu.Unlock()
		}
		if err == nil || errors.Is(err, ErrLeaseLost) {
			return err
		}
		w.log.WarnContext(w.ctx, "write lease", slog.Any("error", err), slog.Int("failures", failures))
		if w.cfg.Backoff.Wait(w.ctx, failures) != nil {
			return errStopped
		}
	}
}

func (w *worker[T]) arrived() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readAt
}
