// Package operations keeps in the log what operators do to the running system. Each action is a stream, org/ops/action/<id>: what is
// wanted, of what and by whom is appended before it is done, and what came of it afterwards. So the audit trail shows both.
//
// Read this file from the top: events, state, evolve, decisions. A Desk carries actions out.
package operations

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// Category is the category of the actions' streams.
const Category = "org/ops/action"

// Event is a fact about one action. The set is closed.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isActionEvent()
}

// fact makes the type that embeds it an event of an action.
type fact struct{}

func (fact) isActionEvent() {}

// Requested records that an operator wants an action. It is about to be carried out.
type Requested struct {
	fact
	Order
}

// Order says what is to be done.
type Order struct {
	// Action is what is done, such as "redrive".
	Action string `json:"action"`
	// Target is what it is done to: a projection, a stream in a projection, or a process.
	Target string `json:"target"`
	// Parameters holds what else the operator has chosen.
	Parameters map[string]string `json:"parameters,omitempty"`
}

// Completed records that the action is done.
type Completed struct {
	fact

	// Result says what came of it.
	Result string `json:"result"`
}

// Failed records that the action is not done, or not to its end.
type Failed struct {
	fact

	// Reason says why not.
	Reason string `json:"reason"`
}

// EventName implements eventsourcing.Event, as do those below.
func (Requested) EventName() string { return Category + "/requested" }
func (Completed) EventName() string { return Category + "/completed" }
func (Failed) EventName() string    { return Category + "/failed" }

// State is an action; the zero State is one that nobody wanted.
type State struct {
	Order

	Ended bool `json:"ended"`
	// Failed says that it ended without being done.
	Failed bool `json:"failed"`
	// Outcome is the result, or why it failed.
	Outcome string `json:"outcome"`
}

// Evolve returns s after e.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Requested:
		s.Order = e.Order
	case Completed:
		s.Ended, s.Outcome = true, e.Result
	case Failed:
		s.Ended, s.Failed, s.Outcome = true, true, e.Reason
	}
	return s
}

// Aggregate binds the parts for a Repository. Actions claim nothing, count in no scope, and are too short for snapshots.
func Aggregate() eventsourcing.Aggregate[State, Event] {
	return eventsourcing.Aggregate[State, Event]{
		Category: Category, Evolve: Evolve, Codec: eventsourcing.NewCodec[Event](Requested{}, Completed{}, Failed{}),
	}
}

// request begins an action.
type request Order

// Decide implements eventsourcing.Command.
func (c request) Decide(s State) ([]Event, error) {
	if s.Action != "" {
		return nil, nil
	}
	return []Event{Requested{Order: Order(c)}}, nil
}

// end ends an action that was begun, once.
type end struct{ with Event }

// Decide implements eventsourcing.Command.
func (c end) Decide(s State) ([]Event, error) {
	if s.Action == "" || s.Ended {
		return nil, nil
	}
	return []Event{c.with}, nil
}
