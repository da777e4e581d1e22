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
}

// Attempt is what one run of a command needs.
type Attempt[S, E any] struct {
	Decision Decision[S, E]
	// Enrichment holds facts looked up of other aggregates; it is kept with every event decided.
	Enrichment []Enrichment
	// Guards make sure that what was looked up still holds when the events are written.
	Guards []Guard
}

// Prepare looks up what a decision needs of other streams. It is called anew before every attempt.
type Prepare[S, E any] func(ctx context.Context) (Attempt[S, E], error)

// Just prepares a decision that needs no look-up.
func Just[S, E any](d Decision[S, E]) Prepare[S, E] {
	return func(context.Context) (Attempt[S, E], error) { return Attempt[S, E]{Decision: d}, nil }
}

// Repository runs decisions of one kind of aggregate against a Store. Safe for concurrent use.
type Repository[S any, E Event] struct {
	Aggregate Aggregate[S, E]
	Store     Store
	// NewID makes event IDs.
	NewID func() string
	// Now stamps records.
	Now func() time.Time
	// MaxAttempts bounds the decisions of one Execute. Defaults to 10.
	MaxAttempts int
	// Backoff is the longest first pause between attempts; it doubles with each, up to sixteenfold, and every pause is
	// drawn from zero to it. Defaults to 5 ms.
	Backoff time.Duration
	// Jitter draws a pause from zero up to its argument. Defaults to a uniform draw.
	Jitter func(time.Duration) time.Duration
	// OnConflict is told of each attempt lost to a conflict or a moved guard. Defaults to nobody.
	OnConflict func()
}

// Execute prepares, reads the stream, decides and appends. On ErrConflict and ErrGuardMoved it starts over, at most
// MaxAttempts times in all, and then returns that error. It returns the stream's version afterwards; a decision
// without events writes nothing.
func (r *Repository[S, E]) Execute(ctx context.Context, id string, prepare Prepare[S, E], md Metadata) (Version, error) {
	attempts := r.MaxAttempts
	if attempts <= 0 {
		attempts = 10
	}
	for n := 1; ; n++ {
		version, err := r.execute(ctx, id, prepare, md)
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

func (r *Repository[S, E]) execute(ctx context.Context, id string, prepare Prepare[S, E], md Metadata) (Version, error) {
	attempt, err := prepare(ctx)
	if err != nil {
		return 0, err
	}
	before, version, err := r.Load(ctx, id)
	if err != nil {
		return 0, err
	}
	events, err := attempt.Decision.Decide(before)
	if err != nil || len(events) == 0 {
		return version, err // a refusal goes out bare: it is an answer, not a fault
	}
	commit := Commit{Stream: r.stream(id), Expected: version, Guards: attempt.Guards}
	after := before
	for _, e := range events {
		after = r.Aggregate.Evolve(after, e)
		record, err := r.record(commit, after, e, attempt.Enrichment, md)
		if err != nil {
			return version, err
		}
		commit.Records = append(commit.Records, record)
	}
	if r.Aggregate.Claims != nil {
		held, wanted := r.Aggregate.Claims(before), r.Aggregate.Claims(after)
		commit.Take, commit.Release = without(wanted, held), without(held, wanted)
	}
	if err := r.Store.Append(ctx, commit); err != nil {
		return version, fmt.Errorf("append to %s at version %d: %w", commit.Stream, version, err)
	}
	return version + Version(len(events)), nil
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

// Load folds the stream: the state and the version it is of. An absent stream gives the zero state at version 0.
func (r *Repository[S, E]) Load(ctx context.Context, id string) (S, Version, error) {
	state, version := *new(S), Version(0)
	stream := r.stream(id)
	for rec, err := range r.Store.Read(ctx, stream, 0) {
		if err != nil {
			return state, version, fmt.Errorf("load %s: %w", stream, err)
		}
		if rec.Version != version+1 {
			return state, version, fmt.Errorf("load %s: version %d follows %d", stream, rec.Version, version)
		}
		event, err := r.Aggregate.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return state, version, fmt.Errorf("load %s: event %d: %w", stream, rec.Version, err)
		}
		state, version = r.Aggregate.Evolve(state, event), rec.Version
	}
	return state, version, nil
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
		draw = func(longest time.Duration) time.Duration { return rand.N(longest + 1) } //nolint:gosec // jitter needs no secrecy
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
