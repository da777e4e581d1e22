package eventstoretest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
)

// RunDryRuns tests of one implementation that what package dryrun says of a commit is what its Append then does: of many commits, which
// are right or wrong in every way in which one can be refused.
func RunDryRuns(t *testing.T, newLog func(testing.TB) dryrun.Log) {
	t.Helper()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			log := newLog(t)
			d := drawer{fixture{T: t, store: log, category: fmt.Sprint("dryrun/", seed)}, rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // a test
			seen := map[string]int{}
			for range 150 {
				seen[d.compare(log, d.draw())]++
			}
			for _, outcome := range []string{
				"appended", eventsourcing.ErrConflict.Error(), eventsourcing.ErrGuardMoved.Error(), eventsourcing.ErrScopeMoved.Error(),
				eventsourcing.ErrClaimTaken.Error(), "invalid",
			} {
				assert.NotZero(t, seen[outcome], "no commit was %s", outcome)
			}
		})
	}
}

// drawer draws commits on a few streams, claims and scopes, so that they often meet.
type drawer struct {
	fixture
	*rand.Rand
}

func (d drawer) id() string { return string("abc"[d.IntN(3)]) }

// near returns a version, or seldom one beside it.
func (d drawer) near(v eventsourcing.Version) eventsourcing.Version {
	switch d.IntN(12) {
	case 0:
		return v + 1
	case 1:
		return max(v, 1) - 1
	default:
		return v
	}
}

func (d drawer) head(id string) eventsourcing.Version {
	return eventsourcing.Version(len(d.ids(d.stream(id))))
}

func (d drawer) draw() eventsourcing.Commit {
	id := d.id()
	c := d.commit(id, d.near(d.head(id)), 1+d.IntN(2))
	for _, value := range []string{"x", "y", "z"} {
		switch d.IntN(5) {
		case 0:
			c.Take = append(c.Take, d.claim(value))
		case 1, 2:
			c.Release = append(c.Release, d.claim(value))
		}
	}
	if other := d.id(); d.IntN(2) == 0 && (other != id || d.IntN(5) == 0) { // to guard the stream itself is wrong
		c.Guards = []eventsourcing.Guard{{Stream: d.stream(other), Version: d.near(d.head(other))}}
	}
	for _, name := range []string{"members", "holders"} {
		move := eventsourcing.ScopeMove{Scope: d.scope(name)}
		if d.IntN(2) == 0 {
			move.Read = new(d.near(d.counts(move.Scope).Version))
		}
		if d.IntN(2) == 0 {
			move.Add = map[string]int64{"all": int64(d.IntN(3)) - 1}
		}
		if move.Read != nil || len(move.Add) > 0 {
			c.Scopes = append(c.Scopes, move)
		}
	}
	return c
}

// compare tries the commit and then appends it. It returns what happened.
func (d drawer) compare(log dryrun.Log, c eventsourcing.Commit) string {
	d.Helper()
	was := d.head(c.Stream.ID)
	trial := dryrun.New(log, c.Stream, 0)
	said := trial.Append(d.Context(), c)
	require.Equal(d, was, d.head(c.Stream.ID), "a dry run writes nothing")
	owners := d.owners(log)

	err := log.Append(d.Context(), c)
	if err != nil || said != nil {
		require.Equal(d, fmt.Sprint(err), fmt.Sprint(said))
		require.Equal(d, was, d.head(c.Stream.ID))
		return refusalOf(err)
	}
	would := trial.Outcome()
	assert.Equal(d, c.Records, would.Commit.Records)
	for _, m := range c.Scopes {
		want := would.Scopes[m.Scope]
		now := d.counts(m.Scope)
		for counter, amount := range m.Add {
			assert.Equal(d, want.Counters[counter]+amount, now.Counters[counter])
		}
		if len(m.Add) > 0 {
			want.Version++
		}
		assert.Equal(d, want.Version, now.Version)
	}
	for claim, owner := range d.owners(log) {
		taken, released := slices.Contains(would.Commit.Take, claim), slices.Contains(would.Commit.Release, claim)
		assert.Equal(d, owner == c.Stream && owners[claim] != c.Stream, taken, "%s is taken", claim.Value)
		assert.Equal(d, owner != c.Stream && owners[claim] == c.Stream, released, "%s is released", claim.Value)
	}
	return "appended"
}

func (d drawer) owners(log dryrun.Log) map[eventsourcing.Claim]eventsourcing.StreamID {
	d.Helper()
	owners := map[eventsourcing.Claim]eventsourcing.StreamID{}
	for _, value := range []string{"x", "y", "z"} {
		owner, err := log.Owner(d.Context(), d.claim(value))
		require.NoError(d, err)
		owners[d.claim(value)] = owner
	}
	return owners
}

// refusalOf is the error's kind.
func refusalOf(err error) string {
	for _, kind := range []error{
		eventsourcing.ErrConflict, eventsourcing.ErrGuardMoved, eventsourcing.ErrScopeMoved, eventsourcing.ErrClaimTaken,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return "invalid"
}
