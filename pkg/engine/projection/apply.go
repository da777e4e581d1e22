package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	maxRun   = 100 // records folded into one write, and read from the log at a time
	maxRaces = 50  // lost in a row; each means that another one moved the row, or is about to
)

// Apply brings records of one stream, in the order they came, into the projection. The first done of them may be
// acknowledged: they are applied, were before, or belong to a parked aggregate. What is missing before one is read from
// the log. An error is a fault that may pass, such as throttling: the rest should come again later.
func (p *Projector) Apply(ctx context.Context, records []eventsourcing.Record) (done int, err error) {
	if len(records) == 0 {
		return 0, nil
	}
	stream := records[0].Stream
	for _, r := range records {
		if r.Stream != stream {
			return 0, fmt.Errorf("project %s into %s: %w", stream, p.config.Name, ErrMixedStreams)
		}
	}
	w, err := p.begin(stream)
	for err == nil && done < len(records) {
		var n int
		n, err = w.step(ctx, records[done:])
		done += n
	}
	if err != nil {
		return done, fmt.Errorf("project %s into %s: %w", stream, p.config.Name, err)
	}
	return done, nil
}

// work is what one Apply or Redrive remembers of its way along a stream.
type work struct {
	*Projector
	src    *Source
	stream eventsourcing.StreamID
	key    Key // of the own row

	// Since the fence was last seen to move:
	fence    eventsourcing.Version
	limit    int // of records that the next write takes
	failures int // to apply the record after the fence
	races    int // lost
}

func (p *Projector) begin(stream eventsourcing.StreamID) (*work, error) {
	src := p.sources[stream.Category]
	if src == nil {
		return nil, ErrNoSource
	}
	return &work{Projector: p, src: src, stream: stream, key: Key{stream.ID, src.row}, limit: maxRun}, nil
}

// step settles some of the records' first, or none if it has to look again.
func (w *work) step(ctx context.Context, records []eventsourcing.Record) (int, error) {
	own, err := w.read(ctx)
	if err != nil {
		return 0, err
	}
	past := settled(records, own.Version)
	w.metrics.duplicates.WithLabelValues(w.src.category).Add(float64(past))
	rest := records[past:]
	if len(rest) == 0 {
		return past, nil
	}
	n, err := w.advance(ctx, own, rest)
	if errors.Is(err, errRaced) {
		return past, w.race(ctx)
	}
	return past + n, err
}

// advance applies what can be applied in one write of rest, whose first is beyond the fence.
func (w *work) advance(ctx context.Context, own ownRow, rest []eventsourcing.Record) (int, error) {
	first := rest[0].Version
	var run []eventsourcing.Record
	if first > own.Version+1 || w.failures > 0 {
		parked, err := w.acknowledge(ctx, latest(rest))
		if err != nil {
			return 0, err
		}
		if parked {
			return len(rest), nil
		}
		if run, err = w.missing(ctx, own.Version, max(first-1, own.Version+1)); err != nil {
			return 0, err
		}
	}
	run = w.extend(own.Version, run, rest)
	if done, err := w.write(ctx, own, run, latest(rest)); err != nil {
		if errors.Is(err, ErrParked) {
			return len(rest), nil
		}
		return 0, err
	} else if !done {
		return 0, nil
	}
	n, healed := settled(rest, run[len(run)-1].Version), 0
	for _, r := range run {
		if r.Version < first {
			healed++
			eventtrace.Link(ctx, r.Metadata.Traceparent)
		}
	}
	if healed > 0 {
		w.metrics.healed.WithLabelValues(w.src.category).Add(float64(healed))
		w.config.Logger.InfoContext(ctx, "gap healed", slog.String("stream", w.stream.String()), slog.Int("events", healed),
			slog.Uint64("fence", uint64(own.Version)))
	}
	w.metrics.duplicates.WithLabelValues(w.src.category).Add(float64(n - (len(run) - healed)))
	return n, nil
}

// missing reads the records in (after, upTo] from the log, at most limit of them.
func (w *work) missing(ctx context.Context, after, upTo eventsourcing.Version) ([]eventsourcing.Record, error) {
	upTo = min(upTo, after+eventsourcing.Version(w.limit)) //nolint:gosec // limit is positive
	run, err := w.logged(ctx, after, upTo)
	if err != nil {
		return nil, err
	}
	if have := after + eventsourcing.Version(len(run)); have < upTo {
		return nil, fmt.Errorf("%w: it ends at version %d, %d was delivered", ErrLogBehind, have, upTo)
	}
	return run, nil
}

// logged reads what the log has in (after, upTo].
func (w *work) logged(ctx context.Context, after, upTo eventsourcing.Version) (run []eventsourcing.Record, err error) {
	for r, err := range w.config.EventLog.Read(ctx, w.stream, after) {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		if want := after + eventsourcing.Version(len(run)) + 1; r.Version != want {
			return nil, fmt.Errorf("%w: version %d stands where %d should", ErrLogBehind, r.Version, want)
		}
		run = append(run, r)
		if r.Version >= upTo {
			break
		}
	}
	return run, nil
}

// extend continues run, which begins after the fence, with the records that follow it without a gap.
func (w *work) extend(fence eventsourcing.Version, run, rest []eventsourcing.Record) []eventsourcing.Record {
	for _, r := range rest {
		next := fence + eventsourcing.Version(len(run)) + 1
		if len(run) == w.limit || r.Version > next {
			break
		}
		if r.Version == next {
			run = append(run, r)
		}
	}
	return run
}

// write applies run, which begins right after the fence, or tells what to try next: not done and no error means to look
// again, with a shorter run or a fresh copy of the record. After MaxAttempts it parks the aggregate, with all up to
// the version seen, and returns ErrParked.
func (w *work) write(ctx context.Context, own ownRow, run []eventsourcing.Record, seen eventsourcing.Version) (done bool, err error) {
	err = w.put(ctx, own, run)
	var bad *unappliable
	switch {
	case err == nil:
		w.tell(run)
		return true, nil
	case !errors.As(err, &bad):
		return false, err
	case bad.at > 0:
		w.limit = bad.at
		return false, nil
	}
	if w.failures++; w.failures < w.config.MaxAttempts {
		return false, nil
	}
	if err := w.park(ctx, own.Version, run[0], seen, bad); err != nil {
		return false, err
	}
	return false, fmt.Errorf("%w at version %d: %w", ErrParked, run[0].Version, bad)
}

// tell lets the world know what was applied.
func (w *work) tell(run []eventsourcing.Record) {
	now := w.config.Now()
	w.metrics.applied.WithLabelValues(w.src.category).Add(float64(len(run)))
	for _, r := range run {
		late := max(0, now.Sub(r.RecordedAt).Seconds()) // clocks differ between machines
		eventtrace.Observe(w.metrics.latency, late, eventtrace.Parse(r.Metadata.Traceparent))
		if w.config.OnApplied != nil {
			w.config.OnApplied(r)
		}
	}
}

// race counts a lost race and lets others go ahead.
func (w *work) race(ctx context.Context) error {
	if w.races++; w.races > maxRaces {
		return fmt.Errorf("%w: %d races lost", ErrContended, w.races)
	}
	return w.config.Backoff.Wait(ctx, w.races)
}

// settled counts the records' first that are at or below the fence.
func settled(records []eventsourcing.Record, fence eventsourcing.Version) int {
	for i, r := range records {
		if r.Version > fence {
			return i
		}
	}
	return len(records)
}

func latest(records []eventsourcing.Record) (v eventsourcing.Version) {
	for _, r := range records {
		v = max(v, r.Version)
	}
	return v
}
