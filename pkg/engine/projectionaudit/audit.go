// Package projectionaudit compares a read model with the event log on a live system, and repairs it. A read model is right
// if every stream of its categories has the rows that the log is folded to, and no row is left over. Package projection
// explains rows.
//
// It reads the log page by page, and of each stream compares the version of its own row with the log's, and its rows with
// the fold at that version, for many streams at once. Only what does not match there is read stream by stream. Then it reads the table
// page by page: the owner of each row must derive it, which is known of those that matched. Events are applied
// meanwhile, so a difference between two reads is only a suspicion. All rows of a stream are read while its own row stays at
// one version, and are wrong or behind only if they still are, the latter at the same version, after the time that a healthy
// pipeline needs. A repair writes under the condition that nothing has moved.
//
// It uses the tables and permissions that package projection lists for a Projector, dynamodb:Scan on the read model's table
// included, and dynamodb:Scan on the log.
package projectionaudit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/internal/audit"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// DefaultSettle is longer than what a healthy pipeline needs: a lease that expires, and a group that becomes visible again.
const DefaultSettle = 2 * time.Minute

// Config configures Run.
type Config struct {
	// Projector has the read model's table and folds. Its EventLog is Log.
	Projector *projection.Projector
	Log       *dynamostore.Store
	// Sample is the fraction of streams whose rows are compared with the fold, and of rows whose owner is asked for, both
	// drawn by Rand. The versions of all streams are compared in any case. Defaults to 1.
	Sample float64
	// Settle is the time that a healthy pipeline needs to apply an event at most, its tasks' restarts included. A run that
	// suspects something takes at least that long. Defaults to DefaultSettle.
	Settle time.Duration
	// Repair repairs the differences that can be. Defaults to false.
	Repair bool
	// Lagging lets the read model be behind the log: what it has is compared, and what it lacks is no difference, nor is a stream
	// that cannot be read if it has nothing of it. Defaults to false.
	Lagging bool
	// RepairEmptied makes Repair also delete rows of streams that have no event. They may be all that is left of streams whose
	// events were lost. Defaults to false.
	RepairEmptied bool
	// Parallel is how many reads there are at once, each of rows of many streams, or of what is looked at alone. Defaults to 8.
	Parallel int
	// Segments is how many parts of the log are read at once. Defaults to 1.
	Segments int
	// PageSize limits the items that DynamoDB scans for one page. Defaults to what fits in 1 MB.
	PageSize int32
	// MaxAttempts bounds the attempts to compare a stream while it changes. Defaults to 20.
	MaxAttempts int
	// Backoff is the pause between them. Defaults to 5 ms, doubled up to 80 ms.
	Backoff retry.Backoff
	// Rand draws from [0, 1). Defaults to rand.Float64.
	Rand func() float64
	// Now is the clock for Settle. Defaults to time.Now.
	Now func() time.Time
	// Still is called before a finding is reported, after every page and at the end. Its error, which says that the read model is not
	// what is audited any more, ends the audit, and the finding is not reported. Optional.
	Still func(context.Context) error
	// OnFinding is called with each finding, one at a time. Optional.
	OnFinding func(Finding)
	// OnWait is called before each wait for a suspicion that is not due yet, with how many there are and how long it takes. Optional.
	OnWait func(suspected int, left time.Duration)
	// OnPage is called after every page with the counts so far. Optional.
	OnPage func(Result)
}

// Result counts what an audit found.
type Result struct {
	// Streams had their versions compared; Folded of them had their rows compared with the fold.
	Streams, Folded int
	// Rows of the table were read; of Owned of them it was asked whether their owner derives them.
	Rows, Owned int
	// Suspicions were checked again, because events are applied between two reads.
	Suspicions int
	// Parked streams are behind the log and say so. They are no differences.
	Parked int
	// Differences were found; Repaired of them were repaired.
	Differences, Repaired int
	// Undecided are streams that changed at every attempt to compare them.
	Undecided int
}

// Equal reports whether the read model equals the log, after the repairs.
func (r Result) Equal() bool { return r.Differences == r.Repaired && r.Undecided == 0 }

// maxPending bounds the suspicions in memory: with more, the audit waits for the oldest.
const maxPending = 10_000

// Run compares the read model with the log, as they were when it began or later. A difference is not an error; an error means
// that the audit is incomplete. It holds a page of each segment, the rows of its streams, up to 10,000 suspicions and the numbers of up
// to four million rows in memory.
//
// It reads the log before the table. So rows that are missing are there before any that they would derive are judged.
func Run(ctx context.Context, c Config) (Result, error) {
	a := auditor{Config: c, categories: map[string]bool{}, derived: newKeys()}
	a.Sample = cmp.Or(c.Sample, 1)
	a.Settle = cmp.Or(c.Settle, DefaultSettle)
	a.Parallel = max(cmp.Or(c.Parallel, 8), 1)
	a.Segments = max(c.Segments, 1)
	a.MaxAttempts = max(cmp.Or(c.MaxAttempts, 20), 1)
	a.Backoff = c.Backoff.Or(5*time.Millisecond, 80*time.Millisecond)
	if a.Rand == nil {
		a.Rand = rand.Float64
	}
	if a.Now == nil {
		a.Now = time.Now //nolint:forbidigo // the default of the option
	}
	if a.Still == nil {
		a.Still = func(context.Context) error { return nil }
	}
	for _, category := range c.Projector.Categories() {
		a.categories[category] = true
	}
	for _, part := range []struct {
		of  string
		run func(context.Context) error
	}{{"streams", a.streams}, {"rows", a.rows}, {"streams", a.again}} {
		err := part.run(ctx)
		if still := a.Still(ctx); still != nil { // which explains any other error
			err = still
		}
		if err != nil {
			return a.Result(), fmt.Errorf("audit the %s: %w", part.of, err)
		}
	}
	return a.Result(), nil
}

type auditor struct {
	Config
	categories map[string]bool
	pending    []suspicion // oldest first

	unreadable audit.Once[eventsourcing.StreamID] // reported as Hole or Illegible

	// Checks change what follows within Count.
	audit.Tally[Result]

	derived   keys        // the rows of streams that matched
	alone     []head      // streams of this page that did not
	suspected []suspicion // by this page
	blocked   []suspicion // whose repair a foreign row prevents
}

// suspicion is that a stream is behind at that version, or that its rows are wrong.
type suspicion struct {
	stream eventsourcing.StreamID
	fence  eventsourcing.Version
	wrong  bool
	due    time.Time
}

// streams compares every stream of the log with its rows.
func (a *auditor) streams(ctx context.Context) error {
	for logged, err := range gathered(a.Log.Streams(ctx, a.Segments, a.PageSize), a.Segments, a.Parallel*projection.MaxMatches) {
		if err != nil {
			return err
		}
		var sample, others []head
		var whole [][]eventsourcing.Record
		for _, l := range logged {
			stream, err := eventsourcing.ParseStreamID(l.Stream)
			switch h := (head{stream, l.Version}); {
			case err != nil || !a.categories[stream.Category]: // of other read models
			case !a.sampled():
				others = append(others, h)
			case l.Records == nil:
				sample, a.alone = append(sample, h), append(a.alone, h)
			default:
				sample, whole = append(sample, h), append(whole, l.Records)
			}
		}
		if err := a.versions(ctx, others); err != nil {
			return err
		}
		if err := audit.Each(ctx, a.Parallel, slices.Collect(slices.Chunk(whole, projection.MaxMatches)), a.match); err != nil {
			return err
		}
		if err := audit.Each(ctx, a.Parallel, a.alone, a.compare); err != nil {
			return err
		}
		a.alone = nil
		if err := a.settle(ctx, maxPending); err != nil {
			return err
		}
		if err := a.page(ctx, func(r *Result) {
			r.Streams += len(sample) + len(others)
			r.Folded += len(sample)
		}); err != nil {
			return err
		}
	}
	return a.settle(ctx, 0)
}

// gathered yields up to n pages as one, while together they have less than enough.
func gathered[T any](pages iter.Seq2[[]T, error], n, enough int) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		var all []T
		held := 0
		for page, err := range pages {
			if err != nil {
				yield(nil, err)
				return
			}
			if all, held = append(all, page...), held+1; held == n || len(all) >= enough {
				if !yield(all, nil) {
					return
				}
				all, held = nil, 0
			}
		}
		if held > 0 {
			yield(all, nil)
		}
	}
}

func (a *auditor) sampled() bool { return a.Sample >= 1 || a.Rand() < a.Sample }

// head is a stream and the version that the log has of it.
type head struct {
	stream  eventsourcing.StreamID
	version eventsourcing.Version
}

// versions compares the heads with the versions applied.
func (a *auditor) versions(ctx context.Context, heads []head) error {
	streams := make([]eventsourcing.StreamID, len(heads))
	for i, h := range heads {
		streams[i] = h.stream
	}
	applied, err := a.Projector.Applied(ctx, streams)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if fence := applied[h.stream]; fence < h.version && !a.Lagging {
			a.suspect(suspicion{stream: h.stream, fence: fence})
		}
	}
	return nil
}

// match compares the rows of streams with the fold. Those that do not match, or are behind, are compared alone.
func (a *auditor) match(ctx context.Context, logged [][]eventsourcing.Record) error {
	matches, err := a.Projector.Matches(ctx, logged)
	if err != nil {
		return err
	}
	a.Count(func(*Result) {
		for _, records := range logged {
			h := head{records[0].Stream, records[len(records)-1].Version}
			m, matches := matches[h.stream]
			if a.derived.add(m.Rows); !matches || m.Fence < h.version && !a.Lagging {
				a.alone = append(a.alone, h)
			}
		}
	})
	return nil
}

// compare compares the rows of a stream with the fold.
func (a *auditor) compare(ctx context.Context, h head) error {
	return a.retry(ctx, h.stream, func() error {
		c, err := a.Projector.Compare(ctx, h.stream)
		kind, _, _ := unreadable(err)
		switch {
		case kind != "" && a.Lagging && c.Fence == 0: // it shows nothing of what cannot be read
			return nil
		case err != nil:
			return err
		case len(c.Wrong) > 0 || c.Fence < c.Head && !c.Parked && !a.Lagging:
			a.suspect(suspicion{stream: h.stream, fence: c.Fence, wrong: len(c.Wrong) > 0})
		case c.Parked:
			return a.found(ctx, Finding{Kind: Parked, Stream: h.stream.String(), Version: c.Fence, Head: c.Head})
		}
		return nil
	})
}

func (a *auditor) suspect(s suspicion) {
	s.due = a.Now().Add(a.Settle)
	a.Count(func(r *Result) {
		r.Suspicions++
		a.suspected = append(a.suspected, s)
	})
}

// settle checks the suspicions that are due again, and waits for them until at most limit are left.
func (a *auditor) settle(ctx context.Context, limit int) error {
	for {
		a.pending = append(a.pending, a.suspected...) // all checks of the page have ended
		a.suspected = nil
		now, due := a.Now(), 0
		for due < len(a.pending) && !a.pending[due].due.After(now) {
			due++
		}
		if due == 0 && len(a.pending) <= limit {
			return nil
		}
		if due == 0 {
			left := a.pending[0].due.Sub(now)
			if a.OnWait != nil {
				a.OnWait(len(a.pending), left)
			}
			if err := retry.Sleep(ctx, left); err != nil {
				return err
			}
			continue
		}
		ripe := a.pending[:due]
		a.pending = a.pending[due:]
		if err := audit.Each(ctx, a.Parallel, ripe, a.check); err != nil {
			return err
		}
	}
}

// again checks the suspicions once more whose repair a foreign row prevented: by now it may be deleted.
func (a *auditor) again(ctx context.Context) error {
	blocked := a.blocked
	a.blocked = nil
	return audit.Each(ctx, a.Parallel, blocked, func(ctx context.Context, s suspicion) error {
		return a.retry(ctx, s.stream, func() error { return a.judge(ctx, s, true) })
	})
}

// rows looks up the owner of every row.
func (a *auditor) rows(ctx context.Context) error {
	for page, err := range a.Projector.Stored(ctx, a.PageSize) {
		if err != nil {
			return err
		}
		var sample []projection.Stored
		owned := 0
		for _, row := range page {
			if !a.sampled() {
				continue
			}
			if owned++; !a.derived.has(row.Key) {
				sample = append(sample, row)
			}
		}
		if err := audit.Each(ctx, a.Parallel, sample, a.owner); err != nil {
			return err
		}
		if err := a.page(ctx, func(r *Result) {
			r.Rows += len(page)
			r.Owned += owned
		}); err != nil {
			return err
		}
	}
	return nil
}

// retry calls check again while its rows move, or the log cannot be read. A log that stays unreadable is a difference.
func (a *auditor) retry(ctx context.Context, stream eventsourcing.StreamID, check func() error) error {
	for n := 1; ; n++ {
		err := check()
		moved := errors.Is(err, projection.ErrMoved) || errors.Is(err, projection.ErrContended)
		kind, detail, forGood := unreadable(err)
		switch {
		case !moved && kind == "":
			return err
		case n < a.MaxAttempts && !forGood:
		case moved:
			a.Count(func(r *Result) { r.Undecided++ })
			return nil
		default:
			if a.unreadable.First(stream) {
				return a.found(ctx, Finding{Kind: kind, Stream: stream.String(), Detail: detail})
			}
			return nil
		}
		if err := a.Backoff.Wait(ctx, n); err != nil {
			return fmt.Errorf("check %s again: %w", stream, err)
		}
	}
}

// found counts and reports a finding.
func (a *auditor) found(ctx context.Context, f Finding) error {
	if err := a.Still(ctx); err != nil {
		return err
	}
	a.Count(func(r *Result) {
		switch f.Kind {
		case Parked:
			r.Parked++
		default:
			r.Differences++
			if f.Repaired {
				r.Repaired++
			}
		}
		if a.OnFinding != nil {
			a.OnFinding(f)
		}
	})
	return nil
}

func (a *auditor) page(ctx context.Context, add func(*Result)) error {
	progress.Turn(ctx)
	a.Count(add)
	if a.OnPage != nil {
		a.OnPage(a.Result())
	}
	return a.Still(ctx)
}
