package user_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

var (
	noon = time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)
	six  = noon.Add(6 * time.Hour)

	granted = user.RoleGranted{RoleID: "admin", Until: six}
	expired = user.RoleExpired{RoleID: "admin", Until: six}
)

func stream(id user.RoleID) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "org/iam/role", ID: string(id)}
}

// membersOf are the counted members of a role: so many users hold it, and so many of them are enabled and hold it without an end.
func membersOf(id user.RoleID, isEssential bool, seats, holders int) eventsourcing.ScopeStates {
	sums := eventsourcing.Sums{}
	sums.Add(members.OfRole(stream(id), isEssential), 1)
	for i := range seats {
		sums.Add(members.OfUser(stream(id), i < holders), 1)
	}
	return eventsourcing.ScopeStates{members.Of(stream(id)): {Version: 7, Counters: sums[members.Of(stream(id))]}}
}

func TestTheLastHolderOfAnEssentialRoleStays(t *testing.T) {
	t.Parallel()
	var (
		last, oneOfTwo = membersOf("admin", true, 3, 1), membersOf("admin", true, 3, 2)
		notEssential   = membersOf("admin", false, 1, 1)

		holds   = events{registered, adminAdded}
		off     = events{registered, adminAdded, user.Disabled{}}
		until   = events{registered, granted}
		removed = user.RoleRemoved{RoleID: "admin"}
		end     = user.ChangeRoleUntil{RoleID: "admin", Until: six, Now: noon}
		ended   = user.RoleUntilChanged{RoleID: "admin", Until: six}
	)
	remove := func(scopes eventsourcing.ScopeStates) command { return user.RemoveRole{RoleID: "admin"}.In(scopes) }
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"disabling the last":            {Given: holds, When: user.Disable{}.In(last), Refused: user.ErrLastHolder},
		"removing from the last":        {Given: holds, When: remove(last), Refused: user.ErrLastHolder},
		"an end for the last":           {Given: holds, When: end.In(last), Refused: user.ErrLastHolder},
		"disabling one of two":          {Given: holds, When: user.Disable{}.In(oneOfTwo), Then: events{user.Disabled{}}},
		"removing from one of two":      {Given: holds, When: remove(oneOfTwo), Then: events{removed}},
		"an end for one of two":         {Given: holds, When: end.In(oneOfTwo), Then: events{ended}},
		"disabling, not essential":      {Given: holds, When: user.Disable{}.In(notEssential), Then: events{user.Disabled{}}},
		"removing, not essential":       {Given: holds, When: remove(notEssential), Then: events{removed}},
		"an end, not essential":         {Given: holds, When: end.In(notEssential), Then: events{ended}},
		"removing from a disabled user": {Given: off, When: remove(last), Then: events{removed}},
		"removing what ends":            {Given: until, When: remove(last), Then: events{removed}},
		"disabling, whose grant ends":   {Given: until, When: user.Disable{}.In(last), Then: events{user.Disabled{}}},
		"disabling, last of one of two roles": {
			Given: events{registered, user.RoleAdded{RoleID: "1"}, adminAdded}, When: user.Disable{}.In(last), Refused: user.ErrLastHolder,
		},
	})
}

func TestAddRoleToALimitedRole(t *testing.T) {
	t.Parallel()
	limited := admin
	limited.MaxMembers = 2
	c, disabled, retiring, retired := user.AddRole{Role: limited}, limited, limited, limited
	disabled.Enabled, retiring.Retiring, retired.Retired = false, true, true
	full := membersOf("admin", false, 2, 0)
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"the last seat": {Given: events{registered}, When: c.In(membersOf("admin", false, 1, 1)), Then: events{adminAdded}},
		"no seat left":  {Given: events{registered}, When: c.In(full), Refused: user.ErrNoSeatLeft},
		"more members than seats": {
			Given: events{registered}, When: c.In(membersOf("admin", false, 3, 1)), Refused: user.ErrNoSeatLeft,
		},
		"held, no seat left":     {Given: events{registered, adminAdded}, When: c.In(full), Refused: user.ErrRoleHeld},
		"disabled, no seat left": {Given: events{registered}, When: user.AddRole{Role: disabled}.In(full), Refused: user.ErrRoleDisabled},
		"retiring":               {Given: events{registered}, When: user.AddRole{Role: retiring}, Refused: user.ErrRoleRetiring},
		"retired":                {Given: events{registered}, When: user.AddRole{Role: retired}, Refused: user.ErrRoleRetired},
	})
}

func TestAGrantThatEnds(t *testing.T) {
	t.Parallel()
	addUntil := func(until, now time.Time) command { return user.AddRole{Role: admin, Until: until, Now: now} }
	add := addUntil(six, noon)
	change := func(until, now time.Time) command {
		return user.ChangeRoleUntil{RoleID: "admin", Until: until, Now: now}
	}
	expire := func(until, now time.Time) command { return user.ExpireRole{RoleID: "admin", Until: until, Now: now} }
	seven := six.Add(time.Hour)
	extended := user.RoleUntilChanged{RoleID: "admin", Until: seven}
	holds := events{registered, granted}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"granted":                     {Given: events{registered}, When: add, Then: events{granted}},
		"granted until now":           {Given: events{registered}, When: addUntil(noon, noon), Refused: user.ErrUntilPassed},
		"granted until before":        {Given: events{registered}, When: addUntil(noon, six), Refused: user.ErrUntilPassed},
		"granted twice":               {Given: holds, When: add, Refused: user.ErrRoleHeld},
		"extended":                    {Given: holds, When: change(seven, noon), Then: events{extended}},
		"extended after its end":      {Given: holds, When: change(seven, six), Then: events{extended}},
		"to the same end":             {Given: holds, When: change(six, seven)},
		"to an end that has passed":   {Given: holds, When: change(noon, noon), Refused: user.ErrUntilPassed},
		"for good":                    {Given: holds, When: change(time.Time{}, noon), Then: events{user.RoleUntilChanged{RoleID: "admin"}}},
		"an end of what is not held":  {Given: events{registered}, When: change(six, noon), Refused: user.ErrRoleNotHeld},
		"an end, of an unknown user":  {When: change(six, noon), Refused: user.ErrNotFound},
		"an end, of a disabled user":  {Given: append(holds, user.Disabled{}), When: change(seven, noon), Refused: user.ErrDisabled},
		"expired":                     {Given: holds, When: expire(six, six), Then: events{expired}},
		"expired of a disabled user":  {Given: append(holds, user.Disabled{}), When: expire(six, seven), Then: events{expired}},
		"expired early":               {Given: holds, When: expire(six, six.Add(-time.Millisecond)), Refused: user.ErrGrantNotEnded},
		"expired, of an unknown user": {When: expire(six, six), Refused: user.ErrNotFound},
		"expired twice":               {Given: append(holds, expired), When: expire(six, six), Refused: user.ErrRoleNotHeld},
		"expired, extended before": {
			Given: append(holds, extended), When: expire(six, six), Refused: user.ErrGrantChanged,
		},
		"expired, held for good": {Given: events{registered, adminAdded}, When: expire(time.Time{}, six), Refused: user.ErrGrantChanged},
		"expired, granted again until later": {
			Given: append(holds, user.RoleRemoved{RoleID: "admin"}, user.RoleGranted{RoleID: "admin", Until: seven}),
			When:  expire(six, six), Refused: user.ErrGrantChanged,
		},
	})
}

// What a decision does not depend on, it does not read.
func TestDecisionsReadTheScopesThatTheyDependOn(t *testing.T) {
	t.Parallel()
	limited := admin
	limited.MaxMembers = 1
	holds, off, until := fold(registered, adminAdded), fold(registered, adminAdded, user.Disabled{}), fold(registered, granted)
	none, one := []eventsourcing.Scope(nil), []eventsourcing.Scope{members.Of(stream("admin"))}
	for name, c := range map[string]struct {
		command eventsourcing.Scoped[user.State, user.Event]
		state   user.State
		want    []eventsourcing.Scope
	}{
		"disable":                            {user.Disable{}, holds, one},
		"disable an unknown user":            {user.Disable{}, user.State{}, none},
		"disable a disabled user":            {user.Disable{}, off, none},
		"disable, whose grant ends":          {user.Disable{}, until, none},
		"remove":                             {user.RemoveRole{RoleID: "admin"}, holds, one},
		"remove what is not held":            {user.RemoveRole{RoleID: "1"}, holds, none},
		"remove from a disabled user":        {user.RemoveRole{RoleID: "admin"}, off, none},
		"remove what ends":                   {user.RemoveRole{RoleID: "admin"}, until, none},
		"an end":                             {user.ChangeRoleUntil{RoleID: "admin", Until: six}, holds, one},
		"another end":                        {user.ChangeRoleUntil{RoleID: "admin", Until: six}, until, none},
		"no end":                             {user.ChangeRoleUntil{RoleID: "admin"}, holds, none},
		"add":                                {user.AddRole{Role: admin}, fold(registered), none},
		"add a limited role":                 {user.AddRole{Role: limited}, fold(registered), one},
		"add a limited role until some time": {user.AddRole{Role: limited, Until: six}, fold(registered), one},
	} {
		assert.Equal(t, c.want, c.command.Scopes(c.state), name)
	}
}

func TestAUserSharesWhatItHolds(t *testing.T) {
	t.Parallel()
	seat, holder := members.OfUser(stream("admin"), false), members.OfUser(stream("admin"), true)
	for name, c := range map[string]struct {
		given events
		want  []eventsourcing.Share
	}{
		"nothing":              {events{registered}, []eventsourcing.Share{}},
		"a role":               {events{registered, adminAdded}, holder},
		"disabled":             {events{registered, adminAdded, user.Disabled{}}, seat},
		"enabled again":        {events{registered, adminAdded, user.Disabled{}, user.Enabled{}}, holder},
		"a role until a time":  {events{registered, granted}, seat},
		"with an end, later":   {events{registered, adminAdded, user.RoleUntilChanged{RoleID: "admin", Until: six}}, seat},
		"without an end later": {events{registered, granted, user.RoleUntilChanged{RoleID: "admin"}}, holder},
		"expired":              {events{registered, granted, expired}, []eventsourcing.Share{}},
	} {
		assert.Equal(t, c.want, user.Shares(eventsourcing.StreamID{}, fold(c.given...)), name)
	}
}
