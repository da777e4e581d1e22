package eventsourcing_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

// all is a scope in which every counter shares.
var all = eventsourcing.Scope{Subject: "test/counter", Name: "all"}

var errFull = &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "full", Reason: "full"}

// within counts once more, unless the counters of all streams have reached the limit together.
type within struct {
	limit  int64
	scopes eventsourcing.ScopeStates
	looked *int // how often the scope was asked for
}

func (w within) Scopes(counter) []eventsourcing.Scope {
	if w.looked != nil {
		*w.looked++
	}
	return []eventsourcing.Scope{all}
}

func (w within) In(scopes eventsourcing.ScopeStates) eventsourcing.Command[counter, event] {
	w.scopes = scopes
	return w
}

func (w within) Decide(counter) ([]event, error) {
	if w.scopes[all].Counters["n"] >= w.limit {
		return nil, errFull
	}
	return []event{counted{}}, nil
}

// sharing returns counters that share what they have counted.
func sharing(store eventsourcing.Store) *counterRepository {
	counters := newCounters(store)
	counters.Aggregate.Shares = func(_ eventsourcing.StreamID, c counter) []eventsourcing.Share {
		return []eventsourcing.Share{{Scope: all, Counter: "n", Amount: int64(c.N)}}
	}
	return counters
}

// stepped lets a test step in after each read of scopes, and counts them.
type stepped struct {
	eventsourcing.Store
	after func(n int)
	reads int
}

func (s *stepped) Scopes(ctx context.Context, scopes []eventsourcing.Scope) (eventsourcing.ScopeStates, error) {
	states, err := s.Store.Scopes(ctx, scopes)
	if s.reads++; s.after != nil {
		s.after(s.reads)
	}
	return states, err
}

func TestScopeKeys(t *testing.T) {
	t.Parallel()
	scope := eventsourcing.Scope{Subject: "org/iam/role/1", Name: "members"}
	assert.Equal(t, "org/iam/role/1#members", scope.Key())
	parsed, ok := eventsourcing.ParseScope(scope.Key())
	assert.True(t, ok)
	assert.Equal(t, scope, parsed)
	for _, text := range []string{"", "#", "a", "a#", "#a"} {
		_, ok := eventsourcing.ParseScope(text)
		assert.False(t, ok, text)
	}
}

func TestACommitMovesAScopeByWhatTheStatesDifferBy(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := sharing(store)
	for _, events := range [][]event{{counted{}, counted{}}, {named{Name: "x"}}, {counted{}}} {
		_, err := counters.Do(t.Context(), "c1", emit(events...))
		require.NoError(t, err)
	}
	require.Len(t, store.commits, 3)
	assert.Equal(t, []eventsourcing.ScopeMove{{Scope: all, Add: map[string]int64{"n": 2}}}, store.commits[0].Scopes)
	assert.Empty(t, store.commits[1].Scopes, "its share is the same")
	assert.Equal(t, []eventsourcing.ScopeMove{{Scope: all, Add: map[string]int64{"n": 1}}}, store.commits[2].Scopes)
}

func TestOnlyAScopedCommandReadsScopes(t *testing.T) {
	t.Parallel()
	store := &stepped{Store: new(memstore.Store)}
	counters := sharing(store).repository()
	_, err := counters.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Zero(t, store.reads)
	_, err = counters.Do(t.Context(), "c1", within{limit: 2})
	require.NoError(t, err)
	assert.Equal(t, 1, store.reads)
}

func TestWhatADecisionReadOfAScopeIsChecked(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := newCounters(store) // which share nothing
	_, err := counters.repository().Do(t.Context(), "c1", within{limit: 2})
	require.NoError(t, err)
	assert.Equal(t, []eventsourcing.ScopeMove{{Scope: all, Read: new(eventsourcing.Version(0))}}, store.commits[0].Scopes)
}

func TestACommandIsDecidedAgainIfItsScopeMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := new(memstore.Store)
		rival := sharing(inner)
		rival.NewID = func() string { return "rival's" }
		store := &stepped{Store: inner, after: func(n int) {
			if n == 1 {
				_, err := rival.Do(t.Context(), "c2", emit(counted{}))
				assert.NoError(t, err)
			}
		}}
		counters := sharing(store)
		var lost []error
		counters.OnConflict = func(err error) { lost = append(lost, err) }
		_, err := counters.repository().Do(t.Context(), "c1", within{limit: 1})
		require.ErrorIs(t, err, errFull)
		require.Len(t, lost, 1)
		require.ErrorIs(t, lost[0], eventsourcing.ErrScopeMoved)
		_, version, err := counters.Load(t.Context(), "c1")
		require.NoError(t, err)
		assert.Zero(t, version)
	})
}

// The stream moved after the scope was read: the refusal would rest on two moments.
func TestARefusalRestsOnOneMoment(t *testing.T) {
	t.Parallel()
	for _, cached := range []int{0, 10} {
		t.Run(fmt.Sprint("cache of ", cached), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := new(memstore.Store)
				rival := sharing(inner)
				rival.NewID = func() string { return "rival's" }
				looked, conflicts := 0, 0
				store := &stepped{Store: inner, after: func(n int) {
					if n == 1 {
						_, err := rival.Do(t.Context(), "c1", emit(counted{}))
						assert.NoError(t, err)
					}
				}}
				counters := sharing(store)
				counters.Cache = eventsourcing.NewCache[counter](cached)
				counters.OnConflict = func(error) { conflicts++ }
				_, err := counters.repository().Do(t.Context(), "c1", within{limit: 0, looked: &looked})
				require.ErrorIs(t, err, errFull)
				assert.Equal(t, 2, looked, "the scopes are read again for the newer state")
				assert.LessOrEqual(t, conflicts, 1)
			})
		})
	}
}

// The limit is looked up in another stream. It is raised, and then more are let in, before the scope is read: at no moment is it full.
func TestARefusalRestsOnTheMomentOfWhatWasLookedUp(t *testing.T) {
	t.Parallel()
	for _, cached := range []int{0, 10} {
		t.Run(fmt.Sprint("cache of ", cached), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				inner := new(memstore.Store)
				limit := newCounters(inner)
				limit.NewID = rand.Text
				raise := func() error {
					_, err := limit.Do(t.Context(), "limit", emit(counted{}))
					return err
				}
				counters, conflicts := sharing(inner), []error(nil)
				counters.Cache = eventsourcing.NewCache[counter](cached)
				counters.OnConflict = func(err error) { conflicts = append(conflicts, err) }
				counters.NewID = limit.NewID
				require.NoError(t, raise())
				_, err := counters.Do(t.Context(), "c1", emit(named{Name: "x"}))
				require.NoError(t, err)
				looked := 0
				version, err := counters.DoWith(t.Context(), "c1",
					func(ctx context.Context) (eventsourcing.Prepared[counter, event], error) {
						state, at, err := limit.Load(ctx, "limit")
						if looked++; looked == 1 {
							_, filled := counters.repository().Do(ctx, "c2", within{limit: 2})
							err = errors.Join(err, raise(), filled)
						}
						return eventsourcing.Prepared[counter, event]{
							Command: within{limit: int64(state.N)},
							Guards:  []eventsourcing.Guard{{Stream: eventsourcing.StreamID{Category: "test/counter", ID: "limit"}, Version: at}},
						}, err
					})
				require.NoError(t, err)
				assert.Equal(t, eventsourcing.Version(2), version)
				require.Len(t, conflicts, 1)
				assert.ErrorIs(t, conflicts[0], eventsourcing.ErrGuardMoved)
			})
		})
	}
}

func TestAScopeLetsNoMoreInThanItsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(memstore.Store)
		var wg sync.WaitGroup
		for writer := range 16 {
			wg.Go(func() {
				counters := sharing(store)
				next := counters.NewID
				counters.NewID = func() string { return fmt.Sprintf("%d's %s", writer, next()) }
				counters.MaxAttempts = 1000
				_, err := counters.repository().Do(t.Context(), fmt.Sprint("c", writer), within{limit: 5})
				if err != nil {
					assert.ErrorIs(t, err, errFull)
				}
			})
		}
		wg.Wait()
		states, err := store.Scopes(t.Context(), []eventsourcing.Scope{all})
		require.NoError(t, err)
		assert.Equal(t, int64(5), states[all].Counters["n"])
	})
}

type blind struct{ eventsourcing.Store }

var errBlind = errors.New("blind")

func (blind) Scopes(context.Context, []eventsourcing.Scope) (eventsourcing.ScopeStates, error) {
	return nil, errBlind
}

func TestNothingIsDecidedOnScopesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, cached := range []int{0, 10} {
		store := &scripted{Store: blind{new(memstore.Store)}}
		counters := sharing(store)
		counters.Cache = eventsourcing.NewCache[counter](cached)
		_, err := counters.Do(t.Context(), "c1", emit(counted{}))
		require.NoError(t, err)
		_, err = counters.repository().Do(t.Context(), "c1", within{limit: 5})
		require.ErrorIs(t, err, errBlind)
		assert.Len(t, store.commits, 1)
	}
}
