// Package process runs process managers: aggregates that listen. A process has a stream of its own. It hears events of other streams,
// the answers to its commands and its timers, and reacts to each with events, commands and timers. A Spec is pure; a Manager runs it.
//
//   - One transaction per input: the process's events, its timers, and, for an event, the fence of the projection that heard it (see
//     projection.Effect: what is repeated, reordered, lost or cannot be handled is treated as in a read model). An input either has
//     all of its effect or none, and no input has it twice.
//   - The log says what was heard: each event of a process names the event that caused it. So the table of fences may be lost: what is
//     missing there is derived. An event that led to none, and that no later one of its stream followed which did, is heard again.
//   - Commands are derived, never sent from memory. That a command is asked is an event of the process's stream, and so is its answer.
//     What is asked and not answered is sent again, with the same key. So it must be idempotent at its receiver.
//   - Open work is a timer, too. While a stream has commands without an answer, it has a timer that is due at once: put in the
//     transaction that asks the first, deleted in the one that records the last answer. What is due is all that a crash can leave.
//   - Timers are derived from the stream as claims are: set = after − before, cancelled = before − after. One fires if the stream says
//     that it is set, for that time, and firing is an event. So a repetition finds it fired.
//   - A timer or an answer to which React cannot react parks the process, which is an event: its timers do not fire and its commands are
//     not sent until Manager.Retry frees it. Meanwhile it hears events. An event to which React cannot react parks its own stream.
//
// # Tables
//
// The log has the processes' streams; package timers has the table of the timers; each kind of process has a table of fences, which is
// a projection's. The rights are those of dynamostore.Store, of timers and of projection.Projector, all in one program.
package process

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Spec is one kind of process. The zero S is a process that has heard nothing.
type Spec[S any, E eventsourcing.Event] struct {
	// Category of the processes' streams, such as "org/iam/process/expiry". The names of the process's events begin with it.
	Category string
	// Listens are what the processes hear of other streams, each category once.
	Listens []Listener
	// React answers an input. It must be pure.
	React  func(S, Input) Reaction[E]
	Evolve func(S, E) S
	// Codec of the process's own events. The engine's have other names: see the events of this package.
	Codec *eventsourcing.Codec[E]
	// States encodes S for snapshots, as package snapshot does. Defaults to none: streams are read from their start.
	States eventsourcing.StateCodec[S]
	// Parallel is how many commands of one process are sent at once. Defaults to 1: each is sent when the one before is answered.
	Parallel int
}

// Listener says what processes hear of the streams of one category. Make one with On.
type Listener struct {
	category string
	knows    func(name string, schema int) bool
	route    func(eventsourcing.Record) (id string, event eventsourcing.Event, err error)
}

// On returns a Listener to the events of a category. route returns the ID of the process that an event is for, or "" if it is for none.
// It must be pure, and for ever the same for an event.
func On[E eventsourcing.Event](category string, codec *eventsourcing.Codec[E], route func(E, eventsourcing.Record) string) Listener {
	return Listener{category: category, knows: codec.Knows, route: func(rec eventsourcing.Record) (string, eventsourcing.Event, error) {
		event, err := codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return "", nil, err
		}
		return route(event, rec), event, nil
	}}
}

// Input is what a process reacts to. The set is closed.
//
//sumtype:decl
type Input interface{ isInput() }

// Heard is an event of another stream that Listener routes to the process.
type Heard struct {
	Event  eventsourcing.Event
	Record eventsourcing.Record
}

// Answered is the answer to a command of the process.
type Answered struct {
	Command Command
	Answer  Answer
	// At is when the answer had come.
	At time.Time
}

// Fired is a timer of the process that has come due. It is not set any more.
type Fired struct{ Timer Timer }

func (Heard) isInput()    {}
func (Answered) isInput() {}
func (Fired) isInput()    {}

// Reaction is the answer to an input. The zero Reaction is none. One transaction takes it, so 100 items: one for each event, one for all
// commands, two for each timer, and up to four of the engine's.
type Reaction[E eventsourcing.Event] struct {
	Events []E
	// Commands are asked of others, in this order. Each has its Answered once.
	Commands []Command
	// Set sets timers. One of the same name is replaced.
	Set []Timer
	// Cancel cancels the timers of these names, set or not, before Set.
	Cancel []string
}

// Command is a request to another system or aggregate, as the process's stream keeps it. Its receiver must take a repetition for the
// same command by its key, or by its state.
type Command struct {
	Name string          `json:"name"`
	Data json.RawMessage `json:"data"`
}

// Ask returns a command with data in JSON. It panics if data is not such.
func Ask(name string, data any) Command {
	text, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("process: data of command %s: %v", name, err))
	}
	return Command{Name: name, Data: text}
}

// Decode returns the data of a command or an answer. It panics if data is not such, which in React is a reaction that fails.
func Decode[T any](data json.RawMessage) (v T) {
	if err := json.Unmarshal(data, &v); err != nil {
		panic(fmt.Sprintf("process: data %.100q: %v", data, err))
	}
	return v
}

// Answer is what came of a command: it was accepted, or refused for good. "Already so" is a refusal, too: the process decides what it
// means.
type Answer struct {
	// Refused is the code of the refusal; empty: accepted.
	Refused string          `json:"refused,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Timer is due at a time, to the millisecond. A process has one of a name, and MaxTimers in all.
type Timer struct {
	Name string    `json:"name"`
	Due  time.Time `json:"due"`
}

// MaxTimers of one process: all of them can be cancelled in one transaction.
const MaxTimers = 90
