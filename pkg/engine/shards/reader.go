package shards

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Reader reads its share of a stream's shards. Any number of Readers of one consumer share them.
type Reader[T any] struct {
	cfg    Config[T]
	counts *counters
	wake   chan struct{} // a worker ended: begin a round at once
	wg     sync.WaitGroup

	// used by the goroutine of Run only
	view     *view
	presence *held // with StateReader
	listedAt time.Time
	source   Source // as listed last

	relist  atomic.Bool // list the stream's shards in the next round
	rounded atomic.Bool // a round has succeeded

	mu      sync.Mutex
	workers map[string]*worker[T] // by shard; removed when their lease is released
	filler  *worker[T]            // republishes the log while this reader holds the lease of the source
	owners  map[string]int        // leases by owner, as of the last round
}

// roundDeadline is the longest time that a round may take: its first call that fails with all its attempts ends it.
const roundDeadline = 30 * time.Second

// Run reads until ctx ends. Then it waits for the batches in flight, stores their positions and releases all leases, so
// that other readers continue at once and repeat nothing. It returns nil after such a stop, and an error if StopTimeout
// ended a batch. Nothing else ends it: failures are logged and retried. A Reader runs once.
func (r *Reader[T]) Run(ctx context.Context) error {
	workCtx, cancelWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancelWork(nil)
	loop := progress.NewLoop("lease rounds of "+r.cfg.Consumer, roundDeadline, r.cfg.Now)
	defer r.cfg.Loops.Register(loop)()
	for failures := 0; ctx.Err() == nil; loop.Turn() {
		pause := r.cfg.Round
		if err := r.round(ctx, workCtx); err != nil && ctx.Err() == nil {
			failures++
			pause = max(pause, r.cfg.Backoff.Delay(failures))
			r.cfg.Logger.WarnContext(ctx, "lease round failed, retrying", slog.Any(keyError, err))
		} else {
			failures = 0
			r.rounded.Store(true)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return r.stop(workCtx, cancelWork)
}

// Ready returns nil once a round has succeeded: the reader has announced itself, and knows the leases and the stream's shards.
func (r *Reader[T]) Ready(context.Context) error {
	if !r.rounded.Load() {
		return errors.New("no round of the leases yet")
	}
	return nil
}

var errStopTimeout = errors.New("stop timeout")

func (r *Reader[T]) stop(workCtx context.Context, cancelWork context.CancelCauseFunc) error {
	timer := time.AfterFunc(r.cfg.StopTimeout, func() { cancelWork(errStopTimeout) })
	defer timer.Stop()
	r.mu.Lock()
	for _, w := range r.workers {
		w.stop()
	}
	if r.filler != nil {
		r.filler.cancelWork(errStopped) // it takes long, and the next reader repeats it anyway
	}
	r.mu.Unlock()
	r.wg.Wait()
	if r.cfg.Metrics != nil {
		r.cfg.Metrics.Unregister(r)
	}
	if r.presence != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(workCtx), r.cfg.LeaseDuration)
		defer cancel()
		if err := r.cfg.Leases.Delete(ctx, r.presence.lease); err != nil {
			r.cfg.Logger.WarnContext(ctx, "reader lease deletion failed", slog.Any(keyError, err)) // it expires
		}
	}
	if errors.Is(context.Cause(workCtx), errStopTimeout) {
		return fmt.Errorf("stop reading as %s: batches ended after %v: %w", r.cfg.Consumer, r.cfg.StopTimeout, errStopTimeout)
	}
	return nil
}

// round reads all leases, lists the shards when that is due, and takes free leases or releases one.
func (r *Reader[T]) round(ctx, workCtx context.Context) error {
	if err := r.announce(ctx); err != nil {
		return err
	}
	leases, err := r.cfg.Leases.List(ctx, r.cfg.Consumer)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	if slices.ContainsFunc(leases, func(l Lease) bool { return l.damaged != nil }) {
		r.relist.Store(true) // it begins anew where the stream is now
	}
	leases, listErr := r.list(ctx, leases) // an error does not stop the shards that have leases
	now := r.cfg.Now()
	r.view.update(leases, now)
	r.mu.Lock()
	r.owners = r.view.alive
	r.mu.Unlock()
	return errors.Join(listErr, r.share(ctx, workCtx, now), r.fillGap(ctx, workCtx, now), r.deleteObsolete(ctx, now))
}

// announce shows other readers that this one is alive.
func (r *Reader[T]) announce(ctx context.Context) error {
	next := Lease{Consumer: r.cfg.Consumer, Shard: "reader/" + r.cfg.Owner, State: StateReader, Owner: r.cfg.Owner}
	var err error
	if r.presence != nil {
		_, err = r.presence.renew(ctx, r.cfg.LeaseDuration/3, unchanged)
	} else {
		r.presence, err = take(ctx, r.cfg.Leases, r.cfg.Now, Lease{}, next)
	}
	if lost, ok := errors.AsType[*LostError](err); ok { // deleted by a reader that took this one for dead
		r.presence, err = take(ctx, r.cfg.Leases, r.cfg.Now, lost.Stored, next)
	}
	if err != nil {
		return fmt.Errorf("write the lease of reader %s: %w", r.cfg.Owner, err)
	}
	return nil
}

// list lists the stream's shards when that is due, and adds a lease for each shard without one, parents before children.
// The leases were listed before the shards, so they are of no newer source.
func (r *Reader[T]) list(ctx context.Context, leases []Lease) (_ []Lease, err error) {
	if !r.relist.Swap(false) && r.cfg.Now().Sub(r.listedAt) < r.cfg.ListEvery {
		return leases, nil
	}
	defer func() {
		if err != nil {
			r.relist.Store(true)
		}
	}()
	listing, err := r.cfg.Stream.Shards(ctx)
	if err != nil {
		r.counts.listFailures.Inc()
		return leases, fmt.Errorf("list shards: %w", err)
	}
	targets, targetsErr := r.targets(ctx) // its failure does not stop the shards that were listed
	if leases, err = r.follow(ctx, leases, listing, targets); err != nil {
		return leases, err
	}
	have := make(map[string]bool, len(leases))
	for _, l := range leases {
		have[l.Shard] = true
	}
	listed := make(map[string]bool, len(listing.Shards))
	for _, s := range parentsFirst(listing.Shards) {
		listed[s.ID] = true
		if have[s.ID] {
			continue
		}
		l := r.unread(s, listing.Source)
		if err := r.cfg.Leases.Put(ctx, l, Lease{}); errors.Is(err, ErrLeaseLost) {
			continue // another reader was first; the next round sees it
		} else if err != nil {
			return leases, fmt.Errorf("create lease of shard %s: %w", s.ID, err)
		}
		leases = append(leases, l)
	}
	r.listedAt, r.view.listed, r.source = r.cfg.Now(), listed, listing.Source
	return leases, targetsErr
}

// share takes free leases up to an even share, or releases one for readers that have fewer.
func (r *Reader[T]) share(ctx, workCtx context.Context, now time.Time) error {
	r.mu.Lock()
	mine := maps.Clone(r.workers)
	r.mu.Unlock()
	free := r.view.available(now, func(shard string) bool { return mine[shard] != nil })
	count := len(mine)
	for _, l := range free {
		next := l
		next.Owner, next.Source = r.cfg.Owner, cmp.Or(l.Source, r.source)
		if next.Source == "" || !r.view.mayTake(l, count, now) {
			continue
		}
		h, err := take(ctx, r.cfg.Leases, r.cfg.Now, l, next)
		if errors.Is(err, ErrLeaseLost) {
			continue
		} else if err != nil {
			return fmt.Errorf("take lease of shard %s: %w", l.Shard, err)
		}
		if l.Owner != "" && l.Owner != r.cfg.Owner {
			r.counts.takeOvers.Inc()
			r.cfg.Logger.InfoContext(ctx, "shard taken over", slog.String("shard", l.Shard), slog.String("from", l.Owner))
		}
		if l.Source == "" {
			r.cfg.Logger.InfoContext(ctx, "position without a source, of an earlier build, adopted for the stream that is there",
				slog.String("shard", l.Shard), slog.String("source", string(next.Source)))
		}
		count++
		r.start(workCtx, h)
	}
	if len(free) > 0 || !r.view.mayRelease(count) {
		return nil
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(mine)), (*worker[T]).stopping) { // one at a time
		mine[slices.Min(slices.Collect(maps.Keys(mine)))].handOff()
	}
	return nil
}

// deleteObsolete deletes leases that no reader needs.
func (r *Reader[T]) deleteObsolete(ctx context.Context, now time.Time) error {
	for _, l := range r.view.obsolete(now) {
		if err := r.cfg.Leases.Delete(ctx, l); err != nil && !errors.Is(err, ErrLeaseLost) {
			return fmt.Errorf("delete lease of %s: %w", l.Shard, err)
		}
	}
	return nil
}

func (r *Reader[T]) start(workCtx context.Context, h *held) {
	w := newWorker(workCtx, &r.cfg, h, r.counts)
	r.mu.Lock()
	r.workers[w.shard] = w
	r.mu.Unlock()
	r.wg.Go(func() {
		done, replaced := w.run(w.read) //nolint:contextcheck // it has its own
		if done {
			w.log.InfoContext(workCtx, "shard done")
		}
		if done || replaced { // find its children, or what replaced it
			r.relist.Store(true)
		}
		if errors.Is(context.Cause(w.workCtx), errStuck) { //nolint:contextcheck // as above
			_ = retry.Sleep(workCtx, 2*r.cfg.Round) // another reader, whose calls may return, is first
		}
		r.mu.Lock()
		delete(r.workers, w.shard)
		r.mu.Unlock()
		select {
		case r.wake <- struct{}{}:
		default:
		}
	})
}

// parentsFirst orders shards so that none comes before its parents.
func parentsFirst(shards []Shard) []Shard {
	byID := make(map[string]Shard, len(shards))
	for _, s := range shards {
		byID[s.ID] = s
	}
	out := make([]Shard, 0, len(shards))
	var visit func(id string)
	visit = func(id string) {
		s, ok := byID[id]
		if !ok {
			return
		}
		delete(byID, id) // before its parents, so that a cycle ends
		for _, p := range s.Parents {
			visit(p)
		}
		out = append(out, s)
	}
	for _, s := range shards {
		visit(s.ID)
	}
	return out
}
