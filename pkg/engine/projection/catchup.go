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

// maxCatchUps is the number of streams that CatchUp works on at once.
const maxCatchUps = 16

// CaughtUp counts what a CatchUp did.
type CaughtUp struct {
	Records int64 // compared, of this projection's categories
	Behind  int64 // streams that were behind and are caught up
	Applied int64 // events that were missing
	Parked  int64 // streams that stay behind because they are parked: use Redrive
	// Holes is how many items of the log are no events, and how many streams lack an event that was applied, or one before
	// another. One whose records were not adjacent may count again. Each is logged. The others are caught up.
	Holes int64
}

// span is what was seen of a stream.
type span struct {
	first, head eventsourcing.Version
	// broken says that the records did not come one after the other.
	broken bool
}

func (s span) with(v eventsourcing.Version) span {
	if s.head == 0 {
		return span{first: v, head: v}
	}
	return span{min(s.first, v), max(s.head, v), s.broken || v != s.head+1}
}

// CatchUp applies the missing events of every stream in log. Use it when a projection was down for longer than the queue's
// retention. log yields every record, in any order, as dynamostore.Store.All does; adjacent records of a stream cost
// one comparison, and those that come in order show that the log lacks none of them: else the stream is read.
// It can run while messages are applied. A row that cannot be read is rebuilt. After an error it can be called again.
func (p *Projector) CatchUp(ctx context.Context, log iter.Seq2[eventsourcing.Record, error]) (CaughtUp, error) {
	return p.catchUpAll(ctx, log, p.whole)
}

// CatchUpTo is CatchUp up to the heads of streams, of which it gets no other record: those of another projection's Heads. A hole before
// what is applied is not seen.
func (p *Projector) CatchUpTo(ctx context.Context, heads iter.Seq2[eventsourcing.Record, error]) (CaughtUp, error) {
	return p.catchUpAll(ctx, heads, func(context.Context, eventsourcing.StreamID, span) error { return nil })
}

func (p *Projector) catchUpAll(
	ctx context.Context, log iter.Seq2[eventsourcing.Record, error], check func(context.Context, eventsourcing.StreamID, span) error,
) (CaughtUp, error) {
	var done CaughtUp
	heads := map[eventsourcing.StreamID]span{} // not yet compared
	for rec, err := range log {
		if errors.Is(err, eventsourcing.ErrLogHole) {
			p.hole(ctx, &done, err)
			continue
		}
		if err != nil {
			return done, fmt.Errorf("catch up %s: read the log: %w", p.config.Name, err)
		}
		if p.sources[rec.Stream.Category] == nil {
			continue
		}
		if _, seen := heads[rec.Stream]; !seen && len(heads) == maxBatchGet {
			if err := p.catchUp(ctx, heads, check, &done); err != nil {
				return done, err
			}
			clear(heads)
		}
		heads[rec.Stream] = heads[rec.Stream].with(rec.Version)
		done.Records++
	}
	if err := p.catchUp(ctx, heads, check, &done); err != nil {
		return done, err
	}
	p.config.Logger.InfoContext(ctx, "caught up with the log", slog.Int64("records", done.Records), slog.Int64("behind", done.Behind),
		slog.Int64("applied", done.Applied), slog.Int64("parked", done.Parked), slog.Int64("holes", done.Holes))
	return done, nil
}

func (p *Projector) hole(ctx context.Context, done *CaughtUp, err error) {
	atomic.AddInt64(&done.Holes, 1)
	p.config.Logger.ErrorContext(ctx, "log lacks an event, catching up the others", slog.Any("error", err))
}

// catchUp compares heads, at most maxBatchGet of them, with the fences and closes the gaps. check returns an ErrLogHole if the log lacks
// a record.
func (p *Projector) catchUp(
	ctx context.Context, heads map[eventsourcing.StreamID]span,
	check func(context.Context, eventsourcing.StreamID, span) error, done *CaughtUp,
) error {
	streams := slices.SortedFunc(maps.Keys(heads), func(a, b eventsourcing.StreamID) int {
		return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(a.ID, b.ID))
	})
	applied, err := p.Applied(ctx, streams)
	if err != nil {
		return fmt.Errorf("catch up %s: %w", p.config.Name, err)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(maxCatchUps)
	for _, s := range streams {
		fence, seen := applied[s], heads[s]
		group.Go(func() error {
			var err error
			if fence != seen.head {
				err = p.catchUpStream(groupCtx, s, fence, seen.head, done)
			}
			if err == nil {
				err = check(groupCtx, s, seen)
			}
			if err != nil {
				err = fmt.Errorf("catch up %s with %s: %w", p.config.Name, s, err)
			}
			if errors.Is(err, eventsourcing.ErrLogHole) {
				p.hole(ctx, done, err)
				return nil
			}
			return err
		})
	}
	return group.Wait()
}

// whole returns an ErrLogHole if the log lacks a record that another one follows, of those that were seen.
func (p *Projector) whole(ctx context.Context, stream eventsourcing.StreamID, seen span) error {
	if seen.first == 1 && !seen.broken {
		return nil
	}
	a, err := p.newApplier(stream)
	if err != nil {
		return err
	}
	upTo := seen.first // the ones before it were seen before, or are a hole
	if seen.broken {
		upTo = seen.head
	}
	last := max(seen.first, 2) - 2
	for r, err := range p.config.EventLog.Read(ctx, stream, last) {
		if err == nil && r.Version != last+1 {
			err = fmt.Errorf("%w: version %d instead of %d", eventsourcing.ErrLogHole, r.Version, last+1)
		}
		if err != nil {
			return a.logError(err)
		}
		if last = r.Version; last >= upTo {
			break
		}
	}
	return nil
}

// Applied returns the version up to which each of the streams is applied. One without an own row, or with one that cannot
// be read, is not among them.
func (p *Projector) Applied(
	ctx context.Context, streams []eventsourcing.StreamID,
) (map[eventsourcing.StreamID]eventsourcing.Version, error) {
	keys, of := make([]Key, len(streams)), make(map[string]eventsourcing.StreamID, len(streams))
	for i, s := range streams {
		a, err := p.newApplier(s)
		if err != nil {
			return nil, fmt.Errorf("read the version of %s in %s: %w", s, p.config.Name, err)
		}
		keys[i], of[s.String()] = a.key, s
	}
	var fences []Fence
	if err := p.reader.BatchGet(ctx, keys, &fences); err != nil {
		return nil, err
	}
	applied := make(map[eventsourcing.StreamID]eventsourcing.Version, len(fences))
	for _, f := range fences {
		if s, ok := of[f.Stream]; ok {
			applied[s] = f.Version
		}
	}
	return applied, nil
}

// catchUpStream applies the events of a stream after its fence, unless it is parked. seen is the version up to which the log
// was seen to have it.
func (p *Projector) catchUpStream(
	ctx context.Context, stream eventsourcing.StreamID, fence, seen eventsourcing.Version, done *CaughtUp,
) error {
	a, err := p.newApplier(stream)
	if err != nil {
		return err
	}
	if fence > seen { // the stream has grown meanwhile, or lost its end
		_, err := a.heal(ctx, fence-1, fence)
		return err
	}
	parked, err := a.parked(ctx)
	if err != nil {
		return err
	}
	if parked != nil {
		atomic.AddInt64(&done.Parked, 1)
		return nil
	}
	head, err := a.catchUp(ctx)
	if fence = max(fence, a.derived); head > fence { // applied here, or by another process meanwhile
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
