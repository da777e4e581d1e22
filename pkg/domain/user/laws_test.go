package user_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type command = eventsourcing.Decision[user.State, user.Event]

func drawEmail(t *rapid.T) user.Email {
	return rapid.SampledFrom([]user.Email{"dan@example.com", "ann@example.com", "zoë@example.org"}).Draw(t, "email")
}

func drawName(t *rapid.T) user.Name {
	return rapid.SampledFrom([]user.Name{"Dan", "Ann", "Zoë"}).Draw(t, "name")
}

func drawRoleID(t *rapid.T) user.RoleID {
	return user.RoleID(fmt.Sprint(rapid.IntRange(1, user.MaxRoles+3).Draw(t, "role")))
}

func drawRegister(t *rapid.T) user.Register { return user.Register{ID: "u1", Email: drawEmail(t)} }
func drawUpdate(t *rapid.T) user.Update {
	return user.Update{FirstName: drawName(t), LastName: drawName(t)}
}
func drawChangeEmail(t *rapid.T) user.ChangeEmail { return user.ChangeEmail{Email: drawEmail(t)} }
func drawDisable(*rapid.T) user.Disable           { return user.Disable{} }
func drawEnable(*rapid.T) user.Enable             { return user.Enable{} }
func drawRemoveRole(t *rapid.T) user.RemoveRole   { return user.RemoveRole{RoleID: drawRoleID(t)} }

func drawAddRole(t *rapid.T) user.AddRole {
	return user.AddRole{Role: user.Grantable{
		ID:      drawRoleID(t),
		Exists:  rapid.IntRange(0, 5).Draw(t, "exists") > 0,
		Enabled: rapid.IntRange(0, 5).Draw(t, "enabled") > 0,
	}}
}

func drawCommand(t *rapid.T) command {
	draw := rapid.SampledFrom([]func(*rapid.T) command{
		func(t *rapid.T) command { return drawRegister(t) },
		func(t *rapid.T) command { return drawUpdate(t) },
		func(t *rapid.T) command { return drawChangeEmail(t) },
		func(t *rapid.T) command { return drawDisable(t) },
		func(t *rapid.T) command { return drawEnable(t) },
		func(t *rapid.T) command { return drawAddRole(t) },
		func(t *rapid.T) command { return drawRemoveRole(t) },
	}).Draw(t, "kind")
	return draw(t)
}

// drawState draws a state that commands lead to, half of them from a user with some of all the roles it may have.
func drawState(t *rapid.T) user.State {
	var s user.State
	if rapid.Bool().Draw(t, "rich") {
		s = fold(holding(rapid.IntRange(0, user.MaxRoles).Draw(t, "roles"))...)
	}
	for range rapid.IntRange(0, 20).Draw(t, "commands") {
		decided, err := drawCommand(t).Decide(s)
		if err != nil && len(decided) > 0 {
			t.Fatalf("decided %+v and refused: %v", decided, err)
		}
		s = aggregatetest.Fold(user.Aggregate(), s, decided...)
	}
	return s
}

func holdTo[C command](t *testing.T, draw func(*rapid.T) C, law aggregatetest.Law[user.State, user.Event, C]) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) {
		law.Check(t, user.Aggregate(), drawState(t), draw(t))
	})
}

// view is all that can be seen of a state.
type view struct {
	registered, disabled bool
	id                   user.ID
	email                user.Email
	first, last          user.Name
	roles                string
}

func look(s user.State) view {
	return view{
		s.Registered(), s.Disabled(), s.ID(), s.Email(), s.FirstName(), s.LastName(), fmt.Sprint(s.Roles()),
	}
}

// only reports whether after shows change and is otherwise as before.
func only(before, after user.State, change func(*view)) bool {
	want := look(before)
	change(&want)
	return look(after) == want
}

func active(s user.State) bool { return s.Registered() && !s.Disabled() }

func TestLawsOfRegister(t *testing.T) {
	t.Parallel()
	holdTo(t, drawRegister, aggregatetest.Law[user.State, user.Event, user.Register]{
		Due: func(s user.State, _ user.Register) bool { return !s.Registered() },
		Then: func(c user.Register) user.Event {
			return user.Registered{UserID: c.ID, Email: c.Email}
		},
		Done: func(before, after user.State, c user.Register) bool {
			return only(before, after, func(v *view) { v.registered, v.id, v.email = true, c.ID, c.Email })
		},
		Again: user.ErrExists,
	})
}

func TestLawsOfUpdate(t *testing.T) {
	t.Parallel()
	holdTo(t, drawUpdate, aggregatetest.Law[user.State, user.Event, user.Update]{
		Due: func(s user.State, c user.Update) bool {
			return active(s) && (s.FirstName() != c.FirstName || s.LastName() != c.LastName)
		},
		Then: func(c user.Update) user.Event { return user.Updated{FirstName: c.FirstName, LastName: c.LastName} },
		Done: func(before, after user.State, c user.Update) bool {
			return only(before, after, func(v *view) { v.first, v.last = c.FirstName, c.LastName })
		},
	})
}

func TestLawsOfChangeEmail(t *testing.T) {
	t.Parallel()
	holdTo(t, drawChangeEmail, aggregatetest.Law[user.State, user.Event, user.ChangeEmail]{
		Due:  func(s user.State, c user.ChangeEmail) bool { return active(s) && s.Email() != c.Email },
		Then: func(c user.ChangeEmail) user.Event { return user.EmailChanged{Email: c.Email} },
		Done: func(before, after user.State, c user.ChangeEmail) bool {
			return only(before, after, func(v *view) { v.email = c.Email })
		},
	})
}

func TestLawsOfDisable(t *testing.T) {
	t.Parallel()
	holdTo(t, drawDisable, aggregatetest.Law[user.State, user.Event, user.Disable]{
		Due:  func(s user.State, _ user.Disable) bool { return active(s) },
		Then: func(user.Disable) user.Event { return user.Disabled{} },
		Done: func(before, after user.State, _ user.Disable) bool {
			return only(before, after, func(v *view) { v.disabled = true })
		},
		Again: user.ErrDisabled,
	})
}

func TestLawsOfEnable(t *testing.T) {
	t.Parallel()
	holdTo(t, drawEnable, aggregatetest.Law[user.State, user.Event, user.Enable]{
		Due:  func(s user.State, _ user.Enable) bool { return s.Registered() && s.Disabled() },
		Then: func(user.Enable) user.Event { return user.Enabled{} },
		Done: func(before, after user.State, _ user.Enable) bool {
			return only(before, after, func(v *view) { v.disabled = false })
		},
		Again: user.ErrEnabled,
	})
}

func TestLawsOfAddRole(t *testing.T) {
	t.Parallel()
	holdTo(t, drawAddRole, aggregatetest.Law[user.State, user.Event, user.AddRole]{
		Due: func(s user.State, c user.AddRole) bool {
			return active(s) && c.Role.Exists && c.Role.Enabled &&
				!slices.Contains(s.Roles(), c.Role.ID) && len(s.Roles()) < user.MaxRoles
		},
		Then: func(c user.AddRole) user.Event { return user.RoleAdded{RoleID: c.Role.ID} },
		Done: func(before, after user.State, c user.AddRole) bool {
			return only(before, after, func(v *view) { v.roles = fmt.Sprint(append(before.Roles(), c.Role.ID)) })
		},
		Again: user.ErrRoleHeld,
	})
}

func TestLawsOfRemoveRole(t *testing.T) {
	t.Parallel()
	holdTo(t, drawRemoveRole, aggregatetest.Law[user.State, user.Event, user.RemoveRole]{
		Due:  func(s user.State, c user.RemoveRole) bool { return slices.Contains(s.Roles(), c.RoleID) },
		Then: func(c user.RemoveRole) user.Event { return user.RoleRemoved{RoleID: c.RoleID} },
		Done: func(before, after user.State, c user.RemoveRole) bool {
			i := slices.Index(before.Roles(), c.RoleID)
			return only(before, after, func(v *view) { v.roles = fmt.Sprint(slices.Delete(before.Roles(), i, i+1)) })
		},
		Again: user.ErrRoleNotHeld,
	})
}

func TestEveryReachableStateIsSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := drawState(t)
		distinct := slices.Compact(slices.Sorted(slices.Values(s.Roles())))
		if len(distinct) != len(s.Roles()) || len(distinct) > user.MaxRoles {
			t.Fatalf("roles %v", s.Roles())
		}
		if !s.Registered() && !reflect.DeepEqual(s, user.State{}) {
			t.Fatalf("unregistered, but %+v", s)
		}
		if s.Registered() && (s.ID() == "" || s.Email() == "") {
			t.Fatalf("registered, but %+v", s)
		}
	})
}
