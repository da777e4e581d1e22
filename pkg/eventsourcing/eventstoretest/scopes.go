package eventstoretest

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// scopes are the tests of what several streams share in.
var scopes = map[string]func(fixture){
	"a scope that was never moved is not there": func(f fixture) {
		states, err := f.store.Scopes(f.Context(), nil)
		require.NoError(f, err)
		assert.Empty(f, states)
		states, err = f.store.Scopes(f.Context(), []eventsourcing.Scope{f.scope("a"), f.scope("b")})
		require.NoError(f, err)
		assert.Empty(f, states)
	},
	"a scope's counters are the sum of what streams added": func(f fixture) {
		for i, add := range []map[string]int64{{"seats": 1, "holders": 1}, {"seats": 1}, {"holders": -1}, {"most": math.MaxInt64}} {
			c := f.commit(fmt.Sprint("s", i), 0, 1)
			c.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("a"), Add: add}}
			f.append(c)
		}
		got := f.counts(f.scope("a"))
		assert.Equal(f, eventsourcing.Version(4), got.Version)
		assert.Equal(f, []int64{2, 0, math.MaxInt64}, []int64{got.Counters["seats"], got.Counters["holders"], got.Counters["most"]})
	},
	"a commit moves and checks many scopes": func(f fixture) {
		c := f.commit("s", 0, 1)
		names := make([]eventsourcing.Scope, 90)
		for i := range names {
			names[i] = f.scope(fmt.Sprint(i))
			c.Scopes = append(c.Scopes, eventsourcing.ScopeMove{
				Scope: names[i], Read: new(eventsourcing.Version(0)), Add: map[string]int64{"n": int64(i + 1)},
			})
		}
		f.append(c)
		states, err := f.store.Scopes(f.Context(), append(names, f.scope("absent")))
		require.NoError(f, err)
		require.Len(f, states, len(names))
		for i, name := range names {
			assert.Equal(f, eventsourcing.ScopeState{Version: 1, Counters: map[string]int64{"n": int64(i + 1)}}, states[name])
		}
	},
	"a commit is refused if a scope that it was decided on has moved": func(f fixture) {
		first := f.commit("s", 0, 1)
		first.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("a"), Add: map[string]int64{"n": 1}}}
		f.append(first)
		for _, add := range []map[string]int64{nil, {"n": 1}} {
			for _, read := range []eventsourcing.Version{0, 2} {
				c := f.commit("other", 0, 1)
				c.Scopes = []eventsourcing.ScopeMove{
					{Scope: f.scope("b"), Add: map[string]int64{"n": 1}}, {Scope: f.scope("a"), Read: &read, Add: add},
				}
				c.Result = f.result("c")
				f.refuse(c, eventsourcing.ErrScopeMoved)
				f.unknown(c.Result.ID)
			}
		}
		absent := f.commit("other", 0, 1)
		absent.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("b"), Read: new(eventsourcing.Version(1))}}
		f.refuse(absent, eventsourcing.ErrScopeMoved)
		assert.Equal(f, eventsourcing.Version(1), f.counts(f.scope("a")).Version)
		assert.Zero(f, f.counts(f.scope("b")))
	},
	"a scope that is only checked stays as it is": func(f fixture) {
		for v := range eventsourcing.Version(2) {
			c := f.commit("s", v, 1)
			c.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("a"), Read: new(eventsourcing.Version(0))}}
			f.append(c)
		}
		assert.Zero(f, f.counts(f.scope("a")))
	},
	"a commit that is written already moves nothing again": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("a"), Read: new(eventsourcing.Version(0)), Add: map[string]int64{"n": 1}}}
		f.append(c)
		f.append(c)
		assert.Equal(f, eventsourcing.ScopeState{Version: 1, Counters: map[string]int64{"n": 1}}, f.counts(f.scope("a")))
	},
	"scopes are refused after conflicts and guards and before claims": func(f fixture) {
		owner := f.commit("owner", 0, 1)
		owner.Take = []eventsourcing.Claim{f.claim("v")}
		f.append(owner)
		c := f.commit("s", 0, 1)
		c.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("a"), Read: new(eventsourcing.Version(1))}}
		c.Take = []eventsourcing.Claim{f.claim("v")}
		f.refuse(c, eventsourcing.ErrScopeMoved)
		c.Guards = []eventsourcing.Guard{{Stream: f.stream("owner")}}
		f.refuse(c, eventsourcing.ErrGuardMoved)
		f.append(f.commit("s", 0, 1))
		f.refuse(c, eventsourcing.ErrConflict)
	},
	"a scope is named once, and by text": func(f fixture) {
		add := map[string]int64{"n": 1}
		for name, moves := range map[string][]eventsourcing.ScopeMove{
			"twice":               {{Scope: f.scope("a"), Add: add}, {Scope: f.scope("a"), Read: new(eventsourcing.Version(0))}},
			"without a name":      {{Scope: eventsourcing.Scope{Subject: f.category}, Add: add}},
			"without a subject":   {{Scope: eventsourcing.Scope{Name: "a"}, Add: add}},
			"of two names":        {{Scope: f.scope("a#b"), Add: add}},
			"for nothing":         {{Scope: f.scope("a")}},
			"by a nameless count": {{Scope: f.scope("a"), Add: map[string]int64{"": 1}}},
		} {
			c := f.commit("s", 0, 1)
			c.Scopes = moves
			require.Error(f, f.store.Append(f.Context(), c), name)
		}
		assert.Empty(f, f.ids(f.stream("s")))
	},
	"two commits never decide on the same picture of a scope": func(f fixture) {
		const writers, seats = 16, 5
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for { // until the seats are taken
					states, err := f.store.Scopes(f.Context(), []eventsourcing.Scope{f.scope("a")})
					if err != nil {
						f.Errorf("read a scope: %v", err)
						return
					}
					if states[f.scope("a")].Counters["seats"] >= seats {
						return
					}
					c := f.commit(fmt.Sprint("s", i), eventsourcing.Version(len(f.read(f.stream(fmt.Sprint("s", i)), 0))), 1)
					c.Scopes = []eventsourcing.ScopeMove{{
						Scope: f.scope("a"), Read: new(states[f.scope("a")].Version), Add: map[string]int64{"seats": 1},
					}}
					if err := f.retry(c); err != nil && !errors.Is(err, eventsourcing.ErrScopeMoved) && !errors.Is(err, eventsourcing.ErrUnavailable) {
						assert.NoError(f, err)
						return
					}
				}
			})
		}
		wg.Wait()
		assert.Equal(f, int64(seats), f.counts(f.scope("a")).Counters["seats"])
		taken := 0
		for i := range writers {
			taken += len(f.ids(f.stream(fmt.Sprint("s", i))))
		}
		assert.Equal(f, seats, taken)
	},
	"what was not decided on is added by all at once": func(f fixture) {
		const writers = 8
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				c := f.commit(fmt.Sprint("s", i), 0, 1)
				c.Scopes = []eventsourcing.ScopeMove{{Scope: f.scope("a"), Add: map[string]int64{"n": 1}}}
				assert.NoError(f, f.retry(c))
			})
		}
		wg.Wait()
		assert.Equal(f, eventsourcing.ScopeState{Version: writers, Counters: map[string]int64{"n": writers}}, f.counts(f.scope("a")))
	},
}
