package user_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type command = eventsourcing.Command[user.State, user.Event]

func drawEmail(t *rapid.T) user.Email {
	return rapid.SampledFrom([]user.Email{
		"dan@example.com", "ann@example.com", "zoë@example.org", "z\u1f71@xn--bcher-kva.example",
	}).Draw(t, "email")
}

func drawName(t *rapid.T) user.Name {
	return rapid.SampledFrom([]user.Name{"Dan", "Ann", "Zoë"}).Draw(t, "name")
}

func drawRoleID(t *rapid.T) user.RoleID {
	return user.RoleID(fmt.Sprint(rapid.IntRange(1, user.MaxRoles+3).Draw(t, "role")))
}

func drawCommand(t *rapid.T) command {
	draw := rapid.SampledFrom([]func(*rapid.T) command{
		func(t *rapid.T) command { return user.Register{ID: "u1", Email: drawEmail(t)} },
		func(t *rapid.T) command { return user.Update{FirstName: drawName(t), LastName: drawName(t)} },
		func(t *rapid.T) command { return user.ChangeEmail{Email: drawEmail(t)} },
		func(t *rapid.T) command { return user.Disable{}.In(drawMembers(t)) },
		func(*rapid.T) command { return user.Enable{} },
		func(t *rapid.T) command {
			return user.AddRole{Role: user.Grantable{
				ID:      drawRoleID(t),
				Exists:  rapid.IntRange(0, 5).Draw(t, "exists") > 0,
				Enabled: rapid.IntRange(0, 5).Draw(t, "enabled") > 0,

				MaxMembers: rapid.Int64Range(0, 3).Draw(t, "limit"),
			}, Until: drawUntil(t), Now: noon}.In(drawMembers(t))
		},
		func(t *rapid.T) command {
			return user.ChangeRoleUntil{RoleID: drawRoleID(t), Until: drawUntil(t), Now: noon}.In(drawMembers(t))
		},
		func(t *rapid.T) command {
			return user.ExpireRole{RoleID: drawRoleID(t), Until: drawUntil(t), Now: noon.Add(time.Hour)}
		},
		func(t *rapid.T) command { return user.RemoveRole{RoleID: drawRoleID(t)}.In(drawMembers(t)) },
	}).Draw(t, "command")
	return draw(t)
}

// drawUntil draws a time that has passed at noon, one that has not, or none.
func drawUntil(t *rapid.T) time.Time {
	return rapid.SampledFrom([]time.Time{{}, noon, noon.Add(time.Hour), noon.Add(2 * time.Hour)}).Draw(t, "until")
}

// drawMembers draws how many users hold the roles 1 to 3, all as essential as the first or not.
func drawMembers(t *rapid.T) eventsourcing.ScopeStates {
	scopes := eventsourcing.ScopeStates{}
	for id := range 3 {
		holders := rapid.IntRange(1, 3).Draw(t, "holders")
		maps.Copy(scopes, membersOf(user.RoleID(fmt.Sprint(id+1)), rapid.Bool().Draw(t, "essential"), holders+1, holders))
	}
	return scopes
}

// drawState draws a reachable state, half of them from a user with some of all the roles it may have.
func drawState(t *rapid.T) user.State {
	var s user.State
	if rapid.Bool().Draw(t, "rich") {
		s = fold(holding(rapid.IntRange(0, user.MaxRoles).Draw(t, "roles"))...)
	}
	for range rapid.IntRange(0, 20).Draw(t, "commands") {
		decided, _ := drawCommand(t).Decide(s)
		s = aggregatetest.Fold(user.Aggregate(), s, decided...)
	}
	return s
}

func TestARepeatedCommandChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { aggregatetest.Repeat(t, user.Aggregate(), drawState(t), drawCommand(t)) })
}

func TestEveryReachableStateIsValid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		var ids []user.RoleID
		for _, g := range s.Roles {
			ids = append(ids, g.RoleID)
		}
		distinct := slices.Compact(slices.Sorted(slices.Values(ids)))
		if len(distinct) != len(s.Roles) || len(distinct) > user.MaxRoles {
			t.Fatalf("roles %v", s.Roles)
		}
		if !s.Registered && !reflect.DeepEqual(s, user.State{}) {
			t.Fatalf("unregistered, but %+v", s)
		}
		if s.Registered && (s.ID == "" || s.Email == "") {
			t.Fatalf("registered, but %+v", s)
		}
	})
}
