package eventsourcing

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/retry"
)

// Aggregate binds an aggregate's pure parts together. The zero value of S is the state before the first event.
type Aggregate[S any, E Event] struct {
	Category string
	Evolve   func(S, E) S
	// Claims lists the unique values a state holds. Defaults to none.
	Claims func(S) []Claim
	// Shares lists what the stream, in that state, adds to counters of scopes. Defaults to nothing.
	Shares func(StreamID, S) []Share
	Codec  *Codec[E]
	// States encodes states for snapshots. Defaults to none: no snapshots are kept.
	States StateCodec[S]
}

// DefaultMaxAttempts is how often a Repository tries one command that meets conflicts.
const DefaultMaxAttempts = 10

// Config sets a Repository up.
type Config[S any, E Event] struct {
	Aggregate Aggregate[S, E]
	Store     Store
	// NewID makes event IDs. Defaults to random text.
	NewID func() string
	// Now stamps records. Defaults to time.Now.
	Now func() time.Time
	// MaxAttempts bounds the attempts of one command. Defaults to DefaultMaxAttempts.
	MaxAttempts int
	// Backoff paces the attempts. Defaults to 5 ms for First and 80 ms for Max.
	Backoff retry.Backoff
	// OnConflict is called for each attempt lost, with the ErrConflict, ErrGuardMoved or ErrScopeMoved. Defaults to no call.
	OnConflict func(error)
	// Cache saves reads. Defaults to none.
	Cache *Cache[S]
	// OnCache is called once for each command, if there is a Cache. Defaults to no call.
	OnCache func(CacheUse)
	// Snapshots save reading long streams from their start. Save and Forget are called in the command's path, so they
	// should do their work elsewhere, as snapshot.Writer does. Defaults to none.
	Snapshots Snapshots
	// SnapshotEvery is about how many events lie between a stream's snapshots. Defaults to 100.
	SnapshotEvery int
	// OnSnapshot is called with each use of a snapshot, and with the reason where there is one. Defaults to no call.
	OnSnapshot func(SnapshotUse, error)
}

// Repository loads aggregates of one kind from a Store and runs commands on them. Safe for concurrent use.
type Repository[S any, E Event] struct{ cfg Config[S, E] }

// NewRepository returns a Repository, or an error that names every part missing from cfg.
func NewRepository[S any, E Event](cfg Config[S, E]) (*Repository[S, E], error) {
	var errs []error
	for _, part := range []struct {
		name string
		ok   bool
	}{
		{"Aggregate.Category", cfg.Aggregate.Category != ""},
		{"Aggregate.Evolve", cfg.Aggregate.Evolve != nil},
		{"Aggregate.Codec", cfg.Aggregate.Codec != nil},
		{"Store", cfg.Store != nil},
	} {
		if !part.ok {
			errs = append(errs, fmt.Errorf("repository of %q: %s is missing", cfg.Aggregate.Category, part.name))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.NewID == nil {
		cfg.NewID = rand.Text
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the documented default
	}
	if cfg.MaxAttempts <= 0 {
		cfg.MaxAttempts = DefaultMaxAttempts
	}
	cfg.Backoff = cfg.Backoff.Or(5*time.Millisecond, 80*time.Millisecond)
	if cfg.SnapshotEvery <= 0 {
		cfg.SnapshotEvery = 100
	}
	if cfg.OnConflict == nil {
		cfg.OnConflict = func(error) {}
	}
	if cfg.OnCache == nil {
		cfg.OnCache = func(CacheUse) {}
	}
	if cfg.OnSnapshot == nil {
		cfg.OnSnapshot = func(SnapshotUse, error) {}
	}
	return &Repository[S, E]{cfg: cfg}, nil
}

// Do loads the aggregate, lets the command decide and appends the events. It returns the stream's version afterwards; a
// command without events writes nothing. On ErrConflict, ErrGuardMoved and ErrScopeMoved it starts over, at most MaxAttempts
// times in all, and then returns that error.
//
// The first attempt decides on the cached state, if there is one, and an Opening otherwise on the state of an absent stream. If its
// append succeeds, that state was current; if the command was refused or made no events, it is decided again on a consistent read. A
// command whose result is remembered already is an ErrCommandRepeated, whatever it would decide now.
//
// What a Scoped command answers, was so at one moment: the append checks the scopes, and a refusal stands only if the stream and the
// guarded ones are still where they were before the scopes were read.
func (r *Repository[S, E]) Do(ctx context.Context, id string, command Command[S, E], with ...Option) (Version, error) {
	prepared := Prepared[S, E]{Command: command}
	return r.DoWith(ctx, id, func(context.Context) (Prepared[S, E], error) { return prepared, nil }, with...)
}

// DoWith is Do for a command that needs to look other streams up.
func (r *Repository[S, E]) DoWith(ctx context.Context, id string, prepare Prepare[S, E], with ...Option) (Version, error) {
	var o options
	for _, option := range with {
		option(&o)
	}
	for n := 1; ; n++ {
		version, err := r.attempt(ctx, id, prepare, o, n == 1)
		if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrGuardMoved) && !errors.Is(err, ErrScopeMoved) {
			return version, err
		}
		r.cfg.OnConflict(err)
		if n >= r.cfg.MaxAttempts {
			return version, err
		}
		if err := r.cfg.Backoff.Wait(ctx, n); err != nil {
			return version, err
		}
	}
}

func (r *Repository[S, E]) attempt(ctx context.Context, id string, prepare Prepare[S, E], o options, first bool) (Version, error) {
	prepared, err := prepare(ctx)
	if err != nil {
		return 0, err
	}
	seen := picture{}
	if first {
		var (
			version Version
			use     CacheUse
		)
		version, seen, use, err = r.tryUnread(ctx, id, prepared, o)
		if r.cfg.Cache != nil {
			r.cfg.OnCache(use)
		}
		if use == CacheHit {
			return version, err
		}
	}
	before, err := r.load(ctx, id)
	if err != nil {
		return 0, err
	}
	confirmed := seen.read && seen.at == before.version
	if !confirmed {
		if seen, err = r.look(ctx, before, prepared); err != nil {
			return before.version, err
		}
	}
	commit, after, err := r.decide(before, seen, prepared, o)
	if unwritten := err != nil || len(commit.Records) == 0; unwritten && len(seen.scopes) > 0 {
		if err := r.unmoved(ctx, before, confirmed, prepare, prepared.Guards); err != nil {
			return before.version, err
		}
	}
	switch {
	case err != nil:
		return before.version, r.unlessRepeated(ctx, o, err) // a refusal has no context around it: it is an answer
	case len(commit.Records) == 0:
		return before.version, r.remember(ctx, o, before.version)
	default:
		return r.append(ctx, commit, after)
	}
}

// unmoved makes sure that what was read before the scopes still holds after it, where no append does: the stream, unless that is confirmed
// already, and what was looked up under guards.
func (r *Repository[S, E]) unmoved(
	ctx context.Context, before versioned[S], confirmed bool, prepare Prepare[S, E], guards []Guard,
) error {
	if !confirmed {
		if now, err := r.load(ctx, before.id); err != nil || now.version != before.version {
			return cmp.Or(err, ErrConflict)
		}
	}
	if len(guards) > 0 {
		if now, err := prepare(ctx); err != nil || !slices.Equal(now.Guards, guards) {
			return cmp.Or(err, ErrGuardMoved)
		}
	}
	return nil
}

// tryUnread decides on the cached state, or on that of an absent stream if the command opens it, and appends at once. It returns the
// answer with CacheHit. Otherwise a fresh read must decide: nothing was known, or there was a conflict, a refusal, a decision without
// events or an ErrTooLarge.
func (r *Repository[S, E]) tryUnread(
	ctx context.Context, id string, prepared Prepared[S, E], o options,
) (_ Version, seen picture, _ CacheUse, _ error) {
	before, known := r.cfg.Cache.newest(id)
	unread := CacheStale
	if !known {
		unread = CacheMiss
		if _, opens := prepared.Command.(Opening); !opens {
			return 0, seen, unread, nil
		}
	}
	seen, err := r.look(ctx, before, prepared)
	if err != nil {
		return 0, seen, CacheHit, err
	}
	commit, after, err := r.decide(before, seen, prepared, o)
	if err != nil || len(commit.Records) == 0 {
		return 0, seen, unread, nil //nolint:nilerr // the state may be old; the fresh one gives the answer
	}
	version, err := r.append(ctx, commit, after)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrTooLarge) {
		return 0, seen, unread, nil
	}
	return version, seen, CacheHit, err
}

// picture is what was read of the scopes that a decision on the stream at that version needs.
type picture struct {
	read   bool
	at     Version
	scopes ScopeStates
}

func (r *Repository[S, E]) look(ctx context.Context, before versioned[S], prepared Prepared[S, E]) (picture, error) {
	seen := picture{read: true, at: before.version}
	scoped, ok := prepared.Command.(Scoped[S, E])
	if !ok {
		return seen, nil
	}
	scopes := scoped.Scopes(before.state)
	if len(scopes) == 0 {
		return seen, nil
	}
	states, err := r.cfg.Store.Scopes(ctx, scopes)
	if err != nil {
		return seen, fmt.Errorf("read scopes: %w", err)
	}
	seen.scopes = ScopeStates{}
	for _, scope := range scopes {
		seen.scopes[scope] = states[scope]
	}
	return seen, nil
}

// decide is pure but for the IDs and the time: it returns what to write and the state it leads to.
func (r *Repository[S, E]) decide(
	before versioned[S], seen picture, prepared Prepared[S, E], o options,
) (Commit, versioned[S], error) {
	if o.allow != nil && !o.allow(before.version) {
		return Commit{}, before, ErrVersionMismatch
	}
	command := prepared.Command
	if scoped, ok := command.(Scoped[S, E]); ok {
		command = scoped.In(seen.scopes)
	}
	events, err := command.Decide(before.state)
	if err != nil || len(events) == 0 {
		return Commit{}, before, err
	}
	commit, after := Commit{Stream: r.stream(before.id), Expected: before.version, Guards: prepared.Guards}, before
	for _, e := range events {
		after.state, after.version = r.cfg.Aggregate.Evolve(after.state, e), after.version+1
		record, err := r.record(commit, e, prepared.Enrichment, o.metadata)
		if err != nil {
			return Commit{}, before, err
		}
		commit.Records, after.last = append(commit.Records, record), record.ID
	}
	if r.cfg.Aggregate.Claims != nil {
		held, wanted := r.cfg.Aggregate.Claims(before.state), r.cfg.Aggregate.Claims(after.state)
		commit.Take, commit.Release = without(wanted, held), without(held, wanted)
		if len(commit.Take)+len(commit.Release) > 0 {
			commit.Take = wanted // also what stays: a former build may have claimed by another rule
		}
	}
	var had, has []Share
	if shares := r.cfg.Aggregate.Shares; shares != nil {
		had, has = shares(commit.Stream, before.state), shares(commit.Stream, after.state)
	}
	commit.Scopes = scopeMoves(seen.scopes, had, has)
	commit.Result = o.resultAt(after.version)
	return commit, after, nil
}

func (r *Repository[S, E]) append(ctx context.Context, commit Commit, after versioned[S]) (Version, error) {
	if err := r.cfg.Store.Append(ctx, commit); err != nil {
		return commit.Expected, fmt.Errorf("append to %s at version %d: %w", commit.Stream, commit.Expected, err)
	}
	r.keep(ctx, commit.Expected, after)
	return after.version, nil
}

// keep keeps the state after an append to the stream at version `before`.
func (r *Repository[S, E]) keep(ctx context.Context, before Version, after versioned[S]) {
	r.cfg.Cache.keep(after)
	if every := r.snapshotEvery(); every > 0 && before/every != after.version/every {
		r.saveSnapshot(ctx, after)
	}
}

// Appended tells the Repository of a commit that the caller has appended itself, and of the state it leads to: the Repository then
// caches it and saves snapshots as if it had appended it.
func (r *Repository[S, E]) Appended(ctx context.Context, commit Commit, after S) {
	last := commit.Records[len(commit.Records)-1]
	r.keep(ctx, commit.Expected, versioned[S]{id: commit.Stream.ID, state: after, version: last.Version, last: last.ID})
}

// remember keeps the answer to a command without events, so that a repetition gets the same.
func (r *Repository[S, E]) remember(ctx context.Context, o options, at Version) error {
	result := o.resultAt(at)
	if result == nil {
		return nil
	}
	if err := r.cfg.Store.Remember(ctx, *result); err != nil {
		return fmt.Errorf("remember the result of a command: %w", err)
	}
	return nil
}

// unlessRepeated returns the refusal, or ErrCommandRepeated if the command was written before: then a refusal, such as
// "disabled already", is not its answer.
func (r *Repository[S, E]) unlessRepeated(ctx context.Context, o options, refusal error) error {
	if o.result == nil {
		return refusal
	}
	switch _, err := r.cfg.Store.Result(ctx, o.result.ID); {
	case err == nil:
		return ErrCommandRepeated
	case errors.Is(err, ErrNoResult):
		return refusal
	default:
		return fmt.Errorf("read the result of a command: %w", err)
	}
}

func (r *Repository[S, E]) record(c Commit, e E, enrichment []Enrichment, md Metadata) (Record, error) {
	data, schema, err := r.cfg.Aggregate.Codec.Encode(e)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s: %w", e.EventName(), err)
	}
	return Record{
		ID: r.cfg.NewID(), Stream: c.Stream, Version: c.Expected + Version(len(c.Records)) + 1,
		Name: e.EventName(), Schema: schema, Data: data, Enrichment: slices.Clone(enrichment), Metadata: md,
		RecordedAt: r.cfg.Now().UTC().Truncate(time.Millisecond),
	}, nil
}

func (r *Repository[S, E]) stream(id string) StreamID {
	return StreamID{Category: r.cfg.Aggregate.Category, ID: id}
}

// without returns the members of a that b lacks.
func without(a, b []Claim) []Claim {
	return slices.DeleteFunc(slices.Clone(a), func(c Claim) bool { return slices.Contains(b, c) })
}
