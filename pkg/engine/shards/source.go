package shards

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"
)

// sourceShard is the Lease.Shard of the lease of a consumer's source. Builds that knew no sources ignore it, and drop the
// source of the leases that they write.
const sourceShard = "source"

// follow makes the leases those of the listed source. A position in a former one means nothing: its shard begins anew, or its
// lease is deleted. What the former source had and was not handled is in the log only: a gap. The lease of the source is
// written last, so that the next listing does all of it again if this reader fails in the middle.
//
// A target that was replaced leaves a gap, too, and so does a lease that cannot be read: nobody knows its position.
func (r *Reader[T]) follow(ctx context.Context, leases []Lease, listing Listing, targets map[string]string) ([]Lease, error) {
	var known Lease // of the source; zero: there is none yet
	if i := slices.IndexFunc(leases, func(l Lease) bool { return l.Shard == sourceShard }); i >= 0 {
		known = leases[i]
	}
	replaced := known.Counter > 0 && known.Source != listing.Source
	former := formerLeases(leases, listing, replaced)
	unreadable := r.unreadable(ctx, leases)
	targets, emptied := merge(known.Targets, targets)
	if known.Source == listing.Source && maps.Equal(known.Targets, targets) && len(former)+unreadable == 0 {
		return leases, nil
	}
	for _, l := range former {
		if err := r.restart(ctx, l, listing); err != nil {
			return leases, fmt.Errorf("restart shard %s: %w", l.Shard, err)
		}
	}
	next := Lease{
		Consumer: r.cfg.Consumer, Shard: sourceShard, Counter: known.Counter + 1, State: cmp.Or(known.State, StateWhole),
		Source: listing.Source, Targets: targets,
	}
	if replaced || len(former)+unreadable+len(emptied) > 0 {
		next.State, next.Owner = StateGap, r.cfg.Owner // so that of several readers at once one succeeds, and fills the gap
		r.endFiller()
	}
	if err := r.cfg.Leases.Put(ctx, next, known); err != nil {
		return leases, fmt.Errorf("write the lease of source %s: %w", listing.Source, err)
	}
	for _, name := range emptied {
		r.counts.replaced.Inc()
		r.cfg.Logger.WarnContext(ctx, "target replaced: the log is published again", slog.String("target", name),
			slog.String("source", targets[name]), slog.String("former", known.Targets[name]))
	}
	if replaced || len(former) > unreadable {
		r.counts.replaced.Inc()
		r.cfg.Logger.WarnContext(ctx, "stream replaced: it is read from its oldest record, and the log is published again",
			slog.String("former", string(known.Source)), slog.String("source", string(listing.Source)), slog.Int("shards", len(former)))
	}
	return r.cfg.Leases.List(ctx, r.cfg.Consumer)
}

// unreadable counts the leases that cannot be read, and says so.
func (r *Reader[T]) unreadable(ctx context.Context, leases []Lease) (count int) {
	for _, l := range leases {
		if l.damaged == nil {
			continue
		}
		count++
		r.counts.unreadable.Inc()
		r.cfg.Logger.ErrorContext(ctx, "lease cannot be read: its shard is read from its oldest record, and the log is published again",
			slog.String("shard", l.Shard), slog.Any(keyError, l.damaged.err))
	}
	return count
}

// targets returns those that there are.
func (r *Reader[T]) targets(ctx context.Context) (map[string]string, error) {
	if r.cfg.Targets == nil {
		return nil, nil
	}
	targets, err := r.cfg.Targets(ctx)
	if err != nil {
		r.counts.listFailures.Inc()
		return nil, fmt.Errorf("look for targets: %w", err)
	}
	return targets, nil
}

// merge returns the targets known before or now, and the names of those that were replaced. Readers of another build may
// have other targets, so none is forgotten.
func merge(before, now map[string]string) (all map[string]string, replaced []string) {
	all = maps.Clone(before)
	for name, identity := range now {
		if all == nil {
			all = map[string]string{}
		}
		if was, known := all[name]; known && was != identity {
			replaced = append(replaced, name)
		}
		all[name] = identity
	}
	slices.Sort(replaced)
	return all, replaced
}

// formerLeases returns the leases of shards of another source than the listed one, and those that cannot be read. Those
// without a source, which earlier builds wrote, are taken for leases of the last known one. But a shard that was done and
// is open is another shard.
func formerLeases(leases []Lease, listing Listing, replaced bool) (former []Lease) {
	open := map[string]bool{}
	for _, s := range listing.Shards {
		open[s.ID] = !s.Closed
	}
	for _, l := range leases {
		switch {
		case l.damaged != nil:
			if l.Shard != sourceShard { // which is written in any case
				former = append(former, l)
			}
		case l.State != StateOpen && l.State != StateDone: // not of a shard
		case l.Source == "" && (replaced || l.State == StateDone && open[l.Shard]), l.Source != "" && l.Source != listing.Source:
			former = append(former, l)
		}
	}
	return former
}

// restart lets the shard of a lease begin anew, or deletes the lease if there is no such shard. Its owner loses it.
func (r *Reader[T]) restart(ctx context.Context, l Lease, listing Listing) error {
	i := slices.IndexFunc(listing.Shards, func(s Shard) bool { return s.ID == l.Shard })
	if i < 0 {
		return r.cfg.Leases.Delete(ctx, l)
	}
	next := r.unread(listing.Shards[i], listing.Source)
	next.Counter = l.Counter + 1
	return r.cfg.Leases.Put(ctx, next, l)
}

// unread is the first lease of a shard: at TrimHorizon, never at the shard's tip, so that its first records are read.
func (r *Reader[T]) unread(s Shard, source Source) Lease {
	return Lease{Consumer: r.cfg.Consumer, Shard: s.ID, Counter: 1, Parents: s.Parents, State: StateOpen, Source: source}
}

// fillGap publishes the log again in the background, if there is a gap and no living reader does so.
func (r *Reader[T]) fillGap(ctx, workCtx context.Context, now time.Time) error {
	l := r.view.leases[sourceShard]
	r.mu.Lock()
	busy := r.filler != nil
	r.mu.Unlock()
	if l.State != StateGap || busy || l.Owner != "" && l.Owner != r.cfg.Owner && !r.view.stale(l, now) {
		return nil
	}
	next := l
	next.Owner = r.cfg.Owner
	h, err := take(ctx, r.cfg.Leases, r.cfg.Now, l, next)
	if errors.Is(err, ErrLeaseLost) {
		return nil // another reader was first
	} else if err != nil {
		return fmt.Errorf("take lease of source %s: %w", l.Source, err)
	}
	w := newWorker(workCtx, &r.cfg, h, r.counts)
	r.mu.Lock()
	r.filler = w
	r.mu.Unlock()
	r.wg.Go(func() {
		if filled, _ := w.run(w.fill); filled { //nolint:contextcheck // it has its own
			w.log.InfoContext(workCtx, "log published again", slog.String("source", string(l.Source)))
		}
		r.mu.Lock()
		r.filler = nil
		r.mu.Unlock()
	})
	return nil
}

// endFiller ends the worker that fills a former gap. What it has read of the log may lack events of the new one, and it would
// take the new lease for its own, since that has its owner.
func (r *Reader[T]) endFiller() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.filler != nil {
		r.filler.cancelWork(ErrLeaseLost)
	}
}

// fill publishes the log again, and stores that there is no gap any more.
func (w *worker[T]) fill() (done bool, _ error) {
	err := w.insist("republish", func(ctx context.Context) error { return w.cfg.Republish(ctx, w.shard) })
	if err == nil {
		err = w.write(func(l *Lease) { l.State, l.Owner = StateWhole, "" })
	}
	return err == nil, ignore(err, errStopped)
}
