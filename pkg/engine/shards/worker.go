package shards

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/retry"
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

	feed  Feed[T]       // nil: to be opened
	moved chan struct{} // holds a token when the position has moved

	mu       sync.Mutex
	position Position      // all records up to it are handled; only the worker's own goroutine moves it
	readAt   time.Time     // see Lease
	keptAt   time.Time     // before the last write of the lease, or the start
	aheadAt  time.Time     // since when the position is ahead of the lease's; zero: it is not
	behind   time.Duration // of the last page read, at seenAt
	seenAt   time.Time
}

func newWorker[T any](hard context.Context, cfg *Config[T], h *held, counts *counters) *worker[T] {
	l := h.current()
	w := &worker[T]{
		cfg: cfg, shard: l.Shard, lease: h, counts: counts, log: cfg.Logger.With(slog.String("shard", l.Shard)),
		moved: make(chan struct{}, 1), position: l.Checkpoint, readAt: l.ReadAt, keptAt: cfg.Now(), seenAt: cfg.Now(),
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
	if err := w.keep(ctx, 0, func(l *Lease) { l.Owner = "" }); err != nil {
		w.log.WarnContext(ctx, "release lease", slog.Any("error", err))
	}
}

// heartbeat renews the lease in time, and keeps the position when it has been ahead for Config.Checkpoint.
func (w *worker[T]) heartbeat(ctx context.Context) {
	every := w.cfg.LeaseDuration / 3
	for ctx.Err() == nil {
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-w.moved:
			_ = retry.Sleep(ctx, w.cfg.Checkpoint) // the loop sees why it ended
			select {
			case <-w.moved: // what moved meanwhile is kept as well
			default:
			}
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
		age := every / 2
		if w.ahead() > 0 {
			age = 0
		}
		switch err := w.keep(ctx, age, unchanged); {
		case errors.Is(err, ErrLeaseLost):
			w.cut(err)
		case err != nil && ctx.Err() == nil:
			w.log.WarnContext(ctx, "renew lease", slog.Any("error", err))
			w.hasMoved()
		}
	}
}

// read handles page after page. The error is nil after a stop or the shard's end.
func (w *worker[T]) read() (done bool, err error) {
	defer w.closeFeed()
	for failures := 0; !w.stopping(); {
		startedAt := w.cfg.Now()
		page, err := w.next()
		if w.stopping() {
			return false, nil // a read that the stop ended failed for no other reason
		}
		if err != nil {
			failures++
			if done, err := w.recover(err, failures); done || err != nil {
				return done, err
			}
			continue
		}
		failures = 0
		if err := w.process(page, startedAt); err != nil {
			return false, ignore(err, errStopped)
		}
		if page.End {
			return true, nil
		}
		if !page.More {
			_ = retry.Sleep(w.soft, w.cfg.Poll) // the loop sees why it ended
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

func (w *worker[T]) next() (Page[T], error) {
	if w.feed == nil {
		readAt := w.arrived()
		if w.cfg.Retention > 0 && !readAt.IsZero() && w.cfg.Now().Sub(readAt) >= w.cfg.Retention {
			return Page[T]{}, ErrTrimmed
		}
		// A process that was paused must not take the shard's subscription from its new owner.
		if err := w.keep(w.ctx, w.cfg.LeaseDuration, unchanged); err != nil {
			return Page[T]{}, err
		}
		var err error
		if w.feed, err = w.cfg.Stream.Open(w.soft, w.shard, w.position); err != nil {
			w.feed = nil
			return Page[T]{}, err
		}
	}
	return w.feed.Next(w.soft)
}

func (w *worker[T]) closeFeed() {
	if w.feed != nil {
		w.feed.Close()
		w.feed = nil
	}
}

// recover does what a failed read asks for. Whatever else failed, a new feed from the position is the cure.
func (w *worker[T]) recover(err error, failures int) (done bool, _ error) {
	if errors.Is(err, ErrLeaseLost) {
		return false, err
	}
	w.counts.readFailures.WithLabelValues(reason(err)).Inc()
	switch {
	case errors.Is(err, ErrThrottled):
	case errors.Is(err, ErrTrimmed):
		w.closeFeed()
		if err := w.trimmed(); err != nil {
			return false, ignore(err, errStopped)
		}
	case errors.Is(err, ErrShardGone) && w.gone():
		err := w.trimmed()
		if err == nil {
			err = w.write(shardDone)
		}
		return err == nil, ignore(err, errStopped)
	default:
		w.closeFeed()
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
	if err := w.insist("catch up", func(ctx context.Context) error { return w.cfg.Republish(ctx, w.shard) }); err != nil {
		return err
	}
	w.mu.Lock()
	w.position, w.readAt = TrimHorizon, time.Time{}
	w.mu.Unlock()
	return w.write(unchanged)
}

// process handles a page and only then moves the position; the last page ends the shard as well.
func (w *worker[T]) process(page Page[T], startedAt time.Time) error {
	w.mu.Lock()
	w.seenAt, w.behind = startedAt, page.Behind
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
	w.move(page.last(), startedAt.Add(-page.Behind))
	switch {
	case page.End:
		return w.write(shardDone)
	case w.ahead() >= 2*w.cfg.Checkpoint: // the heartbeat cannot keep it
		return w.write(unchanged)
	default:
		return nil
	}
}

// insist calls f until it succeeds. Before every call it makes sure that the lease is held: a process may have
// been paused for longer than that lasts.
func (w *worker[T]) insist(deed string, f func(ctx context.Context) error) error {
	for failures := 1; ; failures++ {
		err := w.keep(w.ctx, w.cfg.LeaseDuration, unchanged)
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
		err := w.keep(w.ctx, 0, change)
		if err == nil || errors.Is(err, ErrLeaseLost) {
			return err
		}
		w.log.WarnContext(w.ctx, "write lease", slog.Any("error", err), slog.Int("failures", failures))
		if w.cfg.Backoff.Wait(w.ctx, failures) != nil {
			return errStopped
		}
	}
}
