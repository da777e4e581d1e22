package role_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type command = eventsourcing.Command[role.State, role.Event]

func drawName(t *rapid.T) role.Name {
	return rapid.SampledFrom([]role.Name{"Admin", "ADMIN", "admin", "Auditor", "Cl\u1f71", "Cl\u03ac"}).Draw(t, "name")
}

func drawCommand(t *rapid.T) command {
	return rapid.SampledFrom([]func() command{
		func() command { return role.Create{ID: "r1", Name: drawName(t), Rules: drawRules(t)} },
		func() command { return role.Rename{Name: drawName(t)} },
		func() command { return role.Disable{} },
		func() command { return role.Enable{} },
		func() command { return role.SetRules{Rules: drawRules(t)}.In(drawMembers(t)) },
		func() command { return role.Retire{}.In(drawMembers(t)) },
		func() command { return role.CancelRetirement{} },
		func() command { return role.CompleteRetirement{}.In(drawMembers(t)) },
	}).Draw(t, "command")()
}

func drawRules(t *rapid.T) role.Rules {
	return role.Rules{
		Essential:  rapid.Bool().Draw(t, "essential"),
		MaxMembers: rapid.SampledFrom([]int64{-1, 0, 1, 2, role.MaxLimit, role.MaxLimit + 1}).Draw(t, "limit"),
	}
}

func drawMembers(t *rapid.T) eventsourcing.ScopeStates {
	if rapid.IntRange(0, 4).Draw(t, "counted") == 0 {
		return nil
	}
	holders := rapid.IntRange(0, 3).Draw(t, "holders")
	return membersOf(rapid.IntRange(holders, 4).Draw(t, "seats"), holders)
}

// drawState draws a reachable state.
func drawState(t *rapid.T) role.State {
	var s role.State
	for range rapid.IntRange(0, 20).Draw(t, "commands") {
		decided, _ := drawCommand(t).Decide(s)
		s = aggregatetest.Fold(role.Aggregate(), s, decided...)
	}
	return s
}

func TestARepeatedCommandChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { aggregatetest.Repeat(t, role.Aggregate(), drawState(t), drawCommand(t)) })
}
