// Package claimsaudit compares the claims table with the event log on a live system, and repairs the table. The table is
// right if it is the union of the claims that the log's streams hold. Package eventsourcing explains claims.
//
// It reads both page by page: it folds every stream and reads its claims, then it folds the owner of every claim, which
// must hold it. Commands run meanwhile, so a difference between two reads is only a suspicion. To confirm it, one
// transaction reads the claim and checks that the streams are at the versions folded; a repair writes under the same
// conditions.
//
// It uses the tables and permissions that package dynamostore lists for Claims.
package claimsaudit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/internal/audit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Config configures Run.
type Config struct {
	Claims *dynamostore.Claims
	// Categories are all categories of the log. Streams of others are reported as Illegible.
	Categories []Category
	// Repair repairs the differences that can be. Defaults to false.
	Repair bool
	// RepairEmptied makes Repair also take claims from streams that have no event. They may be all that is left of streams
	// whose events were lost. Defaults to false.
	RepairEmptied bool
	// Parallel is how many streams are folded at once. Defaults to 8.
	Parallel int
	// PageSize limits the items that DynamoDB scans for one page. Defaults to what fits in 1 MB.
	PageSize int32
	// MaxAttempts bounds the attempts to confirm a suspicion while its streams change. Defaults to 20.
	MaxAttempts int
	// Backoff is the pause between them. Defaults to 5 ms, doubled up to 80 ms.
	Backoff retry.Backoff
	// OnDifference is called with each difference, one at a time. Optional.
	OnDifference func(Difference)
	// OnPage is called after every page with the counts so far. Optional.
	OnPage func(Result)
}

// Result counts what an audit found.
type Result struct {
	Streams, Claims int
	// Suspicions were checked by a transaction, because a command may have run between two reads.
	Suspicions int
	// Differences were found; Repaired of them were repaired.
	Differences, Repaired int
	// Undecided are suspicions that were neither confirmed nor dropped, because their streams kept changing.
	Undecided int
}

// Equal reports whether the table equals the log, after the repairs.
func (r Result) Equal() bool { return r.Differences == r.Repaired && r.Undecided == 0 }

// Run compares the claims table with the log, as they were when it began or later. A difference is not an error; an error
// means that the audit is incomplete. It holds one page and the states of Parallel streams in memory.
//
// It reads the log before the table. So a claim with a wrong owner is assigned to its holder in one write, before it
// could be taken for an orphan.
func Run(ctx context.Context, c Config) (Result, error) {
	a := auditor{Config: c, categories: map[string]Category{}}
	a.Parallel = max(cmp.Or(c.Parallel, 8), 1)
	a.MaxAttempts = max(cmp.Or(c.MaxAttempts, 20), 1)
	a.Backoff = c.Backoff.Or(5*time.Millisecond, 80*time.Millisecond)
	for _, category := range c.Categories {
		a.categories[category.streams.Name] = category
	}
	for page, err := range c.Claims.Streams(ctx, c.PageSize) {
		if err == nil {
			err = audit.Each(ctx, a.Parallel, page, a.stream)
		}
		if err != nil {
			return a.Result(), fmt.Errorf("audit the streams: %w", err)
		}
		a.page(func(r *Result) { r.Streams += len(page) })
	}
	for page, err := range c.Claims.Rows(ctx, c.PageSize) {
		if err == nil {
			err = audit.Each(ctx, a.Parallel, page, a.claim)
		}
		if err != nil {
			return a.Result(), fmt.Errorf("audit the claims: %w", err)
		}
		a.page(func(r *Result) { r.Claims += len(page) })
	}
	return a.Result(), nil
}

type auditor struct {
	Config
	audit.Tally[Result]

	categories map[string]Category
	unreadable audit.Once[string] // streams
}

// stream checks that the stream owns in the table what it holds.
func (a *auditor) stream(ctx context.Context, stream string) error {
	return a.retry(ctx, stream, func() error {
		f, err := a.fold(ctx, stream)
		if err != nil {
			return err
		}
		for key := range f.holds {
			row, err := a.Claims.At(ctx, key)
			if err != nil {
				return err
			}
			if row != nil && row.Owner == stream {
				continue
			}
			if err := a.suspect(ctx, key, stream); err != nil {
				return err
			}
		}
		return nil
	})
}

// claim checks that the claim's owner holds it.
func (a *auditor) claim(ctx context.Context, row dynamostore.ClaimRow) error {
	return a.retry(ctx, row.Owner, func() error {
		f, err := a.fold(ctx, row.Owner)
		if err != nil || f.holds[row.Key] {
			return err
		}
		return a.suspect(ctx, row.Key, row.Owner)
	})
}

// suspect confirms or drops the suspicion that table and log differ about the stream and the claim.
func (a *auditor) suspect(ctx context.Context, key, stream string) error {
	a.Count(func(r *Result) { r.Suspicions++ })
	return a.retry(ctx, stream, func() error { return a.judge(ctx, key, stream) })
}

// retry calls check again while its streams change, or cannot be read. A stream that stays unreadable is a difference.
func (a *auditor) retry(ctx context.Context, stream string, check func() error) error {
	for n := 1; ; n++ {
		err := check()
		unreadable, isIllegible := errors.AsType[*audit.Illegible](err)
		hasMoved := errors.Is(err, eventsourcing.ErrGuardMoved)
		switch {
		case !isIllegible && !hasMoved:
			return err
		case isIllegible && (unreadable.Permanent || n >= a.MaxAttempts):
			a.foundUnreadable(unreadable)
			return nil
		case n >= a.MaxAttempts:
			a.Count(func(r *Result) { r.Undecided++ })
			return nil
		}
		if err := a.Backoff.Wait(ctx, n); err != nil {
			return fmt.Errorf("check %s again: %w", shown(stream), err)
		}
	}
}

// foundUnreadable reports a stream once: it is met by itself, and by each claim that it owns.
func (a *auditor) foundUnreadable(i *audit.Illegible) {
	if a.unreadable.First(i.Stream) {
		kind := Illegible
		if i.Hole {
			kind = Hole
		}
		a.found(Difference{Kind: kind, Stream: shown(i.Stream), Detail: i.Detail})
	}
}

// found counts and reports a difference.
func (a *auditor) found(d Difference) {
	a.Count(func(r *Result) {
		r.Differences++
		if d.Repaired {
			r.Repaired++
		}
		if a.OnDifference != nil {
			a.OnDifference(d)
		}
	})
}

func (a *auditor) page(add func(*Result)) {
	a.Count(add)
	if a.OnPage != nil {
		a.OnPage(a.Result())
	}
}
