// Package grants is the process that ends grants whose time is over. Each user has one, of the user's ID. Read from the top: events,
// state, evolve, commands, reactions.
package grants

import (
	"maps"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// Category is the category of the processes' streams.
const Category = "org/iam/process/grants"

// Event is a fact about one process. The set is closed.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isGrantsEvent()
}

// fact makes the type that embeds it an event of the process.
type fact struct{}

func (fact) isGrantsEvent() {}

// Awaited records that the grant of a role is to end then, and not at another time.
type Awaited struct {
	fact

	RoleID user.RoleID `json:"roleId"`
	Until  time.Time   `json:"until"`
}

// Dropped records that no end of a role's grant is awaited any more: the role was taken, or is granted without an end.
type Dropped struct {
	fact

	RoleID user.RoleID `json:"roleId"`
}

// EventName implements eventsourcing.Event, as does that below.
func (Awaited) EventName() string { return Category + "/awaited" }
func (Dropped) EventName() string { return Category + "/dropped" }

// State is when grants end, by role.
type State struct {
	Ends map[user.RoleID]time.Time `json:"ends,omitempty"`
}

func evolve(s State, e Event) State {
	ends := maps.Clone(s.Ends)
	switch e := e.(type) {
	case Awaited:
		if ends == nil {
			ends = map[user.RoleID]time.Time{}
		}
		ends[e.RoleID] = e.Until
	case Dropped:
		delete(ends, e.RoleID)
	}
	return State{Ends: ends}
}

// Expire is the command that ends the grant of a role, if it ends at that time.
type Expire struct {
	RoleID user.RoleID `json:"roleId"`
	Until  time.Time   `json:"until"`
}

// ExpireName is the name of Expire.
const ExpireName = "expire"

// Refusals are the answers to Expire that the process understands besides its acceptance. The first two mean that there is nothing to do.
func (Expire) Refusals() []*eventsourcing.Refusal {
	return []*eventsourcing.Refusal{user.ErrRoleNotHeld, user.ErrGrantChanged, user.ErrGrantNotEnded}
}

// again is when a grant that has not ended yet by the receiver's clock is to end.
const again = time.Second

// snapshotRevision names the shape and the meaning of stored States: raise it whenever State changes, or evolve makes another state of the
// same events. A test fails until it is raised.
const snapshotRevision = 1

// Spec is the process.
func Spec() process.Spec[State, Event] {
	codec := eventsourcing.NewCodec[Event](Awaited{}, Dropped{})
	return process.Spec[State, Event]{
		Category: Category, Evolve: evolve, React: react, Codec: codec, States: snapshot.NewCodec[State](snapshotRevision, codec),
		Listens: []process.Listener{process.On(user.Category, user.NewCodec(), route)},
	}
}

// route is for ever the same for an event: see process.On.
func route(e user.Event, rec eventsourcing.Record) string {
	switch e.(type) {
	case user.RoleGranted, user.RoleUntilChanged, user.RoleExpired, user.RoleRemoved:
		return rec.Stream.ID
	case user.Registered, user.Updated, user.EmailChanged, user.Disabled, user.Enabled, user.RoleAdded:
	}
	return ""
}

type reaction = process.Reaction[Event]

func react(s State, in process.Input) reaction {
	switch in := in.(type) {
	case process.Heard:
		return s.hear(in.Event)
	case process.Fired:
		role := user.RoleID(in.Timer.Name)
		if until, awaited := s.Ends[role]; awaited {
			return reaction{Commands: []process.Command{process.Ask(ExpireName, Expire{RoleID: role, Until: until})}}
		}
	case process.Answered:
		c := process.Decode[Expire](in.Command.Data)
		if in.Answer.Refused == user.ErrGrantNotEnded.Code && s.Ends[c.RoleID].Equal(c.Until) {
			return reaction{Set: []process.Timer{{Name: string(c.RoleID), Due: in.At.Add(again)}}}
		}
	}
	return reaction{}
}

func (s State) hear(e eventsourcing.Event) reaction {
	switch e := e.(type) {
	case user.RoleGranted:
		return await(e.RoleID, e.Until)
	case user.RoleUntilChanged:
		if e.Until.IsZero() {
			return s.drop(e.RoleID)
		}
		return await(e.RoleID, e.Until)
	case user.RoleExpired:
		return s.drop(e.RoleID)
	case user.RoleRemoved:
		return s.drop(e.RoleID)
	}
	return reaction{}
}

// await sets the timer of a role, in place of the one that is set.
func await(role user.RoleID, until time.Time) reaction {
	return reaction{
		Events: []Event{Awaited{RoleID: role, Until: until}}, Set: []process.Timer{{Name: string(role), Due: until}},
	}
}

func (s State) drop(role user.RoleID) reaction {
	if _, awaited := s.Ends[role]; !awaited { // it had no end
		return reaction{}
	}
	return reaction{Events: []Event{Dropped{RoleID: role}}, Cancel: []string{string(role)}}
}
