package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Comparison is how the rows of one stream compare with the log, both at one instant.
type Comparison struct {
	// Fence is the version of the own row; 0 if there is none, or none that can be read.
	Fence eventsourcing.Version
	// Head is the version of the log, which has grown meanwhile or not.
	Head eventsourcing.Version
	// Parked: the stream is parked at the event after Fence, or at an earlier one.
	Parked bool
	// Wrong are the rows that differ from what the log's events up to Fence are folded to, or are missing: the own row and
	// the related rows and entries, in all their attributes, those of Fence included. An own row that cannot be read is wrong.
	Wrong []Key
}

// Compare compares the rows of a stream with the log. It can run while events are applied: the own row is at the same
// version before and after all others are read, so they are what one version left. It does not see rows that the stream
// should not have: see Foreign. Its own errors are ErrMoved, ErrUnfoldable, and eventsourcing.ErrLogHole if the log lacks
// events up to Fence; a log that writes several events at once may seem to have a hole for a moment.
func (p *Projector) Compare(ctx context.Context, stream eventsourcing.StreamID) (c Comparison, err error) {
	a, err := p.newApplier(stream)
	if err == nil {
		c, err = a.compare(ctx)
	}
	if err != nil {
		return c, fmt.Errorf("compare %s in %s: %w", stream, p.config.Name, err)
	}
	return c, nil
}

func (a *applier) compare(ctx context.Context) (c Comparison, err error) {
	before, err := a.reader.item(ctx, a.key)
	if err != nil {
		return c, err
	}
	c.Fence = fenceOf(before)
	var entries []Key
	f, err := a.refoldTo(a.config.EventLog.Read(ctx, a.stream, 0), c.Fence, func(part map[Key]Item) error {
		differ, err := a.differing(ctx, part)
		entries = append(entries, sorted(differ)...)
		return err
	})
	if err != nil {
		return c, err
	}
	c.Head = f.head
	rows := sorted(f.related)
	stored, err := a.stored(ctx, append(slices.Clone(rows), a.parkedKey()))
	if err != nil {
		return c, err
	}
	after, err := a.unmoved(ctx, before)
	if err != nil {
		return c, err
	}
	var parked Parked
	if item := stored[a.parkedKey()]; item != nil && decode(item, &parked) == nil {
		c.Parked = parked.Version <= c.Fence+1 // else the own row has lost what was applied before
	}
	delete(after, attrRebuild) // which no event has written
	if !equalItems(after, f.own) {
		c.Wrong = append(c.Wrong, a.key)
	}
	for _, key := range rows {
		if !equalItems(stored[key], f.related[key]) {
			c.Wrong = append(c.Wrong, key)
		}
	}
	c.Wrong = append(c.Wrong, entries...)
	return c, nil
}

// stored reads rows by their keys.
func (p *Projector) stored(ctx context.Context, keys []Key) (map[Key]Item, error) {
	found := make(map[Key]Item, len(keys))
	for chunk := range slices.Chunk(keys, maxBatchGet) {
		if err := p.reader.batch(ctx, chunk, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// differing returns those of the rows that are not stored like this.
func (a *applier) differing(ctx context.Context, rows map[Key]Item) (map[Key]Item, error) {
	stored, err := a.stored(ctx, sorted(rows))
	if err != nil {
		return nil, err
	}
	differ := map[Key]Item{}
	for key, item := range rows {
		if !equalItems(stored[key], item) {
			differ[key] = item
		}
	}
	return differ, nil
}

// fenceOf returns the version of an own row; 0 if there is none, or none that can be read.
func fenceOf(own Item) eventsourcing.Version {
	var f Fence
	if own == nil || decode(own, &f) != nil {
		return 0
	}
	return f.Version
}

// unmoved reads the own row again. It returns ErrMoved if it was written meanwhile.
func (a *applier) unmoved(ctx context.Context, before Item) (Item, error) {
	after, err := a.reader.item(ctx, a.key)
	if err != nil {
		return nil, err
	}
	if moved(before, after) {
		return nil, ErrMoved
	}
	return after, nil
}

// moved reports whether an own row was written between two reads.
func moved(before, after Item) bool {
	return (after == nil) != (before == nil) ||
		slices.ContainsFunc(identity, func(attr string) bool { return !equalValues(after[attr], before[attr]) })
}

// refolded is what the log says about a stream's rows at one version.
type refolded struct {
	own     Item // nil at version 0
	related map[Key]Item
	head    eventsourcing.Version // of the log, at least that version
}

// refoldTo folds the log, all of the stream's records, up to that version, which was applied, and calls visit with the entries up to
// there, part by part.
func (a *applier) refoldTo(
	log iter.Seq2[eventsourcing.Record, error], upTo eventsourcing.Version, visit func(entries map[Key]Item) error,
) (f refolded, err error) {
	var c change
	var last eventsourcing.Record
	var run []eventsourcing.Record
	fold := func() error {
		next, err := a.src.fold(a.stream.ID, c.state, run)
		if bad, ok := errors.AsType[*unappliableError](err); ok { // its text may quote the event
			return fmt.Errorf("%w: version %d or a later one up to %d", ErrUnfoldable, run[bad.at].Version, last.Version)
		}
		if err != nil {
			return err
		}
		c, run = next, run[:0]
		return visit(c.entries)
	}
	for r, err := range log {
		if err != nil {
			return f, fmt.Errorf("read the log: %w", err)
		}
		if f.head++; r.Version != f.head {
			return f, fmt.Errorf("%w: version %d instead of %d", eventsourcing.ErrLogHole, r.Version, f.head)
		}
		if r.Version > upTo {
			continue
		}
		if run, last = append(run, r), r; len(run) == maxRun {
			if err := fold(); err != nil {
				return f, err
			}
		}
	}
	if f.head < upTo {
		return f, fmt.Errorf("%w: it ends at version %d, the projection has %d", eventsourcing.ErrLogHole, f.head, upTo)
	}
	if len(run) > 0 {
		if err := fold(); err != nil {
			return f, err
		}
	}
	if upTo > 0 {
		if f.own, err = a.ownItem(c.state, last); err != nil {
			return f, err
		}
	}
	f.related = make(map[Key]Item, len(c.after))
	for key, data := range c.after {
		f.related[key] = a.relatedItem(key, data)
	}
	return f, nil
}
