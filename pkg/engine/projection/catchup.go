package projection

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// catchingUp is how many streams CatchUp works on at once.
const catchingUp = 16

// CaughtUp is what a CatchUp did.
type CaughtUp struct {
	Records int64 // compared, of this projection's categories
	Behind  int64 // streams that were, and are at their head now
	Applied int64 // events that they had missed
	Parked  int64 // streams that were left behind because they are parked: a Redrive is for them
}

// CatchUp brings every stream of which log yields records up to its head, whether a message says so or not: it is the
// way back for a projection that was down for longer than its queue keeps messages. log is the whole log, such as
// dynamostore's All, in any order; streams whose records come in a row are compared once. It may run while messages are
// applied, and again after an error: what it did is done.
func (p *Projector) CatchUp(ctx context.Context, log iter.Seq2[eventsourcing.Record, error]) (CaughtUp, error) {
	var done CaughtUp
	heads := map[eventsourcing.StreamID]eventsourcing.Version{} // as far as seen, not yet compared
	for rec, err := range log {
		if err != nil {
			return done, fmt.Errorf("catch up %s: read the log: %w", p.config.Name, err)
		}
		if p.sources[rec.Stream.Category] == nil {
			continue
		}
		if _, seen := heads[rec.Stream]; !seen && len(heads) == maxBatchGet {
			if err := p.catchUp(ctx, heads, &done); err != nil {
				return done, err
			}
			clear(heads)
		}
		heads[rec.Stream] = max(heads[rec.Stream], rec.Version)
		done.Records++
	}
	if err := p.catchUp(ctx, heads, &done); err != nil {
		return done, err
	}
	p.config.Logger.InfoContext(ctx, "caught up with the log", slog.Int64("records", done.Records), slog.Int64("behind", done.Behind),
		slog.Int64("applied", done.Applied), slog.Int64("parked", done.Parked))
	return done, nil
}

// catchUp compares heads with the fences, at most maxBatchGet of them, and closes the gaps.
func (p *Projector) catchUp(ctx context.Context, heads map[eventsourcing.StreamID]eventsourcing.Version, done *CaughtUp) error {
	streams := slices.SortedFunc(maps.Keys(heads), func(a, b eventsourcing.StreamID) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.ID, b.ID))
	})
	keys := make([]Key, len(streams))
	for i, s := range streams {
		keys[i] = Key{s.ID, p.sources[s.Category].row}
	}
	var fences []Fence
	if err := p.reader.BatchGet(ctx, keys, &fences); err != nil {
		return fmt.Errorf("catch up %s: %w", p.config.Name, err)
	}
	applied := make(map[string]eventsourcing.Version, len(fences))
	for _, f := range fences {
		applied[f.Stream] = f.Version
	}
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(catchingUp)
	for _, s := range streams {
		fence := applied[s.String()]
		if fence >= heads[s] {
			continue
		}
		group.Go(func() error {
			if err := p.closeGap(working, s, fence, done); err != nil {
				return fmt.Errorf("catch up %s with %s: %w", p.config.Name, s, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// closeGap brings a stream from its fence to its head, unless it is parked.
func (p *Projector) closeGap(ctx context.Context, stream eventsourcing.StreamID, fence eventsourcing.Version, done *CaughtUp) error {
	w, err := p.begin(stream)
	if err != nil {
		return err
	}
	parked, err := w.parked(ctx)
	if err != nil {
		return err
	}
	if parked != nil {
		atomic.AddInt64(&done.Parked, 1)
		return nil
	}
	head, err := w.catchUp(ctx)
	if head > fence { // also by another, meanwhile
		atomic.AddInt64(&done.Applied, int64(head-fence)) //nolint:gosec // far below 2^63
	}
	switch {
	case errors.Is(err, ErrParked): // just now
		atomic.AddInt64(&done.Parked, 1)
		return nil
	case err != nil:
		return err
	}
	atomic.AddInt64(&done.Behind, 1)
	return nil
}
