package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

const (
	maxRun   = 100 // records that are folded into one write, and read from the log at a time
	maxRaces = 50  // in a row; each means that another writer has moved the row, or is about to
)

// errAgain: nothing was written; read the own row again and continue.
var errAgain = errors.New("read again")

// Apply applies records of one stream, in the given order. The first done of them may be acknowledged: each is applied,
// was applied before, or belongs to a parked aggregate. Missing events before a record are read from the log. An error is
// a passing fault, such as throttling: deliver the other records again later.
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
	a, err := p.newApplier(stream)
	for err == nil && done < len(records) {
		var n int
		n, err = a.step(ctx, records[done:])
		done += n
	}
	if err != nil {
		return done, fmt.Errorf("project %s into %s: %w", stream, p.config.Name, err)
	}
	return done, nil
}

// applier applies events of one stream, for one call of Apply or Redrive.
type applier struct {
	*Projector
	src    *Source
	stream eventsourcing.StreamID
	key    Key // of the own row
	most   int // records whose rows fit into one write, as far as is known

	// The fence as last read, and since it last moved:
	fence    eventsourcing.Version
	limit    int  // records for the next write
	failures int  // to apply the record after the fence
	races    int  // lost
	refuted  bool // a guess was: read from now on

	delivered eventsourcing.Version // the first of the records that messages brought; 0: none did
	derived   eventsourcing.Version // the fence that was derived from effects; 0: none was
}

func (p *Projector) newApplier(stream eventsourcing.StreamID) (*applier, error) {
	src := p.sources[stream.Category]
	if src == nil {
		return nil, ErrNoSource
	}
	return &applier{Projector: p, src: src, stream: stream, key: Key{stream.ID, src.row}, most: maxRun, limit: maxRun}, nil
}

// step returns how many of the first records may be acknowledged; none if it must be called again.
func (a *applier) step(ctx context.Context, records []eventsourcing.Record) (int, error) {
	defer progress.Turn(ctx)
	if own, ok := a.guess(records[0].Version); ok {
		n, err := a.applyToGuess(ctx, own, records)
		return n, a.mayContinue(ctx, err)
	}
	if a.recent != nil && !a.refuted {
		a.metrics.cache.WithLabelValues(cacheMiss).Inc()
	}
	own, err := a.read(ctx)
	if err != nil {
		return 0, a.mayContinue(ctx, err)
	}
	duplicates := countUpTo(records, own.Version)
	a.metrics.duplicates.WithLabelValues(a.src.category).Add(float64(duplicates))
	a.remember(journey.Duplicate, records[:duplicates], own.Version, own.Version)
	records = records[duplicates:]
	if len(records) == 0 {
		return duplicates, nil
	}
	n, err := a.advance(ctx, own, records)
	return duplicates + n, a.mayContinue(ctx, err)
}

// guess returns the own row as this Projector wrote it last, or none before a stream's first event, if the record of that version is
// the next one after it.
func (a *applier) guess(next eventsourcing.Version) (own ownRow, ok bool) {
	if a.recent == nil || a.refuted {
		return own, false
	}
	own.item = a.recent.take(a.key)
	if own.item != nil && decode(own.item, &own.Fence) != nil || own.Version+1 != next {
		return ownRow{}, false
	}
	if own.item == nil && a.src.effect != nil { // it may have been lost: see derive
		return ownRow{}, false
	}
	a.at(own.Version)
	return own, true
}

// applyToGuess is advance of a guess. If the stored row is another one, the next step reads it.
func (a *applier) applyToGuess(ctx context.Context, own ownRow, records []eventsourcing.Record) (int, error) {
	n, err := a.advance(ctx, own, records)
	switch {
	case err == nil:
		a.metrics.cache.WithLabelValues(cacheHit).Inc()
	case errors.Is(err, errRaced):
		a.metrics.cache.WithLabelValues(cacheStale).Inc()
		a.refuted, err = true, errAgain
	}
	return n, err
}

// mayContinue returns nil if the operation that returned err may be repeated at once. After a lost race it waits.
func (a *applier) mayContinue(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, errAgain):
		return nil
	case !errors.Is(err, errRaced):
		return err
	}
	if a.races++; a.races > maxRaces {
		return fmt.Errorf("%w: %d races lost", ErrContended, a.races)
	}
	return a.config.Backoff.Wait(ctx, a.races)
}

// advance applies in one write as many of the records as it can. The first is beyond the fence.
func (a *applier) advance(ctx context.Context, own ownRow, records []eventsourcing.Record) (int, error) {
	first, latest := records[0].Version, latestOf(records)
	a.delivered = first
	var run []eventsourcing.Record
	if first > own.Version+1 || a.failures > 0 {
		parked, err := a.acknowledge(ctx, latest)
		if err != nil {
			return 0, err
		}
		if parked {
			a.remember(journey.Parked, records, own.Version, own.Version)
			return len(records), nil
		}
		if run, err = a.heal(ctx, own.Version, max(first-1, own.Version+1)); err != nil {
			return 0, err
		}
	}
	run = a.src.upToEffect(a.extend(own.Version, run, records))
	if err := a.write(ctx, own, run, latest); errors.Is(err, ErrParked) {
		a.remember(journey.Parked, records, own.Version, own.Version)
		return len(records), nil
	} else if err != nil {
		return 0, err
	}
	n, healed := countUpTo(records, run[len(run)-1].Version), 0
	for _, r := range run {
		if r.Version < first {
			healed++
			eventtrace.Link(ctx, r.Metadata.Traceparent)
		}
	}
	if healed > 0 {
		a.metrics.healed.WithLabelValues(a.src.category).Add(float64(healed))
		a.config.Logger.InfoContext(ctx, "gap healed", slog.String("stream", a.stream.String()), slog.Int("events", healed),
			slog.Uint64("fence", uint64(own.Version)))
	}
	a.metrics.duplicates.WithLabelValues(a.src.category).Add(float64(n - (len(run) - healed)))
	return n, nil
}

// heal reads the records in (after, upTo], which no message brought, from the log: at most limit of them.
func (a *applier) heal(ctx context.Context, after, upTo eventsourcing.Version) ([]eventsourcing.Record, error) {
	upTo = min(upTo, after+eventsourcing.Version(a.limit)) //nolint:gosec // limit is positive
	run, err := a.logged(ctx, after, upTo)
	if err != nil {
		return nil, err
	}
	if have := after + eventsourcing.Version(len(run)); have < upTo {
		a.metrics.holes.WithLabelValues(a.src.category).Inc()
		return nil, fmt.Errorf("%w: it ends at version %d, there was %d", eventsourcing.ErrLogHole, have, upTo)
	}
	return run, nil
}

// logged reads those records in (after, upTo] that the log has.
func (a *applier) logged(ctx context.Context, after, upTo eventsourcing.Version) (run []eventsourcing.Record, err error) {
	for r, err := range a.config.EventLog.Read(ctx, a.stream, after) {
		if want := after + eventsourcing.Version(len(run)) + 1; err == nil && r.Version != want {
			err = fmt.Errorf("%w: version %d instead of %d", eventsourcing.ErrLogHole, r.Version, want)
		}
		if err != nil {
			return nil, a.logError(err)
		}
		run = append(run, r)
		if r.Version >= upTo {
			break
		}
	}
	return run, nil
}

// logError wraps an error of reading the log, and counts it if it is a hole.
func (a *applier) logError(err error) error {
	if errors.Is(err, eventsourcing.ErrLogHole) {
		a.metrics.holes.WithLabelValues(a.src.category).Inc()
	}
	return fmt.Errorf("read the log: %w", err)
}

// extend appends to run, which begins after the fence, the records that follow it without a gap.
func (a *applier) extend(fence eventsourcing.Version, run, records []eventsourcing.Record) []eventsourcing.Record {
	for _, r := range records {
		next := fence + eventsourcing.Version(len(run)) + 1
		if len(run) == a.limit || r.Version > next {
			break
		}
		if r.Version == next {
			run = append(run, r)
		}
	}
	return run
}

// write applies run, which begins right after the fence. It returns errAgain to try a shorter run, or the log's copy of
// the first record. After MaxAttempts it parks the aggregate, whose latest known version is latest, and returns ErrParked. A row that
// cannot be read is rebuilt, or, if that takes a later build, its aggregate is parked at the event that this build does not know.
func (a *applier) write(ctx context.Context, own ownRow, run []eventsourcing.Record, latest eventsourcing.Version) error {
	err := a.put(ctx, own, run)
	if err == nil {
		a.observe(run, own.Version)
		return nil
	}
	refused := run[0]
	if errors.Is(err, ErrBadRow) {
		a.badRow(ctx, a.key, err)
		if err = a.rebuild(ctx); err == nil {
			return errRaced
		}
		if unfoldable, ok := errors.AsType[*unfoldableError](err); ok {
			refused = unfoldable.record
		}
	}
	var bad *unappliableError
	switch {
	case !errors.As(err, &bad):
		return err
	case bad.at > 0:
		a.limit = bad.at
		return errAgain
	}
	if a.failures++; a.failures < a.config.MaxAttempts {
		return errAgain
	}
	if err := a.park(ctx, own.item, refused, latest, bad); err != nil {
		return err
	}
	return fmt.Errorf("%w at version %d: %w", ErrParked, refused.Version, bad)
}

// observe counts the records that were applied after a fence, remembers them and reports them to OnApplied.
func (a *applier) observe(run []eventsourcing.Record, fence eventsourcing.Version) {
	healed := len(run)
	if a.delivered > 0 {
		healed = countUpTo(run, a.delivered-1)
	}
	last := run[len(run)-1].Version
	a.remember(journey.Healed, run[:healed], fence, last)
	a.remember(journey.Applied, run[healed:], fence, last)
	now := a.config.Now()
	a.metrics.applied.WithLabelValues(a.src.category).Add(float64(len(run)))
	for _, r := range run {
		latency := max(0, now.Sub(r.RecordedAt).Seconds()) // clocks differ between machines
		eventtrace.Observe(a.metrics.latency, latency, eventtrace.Parse(r.Metadata.Traceparent))
		if a.config.OnApplied != nil {
			a.config.OnApplied(r)
		}
	}
}

// remember remembers what came of records, in a write that moved the fence, or at a fence that stayed.
func (a *applier) remember(came journey.Outcome, records []eventsourcing.Record, before, after eventsourcing.Version) {
	for i := range records {
		a.config.Journey.Add(journey.Step{
			Operation: a.operation, Outcome: came,
			Stream: a.stream, Version: records[i].Version, EventID: records[i].ID, To: a.config.Table, Before: before, After: after,
		})
	}
}

// countUpTo counts the records before the first one beyond the fence.
func countUpTo(records []eventsourcing.Record, fence eventsourcing.Version) int {
	for i, r := range records {
		if r.Version > fence {
			return i
		}
	}
	return len(records)
}

func latestOf(records []eventsourcing.Record) (v eventsourcing.Version) {
	for _, r := range records {
		v = max(v, r.Version)
	}
	return v
}
