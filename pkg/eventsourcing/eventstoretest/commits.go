package eventstoretest

import (
	"crypto/rand"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// commits are the tests of a commit as a whole: written once, or not at all.
var commits = map[string]func(fixture){
	"a repeated commit succeeds and adds nothing": func(f fixture) {
		first, second := f.commit("s", 0, 1), f.commit("s", 1, 3)
		for range 2 {
			f.append(first)
		}
		for range 2 {
			f.append(second)
			f.append(first) // long past
		}
		assert.Equal(f, idsOf(first, second), f.ids(f.stream("s")))
	},
	"a repeated commit with claims, guards and a result succeeds and adds nothing": func(f fixture) {
		f.append(f.commit("guarded", 0, 1))
		begin := f.commit("s", 0, 1)
		begin.Take = []eventsourcing.Claim{f.claim("old")}
		f.append(begin)
		c := f.commit("s", 1, 2)
		c.Take = []eventsourcing.Claim{f.claim("new")}
		c.Release = []eventsourcing.Claim{f.claim("old")}
		c.Guards = []eventsourcing.Guard{{Stream: f.stream("guarded"), Version: 1}, {Stream: f.stream("absent")}}
		c.Result = f.result("c")
		f.append(c)
		f.append(c)

		f.append(f.commit("guarded", 1, 1)) // what no longer holds cannot undo what is written
		other := f.commit("other", 0, 1)
		other.Take = []eventsourcing.Claim{f.claim("old")}
		f.append(other)
		giveUp := f.commit("s", 3, 1)
		giveUp.Release = []eventsourcing.Claim{f.claim("new")}
		f.append(giveUp)
		f.append(c)
		assert.Equal(f, idsOf(begin, c, giveUp), f.ids(c.Stream))
		f.taken(f.claim("old"))
		f.free(f.claim("new"))
	},
	"another commit at the same version conflicts": func(f fixture) {
		c := f.commit("s", 0, 2)
		f.append(c)
		f.refuse(f.commit("s", 0, 2), eventsourcing.ErrConflict)
		longer := c
		longer.Records = append(slices.Clone(c.Records), f.commit("s", 2, 1).Records...)
		f.refuse(longer, eventsourcing.ErrConflict)
		mixed := c
		mixed.Records = slices.Clone(c.Records)
		mixed.Records[1].ID = rand.Text()
		f.refuse(mixed, eventsourcing.ErrConflict)
	},
	"a refused commit leaves nothing behind": func(f fixture) {
		taken := f.commit("owner", 0, 1)
		taken.Take = []eventsourcing.Claim{f.claim("taken")}
		f.append(taken)
		held := f.commit("s", 0, 2)
		held.Take = []eventsourcing.Claim{f.claim("held")}
		f.append(held)
		whole := func(expected eventsourcing.Version) eventsourcing.Commit {
			c := f.commit("s", expected, 2)
			c.Take = []eventsourcing.Claim{f.claim("wanted")}
			c.Release = []eventsourcing.Claim{f.claim("held")}
			c.Result = f.result("c")
			return c
		}
		f.refuse(whole(1), eventsourcing.ErrConflict)
		f.refuse(whole(5), eventsourcing.ErrConflict)
		c := whole(2)
		c.Guards = []eventsourcing.Guard{{Stream: taken.Stream, Version: 0}}
		f.refuse(c, eventsourcing.ErrGuardMoved)
		c = whole(2)
		c.Take = append(c.Take, f.claim("taken"))
		f.refuse(c, eventsourcing.ErrClaimTaken)

		f.free(f.claim("wanted"))
		f.taken(f.claim("held"))
		f.taken(f.claim("taken"))
		f.unknown(c.Result.ID)
		f.append(whole(2))
	},
	"of several refusals the first in the contract's order is given": precedence,
	"a malformed commit is an error and writes nothing":              malformed,
}

// precedence takes away one ground for refusal after the other.
func precedence(f fixture) {
	owner := f.commit("owner", 0, 2)
	owner.Take = []eventsourcing.Claim{f.claim("taken")}
	owner.Result = f.result("c")
	f.append(owner)
	f.append(f.commit("s", 0, 1))

	c := f.commit("s", 0, 1)
	c.Take = []eventsourcing.Claim{f.claim("free"), f.claim("taken")}
	c.Guards = []eventsourcing.Guard{{Stream: owner.Stream, Version: 1}}
	c.Result = f.result("c")
	f.refuse(c, eventsourcing.ErrCommandRepeated)
	ahead := f.commit("s", 5, 1)
	ahead.Take, ahead.Guards, ahead.Result = c.Take, c.Guards, c.Result
	f.refuse(ahead, eventsourcing.ErrCommandRepeated)
	c.Result, ahead.Result = f.result("d"), f.result("d")
	f.refuse(c, eventsourcing.ErrConflict)
	f.refuse(ahead, eventsourcing.ErrConflict)
	c.Expected, c.Records[0].Version = 1, 2
	f.refuse(c, eventsourcing.ErrGuardMoved)
	c.Guards[0].Version = 3 // ahead of its stream
	f.refuse(c, eventsourcing.ErrGuardMoved)
	c.Guards[0].Version = 2
	f.refuse(c, eventsourcing.ErrClaimTaken)
	c.Take = c.Take[:1]
	f.append(c)
}

func malformed(f fixture) {
	for name, spoil := range map[string]func(*eventsourcing.Commit){
		"no records":                func(c *eventsourcing.Commit) { c.Records = nil },
		"a record without ID":       func(c *eventsourcing.Commit) { c.Records[0].ID = "" },
		"another stream":            func(c *eventsourcing.Commit) { c.Records[1].Stream = f.stream("other") },
		"a version left out":        func(c *eventsourcing.Commit) { c.Records[1].Version++ },
		"a version twice":           func(c *eventsourcing.Commit) { c.Records[1].Version-- },
		"other versions":            func(c *eventsourcing.Commit) { c.Expected++ },
		"data that is not JSON":     func(c *eventsourcing.Commit) { c.Records[0].Data = []byte(`{`) },
		"text that is not UTF-8":    func(c *eventsourcing.Commit) { c.Records[1].Metadata.Actor = "\xff" },
		"a claim that is not UTF-8": func(c *eventsourcing.Commit) { c.Take[0].Value = "\xff" },
		"extra metadata by the name of a field": func(c *eventsourcing.Commit) {
			c.Records[0].Metadata.Extra = map[string]string{"actor": "eve"}
		},
		"no time":             func(c *eventsourcing.Commit) { c.Records[0].RecordedAt = time.Time{} },
		"a claim taken twice": func(c *eventsourcing.Commit) { c.Take = append(c.Take, c.Take...) },
		"a claim taken and released": func(c *eventsourcing.Commit) {
			c.Release = c.Take
		},
		"a guard twice": func(c *eventsourcing.Commit) {
			c.Guards = []eventsourcing.Guard{{Stream: f.stream("g")}, {Stream: f.stream("g")}}
		},
		"a guard on itself": func(c *eventsourcing.Commit) {
			c.Guards = []eventsourcing.Guard{{Stream: c.Stream, Version: c.Expected}}
		},
	} {
		c := f.commit("s", 0, 2)
		c.Take = []eventsourcing.Claim{f.claim("v")}
		spoil(&c)
		err := f.store.Append(f.Context(), c)
		require.Error(f, err, name)
		for _, refusal := range []error{
			eventsourcing.ErrConflict, eventsourcing.ErrGuardMoved, eventsourcing.ErrClaimTaken, eventsourcing.ErrUnavailable,
		} {
			require.NotErrorIs(f, err, refusal, "%s must not be tried again", name)
		}
		require.Empty(f, f.ids(f.stream("s")), name)
	}
	f.free(f.claim("v"))
}
