// Package scopesaudit compares the table of scopes with the event log on a live system, and repairs the table. The table is right
// if each counter is the sum of what the states of the log's streams share in it. Package eventsourcing explains scopes.
//
// It folds every stream and adds up. Commands run meanwhile, so a sum is that of no moment, but for a scope that has not moved
// between a look before the first stream and one after the last: no stream's share in it has changed. The other scopes are looked
// at again, with the whole log, and are left undecided if they never stand still for so long. A repair writes the sum only over the
// version that stood still.
//
// It holds all scopes, and the names of the streams that share in any, in memory. It uses the tables and permissions that package
// dynamostore lists for Scopes.
package scopesaudit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/internal/audit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Config configures Run.
type Config struct {
	Scopes *dynamostore.Scopes
	// Categories are all categories of the log. Streams of others are reported as Illegible.
	Categories []Category
	// Repair repairs the differences, if every stream can be folded. Defaults to false.
	Repair bool
	// Parallel is how many streams are folded at once. Defaults to 8.
	Parallel int
	// MaxRounds bounds how often the log is added up, while scopes move. Defaults to 5.
	MaxRounds int
	// Backoff is the pause between rounds. Defaults to 50 ms, doubled up to 1 s.
	Backoff retry.Backoff
	// OnDifference is called with each difference, one at a time. Optional.
	OnDifference func(Difference)
	// OnPage is called after every page of streams with the counts so far. Optional.
	OnPage func(Result)
}

// Result counts what an audit found.
type Result struct {
	Streams, Scopes int
	// Differences were found; Repaired of them were repaired.
	Differences, Repaired int
	// Undecided are scopes that moved in every round.
	Undecided int
}

// Equal reports whether the table equals the log, after the repairs.
func (r Result) Equal() bool { return r.Differences == r.Repaired && r.Undecided == 0 }

// Kind is the kind of a Difference.
type Kind string

// The kinds.
const (
	// Missing: the streams share in a scope that the table does not have.
	Missing Kind = "missing"
	// Wrong: the counters in the table are not the sums. So are those of a scope that a build before scopes has granted in.
	Wrong Kind = "wrong"
	// Damaged: the row is none that a commit writes.
	Damaged Kind = "damaged"
	// Illegible: a stream cannot be folded, so its shares are not known, and nothing is repaired.
	Illegible Kind = "illegible"
	// Hole: the log lacks events of a stream.
	Hole Kind = "hole"
)

// Difference is a difference between table and log.
type Difference struct {
	Kind     Kind
	Scope    string // its key; empty if Illegible or Hole
	Stream   string // that is Illegible or a Hole
	Detail   string
	Repaired bool
}

// String describes the difference in one line.
func (d Difference) String() string {
	text := fmt.Sprintf("%s: %s: %s", d.Kind, cmp.Or(d.Scope, d.Stream), d.Detail)
	if d.Repaired {
		text += ": repaired"
	}
	return text
}

// Category folds the streams of one category.
type Category struct {
	streams audit.Category[[]eventsourcing.Share]
}

// NewCategory returns the category of an aggregate's streams.
func NewCategory[S any, E eventsourcing.Event](aggregate eventsourcing.Aggregate[S, E]) Category {
	return Category{audit.NewCategory(aggregate, aggregate.Shares)}
}

// Run compares the table of scopes with the log. A difference is not an error; an error means that the audit is incomplete.
func Run(ctx context.Context, c Config) (Result, error) {
	a := auditor{Config: c, categories: map[string]Category{}, judged: map[string]bool{}}
	a.Parallel = max(cmp.Or(c.Parallel, 8), 1)
	a.MaxRounds = max(cmp.Or(c.MaxRounds, 5), 1)
	a.Backoff = c.Backoff.Or(50*time.Millisecond, time.Second)
	for _, category := range c.Categories {
		a.categories[category.streams.Name] = category
	}
	for n := 1; ; n++ {
		moved, err := a.round(ctx)
		if err != nil {
			return a.Result(), err
		}
		if moved > 0 && n >= a.MaxRounds {
			a.Count(func(r *Result) { r.Undecided = moved })
		}
		if moved == 0 || n >= a.MaxRounds {
			return a.Result(), nil
		}
		if err := a.Backoff.Wait(ctx, n); err != nil {
			return a.Result(), fmt.Errorf("add up the log again: %w", err)
		}
	}
}

type auditor struct {
	Config
	audit.Tally[Result]

	categories map[string]Category
	judged     map[string]bool // by the scope's key
	unreadable audit.Once[string]
	illegible  bool
}

// round adds up the log and judges the scopes that have stood still. It returns how many have not.
func (a *auditor) round(ctx context.Context) (moved int, err error) {
	before, err := a.rows(ctx)
	if err != nil {
		return 0, err
	}
	sums, err := a.sums(ctx)
	if err != nil {
		return 0, err
	}
	after, err := a.rows(ctx)
	if err != nil {
		return 0, err
	}
	keys := map[string]bool{}
	for _, rows := range []map[string]*dynamostore.ScopeRow{before, after} {
		for key := range rows {
			keys[key] = true
		}
	}
	for scope := range sums {
		keys[scope.Key()] = true
	}
	a.Count(func(r *Result) { r.Scopes = len(keys) })
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if a.judged[key] {
			continue
		}
		stood := sameVersion(before[key], after[key])
		if stood {
			scope, _ := eventsourcing.ParseScope(key)
			err = a.judge(ctx, key, scope, after[key], sums[scope])
		}
		switch {
		case !stood, errors.Is(err, eventsourcing.ErrScopeMoved):
			moved++
		case err != nil:
			return moved, fmt.Errorf("repair a scope: %w", err)
		default:
			a.judged[key] = true
		}
	}
	return moved, nil
}

// rows reads the table.
func (a *auditor) rows(ctx context.Context) (map[string]*dynamostore.ScopeRow, error) {
	rows := map[string]*dynamostore.ScopeRow{}
	for page, err := range a.Scopes.Rows(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read the scopes: %w", err)
		}
		for i := range page {
			rows[page[i].Key] = &page[i]
		}
	}
	return rows, nil
}

// sums folds every stream.
func (a *auditor) sums(ctx context.Context) (eventsourcing.Sums, error) {
	sums, added := eventsourcing.Sums{}, map[string]bool{}
	a.Count(func(r *Result) { r.Streams = 0 })
	for page, err := range a.Scopes.EventLog().Heads(ctx, 0) {
		if err == nil {
			err = audit.Each(ctx, a.Parallel, page, func(ctx context.Context, h dynamostore.Head) error {
				shares, err := a.shares(ctx, h.Stream)
				a.Count(func(r *Result) {
					r.Streams++
					if len(shares) > 0 && !added[h.Stream] { // Heads may yield a stream again
						sums.Add(shares, 1)
						added[h.Stream] = true
					}
				})
				return err
			})
		}
		if err != nil {
			return nil, fmt.Errorf("add up the streams: %w", err)
		}
		if a.OnPage != nil {
			a.OnPage(a.Result())
		}
	}
	return sums, nil
}

// shares folds a stream. One that cannot be folded is reported once.
func (a *auditor) shares(ctx context.Context, stream string) ([]eventsourcing.Share, error) {
	id, err := eventsourcing.ParseStreamID(stream)
	if err != nil {
		return nil, nil //nolint:nilerr // no aggregate's stream has such a name, so it shares nothing
	}
	category, known := a.categories[id.Category]
	if !known {
		a.foundUnreadable(audit.Unknown(stream))
		return nil, nil
	}
	shares, _, err := category.streams.Fold(ctx, a.Scopes.EventLog(), id)
	if unreadable, ok := errors.AsType[*audit.Illegible](err); ok {
		a.foundUnreadable(unreadable)
		return nil, nil
	}
	return shares, err
}

func (a *auditor) foundUnreadable(i *audit.Illegible) {
	if a.unreadable.First(i.Stream) {
		kind := Illegible
		if i.Hole {
			kind = Hole
		}
		a.found(Difference{Kind: kind, Stream: i.Stream, Detail: i.Detail})
	}
}

// judge compares a row that has stood still with the sums. It returns an eventsourcing.ErrScopeMoved if the row changes before it is
// repaired.
func (a *auditor) judge(
	ctx context.Context, key string, scope eventsourcing.Scope, row *dynamostore.ScopeRow, want map[string]int64,
) error {
	d := Difference{Scope: key}
	switch {
	case scope == eventsourcing.Scope{}:
		d.Kind, d.Scope, d.Detail = Damaged, "a row", "its key is not that of a scope; delete it"
		a.found(d)
		return nil
	case row == nil:
		d.Kind, d.Detail = Missing, fmt.Sprintf("the streams share %s, the table nothing", shown(want))
	case row.Err != nil:
		d.Kind, d.Detail = Damaged, "the row is none that a commit writes"
	case !maps.Equal(row.State.Counters, want):
		d.Kind, d.Detail = Wrong, fmt.Sprintf("the streams share %s, the table %s", shown(want), shown(row.State.Counters))
	default:
		return nil
	}
	if a.Repair && !a.illegible {
		if err := a.Scopes.Set(ctx, scope, row, want); err != nil {
			return err
		}
		d.Repaired = true
	}
	a.found(d)
	return nil
}

// found counts and reports a difference.
func (a *auditor) found(d Difference) {
	a.Count(func(r *Result) {
		a.illegible = a.illegible || d.Scope == ""
		r.Differences++
		if d.Repaired {
			r.Repaired++
		}
		if a.OnDifference != nil {
			a.OnDifference(d)
		}
	})
}

func sameVersion(a, b *dynamostore.ScopeRow) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.State.Version == b.State.Version
}

// shown lists counters by name, such as "holders 1, seats 2".
func shown(counters map[string]int64) string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(counters)) {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %d", name, counters[name])
	}
	return cmp.Or(text, "nothing")
}
