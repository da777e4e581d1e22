package eventsourcing

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Decision is a command seen by the kernel: given a state, it yields the events to record, or an error and nothing
// happens. It must be pure. No events and no error: the state already is as asked.
type Decision[S, E any] interface {
	Decide(state S) ([]E, error)
}

// Aggregate binds an aggregate's pure parts together. Its zero S is the state of an absent stream.
type Aggregate[S any, E Event] struct {
	Category string
	Evolve   func(S, E) S
	// Claims lists the unique values a state holds. Defaults to none.
	Claims func(S) []Claim
	// Enrich gives what readers of e need to know of the aggregate after e. Defaults to nothing.
	Enrich func(after S, e E) []Enrichment
	Codec  *Codec[E]
	// States encodes states for snapshots. Defaults to none: no snapshots are kept.
	States *StateCodec[S]
}

// Attempt is what one run of a command needs.
type Attempt[S, E any] struct {
	Decision Decision[S, E]
	// Enrichment holds facts looked up of other aggregates; it is kept with every event decided.
	Enrichment []Enrichment
	// Guards make sure that what was looked up still holds when the events are written.
	Guards []Guard
	// Holds tells at which versions of the stream the command's sender wants it decided at all; at any other one it is
	// an ErrPrecondition. Defaults to all.
	Holds func(Version) bool
	// Result is remembered with the events, or alone where there are none to record, filled with the Outcome. Of a refusal
	// nothing is remembered.
	// Defaults to nothing.
	Result *CommandResult
	// Outcome is the answer to the command, given the stream's version afterwards. Defaults to an empty one.
	Outcome func(after Version) []byte
}

// result is what to remember of the command, once the stream has come to that version; nil: nothing.
func (a Attempt[S, E]) result(after Version) *CommandResult {
	if a.Result == nil {
		return nil
	}
	result := *a.Result
	if a.Outcome != nil {
		result.Outcome = a.Outcome(after)
	}
	return &result
}

// ErrPrecondition means that the stream is at a version at which the command's sender does not want it decided.
var ErrPrecondition = errors.New("stream is at another version than asked for")

// CacheUse says what a Cache was good for.
type CacheUse string

// The uses of a Cache.
const (
	CacheHit   CacheUse = "hit"   // the command needed no read
	CacheStale CacheUse = "stale" // a state was known, but the answer took a read of what followed it
	CacheMiss  CacheUse = "miss"  // nothing was known
)

// Prepare looks up what a decision needs of other streams. It is called anew before every attempt.
type Prepare[S, E any] func(ctx context.Context) (Attempt[S, E], error)

// Just prepares a decision that needs no look-up.
func Just[S, E any](d Decision[S, E]) Prepare[S, E] {
	return func(context.Context) (Attempt[S, E], error) { return Attempt[S, E]{Decision: d}, nil }
}

// DefaultMaxAttempts is how often a Repository decides one command that meets conflicts.
const DefaultMaxAttempts = 10

// Repository runs decisions of one kind of aggregate against a Store. Safe for concurrent use.
type Repository[S any, E Event] struct {
	Aggregate Aggregate[S, E]
	Store     Store
	// NewID makes event IDs.
	NewID func() string
	// Now stamps records.
	Now func() time.Time
	// MaxAttempts bounds the decisions of one Execute. Defaults to DefaultMaxAttempts.
	MaxAttempts int
	// Backoff is the longest first pause between attempts; it doubles with each, up to sixteenfold, and every pause is
	// drawn from zero to it. Defaults to 5 ms.
	Backoff time.Duration
	// Jitter draws a pause from zero up to its argument. Defaults to a uniform draw.
	Jitter func(time.Duration) time.Duration
	// OnConflict is told of each attempt lost to a conflict or a moved guard. Defaults to nobody.
	OnConflict func()
	// Cache saves reads. Defaults to none.
	Cache *Cache[S]
	// OnCache is told, once for each Execute that has a Cache, what that was good for. Defaults to nobody.
	OnCache func(CacheUse)
	// Snapshots saves reading long streams from their start. Its Save and Forget are called in the command's path, so
	// they should do their work elsewhere, as SnapshotWriter does. Defaults to none.
	Snapshots Snapshots
	// SnapshotEvery is how many events lie between a stream's snapshots, more or less. Defaults to 100.
	SnapshotEvery int
	// OnSnapshot is told what became of each snapshot that was looked for, and why. Defaults to nobody.
	OnSnapshot func(SnapshotUse, error)
}

// Execute prepares, decides and appends. On ErrConflict and ErrGuardMoved it starts over, at most MaxAttempts times in
// all, and then returns that error. It returns the stream's version afterwards; a decision without events writes
// nothing.
//
// The first attempt decides on the cached state, if there is one: an append proves it current. Any other answer, and
// whatever an older state would have led to, is decided again on a consistent read, so that the cache shows in nothing
// but time. A command that has a result already is an ErrCommandRepeated, whatever the decision would be by now.
func (r *Repository[S, E]) Execute(ctx context.Context, id string, prepare Prepare[S, E], md Metadata) (Version, error) {
	attempts := r.MaxAttempts
	if attempts <= 0 {
		attempts = DefaultMaxAttempts
	}
	for n := 1; ; n++ {
		version, err := r.execute(ctx, id, prepare, md, n == 1)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrGuardMoved) {
			return version, err
		}
		if r.OnConflict != nil {
			r.OnConflict()
		}
		if n >= attempts {
			return version, err
		}
		if err := r.pause(ctx, n); err != nil {
			return version, err
		}
	}
}

func (r *Repository[S, E]) execute(ctx context.Context, id string, prepare Prepare[S, E], md Metadata, first bool) (Version, error) {
	attempt, err := prepare(ctx)
	if err != nil {
		return 0, err
	}
	if first && r.Cache != nil {
		if version, settled, err := r.trustCache(ctx, id, attempt, md); settled {
			return version, err
		}
	}
	before, err := r.load(ctx, id)
	if err != nil {
		return 0, err
	}
	commit, after, err := r.decide(before, attempt, md)
	switch {
	case err != nil:
		return before.version, r.unlessRepeated(ctx, attempt, err) // a refusal goes out bare: it is an answer, not a fault
	case len(commit.Records) == 0:
		return before.version, r.remember(ctx, attempt, before.version)
	default:
		return r.append(ctx, commit, after)
	}
}

// trustCache decides on the cached state and appends at once. It settles what the store judged at the stream's present
// version: all but conflicts, what was not sent at all, and what is too large to be sent.
func (r *Repository[S, E]) trustCache(ctx context.Context, id string, attempt Attempt[S, E], md Metadata) (_ Version, settled bool, _ error) {
	before, known := r.Cache.newest(id)
	if !known {
		r.used(CacheMiss)
		return 0, false, nil
	}
	commit, after, err := r.decide(before, attempt, md)
	if err != nil || len(commit.Records) == 0 {
		r.used(CacheStale)
		return 0, false, nil //nolint:nilerr // a refusal of old; there will be a better one
	}
	version, err := r.append(ctx, commit, after)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrTooLarge) {
		r.used(CacheStale)
		return 0, false, nil
	}
	r.used(CacheHit)
	return version, true, err
}

// decide is pure but for the IDs and the time: it returns what to write and the state it leads to.
func (r *Repository[S, E]) decide(before moment[S], attempt Attempt[S, E], md Metadata) (Commit, moment[S], error) {
	if attempt.Holds != nil && !attempt.Holds(before.version) {
		return Commit{}, before, ErrPrecondition
	}
	events, err := attempt.Decision.Decide(before.state)
	if err != nil || len(events) == 0 {
		return Commit{}, before, err
	}
	commit, after := Commit{Stream: r.stream(before.id), Expected: before.version, Guards: attempt.Guards}, before
	for _, e := range events {
		after.state, after.version = r.Aggregate.Evolve(after.state, e), after.version+1
		record, err := r.record(commit, after.state, e, attempt.Enrichment, md)
		if err != nil {
			return Commit{}, before, err
		}
		commit.Records = append(commit.Records, record)
	}
	if r.Aggregate.Claims != nil {
		held, wanted := r.Aggregate.Claims(before.state), r.Aggregate.Claims(after.state)
		commit.Take, commit.Release = without(wanted, held), without(held, wanted)
	}
	commit.Result = attempt.result(after.version)
	return commit, after, nil
}

func (r *Repository[S, E]) append(ctx context.Context, commit Commit, after moment[S]) (Version, error) {
	if err := r.Store.Append(ctx, commit); err != nil {
		return commit.Expected, fmt.Errorf("append to %s at version %d: %w", commit.Stream, commit.Expected, err)
	}
	r.Cache.keep(after)
	if every := r.snapshotEvery(); every > 0 && commit.Expected/every != after.version/every {
		r.saveSnapshot(ctx, after, commit.Records[len(commit.Records)-1].ID)
	}
	return after.version, nil
}

// remember keeps the answer to a command that found all as it asked: a repetition gets the same, whatever is so by then.
func (r *Repository[S, E]) remember(ctx context.Context, attempt Attempt[S, E], at Version) error {
	result := attempt.result(at)
	if result == nil {
		return nil
	}
	if err := r.Store.Remember(ctx, *result); err != nil {
		return fmt.Errorf("remember the command: %w", err)
	}
	return nil
}

// unlessRepeated returns what came of a command that was refused. It may have written before; a refusal, such as that
// it is done already, then is no answer to it.
func (r *Repository[S, E]) unlessRepeated(ctx context.Context, attempt Attempt[S, E], outcome error) error {
	if attempt.Result == nil {
		return outcome
	}
	switch _, err := r.Store.Result(ctx, attempt.Result.ID); {
	case err == nil:
		return ErrCommandRepeated
	case errors.Is(err, ErrNoResult):
		return outcome
	default:
		return fmt.Errorf("look for the command's result: %w", err)
	}
}

func (r *Repository[S, E]) used(u CacheUse) {
	if r.OnCache != nil {
		r.OnCache(u)
	}
}

func (r *Repository[S, E]) record(c Commit, after S, e E, lookedUp []Enrichment, md Metadata) (Record, error) {
	data, schema, err := r.Aggregate.Codec.Encode(e)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s: %w", e.EventName(), err)
	}
	enrichment := slices.Clone(lookedUp)
	if r.Aggregate.Enrich != nil {
		enrichment = append(enrichment, r.Aggregate.Enrich(after, e)...)
	}
	return Record{
		ID: r.NewID(), Stream: c.Stream, Version: c.Expected + Version(len(c.Records)) + 1,
		Name: e.EventName(), Schema: schema, Data: data, Enrichment: enrichment, Metadata: md,
		RecordedAt: r.Now().UTC().Truncate(time.Millisecond),
	}, nil
}

func (r *Repository[S, E]) stream(id string) StreamID {
	return StreamID{Category: r.Aggregate.Category, ID: id}
}

func (r *Repository[S, E]) pause(ctx context.Context, attempt int) error {
	longest := r.Backoff
	if longest <= 0 {
		longest = 5 * time.Millisecond
	}
	longest <<= min(attempt-1, 4)
	draw := r.Jitter
	if draw == nil {
		draw = UniformJitter
	}
	timer := time.NewTimer(draw(longest))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// without returns the members of a that b lacks.
func without(a, b []Claim) []Claim {
	return slices.DeleteFunc(slices.Clone(a), func(c Claim) bool { return slices.Contains(b, c) })
}

// UniformJitter draws a pause from zero up to longest.
func UniformJitter(longest time.Duration) time.Duration {
	return rand.N(longest + 1) //nolint:gosec // jitter needs no secrecy
}
