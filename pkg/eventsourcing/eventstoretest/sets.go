package eventstoretest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// claims are the tests of unique values.
var claims = map[string]func(fixture){
	"a claim taken by another stream is refused and named": func(f fixture) {
		owner := f.commit("owner", 0, 1)
		owner.Take = []eventsourcing.Claim{f.claim("b"), f.claim("c")}
		f.append(owner)
		c := f.commit("s", 0, 1)
		c.Take = []eventsourcing.Claim{f.claim("a"), f.claim("b"), f.claim("d")}
		err := f.store.Append(f.Context(), c)
		var taken *eventsourcing.ClaimTakenError
		require.ErrorAs(f, err, &taken)
		assert.Equal(f, f.claim("b"), taken.Claim)
		require.ErrorIs(f, err, eventsourcing.ErrClaimTaken)
		assert.NotContains(f, err.Error(), f.claim("b").Key(), "the value is personal data")
		assert.Empty(f, f.ids(c.Stream))
		f.free(f.claim("a"))
		f.free(f.claim("d"))
	},
	"claims differ by category, name and value": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Take = []eventsourcing.Claim{f.claim("v")}
		f.append(c)
		other := f.commit("other", 0, 1)
		other.Take = []eventsourcing.Claim{
			f.claim("V"), {Category: f.category, Name: "email", Value: "v"}, {Category: f.category + "/x", Name: "name", Value: "v"},
		}
		f.append(other)
	},
	"a claim is free again at once after its release": func(f fixture) {
		v := []eventsourcing.Claim{f.claim("Zoë@example.com")}
		take := f.commit("a", 0, 1)
		take.Take = v
		f.append(take)
		f.taken(v[0])
		release := f.commit("a", 1, 1)
		release.Release = v
		f.append(release)
		again := f.commit("b", 0, 1)
		again.Take = v
		f.append(again)
		back := f.commit("a", 2, 1)
		back.Take = v
		f.refuse(back, eventsourcing.ErrClaimTaken)
	},
	"a claim is swapped in one commit": func(f fixture) {
		take := f.commit("s", 0, 1)
		take.Take = []eventsourcing.Claim{f.claim("old")}
		f.append(take)
		swap := f.commit("s", 1, 1)
		swap.Take, swap.Release = []eventsourcing.Claim{f.claim("new")}, []eventsourcing.Claim{f.claim("old")}
		f.append(swap)
		f.taken(f.claim("new"))
		f.free(f.claim("old"))
	},
	"a stream may take a claim that it holds": func(f fixture) {
		for v := range eventsourcing.Version(3) {
			c := f.commit("s", v, 1)
			c.Take = []eventsourcing.Claim{f.claim("v")}
			f.append(c)
		}
		f.taken(f.claim("v"))
		release := f.commit("s", 3, 1)
		release.Release = []eventsourcing.Claim{f.claim("v")}
		f.append(release)
		f.free(f.claim("v"))
	},
	"a release never frees another stream's claim": func(f fixture) {
		owner := f.commit("owner", 0, 1)
		owner.Take = []eventsourcing.Claim{f.claim("foreign"), f.claim("foreign too")}
		f.append(owner)
		own := f.commit("s", 0, 1)
		own.Take = []eventsourcing.Claim{f.claim("own")}
		f.append(own)
		c := f.commit("s", 1, 2)
		c.Take = []eventsourcing.Claim{f.claim("new")}
		c.Release = []eventsourcing.Claim{
			f.claim("foreign"), f.claim("own"), f.claim("foreign too"), f.claim("free"),
		}
		f.append(c)
		f.append(c)
		assert.Equal(f, idsOf(own, c), f.ids(c.Stream))
		f.taken(f.claim("foreign"))
		f.taken(f.claim("foreign too"))
		f.taken(f.claim("new"))
		f.free(f.claim("own"))
	},
}

// guards are the tests of checks on other streams.
var guards = map[string]func(fixture){
	"a guard lets pass while its stream stands still": func(f fixture) {
		f.append(f.commit("role", 0, 2))
		for v := range eventsourcing.Version(2) {
			c := f.commit("user", v, 1)
			c.Guards = []eventsourcing.Guard{{Stream: f.stream("role"), Version: 2}, {Stream: f.stream("absent")}}
			f.append(c)
		}
		assert.Len(f, f.ids(f.stream("role")), 2)
		assert.Empty(f, f.ids(f.stream("absent")))
	},
	"a guard that moved holds the commit back": func(f fixture) {
		f.append(f.commit("role", 0, 2))
		for _, version := range []eventsourcing.Version{0, 1, 3, 9} {
			c := f.commit("user", 0, 1)
			c.Guards = []eventsourcing.Guard{{Stream: f.stream("still")}, {Stream: f.stream("role"), Version: version}}
			f.refuse(c, eventsourcing.ErrGuardMoved)
		}
		c := f.commit("user", 0, 1)
		c.Guards = []eventsourcing.Guard{{Stream: f.stream("absent"), Version: 1}}
		f.refuse(c, eventsourcing.ErrGuardMoved)
	},
}

// results are the tests of remembered commands.
var results = map[string]func(fixture){
	"a command's result is remembered": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Result = f.result("c")
		f.append(c)
		got, err := f.store.Result(f.Context(), c.Result.ID)
		require.NoError(f, err)
		assert.Equal(f, *c.Result, got)
	},
	"nothing is known of other commands": func(f fixture) {
		f.unknown(f.category)
		f.unknown("")
	},
	"a repeated command is refused, whatever its stream": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Result = f.result("c")
		f.append(c)
		other := f.commit("other", 0, 1)
		other.Result = f.result("c")
		other.Result.Outcome = []byte("other")
		f.refuse(other, eventsourcing.ErrCommandRepeated)
		got, err := f.store.Result(f.Context(), c.Result.ID)
		require.NoError(f, err)
		assert.Equal(f, c.Result.Outcome, got.Outcome)
	},
	"an expired result is forgotten and its command may be written anew": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Result = f.result("c")
		c.Result.ExpiresAt = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		f.append(c)
		f.unknown(c.Result.ID)
		f.append(c) // still its own commit
		anew := f.commit("s", 1, 1)
		anew.Result = f.result("c")
		f.append(anew)
		got, err := f.store.Result(f.Context(), c.Result.ID)
		require.NoError(f, err)
		assert.Equal(f, *anew.Result, got)
	},
	"the result of a command that appended nothing is remembered": func(f fixture) {
		want := *f.result("c")
		require.NoError(f, f.store.Remember(f.Context(), want))
		require.ErrorIs(f, f.store.Remember(f.Context(), want), eventsourcing.ErrCommandRepeated, "its answer may have been lost")
		got, err := f.store.Result(f.Context(), want.ID)
		require.NoError(f, err)
		assert.Equal(f, want, got)
		other := want
		other.Outcome = []byte("other")
		require.ErrorIs(f, f.store.Remember(f.Context(), other), eventsourcing.ErrCommandRepeated)
		c := f.commit("s", 0, 1)
		c.Result = &other
		f.refuse(c, eventsourcing.ErrCommandRepeated)
		got, err = f.store.Result(f.Context(), want.ID)
		require.NoError(f, err)
		assert.Equal(f, want, got)
		require.Error(f, f.store.Remember(f.Context(), eventsourcing.CommandResult{ExpiresAt: want.ExpiresAt}), "a command without an ID")
	},
	"a result that was appended is not remembered anew": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Result = f.result("c")
		f.append(c)
		other := *c.Result
		other.Outcome = []byte("other")
		require.ErrorIs(f, f.store.Remember(f.Context(), other), eventsourcing.ErrCommandRepeated)
	},
	"an expired result makes room for one that is remembered": func(f fixture) {
		old := *f.result("c")
		old.ExpiresAt = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		require.NoError(f, f.store.Remember(f.Context(), old))
		f.unknown(old.ID)
		anew := *f.result("c")
		anew.Outcome = []byte("anew")
		require.NoError(f, f.store.Remember(f.Context(), anew))
		got, err := f.store.Result(f.Context(), anew.ID)
		require.NoError(f, err)
		assert.Equal(f, anew, got)
	},
	"an outcome may be any bytes": func(f fixture) {
		for id, outcome := range map[string][]byte{"none": nil, "binary": {0, 0xff, '\n'}} {
			c := f.commit(id, 0, 1)
			c.Result = f.result(id)
			c.Result.Outcome, c.Result.Fingerprint = outcome, ""
			f.append(c)
			got, err := f.store.Result(f.Context(), c.Result.ID)
			require.NoError(f, err)
			assert.Equal(f, string(outcome), string(got.Outcome))
		}
	},
	"a command without an ID is an error": func(f fixture) {
		c := f.commit("s", 0, 1)
		c.Result = &eventsourcing.CommandResult{ExpiresAt: f.result("c").ExpiresAt}
		err := f.store.Append(f.Context(), c)
		require.Error(f, err)
		require.NotErrorIs(f, err, eventsourcing.ErrUnavailable, "another try would fail, too")
		assert.Empty(f, f.ids(c.Stream))
	},
}
