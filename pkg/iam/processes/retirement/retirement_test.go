package retirement_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/process/processtest"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

type (
	events   = []retirement.Event
	reaction = process.Reaction[retirement.Event]
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func list(run int64, after string) process.Command {
	return process.Ask(retirement.ListName, retirement.List{Run: run, After: after})
}

func revoke(next string, userIDs ...string) process.Command {
	return process.Ask(retirement.RevokeName, retirement.Revoke{Run: 1, UserIDs: userIDs, Next: next})
}

func complete() process.Command {
	return process.Ask(retirement.CompleteName, retirement.Complete{Run: 1})
}

func answered(c process.Command, data any) process.Answered {
	return process.Answered{Command: c, Answer: process.Answer{Data: process.Ask("", data).Data}, At: noon}
}

func refused(c process.Command, code string) process.Answered {
	return process.Answered{Command: c, Answer: process.Answer{Refused: code}, At: noon}
}

func ask(c ...process.Command) reaction { return reaction{Commands: c} }

// after is the reaction that records an event and asks a command.
func after(e retirement.Event, c ...process.Command) reaction {
	return reaction{Events: events{e}, Commands: c}
}

func TestARoleIsTakenFromItsMembersPageByPage(t *testing.T) {
	t.Parallel()
	begun := retirement.Begun{Total: 3}
	revoked := retirement.Revoked{Done: 2}
	processtest.React(t, retirement.Spec(), map[string]processtest.Case[retirement.Event]{
		"the retirement is requested": {
			When: process.Heard{Event: role.RetirementRequested{Members: 3}},
			Then: reaction{Events: events{begun}, Commands: []process.Command{list(1, "")}, Cancel: []string{"again"}},
		},
		"a page is listed": {
			Given: events{begun},
			When:  answered(list(1, ""), retirement.Page{UserIDs: []string{"a", "b"}, Next: "2"}),
			Then:  ask(revoke("2", "a", "b")),
		},
		"a page is revoked": {
			Given: events{begun}, When: answered(revoke("2", "a", "b"), revoked), Then: after(revoked, list(1, "2")),
		},
		"a page has no members, but there is another one": {
			Given: events{begun}, When: answered(list(1, ""), retirement.Page{Next: "2"}), Then: ask(list(1, "2")),
		},
		"the last page is revoked": {
			Given: events{begun}, When: answered(revoke("", "a", "b"), revoked), Then: after(revoked, complete()),
		},
		"the list is empty": {
			Given: events{begun}, When: answered(list(1, ""), retirement.Page{}), Then: ask(complete()),
		},
		"one fails: what is done is recorded, and the others go on": {
			Given: events{begun},
			When: answered(revoke("2", "a", "b"), retirement.Revoked{
				Done: 1, Failed: []retirement.Failure{{UserID: "b", Reason: "last_holder"}},
			}),
			Then: after(retirement.Revoked{Done: 1, Failed: []retirement.Failure{{UserID: "b", Reason: "last_holder"}}}, list(1, "2")),
		},
	})
}

func TestARoleIsRetiredOnceNobodyHoldsIt(t *testing.T) {
	t.Parallel()
	begun := retirement.Begun{Total: 3}
	finished := retirement.Finished{Total: 3, Done: 3}
	left := func(rounds int) (given events) {
		given = events{begun}
		for range rounds {
			given = append(given, retirement.MembersLeft{})
		}
		return given
	}
	again := func(pause time.Duration) reaction {
		return reaction{Events: events{retirement.MembersLeft{}}, Set: []process.Timer{{Name: "again", Due: noon.Add(pause)}}}
	}
	processtest.React(t, retirement.Spec(), map[string]processtest.Case[retirement.Event]{
		"it is retired": {
			Given: events{begun, retirement.Revoked{Done: 3}}, When: answered(complete(), nil), Then: after(finished),
		},
		"it was retired by a former sending": {
			Given: events{begun, retirement.Revoked{Done: 3}}, When: refused(complete(), role.ErrRetired.Code), Then: after(finished),
		},
		"somebody holds it that the list did not show": {
			Given: left(0), When: refused(complete(), role.ErrMembersLeft.Code), Then: again(time.Second),
		},
		"somebody holds it still":    {Given: left(3), When: refused(complete(), role.ErrMembersLeft.Code), Then: again(8 * time.Second)},
		"somebody holds it for long": {Given: left(90), When: refused(complete(), role.ErrMembersLeft.Code), Then: again(5 * time.Minute)},
		"all is listed again": {
			Given: left(1), When: process.Fired{Timer: process.Timer{Name: "again", Due: noon}}, Then: ask(list(1, "")),
		},
		"it was cancelled, and the process has not heard it": {
			Given: events{begun}, When: refused(complete(), role.ErrNotRetiring.Code),
		},
	})
}

func TestACancelledRetirementStops(t *testing.T) {
	t.Parallel()
	begun, stopped := retirement.Begun{Total: 3}, retirement.Stopped{}
	revoked := retirement.Revoked{Done: 2}
	again := process.Fired{Timer: process.Timer{Name: "again", Due: noon}}
	processtest.React(t, retirement.Spec(), map[string]processtest.Case[retirement.Event]{
		"it is cancelled": {
			Given: events{begun}, When: process.Heard{Event: role.RetirementCancelled{}},
			Then: reaction{Events: events{stopped}, Cancel: []string{"again"}},
		},
		"a page comes afterwards": {
			Given: events{begun, stopped}, When: answered(list(1, ""), retirement.Page{UserIDs: []string{"a"}}),
		},
		"what was revoked before counts": {
			Given: events{begun, stopped}, When: answered(revoke("2", "a", "b"), revoked), Then: after(revoked),
		},
		"a timer fires afterwards":                       {Given: events{begun, stopped}, When: again},
		"the command to complete it was accepted before": {Given: events{begun, stopped}, When: answered(complete(), nil)},
		"it is requested again": {
			Given: events{begun, revoked, stopped},
			When:  process.Heard{Event: role.RetirementRequested{Members: 1}},
			Then: reaction{
				Events: events{retirement.Begun{Total: 1}}, Commands: []process.Command{list(2, "")}, Cancel: []string{"again"},
			},
		},
		"a page of the former request":       {Given: events{begun, stopped, begun}, When: answered(list(1, ""), retirement.Page{})},
		"a revocation of the former request": {Given: events{begun, stopped, begun}, When: answered(revoke(""), revoked)},
		"an answer of the former request":    {Given: events{begun, stopped, begun}, When: refused(complete(), role.ErrMembersLeft.Code)},
		"it was never begun":                 {When: process.Heard{Event: role.RetirementCancelled{}}},
	})
}

// fold is the state after events.
func fold(of ...retirement.Event) (s retirement.State) {
	for _, e := range of {
		s = retirement.Spec().Evolve(s, e)
	}
	return s
}

func TestTheStateIsWhatClientsAreShown(t *testing.T) {
	t.Parallel()
	failure := func(id string) retirement.Failure { return retirement.Failure{UserID: id, Reason: "last_holder"} }
	begun := retirement.Begun{Total: 3}
	fails := retirement.Revoked{Done: 2, Failed: []retirement.Failure{failure("b")}}

	s := fold(begun, fails)
	assert.Equal(t, []any{retirement.Running, int64(3), int64(2), fails.Failed}, []any{s.Phase, s.Total, s.Done, s.Failed})
	s = fold(begun, fails, retirement.MembersLeft{})
	assert.Equal(t, fails.Failed, s.Failed, "until it is tried again")
	s = fold(begun, fails, retirement.MembersLeft{}, retirement.Revoked{Done: 2})
	assert.Empty(t, s.Failed, "it was tried again")
	assert.Equal(t, int64(3), s.Done, "a list that lags behind shows users twice")
	s = fold(begun, fails, retirement.Stopped{})
	assert.Equal(t, []any{retirement.Cancelled, fails.Failed}, []any{s.Phase, s.Failed})
	s = fold(begun, fails, retirement.Finished{Total: 3, Done: 3})
	assert.Equal(t, retirement.Done, s.Phase)
	assert.Empty(t, s.Failed)

	many := make([]retirement.Failure, retirement.MaxFailed)
	for i := range many {
		many[i] = failure(fmt.Sprint(i))
	}
	s = fold(begun, fails, retirement.Revoked{Failed: many})
	assert.Len(t, s.Failed, retirement.MaxFailed, "a state is bounded")
	assert.Equal(t, failure("b"), s.Failed[0])
}
