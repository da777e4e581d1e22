// Package retirement is the process that takes a role from all its members when its retirement is requested. Each role has one, of the
// role's ID. Read from the top: events, state, evolve, commands, reactions.
package retirement

import (
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// Category is the category of the processes' streams.
const Category = "org/iam/process/retirement"

// Event is a fact about one process. The set is closed.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isRetirementEvent()
}

// fact makes the type that embeds it an event of the process.
type fact struct{}

func (fact) isRetirementEvent() {}

// Begun records that the role is to be taken from as many users.
type Begun struct {
	fact

	Total int64 `json:"total"`
}

// Revoked records what came of taking the role from some users.
type Revoked struct {
	fact

	// Done is how many of them do not hold it any more.
	Done int64 `json:"done"`
	// Failed are the others. They are tried again.
	Failed []Failure `json:"failed,omitempty"`
}

// Failure is a user that still holds the role.
type Failure struct {
	UserID string `json:"userId"`
	Reason string `json:"reason"` // the code of the refusal
}

// MembersLeft records that users hold the role that the list did not show, or from whom it could not be taken. All is listed again.
type MembersLeft struct{ fact }

// Finished records that nobody holds the role and that it is retired.
type Finished struct {
	fact

	Total int64 `json:"total"`
	Done  int64 `json:"done"`
}

// Stopped records that the retirement was cancelled.
type Stopped struct{ fact }

// EventName implements eventsourcing.Event, as do those below.
func (Begun) EventName() string       { return Category + "/begun" }
func (Revoked) EventName() string     { return Category + "/revoked" }
func (MembersLeft) EventName() string { return Category + "/membersLeft" }
func (Finished) EventName() string    { return Category + "/finished" }
func (Stopped) EventName() string     { return Category + "/stopped" }

// Phase is how far a retirement has come.
type Phase string

// Phases. The zero Phase is that of a role whose retirement was never requested.
const (
	Running   Phase = "running"
	Done      Phase = "done"
	Cancelled Phase = "cancelled"
)

// State is a role's last retirement.
type State struct {
	Phase Phase `json:"phase"`
	// Run counts the retirements of the role. Commands carry it, so that an answer to a former one is known.
	Run int64 `json:"run"`
	// Total is how many users held the role at the request.
	Total int64 `json:"total"`
	// Done is how many of them do not hold it any more, as far as the process knows.
	Done int64 `json:"done"`
	// Failed are the first MaxFailed users from whom the role could not be taken when it was tried last.
	Failed []Failure `json:"failed,omitempty"`
	// Rounds counts how often in a row all was listed and users held the role still.
	Rounds int `json:"rounds"`
	// Listing is the number of the round to which Failed belongs.
	Listing int `json:"listing"`
}

// MaxFailed bounds State.Failed.
const MaxFailed = 100

func evolve(s State, e Event) State {
	switch e := e.(type) {
	case Begun:
		return State{Phase: Running, Run: s.Run + 1, Total: e.Total}
	case Revoked:
		s.Done = min(s.Total, s.Done+e.Done) // a list that lags behind shows users twice
		if s.Listing != s.Rounds {
			s.Listing, s.Failed = s.Rounds, nil
		}
		failed := append(slices.Clip(s.Failed), e.Failed...)
		s.Failed = failed[:min(len(failed), MaxFailed)]
	case MembersLeft:
		s.Rounds++
	case Finished:
		s.Phase, s.Failed = Done, nil
	case Stopped:
		s.Phase = Cancelled
	}
	return s
}

// List is the command that asks for a page of the role's members.
type List struct {
	Run int64 `json:"run"`
	// After is the Next of the page before. "": the first page.
	After string `json:"after,omitempty"`
}

// Page is the answer to List.
type Page struct {
	UserIDs []string `json:"userIds"`
	// Next is where the next page begins. "": this is the last one.
	Next string `json:"next,omitempty"`
}

// PageSize is the most members of a page.
const PageSize = 50

// Revoke is the command that takes the role from users. Its answer is a Revoked.
type Revoke struct {
	Run     int64    `json:"run"`
	UserIDs []string `json:"userIds"`
	Next    string   `json:"next,omitempty"`
}

// Complete is the command that retires the role once nobody holds it.
type Complete struct {
	Run int64 `json:"run"`
}

// Names of the commands.
const (
	ListName     = "list"
	RevokeName   = "revoke"
	CompleteName = "complete"
)

// Refusals are the answers to Complete that the process understands besides its acceptance.
func (Complete) Refusals() []*eventsourcing.Refusal {
	return []*eventsourcing.Refusal{role.ErrMembersLeft, role.ErrRetired, role.ErrNotRetiring}
}

// snapshotRevision names the shape and the meaning of stored States: raise it whenever State changes, or evolve makes another state of the
// same events. A test fails until it is raised.
const snapshotRevision = 1

// Spec is the process.
func Spec() process.Spec[State, Event] {
	codec := eventsourcing.NewCodec[Event](Begun{}, Revoked{}, MembersLeft{}, Finished{}, Stopped{})
	return process.Spec[State, Event]{
		Category: Category, Evolve: evolve, React: react, Codec: codec, States: snapshot.NewCodec[State](snapshotRevision, codec),
		Listens: []process.Listener{process.On(role.Category, role.NewCodec(), route)},
	}
}

// route is for ever the same for an event: see process.On.
func route(e role.Event, rec eventsourcing.Record) string {
	switch e.(type) {
	case role.RetirementRequested, role.RetirementCancelled:
		return rec.Stream.ID
	case role.Created, role.Renamed, role.Disabled, role.Enabled, role.RulesChanged, role.Retired:
	}
	return ""
}

type reaction = process.Reaction[Event]

func react(s State, in process.Input) reaction {
	switch in := in.(type) {
	case process.Heard:
		return s.hear(in.Event)
	case process.Fired:
		if s.Phase == Running {
			return s.list("")
		}
	case process.Answered:
		return s.answered(in)
	}
	return reaction{}
}

func (s State) hear(e eventsourcing.Event) reaction {
	switch e := e.(type) {
	case role.RetirementRequested:
		begun := Begun{Total: e.Members}
		r := evolve(s, begun).list("")
		r.Events, r.Cancel = []Event{begun}, []string{again}
		return r
	case role.RetirementCancelled:
		if s.Phase == Running {
			return reaction{Events: []Event{Stopped{}}, Cancel: []string{again}}
		}
	}
	return reaction{}
}

func (s State) list(after string) reaction {
	return reaction{Commands: []process.Command{process.Ask(ListName, List{Run: s.Run, After: after})}}
}

func (s State) revoke(p Page) reaction {
	return reaction{Commands: []process.Command{process.Ask(RevokeName, Revoke{Run: s.Run, UserIDs: p.UserIDs, Next: p.Next})}}
}

func (s State) complete() reaction {
	return reaction{Commands: []process.Command{process.Ask(CompleteName, Complete{Run: s.Run})}}
}

// more goes on after a page.
func (s State) more(next string) reaction {
	if next == "" {
		return s.complete()
	}
	return s.list(next)
}

// answered goes on if the retirement runs to which the answer belongs. What was revoked counts also after it was cancelled.
func (s State) answered(in process.Answered) reaction {
	switch in.Command.Name {
	case ListName:
		page := process.Decode[Page](in.Answer.Data)
		switch {
		case !s.awaits(process.Decode[List](in.Command.Data).Run):
			return reaction{}
		case len(page.UserIDs) == 0:
			return s.more(page.Next)
		}
		return s.revoke(page)
	case RevokeName:
		c := process.Decode[Revoke](in.Command.Data)
		if c.Run != s.Run {
			return reaction{}
		}
		var r reaction
		if s.awaits(c.Run) {
			r = s.more(c.Next)
		}
		r.Events = []Event{process.Decode[Revoked](in.Answer.Data)}
		return r
	case CompleteName:
		if s.awaits(process.Decode[Complete](in.Command.Data).Run) {
			return s.completed(in)
		}
	}
	return reaction{}
}

func (s State) awaits(run int64) bool { return s.Phase == Running && s.Run == run }

// again is the name of the timer after which all is listed again.
const again = "again"

func (s State) completed(in process.Answered) reaction {
	switch in.Answer.Refused {
	case "", role.ErrRetired.Code: // another sending of it was accepted
		return reaction{Events: []Event{Finished{Total: s.Total, Done: s.Done}}}
	case role.ErrMembersLeft.Code:
		return reaction{Events: []Event{MembersLeft{}}, Set: []process.Timer{{Name: again, Due: in.At.Add(s.pause())}}}
	}
	return reaction{} // it was cancelled, which the process hears
}

// The pause before all is listed again: the list lags behind by less than a second, and what fails is mostly a matter of time.
const (
	firstPause = time.Second
	maxPause   = 5 * time.Minute
)

func (s State) pause() time.Duration {
	if s.Rounds > 16 {
		return maxPause
	}
	return min(firstPause<<s.Rounds, maxPause)
}
