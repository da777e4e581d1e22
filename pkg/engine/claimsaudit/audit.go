// Package claimsaudit proves that the claims table is the union of what the log's streams claim, on a live system, and puts
// right what is not.
//
// It walks both, page by page: every stream is folded and its claims looked up, and the owner of every claim is folded
// and must hold it. Commands go on meanwhile, so a difference between two reads is only a suspicion. It is settled by
// one transaction that reads the claim and proves the streams still at the versions folded, and repaired by one that
// writes on the same terms.
package claimsaudit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Config is what Run needs.
type Config struct {
	Claims *dynamostore.Claims
	// Categories are those of the log, all of them: the streams and claims of others cannot be judged.
	Categories []Category
	// Repair puts right what can be. Defaults to leaving all as it is.
	Repair bool
	// Parallel is how many streams are folded at once. Defaults to 8.
	Parallel int
	// PageSize bounds the items that DynamoDB looks at for one page. Defaults to what fits in 1 MB.
	PageSize int32
	// MaxAttempts bounds the looks at one suspicion whose streams keep moving. Defaults to 20.
	MaxAttempts int
	// Backoff spaces them. Defaults to 5 ms, doubled up to 80 ms.
	Backoff retry.Backoff
	// OnDifference is told of each difference, one at a time. Defaults to nobody.
	OnDifference func(Difference)
	// OnPage is told after every page how far the audit has come. Defaults to nobody.
	OnPage func(Result)
}

// Result counts what an audit has seen.
type Result struct {
	Streams, Claims int
	// Suspicions were looked at a second time, because a command may have come between.
	Suspicions int
	// Differences are those found, Repaired those of them that are gone now.
	Differences, Repaired int
	// Undecided are suspicions whose streams never held still: neither a difference nor a proof.
	Undecided int
}

// Equal reports whether the audit has proved the table equal to the log, if need be after its repairs.
func (r Result) Equal() bool { return r.Differences == r.Repaired && r.Undecided == 0 }

// Run compares the claims table with the log as they were when it began, or later. Differences are no error; an error
// means that the audit did not come to its end. Memory is bounded by a page and Parallel streams' states.
//
// First it walks the log, then the table. So a claim that belongs to another stream than the table says is moved there
// in one step, before it could be taken for one that belongs to nobody.
func Run(ctx context.Context, c Config) (Result, error) {
	a := auditor{Config: c, categories: map[string]Category{}}
	a.Parallel = max(cmp.Or(c.Parallel, 8), 1)
	a.MaxAttempts = max(cmp.Or(c.MaxAttempts, 20), 1)
	a.Backoff = c.Backoff.Or(5*time.Millisecond, 80*time.Millisecond)
	for _, category := range c.Categories {
		a.categories[category.name] = category
	}
	for page, err := range c.Claims.Streams(ctx, c.PageSize) {
		if err == nil {
			err = each(ctx, &a, page, a.stream)
		}
		if err != nil {
			return a.result, fmt.Errorf("walk the log's streams: %w", err)
		}
		a.page(func(r *Result) { r.Streams += len(page) })
	}
	for page, err := range c.Claims.Rows(ctx, c.PageSize) {
		if err == nil {
			err = each(ctx, &a, page, a.claim)
		}
		if err != nil {
			return a.result, fmt.Errorf("walk the claims: %w", err)
		}
		a.page(func(r *Result) { r.Claims += len(page) })
	}
	return a.result, nil
}

type auditor struct {
	Config
	categories map[string]Category

	mu     sync.Mutex
	result Result
}

func each[T any](ctx context.Context, a *auditor, page []T, check func(context.Context, T) error) error {
	group, checking := errgroup.WithContext(ctx)
	group.SetLimit(a.Parallel)
	for _, one := range page {
		group.Go(func() error { return check(checking, one) }) // fails at once after another has failed
	}
	return group.Wait()
}

// stream checks that the table has what the stream claims.
func (a *auditor) stream(ctx context.Context, stream string) error {
	return a.patiently(ctx, stream, func() error {
		f, err := a.fold(ctx, stream)
		if err != nil {
			return err
		}
		for key := range f.claims {
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
	return a.patiently(ctx, row.Owner, func() error {
		f, err := a.fold(ctx, row.Owner)
		if err != nil || f.holds(row.Key) {
			return err
		}
		return a.suspect(ctx, row.Key, row.Owner)
	})
}

// suspect settles whether the stream holds the claim and the table says so.
func (a *auditor) suspect(ctx context.Context, key, stream string) error {
	a.count(func(r *Result) { r.Suspicions++ })
	return a.patiently(ctx, stream, func() error { return a.judge(ctx, key, stream) })
}

// patiently looks again while what is looked at moves. A stream that still cannot be read then is a difference.
func (a *auditor) patiently(ctx context.Context, stream string, look func() error) error {
	for n := 1; ; n++ {
		err := look()
		ill, isIll := errors.AsType[*illegible](err)
		isMoving := errors.Is(err, eventsourcing.ErrGuardMoved)
		switch {
		case !isIll && !isMoving:
			return err
		case isIll && (ill.forGood || n >= a.MaxAttempts):
			a.found(Difference{Kind: Illegible, Stream: shown(ill.stream), Detail: ill.detail})
			return nil
		case n >= a.MaxAttempts:
			a.count(func(r *Result) { r.Undecided++ })
			return nil
		}
		if err := a.Backoff.Wait(ctx, n); err != nil {
			return fmt.Errorf("look at %s again: %w", shown(stream), err)
		}
	}
}

// found tells of a difference.
func (a *auditor) found(d Difference) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.result.Differences++
	if d.Repaired {
		a.result.Repaired++
	}
	if a.OnDifference != nil {
		a.OnDifference(d)
	}
}

func (a *auditor) count(add func(*Result)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	add(&a.result)
}

func (a *auditor) page(add func(*Result)) {
	a.count(add)
	if a.OnPage != nil {
		a.OnPage(a.result)
	}
}
