package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/progress"
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
	workCtx    context.Context         // ends when the lease is lost, the worker stuck, or StopTimeout over
	cancelWork context.CancelCauseFunc // ends workCtx

	// used by the goroutine of run only
	handler Handler[T]
	pace    *pace
	feed    Feed[T]   // nil: to be opened
	next    Position  // of the last record read
	nextAt  time.Time // all that had arrived in the shard by then is read; zero: unknown

	moved   chan struct{}  // signals that the position has moved
	handled chan struct{}  // signals that nothing is pending
	beats   *progress.Loop // turns while the worker is not stuck
	polls   *progress.Loop // turns with each poll
	works   *progress.Loop // turns with each piece of work; workCtx carries it to where that is done

	mu       sync.Mutex
	polling  bool
	polledAt time.Time     // when the last page came, or the start
	insists  bool          // works besides on what is pending
	pending  pending       // read and not handled
	position Position      // all records up to it are handled
	readAt   time.Time     // see Lease
	savedAt  time.Time     // before the last write of the lease, or the start
	aheadAt  time.Time     // since when the position is ahead of the lease's; zero: it is not
	behind   time.Duration // of the last page read, at behindAt
	behindAt time.Time
}

func newWorker[T any](workCtx context.Context, cfg *Config[T], h *held, counts *counters) *worker[T] {
	l := h.lease // not shared yet
	w := &worker[T]{
		cfg: cfg, shard: l.Shard, source: l.Source, lease: h, counts: counts, log: cfg.Logger.With(slog.String("shard", l.Shard)),
		pace: newPace(cfg.Poll, cfg.PollIdle), next: l.Checkpoint, nextAt: l.ReadAt,
		moved: make(chan struct{}, 1), handled: make(chan struct{}, 1),
		position: l.Checkpoint, readAt: l.ReadAt, savedAt: h.writtenAt, polledAt: cfg.Now(), behindAt: cfg.Now(),
	}
	loop := func(name string) *progress.Loop {
		return progress.NewLoop(fmt.Sprintf("%s of shard %s: %s", cfg.Consumer, l.Shard, name), cfg.patience(), cfg.Now)
	}
	w.beats, w.polls, w.works = loop("heartbeat"), loop("poll"), loop("work")
	w.workCtx, w.cancelWork = context.WithCancelCause(progress.With(workCtx, w.works))
	w.ctx, w.stop = context.WithCancel(w.workCtx) //nolint:gosec // called by the Reader; run ends workCtx, and ctx with it
	return w
}

func (w *worker[T]) stopping() bool { return w.ctx.Err() != nil }

// handOff stops the worker, with what is pending after StopTimeout, so that a busy key keeps the shard from no other reader.
func (w *worker[T]) handOff() {
	w.stop()
	time.AfterFunc(w.cfg.StopTimeout, func() { w.cancelWork(errStopped) })
}

// lag returns the distance from the tip of the shard up to which all is handled.
func (w *worker[T]) lag(now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	lag := w.behind + now.Sub(w.behindAt)
	if oldest := w.pending.oldest(); !oldest.IsZero() {
		lag = max(lag, now.Sub(oldest))
	}
	return lag
}

// run does its work, such as read, until that is done, the lease lost or the worker stopped, and then releases a lease that is
// not lost. replaced says that the stream is no longer the lease's source.
func (w *worker[T]) run(work func() (done bool, err error)) (done, replaced bool) {
	defer w.cfg.Loops.Register(w.beats)()
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
	case errors.Is(context.Cause(w.workCtx), errStuck): // released, if that was possible
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

// heartbeat renews the lease, and stores the position when it has been ahead for Config.Checkpoint. If the worker is stuck,
// it gives up the lease, so that another reader, or this one anew, continues.
func (w *worker[T]) heartbeat(ctx context.Context) {
	every := w.cfg.LeaseDuration / 3
	for ctx.Err() == nil {
		left, operation := w.left()
		if left <= 0 {
			w.counts.stuck.Inc()
			w.log.WarnContext(ctx, "shard makes no progress, giving its lease up", slog.String("operation", operation))
			w.cancelWork(errStuck)
			w.release()
			return
		}
		w.beats.Turn()
		timer := time.NewTimer(min(every, left))
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
			signal(w.moved)
		}
	}
}

// left returns the time until the worker is stuck if nothing of what it does is completed by then, and what that is.
func (w *worker[T]) left() (left time.Duration, operation string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	left, patience := w.cfg.patience(), w.cfg.patience()
	if w.polling {
		left, operation = min(left, patience-w.polls.Age()), "poll"
	}
	if works := patience - w.works.Age(); (w.insists || len(w.pending.marks) > 0) && works < left {
		left, operation = works, "handle records"
	}
	return left, operation
}

// read reads page after page, while those before are handled. It returns nil after a stop or at the shard's end, when all
// that was read is handled.
func (w *worker[T]) read() (done bool, err error) {
	ctx, cancel := context.WithCancel(w.workCtx)
	w.handler = caller[T]{w}
	if w.cfg.Open != nil {
		w.handler = w.cfg.Open(ctx, w.shard, w.held)
	}
	defer w.handler.Wait()
	defer cancel()
	defer w.closeFeed()
	for failures := 0; !w.stopping(); {
		startedAt := w.cfg.Now()
		page, err := w.poll()
		if w.stopping() {
			break // the stop made the read fail
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
		if pause := w.pace.after(len(page.Records), page.More); pause > 0 {
			_ = retry.Sleep(w.ctx, pause) // the loop sees why it ended
		}
	}
	return false, ignore(w.drain(), errStopped)
}

// drain waits until all that was read is handled.
func (w *worker[T]) drain() error {
	for {
		w.mu.Lock()
		left := len(w.pending.marks)
		w.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-w.handled:
		case <-w.workCtx.Done():
			return errors.Join(errStopped, context.Cause(w.workCtx))
		}
	}
}

var (
	errStopped  = errors.New("stopped")
	errStuck    = errors.New("no progress")
	errReplaced = errors.New("stream replaced") // the Reader makes the lease one of the new source
)

func ignore(err, ignored error) error {
	if errors.Is(err, ignored) {
		return nil
	}
	return err
}

// poll returns the next page.
func (w *worker[T]) poll() (Page[T], error) {
	w.setPolling(true)
	defer w.setPolling(false)
	if w.feed == nil {
		if w.cfg.Retention > 0 && !w.nextAt.IsZero() && w.cfg.Now().Sub(w.nextAt) >= w.cfg.Retention {
			return Page[T]{}, ErrTrimmed
		}
		// After a pause of this process, it must not take the subscription to the shard from the new owner.
		if err := w.held(w.workCtx); err != nil {
			return Page[T]{}, err
		}
		var err error
		if w.feed, err = w.cfg.Stream.Open(w.ctx, w.shard, w.next); err != nil {
			w.feed = nil
			return Page[T]{}, err
		}
	}
	return w.feed.Next(w.ctx)
}

func (w *worker[T]) setPolling(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polling = on
	w.polls.Turn()
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
		if w.feed != nil { // a read, not the opening of a feed, which has a limit of its own
			_ = retry.Sleep(w.ctx, w.pace.refused()) // as below
		}
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
		return false, nil //nolint:nilerr // the failure that led here is retried
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
	w.log.WarnContext(w.workCtx, "records trimmed before they were read", slog.String("position", string(w.next)))
	w.counts.trimmed.Inc()
	if err := w.drain(); err != nil {
		return err
	}
	if err := w.insist("republish", func(ctx context.Context) error { return w.cfg.Republish(ctx, w.shard) }); err != nil {
		return err
	}
	w.next, w.nextAt = TrimHorizon, time.Time{}
	w.mu.Lock()
	w.position, w.readAt = TrimHorizon, time.Time{}
	w.mu.Unlock()
	return w.write(unchanged)
}

// process gives a page to the handler; the position moves as its records are done. The last page also ends the shard.
func (w *worker[T]) process(page Page[T], startedAt time.Time) error {
	w.nextAt = startedAt.Add(-page.Behind)
	if last := page.last(); last != "" {
		w.next = last
	}
	w.mu.Lock()
	w.behindAt, w.behind, w.polledAt = startedAt, page.Behind, w.cfg.Now()
	if len(w.pending.marks) == 0 {
		w.works.Turn() // so far there was nothing to do
	}
	first := add(&w.pending, page, w.nextAt)
	w.move()
	w.mu.Unlock()
	if len(page.Records) > 0 {
		if err := w.handler.Handle(w.workCtx, page.Records, func(i int) { w.done(first + i) }); err != nil {
			return err
		}
	}
	if !page.End {
		return nil
	}
	if err := w.drain(); err != nil {
		return err
	}
	return w.write(shardDone)
}

// done says that a record is handled.
func (w *worker[T]) done(number int) {
	w.counts.records.Inc()
	w.works.Turn()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending.done(number)
	w.move()
}

// move moves the position up to the oldest record that is pending. The caller holds mu.
func (w *worker[T]) move() {
	at, readAt := w.pending.pass()
	if !readAt.IsZero() {
		w.readAt = readAt
	}
	if len(w.pending.marks) == 0 {
		signal(w.handled)
	}
	if at == "" || at == w.position {
		return
	}
	w.position = at
	if w.aheadAt.IsZero() {
		w.aheadAt = w.cfg.Now()
	}
	signal(w.moved)
}

func signal(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// held returns nil while the lease is held and its positions can be stored. What changes anything elsewhere asks it first: the
// process may have been paused for longer than the lease duration.
func (w *worker[T]) held(ctx context.Context) error {
	age := w.cfg.LeaseDuration
	if w.ahead() >= 2*w.cfg.Checkpoint { // the heartbeat cannot store it
		age = w.cfg.Checkpoint
	}
	w.mu.Lock()
	fresh := w.cfg.Now().Sub(w.savedAt) < age
	w.mu.Unlock()
	if fresh {
		return nil
	}
	err := w.save(ctx, age, unchanged)
	if errors.Is(err, ErrLeaseLost) {
		w.cancelWork(err)
	}
	return err
}

// insist calls f until it succeeds.
func (w *worker[T]) insist(operation string, f func(ctx context.Context) error) error {
	w.setInsists(true)
	defer w.setInsists(false)
	for failures := 1; ; failures++ {
		err := w.held(w.workCtx)
		if errors.Is(err, ErrLeaseLost) {
			return err
		}
		if err == nil {
			err = f(w.workCtx)
			w.works.Turn()
			if err == nil {
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

func (w *worker[T]) setInsists(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.insists = on
	w.works.Turn()
}

// caller is a Handler that calls Config.Handle.
type caller[T any] struct{ w *worker[T] }

func (c caller[T]) Handle(_ context.Context, records []Record[T], done func(i int)) error {
	err := c.w.insist("handle records", func(ctx context.Context) error { return c.w.cfg.Handle(ctx, c.w.shard, records) })
	for i := range records {
		if err == nil {
			done(i)
		}
	}
	return err
}

func (c caller[T]) Wait() {}

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
	ctx, cancel := context.WithTimeout(ctx, w.cfg.LeaseDuration) // a later answer is of no use
	defer cancel()
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
