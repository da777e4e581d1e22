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
	source Source
	lease  *held
	counts *counters
	log    *slog.Logger

	ctx        context.Context         // ends by stop, and with workCtx: begin nothing new
	stop       context.CancelFunc      // ends ctx
	workCtx    context.Context         // ends when the lease is lost or StopTimeout is over
	cancelWork context.CancelCauseFunc // ends workCtx

	feed  Feed[T]       // nil: to be opened
	moved chan struct{} // signals that the position has moved

	mu       sync.Mutex
	position Position      // all records up to it are handled; only the goroutine of run moves it
	readAt   time.Time     // see Lease; only the goroutine of run moves it
	savedAt  time.Time     // before the last write of the lease, or the start
	aheadAt  time.Time     // since when the position is ahead of the lease's; zero: it is not
	behind   time.Duration // of the last page read, at behindAt
	behindAt time.Time
}

func newWorker[T any](workCtx context.Context, cfg *Config[T], h *held, counts *counters) *worker[T] {
	l := h.lease // not shared yet
	w := &worker[T]{
		cfg: cfg, shard: l.Shard, source: l.Source, lease: h, counts: counts, log: cfg.Logger.With(slog.String("shard", l.Shard)),
		moved: make(chan struct{}, 1), position: l.Checkpoint, readAt: l.ReadAt, savedAt: cfg.Now(), behindAt: cfg.Now(),
	}
	w.workCtx, w.cancelWork = context.WithCancelCause(workCtx)
	w.ctx, w.stop = context.WithCancel(w.workCtx) //nolint:gosec // called by the Reader; run ends workCtx, and ctx with it
	return w
}

func (w *worker[T]) stopping() bool { return w.ctx.Err() != nil }

// run does its work, such as read, until that is done, the lease lost or the worker stopped, and then releases a lease that is
// not lost. replaced says that the stream is no longer the lease's source.
func (w *worker[T]) run(work func() (done bool, err error)) (done, replaced bool) {
	var heartbeat sync.WaitGroup
	heartbeatCtx, cancelHeartbeat := context.WithCancel(w.workCtx)
	heartbeat.Go(func() { w.heartbeat(heartbeatCtx) })
	done, err := work()
	cancelHeartbeat()
	heartbeat.Wait()
	defer w.cancelWork(nil)
	switch {
	case errors.Is(err, ErrLeaseLost) || errors.Is(context.Cause(w.workCtx), ErrLeaseLost):
		w.log.WarnContext(w.workCtx, "lease lost")
	case !done:
		w.release()
	}
	return done, errors.Is(err, errReplaced)
}

// release gives up the lease. If that fails, other readers take it after the lease duration.
func (w *worker[T]) release() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.workCtx), w.cfg.LeaseDuration)
	defer cancel()
	if err := w.save(ctx, 0, func(l *Lease) { l.Owner = "" }); err != nil {
		w.log.WarnContext(ctx, "lease release failed", slog.Any(keyError, err))
	}
}

// heartbeat renews the lease, and stores the position when it has been ahead for Config.Checkpoint.
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
			case <-w.moved: // the write below stores this move too
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
		switch err := w.save(ctx, age, unchanged); {
		case errors.Is(err, ErrLeaseLost):
			w.cancelWork(err)
		case err != nil && ctx.Err() == nil:
			w.log.WarnContext(ctx, "lease renewal failed, retrying", slog.Any(keyError, err))
			w.signalMoved()
		}
	}
}

// read handles page after page. It returns nil after a stop or at the shard's end.
func (w *worker[T]) read() (done bool, err error) {
	defer w.closeFeed()
	for failures := 0; !w.stopping(); {
		startedAt := w.cfg.Now()
		page, err := w.next()
		if w.stopping() {
			return false, nil // the stop made the read fail
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
			_ = retry.Sleep(w.ctx, w.cfg.Poll) // the loop sees why it ended
		}
	}
	return false, nil
}

var (
	errStopped  = errors.New("stopped")
	errReplaced = errors.New("stream replaced") // the Reader makes the lease one of the new source
)

func ignore(err, ignored error) error {
	if errors.Is(err, ignored) {
		return nil
	}
	return err
}

func (w *worker[T]) next() (Page[T], error) {
	if w.feed == nil {
		if w.cfg.Retention > 0 && !w.readAt.IsZero() && w.cfg.Now().Sub(w.readAt) >= w.cfg.Retention {
			return Page[T]{}, ErrTrimmed
		}
		// After a pause of this process, it must not take the subscription to the shard from the new owner.
		if err := w.save(w.workCtx, w.cfg.LeaseDuration, unchanged); err != nil {
			return Page[T]{}, err
		}
		var err error
		if w.feed, err = w.cfg.Stream.Open(w.ctx, w.shard, w.position); err != nil {
			w.feed = nil
			return Page[T]{}, err
		}
	}
	return w.feed.Next(w.ctx)
}

func (w *worker[T]) closeFeed() {
	if w.feed != nil {
		w.feed.Close()
		w.feed = nil
	}
}

// recover handles a failed read: by waiting, or by a new feed from the position.
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
	case errors.Is(err, ErrShardGone) || errors.Is(err, ErrForeignPosition):
		w.closeFeed()
		if done, changed := w.changed(err); done || changed != nil {
			return done, ignore(changed, errStopped)
		}
		w.log.WarnContext(w.workCtx, "shard read failed, retrying", slog.Any(keyError, err), slog.Int("failures", failures))
	default:
		w.closeFeed()
		if errors.Is(err, ErrIteratorExpired) && failures == 1 {
			return false, nil
		}
		w.log.WarnContext(w.workCtx, "shard read failed, retrying", slog.Any(keyError, err), slog.Int("failures", failures))
	}
	_ = w.cfg.Backoff.Wait(w.ctx, failures) // the loop sees why it ended
	return false, nil
}

// changed looks whether the stream was replaced, or no longer has the shard or the position.
func (w *worker[T]) changed(failure error) (done bool, _ error) {
	listing, err := w.cfg.Stream.Shards(w.ctx)
	switch {
	case err != nil:
		return false, nil // the failure is retried
	case listing.Source != w.source:
		return false, errReplaced
	case !slices.ContainsFunc(listing.Shards, func(s Shard) bool { return s.ID == w.shard }):
		if err := w.trimmed(); err != nil {
			return false, err
		}
		err := w.write(shardDone)
		return err == nil, err
	case errors.Is(failure, ErrForeignPosition):
		return false, w.trimmed()
	default:
		return false, nil
	}
}

// trimmed calls Republish until it succeeds, then starts at the oldest record.
func (w *worker[T]) trimmed() error {
	w.log.WarnContext(w.workCtx, "records trimmed before they were read", slog.String("position", string(w.position)))
	w.counts.trimmed.Inc()
	if err := w.insist("republish", func(ctx context.Context) error { return w.cfg.Republish(ctx, w.shard) }); err != nil {
		return err
	}
	w.mu.Lock()
	w.position, w.readAt = TrimHorizon, time.Time{}
	w.mu.Unlock()
	return w.write(unchanged)
}

// process handles a page and only then moves the position. The last page also ends the shard.
func (w *worker[T]) process(page Page[T], startedAt time.Time) error {
	w.mu.Lock()
	w.behindAt, w.behind = startedAt, page.Behind
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
	case w.ahead() >= 2*w.cfg.Checkpoint: // the heartbeat cannot store it
		return w.write(unchanged)
	default:
		return nil
	}
}

// insist calls f until it succeeds. Before each call it checks that the lease is held: the process may have been paused
// for longer than the lease duration.
func (w *worker[T]) insist(operation string, f func(ctx context.Context) error) error {
	for failures := 1; ; failures++ {
		err := w.save(w.workCtx, w.cfg.LeaseDuration, unchanged)
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
		if err == nil {
			if err = f(w.workCtx); err == nil {
				return nil
			}
		}
		if cause := context.Cause(w.workCtx); cause != nil {
			return errors.Join(errStopped, cause)
		}
		w.counts.handleFailures.Inc()
		w.log.WarnContext(w.workCtx, "operation failed, retrying",
			slog.String("operation", operation), slog.Any(keyError, err), slog.Int("failures", failures))
		if w.cfg.Backoff.Wait(w.ctx, failures) != nil {
			return errStopped
		}
	}
}

// write retries a change of the lease until it succeeds, the lease is lost or StopTimeout is over.
func (w *worker[T]) write(change func(*Lease)) error {
	for failures := 1; ; failures++ {
		err := w.save(w.workCtx, 0, change)
		if err == nil || errors.Is(err, ErrLeaseLost) {
			return err
		}
		w.log.WarnContext(w.workCtx, "lease write failed, retrying", slog.Any(keyError, err), slog.Int("failures", failures))
		if w.cfg.Backoff.Wait(w.workCtx, failures) != nil {
			return errStopped
		}
	}
}

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
