package projection

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync/atomic"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Draft is a stream that is folded in memory from its first event on, to be written at once into a table that has nothing of it.
// So a table is filled with one write for a stream, whatever its length. It holds one state.
type Draft struct {
	*applier
	change change
	last   eventsourcing.Record
	gap    bool // the records cannot be folded in memory, or have more entries than one write, or have effects
}

// Draft begins a stream.
func (p *Projector) Draft(stream eventsourcing.StreamID) (*Draft, error) {
	a, err := p.newApplier(stream)
	if err != nil {
		return nil, fmt.Errorf("fill %s with %s: %w", p.config.Name, stream, err)
	}
	return &Draft{applier: a, gap: a.src.effect != nil}, nil
}

// Stream returns the draft's stream.
func (d *Draft) Stream() eventsourcing.StreamID { return d.stream }

// Add folds the stream's next records, at least one.
func (d *Draft) Add(records []eventsourcing.Record) {
	for i, r := range records {
		d.gap = d.gap || r.Version != d.last.Version+eventsourcing.Version(i)+1
	}
	if !d.gap {
		c, err := d.src.fold(d.stream.ID, d.change.state, records)
		if c.entries != nil {
			maps.Copy(c.entries, d.change.entries)
		}
		d.change, d.gap = c, err != nil || len(c.entries) >= maxTransaction
	}
	if d.gap {
		d.change = change{}
	}
	if latest := latestOf(records); latest >= d.last.Version {
		d.last = records[len(records)-1]
		d.last.Version = latest
	}
}

// Store writes the stream's rows, if the table has none of it. Otherwise, or if the records do not begin with the first or one of
// them cannot be applied, it does for the stream what CatchUp does. It counts in done, with other drafts at the same time.
func (d *Draft) Store(ctx context.Context, done *CaughtUp) error {
	atomic.AddInt64(&done.Records, int64(d.last.Version)) //nolint:gosec // far below 2^63
	err := d.store(ctx, done)
	if err != nil {
		err = fmt.Errorf("fill %s with %s: %w", d.config.Name, d.stream, err)
	}
	if errors.Is(err, eventsourcing.ErrLogHole) {
		d.hole(ctx, done, err)
		return nil
	}
	return err
}

func (d *Draft) store(ctx context.Context, done *CaughtUp) error {
	if !d.gap {
		err := d.create(ctx)
		if err == nil {
			atomic.AddInt64(&done.Behind, 1)
			atomic.AddInt64(&done.Applied, int64(d.last.Version)) //nolint:gosec // far below 2^63
			return nil
		}
		if !errors.Is(err, errRaced) && !permanent(err) {
			return err
		}
	}
	_, fence, err := d.reader.fenced(ctx, d.key)
	if errors.Is(err, ErrBadRow) {
		fence, err = 0, nil
	}
	if err != nil || fence == d.last.Version {
		return err
	}
	return d.catchUpStream(ctx, d.stream, fence, d.last.Version, done)
}

// create writes the rows unless there is an own row: then it returns errRaced.
func (d *Draft) create(ctx context.Context) error {
	related, err := d.related(change{after: d.change.after, entries: d.change.entries})
	if err != nil {
		return err
	}
	own, err := d.ownItem(d.change.state, d.last)
	if err != nil {
		return err
	}
	return d.send(ctx, nil, own, related)
}
