package grants_test

import (
	"testing"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/process/processtest"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
)

const auditor, editor user.RoleID = "22222222-2222-4222-8222-222222222222", "44444444-4444-4444-8444-444444444444"

var friday = time.Date(2026, 11, 27, 17, 0, 0, 0, time.UTC)

func TestGrants(t *testing.T) {
	t.Parallel()
	type (
		events   = []grants.Event
		reaction = process.Reaction[grants.Event]
	)
	monday := friday.Add(72 * time.Hour)
	awaited, later := grants.Awaited{RoleID: auditor, Until: friday}, grants.Awaited{RoleID: auditor, Until: monday}
	end := func(at time.Time) []process.Timer { return []process.Timer{{Name: string(auditor), Due: at}} }
	expire := func(until time.Time) process.Command {
		return process.Ask(grants.ExpireName, grants.Expire{RoleID: auditor, Until: until})
	}
	answered := func(until time.Time, refused string) process.Answered {
		return process.Answered{Command: expire(until), Answer: process.Answer{Refused: refused}, At: friday.Add(time.Minute)}
	}
	dropped := reaction{Events: events{grants.Dropped{RoleID: auditor}}, Cancel: []string{string(auditor)}}
	processtest.React(t, grants.Spec(), map[string]processtest.Case[grants.Event]{
		"a role is granted until a time": {
			When: process.Heard{Event: user.RoleGranted{RoleID: auditor, Until: friday}},
			Then: reaction{Events: events{awaited}, Set: end(friday)},
		},
		"the grant is extended": {
			Given: events{awaited},
			When:  process.Heard{Event: user.RoleUntilChanged{RoleID: auditor, Until: monday}},
			Then:  reaction{Events: events{later}, Set: end(monday)},
		},
		"the grant is to end no more": {
			Given: events{awaited},
			When:  process.Heard{Event: user.RoleUntilChanged{RoleID: auditor}},
			Then:  dropped,
		},
		"a grant without an end gets one": {
			When: process.Heard{Event: user.RoleUntilChanged{RoleID: auditor, Until: friday}},
			Then: reaction{Events: events{awaited}, Set: end(friday)},
		},
		"the role is taken before": {
			Given: events{awaited},
			When:  process.Heard{Event: user.RoleRemoved{RoleID: auditor}},
			Then:  dropped,
		},
		"a role that was granted without an end is taken": {
			Given: events{grants.Awaited{RoleID: editor, Until: friday}},
			When:  process.Heard{Event: user.RoleRemoved{RoleID: auditor}},
		},
		"the grant ends": {
			Given: events{awaited},
			When:  process.Fired{Timer: process.Timer{Name: string(auditor), Due: friday}},
			Then:  reaction{Commands: []process.Command{expire(friday)}},
		},
		"a timer that was set again asks for the end of the grant, not for its own": {
			Given: events{awaited},
			When:  process.Fired{Timer: process.Timer{Name: string(auditor), Due: monday}},
			Then:  reaction{Commands: []process.Command{expire(friday)}},
		},
		"a timer of a grant that is gone": {
			Given: events{awaited, grants.Dropped{RoleID: auditor}},
			When:  process.Fired{Timer: process.Timer{Name: string(auditor), Due: friday}},
		},
		"the end is accepted": {Given: events{awaited}, When: answered(friday, "")},
		"the user says so": {
			Given: events{awaited},
			When:  process.Heard{Event: user.RoleExpired{RoleID: auditor, Until: friday}},
			Then:  dropped,
		},
		"the user has lost the role already":       {Given: events{awaited}, When: answered(friday, user.ErrRoleNotHeld.Code)},
		"the grant ends at another time meanwhile": {Given: events{awaited}, When: answered(friday, user.ErrGrantChanged.Code)},
		"the grant has not ended by the clock of command-api": {
			Given: events{awaited},
			When:  answered(friday, user.ErrGrantNotEnded.Code),
			Then:  reaction{Set: end(friday.Add(time.Minute + time.Second))},
		},
		"it has not ended, and was extended meanwhile": {
			Given: events{awaited, later},
			When:  answered(friday, user.ErrGrantNotEnded.Code),
		},
		"it had not ended, and was taken meanwhile": {
			Given: events{awaited, grants.Dropped{RoleID: auditor}},
			When:  answered(friday, user.ErrGrantNotEnded.Code),
		},
	})
}
