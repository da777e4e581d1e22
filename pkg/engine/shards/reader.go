package shards

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Reader reads its share of a stream's shards. Any number of Readers of one consumer share them out.
type Reader[T any] struct {
	cfg    Config[T]
	counts *counters
	wake   chan struct{} // a worker ended: look at once
	wg     sync.WaitGroup

	// of the goroutine of Run alone
	view     *view
	present  *held
	listedAt time.Time

	relist atomic.Bool // list the stream's shards in the next round

	mu      sync.Mutex
	workers map[string]*worker[T] // by shard; gone only when their lease is given back
	owners  map[string]int        // leases by owner, as last seen
}

// Run reads until ctx ends, then lets the batches in hand finish, keeps their positions and gives all leases back, so
// that others go on at once and repeat nothing. It returns nil after such a stop, and an error if StopTimeout cut
// batches off. Nothing else ends it: what fails is logged and tried again. A Reader runs once.
func (r *Reader[T]) Run(ctx context.Context) error {
	hard, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	for failures := 0; ctx.Err() == nil; {
		pause := r.cfg.Round
		if err := r.round(ctx, hard); err != nil && ctx.Err() == nil {
			failures++
			pause = max(pause, r.cfg.Backoff.Delay(failures))
			r.cfg.Logger.WarnContext(ctx, "look at the leases", slog.Any("error", err))
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	return r.stop(hard, cut)
}

var errStopTimeout = errors.New("stop timeout")

func (r *Reader[T]) stop(hard context.Context, cut context.CancelCauseFunc) error {
	timer := time.AfterFunc(r.cfg.StopTimeout, func() { cut(errStopTimeout) })
	defer timer.Stop()
	r.mu.Lock()
	for _, w := range r.workers {
		w.stop()
	}
	r.mu.Unlock()
	r.wg.Wait()
	if r.cfg.Metrics != nil {
		r.cfg.Metrics.Unregister(r)
	}
	if r.present != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(hard), r.cfg.LeaseDuration)
		defer cancel()
		if err := r.cfg.Leases.Delete(ctx, r.present.current()); err != nil {
			r.cfg.Logger.WarnContext(ctx, "sign off", slog.Any("error", err)) // others notice after the lease duration
		}
	}
	if errors.Is(context.Cause(hard), errStopTimeout) {
		return fmt.Errorf("stop reading as %s: batches cut off after %v: %w", r.cfg.Consumer, r.cfg.StopTimeout, errStopTimeout)
	}
	return nil
}

// round is one look at the leases: list the shards when that is due, then take what is free, or give one away.
func (r *Reader[T]) round(ctx, hard context.Context) error {
	if err := r.signOn(ctx); err != nil {
		return err
	}
	leases, err := r.cfg.Leases.List(ctx, r.cfg.Consumer)
	if err != nil {
		return fmt.Errorf("list leases: %w", err)
	}
	leases, listErr := r.list(ctx, leases) // shards that are known can be read without it
	now := r.cfg.Now()
	r.view.update(leases, now)
	r.mu.Lock()
	r.owners = r.view.alive
	r.mu.Unlock()
	return errors.Join(listErr, r.share(ctx, hard, now), r.forget(ctx, now))
}

// signOn shows the others that this reader lives.
func (r *Reader[T]) signOn(ctx context.Context) error {
	var err error
	if r.present != nil {
		_, err = r.present.renew(ctx, r.cfg.LeaseDuration/3, unchanged)
	} else {
		next := Lease{Consumer: r.cfg.Consumer, Shard: "reader/" + r.cfg.Owner, State: StateReader, Owner: r.cfg.Owner}
		r.present, err = take(ctx, r.cfg.Leases, r.cfg.Now, Lease{}, next)
	}
	if lost, ok := errors.AsType[*LostError](err); ok { // removed by others, who thought this reader dead
		next := Lease{Consumer: r.cfg.Consumer, Shard: "reader/" + r.cfg.Owner, State: StateReader, Owner: r.cfg.Owner}
		r.present, err = take(ctx, r.cfg.Leases, r.cfg.Now, lost.Stored, next)
	}
	if err != nil {
		return fmt.Errorf("sign on: %w", err)
	}
	return nil
}

// list asks for the stream's shards when that is due, and adds a lease for each that has none, parents before their
// children. New shards start at TrimHorizon, never at their tip: what came first in them must not be lost.
func (r *Reader[T]) list(ctx context.Context, leases []Lease) ([]Lease, error) {
	if !r.relist.Load() && r.cfg.Now().Sub(r.listedAt) < r.cfg.ListEvery {
		return leases, nil
	}
	r.relist.Store(false)
	err := func() error {
		shards, err := r.cfg.Stream.Shards(ctx)
		if err != nil {
			return fmt.Errorf("list shards: %w", err)
		}
		have := make(map[string]bool, len(leases))
		for _, l := range leases {
			have[l.Shard] = true
		}
		for _, s := range parentsFirst(shards) {
			if have[s.ID] {
				continue
			}
			l := Lease{Consumer: r.cfg.Consumer, Shard: s.ID, Counter: 1, Parents: s.Parents, State: StateOpen}
			if err := r.cfg.Leases.Put(ctx, l, Lease{}); errors.Is(err, ErrLeaseLost) {
				continue // another reader was first; the next round sees it
			} else if err != nil {
				return fmt.Errorf("create lease of shard %s: %w", s.ID, err)
			}
			leases = append(leases, l)
		}
		r.listedAt = r.cfg.Now()
		r.view.listed = make(map[string]bool, len(shards))
		for _, s := range shards {
			r.view.listed[s.ID] = true
		}
		return nil
	}()
	if err != nil {
		r.relist.Store(true)
	}
	return leases, err
}

// share takes free leases up to an even share, or gives one away to readers that have less.
func (r *Reader[T]) share(ctx, hard context.Context, now time.Time) error {
	r.mu.Lock()
	mine := make(map[string]*worker[T], len(r.workers))
	maps.Copy(mine, r.workers)
	r.mu.Unlock()
	free := r.view.available(now, func(shard string) bool { return mine[shard] != nil })
	count := len(mine)
	for _, l := range free {
		if !r.view.mayTake(l, count, now) {
			continue
		}
		next := l
		next.Owner = r.cfg.Owner
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
		count++
		r.start(hard, h)
	}
	if len(free) > 0 || !r.view.mayGive(count) {
		return nil
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(mine)), (*worker[T]).stopping) { // one at a time
		mine[slices.Min(slices.Collect(maps.Keys(mine)))].stop()
	}
	return nil
}

// forget removes leases that nobody needs any more.
func (r *Reader[T]) forget(ctx context.Context, now time.Time) error {
	for _, l := range r.view.obsolete(now) {
		if err := r.cfg.Leases.Delete(ctx, l); err != nil && !errors.Is(err, ErrLeaseLost) {
			return fmt.Errorf("forget lease of %s: %w", l.Shard, err)
		}
	}
	return nil
}

func (r *Reader[T]) start(hard context.Context, h *held) {
	w := newWorker(hard, &r.cfg, h, r.counts)
	r.mu.Lock()
	r.workers[w.shard] = w
	r.mu.Unlock()
	r.wg.Go(func() {
		if done := w.run(); done {
			r.relist.Store(true) // its children
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
		delete(byID, id) // before its parents: a stream that names a circle must not hang us
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
