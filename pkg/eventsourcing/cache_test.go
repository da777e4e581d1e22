package eventsourcing_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

// watched notes from where streams are read, and lets a test step in after a read.
type watched struct {
	eventsourcing.Store
	reads []eventsourcing.Version
	after func() // runs once
}

func (w *watched) Read(ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	w.reads = append(w.reads, after)
	return func(yield func(eventsourcing.Record, error) bool) {
		w.Store.Read(ctx, s, after)(yield)
		if operation := w.after; operation != nil {
			w.after = nil
			operation()
		}
	}
}

// cachedCounters is a repository with a cache, the uses that it reported, and a rival that writes behind it.
type cachedCounters struct {
	*counterRepository
	t     testing.TB
	store *watched
	uses  []eventsourcing.CacheUse
	rival *counterRepository
}

func newCached(t testing.TB, size int) *cachedCounters {
	store := new(memstore.Store)
	c := &cachedCounters{t: t, store: &watched{Store: store}, rival: newCounters(store)}
	c.counterRepository = newCounters(c.store)
	c.Cache = eventsourcing.NewCache[counter](size)
	c.OnCache = func(u eventsourcing.CacheUse) { c.uses = append(c.uses, u) }
	c.OnConflict = func(error) { t.Error("a conflict was reported although nothing else writes") }
	c.MaxAttempts = 1
	rivals := 0
	c.rival.NewID = func() string { rivals++; return fmt.Sprintf("rival's %d", rivals) }
	return c
}

// given executes what must succeed, and resets the counts.
func (c *cachedCounters) given(r *counterRepository, id string, events ...event) {
	c.t.Helper()
	_, err := r.Do(c.t.Context(), id, emit(events...))
	require.NoError(c.t, err)
	c.store.reads, c.uses = nil, nil
}

func TestACachedStateSavesTheRead(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	for n := range 3 {
		version, err := c.Do(t.Context(), "c1", emit(counted{}))
		require.NoError(t, err)
		assert.Equal(t, eventsourcing.Version(n+1), version)
	}
	assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheMiss, eventsourcing.CacheHit, eventsourcing.CacheHit}, c.uses)
	assert.Equal(t, []eventsourcing.Version{0}, c.store.reads)
	state, _, err := c.rival.Load(t.Context(), "c1")
	require.NoError(t, err)
	assert.Equal(t, 3, state.N)
}

func TestAStaleStateIsUpdatedFromItsVersion(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	c.given(c.counterRepository, "c1", counted{}, counted{})
	c.given(c.rival, "c1", counted{})
	version, err := c.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err, "an old state in the cache must not cost an attempt")
	assert.Equal(t, eventsourcing.Version(4), version)
	assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheStale}, c.uses)
	assert.Equal(t, []eventsourcing.Version{1}, c.store.reads, "from its last event on")
}

func TestOnlyFreshStatesAreAnswered(t *testing.T) {
	t.Parallel()
	refusal := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no", Reason: "no"}
	upTo := func(most int) decide { // refuses a counter that is there
		return func(c counter) ([]event, error) {
			if c.N >= most {
				return nil, refusal
			}
			return []event{counted{}}, nil
		}
	}
	from := func(least int) decide { // leaves a counter alone that is not there yet
		return func(c counter) ([]event, error) {
			if c.N < least {
				return nil, nil
			}
			return []event{counted{}}, nil
		}
	}
	refuseBelow := func(least int) decide {
		return func(c counter) ([]event, error) {
			if c.N < least {
				return nil, refusal
			}
			return []event{counted{}}, nil
		}
	}
	at := func(v eventsourcing.Version) func(eventsourcing.Version) bool {
		return func(is eventsourcing.Version) bool { return is == v }
	}
	// The cache knows 2 events, the stream holds 3.
	for name, tt := range map[string]struct {
		decision decide
		holds    func(eventsourcing.Version) bool
		version  eventsourcing.Version
		err      error
	}{
		"refused on the old state": {refuseBelow(3), nil, 4, nil},
		"refused by now":           {upTo(3), nil, 3, refusal},
		"refused then and now":     {upTo(2), nil, 3, refusal},
		"no-op on the old state":   {from(3), nil, 4, nil},
		"no-op then and now":       {from(4), nil, 3, nil},
		"at the old version":       {emit(counted{}), at(2), 3, eventsourcing.ErrVersionMismatch},
		"at the version by now":    {emit(counted{}), at(3), 4, nil},
		"at a future version":      {emit(counted{}), at(4), 3, eventsourcing.ErrVersionMismatch},
		"the version goes first":   {upTo(0), at(2), 3, eventsourcing.ErrVersionMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCached(t, 1)
			c.given(c.counterRepository, "c1", counted{}, counted{})
			c.given(c.rival, "c1", counted{})
			version, err := c.Do(t.Context(), "c1", tt.decision, eventsourcing.WithVersions(tt.holds))
			if err != tt.err { //nolint:errorlint // bare is the point
				t.Errorf("err = %v, want %v and nothing around it", err, tt.err)
			}
			assert.Equal(t, tt.version, version)
			assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheStale}, c.uses)
			_, stands, err := c.rival.Load(t.Context(), "c1")
			require.NoError(t, err)
			assert.Equal(t, tt.version, stands)
		})
	}
}

func TestALoadIsFreshAndFeedsTheCache(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	c.given(c.rival, "c1", named{"Ann"}, counted{})
	for _, more := range [][]event{nil, {counted{}}, nil} {
		if more != nil {
			c.given(c.rival, "c1", more...)
		}
		want, at, err := c.rival.Load(t.Context(), "c1")
		require.NoError(t, err)
		state, version, err := c.Load(t.Context(), "c1")
		require.NoError(t, err)
		assert.Equal(t, want, state)
		assert.Equal(t, at, version)
	}
	assert.Equal(t, []eventsourcing.Version{1, 2}, c.store.reads, "always a read, but from the last known event on")
	_, err := c.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheHit}, c.uses)
}

func TestTheCacheEvictsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := newCached(t, 2)
	for _, id := range []string{"a", "b", "a", "c"} { // c pushes b out
		c.given(c.counterRepository, id, counted{})
		assert.LessOrEqual(t, c.Cache.Len(), 2)
	}
	for range 5 { // what is not there takes no room
		_, _, err := c.Load(t.Context(), "absent")
		require.NoError(t, err)
	}
	for _, id := range []string{"a", "c", "b"} {
		_, err := c.Do(t.Context(), id, emit(counted{}))
		require.NoError(t, err)
	}
	assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheHit, eventsourcing.CacheHit, eventsourcing.CacheMiss}, c.uses)
	assert.Equal(t, 2, c.Cache.Len())
	assert.Zero(t, newCounters(new(memstore.Store)).Cache.Len())
}

func TestTheCacheKeepsTheLatestVersion(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	c.given(c.rival, "c1", counted{})
	c.store.after = func() { // between a load's last record and its end
		_, err := c.Do(t.Context(), "c1", emit(counted{}))
		require.NoError(t, err)
	}
	_, version, err := c.Load(t.Context(), "c1")
	require.NoError(t, err)
	require.Equal(t, eventsourcing.Version(1), version, "as of the read")
	c.uses = nil
	_, err = c.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheHit}, c.uses)
}

func TestOnACachedStateOnlyConflictsAreRetried(t *testing.T) {
	t.Parallel()
	for _, want := range []error{
		eventsourcing.ErrUnavailable, eventsourcing.ErrCommandRepeated, &eventsourcing.ClaimTakenError{}, context.DeadlineExceeded,
	} {
		c := newCached(t, 1)
		c.given(c.counterRepository, "c1", counted{})
		store := &scripted{Store: c.store, before: func(int) error { return want }}
		c.Store = store
		_, err := c.Do(t.Context(), "c1", emit(counted{}))
		require.ErrorIs(t, err, want)
		assert.Len(t, store.commits, 1, "the first may have been written")
		assert.Empty(t, c.store.reads)
	}
}

func TestATooLargeCommitOnAnOldStateIsDecidedAgain(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	c.given(c.counterRepository, "c1", counted{})
	c.given(c.rival, "c1", counted{})
	c.Store = &scripted{Store: c.store, before: func(n int) error {
		if n == 1 {
			return eventsourcing.ErrTooLarge
		}
		return nil
	}}
	version, err := c.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(3), version)
}

func TestAFailedReadLeavesTheCacheAsItWas(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	c.given(c.counterRepository, "c1", counted{})
	good, gap := c.Store, canned{records: []eventsourcing.Record{
		{}, {Version: 2, Name: "test/counter/counted", Schema: 1, Data: []byte(`{}`)}, {Version: 4},
	}}
	for first, err := range good.Read(t.Context(), eventsourcing.StreamID{Category: "test/counter", ID: "c1"}, 0) {
		require.NoError(t, err)
		gap.records[0] = first
	}
	c.Store = gap
	_, _, err := c.Load(t.Context(), "c1")
	require.ErrorContains(t, err, "version 4 follows 2")
	c.Store = good
	_, err = c.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Equal(t, []eventsourcing.CacheUse{eventsourcing.CacheHit}, c.uses)
}

type anyOpening struct{ decide }

func (anyOpening) Opens() {}

// TestTheCacheChangesNoAnswer runs one scenario twice: by several writers with small caches, and by one without.
func TestTheCacheChangesNoAnswer(t *testing.T) {
	t.Parallel()
	refusal := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no", Reason: "no"}
	rapid.Check(t, func(t *rapid.T) {
		store, mirror := new(memstore.Store), newCounters(new(memstore.Store))
		writers := make([]*counterRepository, 3)
		ids := 0
		for i := range writers {
			writers[i] = newCounters(store)
			writers[i].NewID = func() string { ids++; return fmt.Sprintf("e%d", ids) }
			writers[i].Cache = eventsourcing.NewCache[counter](rapid.IntRange(1, 3).Draw(t, "size"))
			writers[i].MaxAttempts = 1
		}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			mod, name := rapid.IntRange(1, 3).Draw(t, "mod"), rapid.StringMatching("[a-c]?").Draw(t, "name")
			decision := decide(func(c counter) ([]event, error) {
				switch {
				case c.N%mod == 1:
					return nil, refusal
				case c.Name == name:
					return []event{counted{}}, nil
				case c.N%mod == 2:
					return nil, nil
				default:
					return []event{named{name}, counted{}}, nil
				}
			})
			id := rapid.SampledFrom([]string{"1", "2", "3", "4"}).Draw(t, "id")
			want, wantErr := mirror.Do(context.Background(), id, decision)
			writer := rapid.SampledFrom(writers).Draw(t, "writer")
			var command eventsourcing.Command[counter, event] = decision
			if rapid.Bool().Draw(t, "opening") { // even if it refuses nothing, it must not be answered by a guess
				command = anyOpening{decision}
			}
			got, err := writer.repository().Do(context.Background(), id, command)
			if got != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
				t.Fatalf("with a cache: %d, %v; without: %d, %v", got, err, want, wantErr)
			}
			wantState, _, _ := mirror.Load(context.Background(), id)
			if state, version, err := writers[0].Load(context.Background(), id); state != wantState || err != nil {
				t.Fatalf("with a cache: %v at %d, %v; without: %v", state, version, err, wantState)
			}
		}
	})
}

// TestNoAnswerIsOlderThanWhatWasAcknowledgedBefore lets writers with caches of their own race: a command that needs at least the version
// acknowledged before must not be refused, nor answered with an older version.
func TestNoAnswerIsOlderThanWhatWasAcknowledgedBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const aggregates, processes, clients, rounds = 3, 3, 4, 25
		store := new(memstore.Store)
		stale := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "stale", Reason: "stale"}
		var acknowledged [aggregates]atomic.Int64
		var written [aggregates]atomic.Int64
		var hits, ids atomic.Int64
		var group sync.WaitGroup
		for range processes {
			counters := newCounters(store)
			counters.Aggregate.Claims = nil
			counters.NewID = func() string { return fmt.Sprint(ids.Add(1)) }
			counters.MaxAttempts = 10_000
			counters.Cache = eventsourcing.NewCache[counter](aggregates - 1)
			counters.OnCache = func(u eventsourcing.CacheUse) {
				if u == eventsourcing.CacheHit {
					hits.Add(1)
				}
			}
			for client := range clients {
				group.Go(func() {
					for round := range rounds {
						i := (client + round/5) % aggregates
						least := acknowledged[i].Load()
						version, err := counters.Do(t.Context(), fmt.Sprint(i), decide(func(c counter) ([]event, error) {
							switch {
							case int64(c.N) < least:
								return nil, stale
							case round%3 == 0:
								return nil, nil
							default:
								return []event{counted{}}, nil
							}
						}))
						if err != nil {
							t.Errorf("answered %v to a command that needs version %d", err, least)
						}
						assert.GreaterOrEqual(t, int64(version), least)
						if round%3 != 0 {
							written[i].Add(1)
						}
						for now := acknowledged[i].Load(); now < int64(version) && !acknowledged[i].CompareAndSwap(now, int64(version)); {
							now = acknowledged[i].Load()
						}
					}
				})
			}
		}
		group.Wait()
		for i := range aggregates {
			state, _, err := newCounters(store).Load(t.Context(), fmt.Sprint(i))
			require.NoError(t, err)
			assert.Equal(t, written[i].Load(), int64(state.N), "an update was lost or written twice")
		}
		assert.Positive(t, hits.Load(), "the cache was never of use")
	})
}
