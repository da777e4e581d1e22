package role_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

var stream = eventsourcing.StreamID{Category: role.Category, ID: "r1"}

// membersOf are the counted members of the role: so many users hold it, and so many of them are enabled and hold it without an end.
func membersOf(seats, holders int) eventsourcing.ScopeStates {
	sums := eventsourcing.Sums{}
	sums.Add(members.OfRole(stream, false), 1)
	for i := range seats {
		sums.Add(members.OfUser(stream, i < holders), 1)
	}
	return eventsourcing.ScopeStates{members.Of(stream): {Version: 7, Counters: sums[members.Of(stream)]}}
}

func TestSetRules(t *testing.T) {
	t.Parallel()
	set := func(r role.Rules, seats, holders int) eventsourcing.Command[role.State, role.Event] {
		return role.SetRules{Rules: r}.In(membersOf(seats, holders))
	}
	makeEssential := essential.Rules
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role":  {When: set(makeEssential, 1, 1), Refused: role.ErrNotFound},
		"a disabled role":  {Given: events{created, role.Disabled{}}, When: set(makeEssential, 1, 1), Refused: role.ErrDisabled},
		"a retiring role":  {Given: events{created, requested}, When: set(makeEssential, 1, 1), Refused: role.ErrRetiring},
		"a retired role":   {Given: events{created, requested, role.Retired{}}, When: set(makeEssential, 0, 0), Refused: role.ErrRetired},
		"with one holder":  {Given: events{created}, When: set(makeEssential, 1, 1), Then: events{essential}},
		"without a holder": {Given: events{created}, When: set(makeEssential, 3, 0), Refused: role.ErrNoHolder},
		"the same rules":   {Given: events{created, essential}, When: set(makeEssential, 0, 0)},
		"no rules":         {Given: events{created, essential}, When: set(role.Rules{}, 1, 1), Then: events{role.RulesChanged{}}},
		"a limit for an essential role that nobody holds yet": {
			Given: events{created, essential}, When: set(role.Rules{Essential: true, MaxMembers: 1}, 0, 0),
			Then: events{role.RulesChanged{Rules: role.Rules{Essential: true, MaxMembers: 1}}},
		},
		"as many as there are":   {Given: events{created}, When: set(limited(2).Rules, 2, 0), Then: events{limited(2)}},
		"fewer than there are":   {Given: events{created}, When: set(limited(2).Rules, 3, 0), Refused: role.ErrTooManyMembers},
		"less than nothing":      {Given: events{created}, When: set(role.Rules{MaxMembers: -1}, 0, 0), Refused: role.ErrInvalidLimit},
		"more than can be":       {Given: events{created}, When: set(limited(role.MaxLimit+1).Rules, 0, 0), Refused: role.ErrInvalidLimit},
		"members not counted":    {Given: events{created}, When: role.SetRules{Rules: makeEssential}, Refused: role.ErrScopeNotReady},
		"none, and not counted":  {Given: events{created}, When: role.SetRules{}},
		"not counted, not there": {When: role.SetRules{Rules: makeEssential}, Refused: role.ErrNotFound},
	})
}

func TestRetire(t *testing.T) {
	t.Parallel()
	c := role.Retire{}.In(membersOf(2, 1))
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role":     {When: c, Refused: role.ErrNotFound},
		"a role":              {Given: events{created}, When: c, Then: events{requested}},
		"a disabled role":     {Given: events{created, role.Disabled{}}, When: c, Then: events{requested}},
		"an essential role":   {Given: events{created, essential}, When: c, Refused: role.ErrEssential},
		"twice":               {Given: events{created, requested}, When: c, Refused: role.ErrRetiring},
		"a retired role":      {Given: events{created, requested, role.Retired{}}, When: c, Refused: role.ErrRetired},
		"after a cancelled":   {Given: events{created, requested, role.RetirementCancelled{}}, When: c, Then: events{requested}},
		"members not counted": {Given: events{created}, When: role.Retire{}, Refused: role.ErrScopeNotReady},
	})
}

func TestCancelRetirement(t *testing.T) {
	t.Parallel()
	c := role.CancelRetirement{}
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role": {When: c, Refused: role.ErrNotFound},
		"a role":          {Given: events{created}, When: c, Refused: role.ErrNotRetiring},
		"a retiring role": {Given: events{created, requested}, When: c, Then: events{role.RetirementCancelled{}}},
		"twice":           {Given: events{created, requested, role.RetirementCancelled{}}, When: c, Refused: role.ErrNotRetiring},
		"a retired role":  {Given: events{created, requested, role.Retired{}}, When: c, Refused: role.ErrRetired},
	})
}

func TestCompleteRetirement(t *testing.T) {
	t.Parallel()
	c := role.CompleteRetirement{}.In(membersOf(0, 0))
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role": {When: c, Refused: role.ErrNotFound},
		"a role":          {Given: events{created}, When: c, Refused: role.ErrNotRetiring},
		"nobody holds it": {Given: events{created, requested}, When: c, Then: events{role.Retired{}}},
		"somebody holds it": {
			Given: events{created, requested}, When: role.CompleteRetirement{}.In(membersOf(1, 0)), Refused: role.ErrMembersLeft,
		},
		"members not counted":    {Given: events{created, requested}, When: role.CompleteRetirement{}, Refused: role.ErrScopeNotReady},
		"twice":                  {Given: events{created, requested, role.Retired{}}, When: c, Refused: role.ErrRetired},
		"cancelled in between":   {Given: events{created, requested, role.RetirementCancelled{}}, When: c, Refused: role.ErrNotRetiring},
		"not counted, cancelled": {Given: events{created}, When: role.CompleteRetirement{}, Refused: role.ErrNotRetiring},
	})
}

func TestDecisionsOnMembersReadTheRolesScope(t *testing.T) {
	t.Parallel()
	for _, c := range []eventsourcing.Scoped[role.State, role.Event]{role.SetRules{}, role.Retire{}, role.CompleteRetirement{}} {
		assert.Empty(t, c.Scopes(role.State{}), "%T", c)
		assert.Equal(t, []eventsourcing.Scope{members.Of(stream)}, c.Scopes(fold(created)), "%T", c)
	}
}

func TestARoleSharesThatItsMembersAreCountedAndThatItIsEssential(t *testing.T) {
	t.Parallel()
	assert.Empty(t, role.Shares(stream, role.State{}))
	assert.Equal(t, members.OfRole(stream, false), role.Shares(stream, fold(created)))
	assert.Equal(t, members.OfRole(stream, true), role.Shares(stream, fold(created, essential)))
	assert.Equal(t, members.OfRole(stream, false), role.Shares(stream, fold(created, requested, role.Retired{})))
}
