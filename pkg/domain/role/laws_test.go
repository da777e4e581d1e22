package role_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type command = eventsourcing.Decision[role.State, role.Event]

func drawName(t *rapid.T) role.Name {
	return rapid.SampledFrom([]role.Name{"Admin", "ADMIN", "admin", "Auditor"}).Draw(t, "name")
}

func drawCreate(t *rapid.T) role.Create { return role.Create{ID: "r1", Name: drawName(t)} }
func drawRename(t *rapid.T) role.Rename { return role.Rename{Name: drawName(t)} }
func drawDisable(*rapid.T) role.Disable { return role.Disable{} }
func drawEnable(*rapid.T) role.Enable   { return role.Enable{} }

// drawState draws a state that commands lead to.
func drawState(t *rapid.T) role.State {
	kinds := rapid.SampledFrom([]func(*rapid.T) command{
		func(t *rapid.T) command { return drawCreate(t) },
		func(t *rapid.T) command { return drawRename(t) },
		func(t *rapid.T) command { return drawDisable(t) },
		func(t *rapid.T) command { return drawEnable(t) },
	})
	var s role.State
	for range rapid.IntRange(0, 20).Draw(t, "commands") {
		decided, err := kinds.Draw(t, "kind")(t).Decide(s)
		if err != nil && len(decided) > 0 {
			t.Fatalf("decided %+v and refused: %v", decided, err)
		}
		s = aggregatetest.Fold(role.Aggregate(), s, decided...)
	}
	return s
}

func holdTo[C command](t *testing.T, draw func(*rapid.T) C, law aggregatetest.Law[role.State, role.Event, C]) {
	t.Helper()
	rapid.Check(t, func(t *rapid.T) { law.Check(t, role.Aggregate(), drawState(t), draw(t)) })
}

// view is all that can be seen of a state.
type view struct {
	exists, disabled bool
	name             role.Name
}

func look(s role.State) view { return view{s.Exists(), s.Disabled(), s.Name()} }

// only reports whether after shows change and is otherwise as before.
func only(before, after role.State, change func(*view)) bool {
	want := look(before)
	change(&want)
	return look(after) == want
}

func active(s role.State) bool { return s.Exists() && !s.Disabled() }

func TestLawsOfCreate(t *testing.T) {
	t.Parallel()
	holdTo(t, drawCreate, aggregatetest.Law[role.State, role.Event, role.Create]{
		Due:  func(s role.State, _ role.Create) bool { return !s.Exists() },
		Then: func(c role.Create) role.Event { return role.Created{RoleID: c.ID, Name: c.Name} },
		Done: func(before, after role.State, c role.Create) bool {
			return only(before, after, func(v *view) { v.exists, v.name = true, c.Name })
		},
		Again: role.ErrExists,
	})
}

func TestLawsOfRename(t *testing.T) {
	t.Parallel()
	holdTo(t, drawRename, aggregatetest.Law[role.State, role.Event, role.Rename]{
		Due:  func(s role.State, c role.Rename) bool { return active(s) && s.Name() != c.Name },
		Then: func(c role.Rename) role.Event { return role.Renamed{Name: c.Name} },
		Done: func(before, after role.State, c role.Rename) bool {
			return only(before, after, func(v *view) { v.name = c.Name })
		},
	})
}

func TestLawsOfDisable(t *testing.T) {
	t.Parallel()
	holdTo(t, drawDisable, aggregatetest.Law[role.State, role.Event, role.Disable]{
		Due:  func(s role.State, _ role.Disable) bool { return active(s) },
		Then: func(role.Disable) role.Event { return role.Disabled{} },
		Done: func(before, after role.State, _ role.Disable) bool {
			return only(before, after, func(v *view) { v.disabled = true })
		},
		Again: role.ErrDisabled,
	})
}

func TestLawsOfEnable(t *testing.T) {
	t.Parallel()
	holdTo(t, drawEnable, aggregatetest.Law[role.State, role.Event, role.Enable]{
		Due:  func(s role.State, _ role.Enable) bool { return s.Exists() && s.Disabled() },
		Then: func(role.Enable) role.Event { return role.Enabled{} },
		Done: func(before, after role.State, _ role.Enable) bool {
			return only(before, after, func(v *view) { v.disabled = false })
		},
		Again: role.ErrEnabled,
	})
}
