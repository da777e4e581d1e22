package process

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// The engine's events in a process's stream. Their names and JSON are stored.

// fact is what they have in common.
type fact struct{ category string }

// commandsAsked records that the process asked commands. Their keys are made of this event's version and their numbers, from 1.
type commandsAsked struct {
	fact

	Commands []Command `json:"commands"`
	At       time.Time `json:"at"`
	// CorrelationID is the input's, and goes with the commands.
	CorrelationID string `json:"correlationId,omitempty"`
}

// commandAnswered records that a command has an answer.
type commandAnswered struct {
	fact

	// Version is that of the event by which it was asked.
	Version eventsourcing.Version `json:"version"`
	// Number is the command's among those of that event, from 1.
	Number int    `json:"number"`
	Answer Answer `json:"answer"`
}

// timerSet records that a timer is set, in place of the one of that name, if there is one.
type timerSet struct {
	fact
	Timer
}

// timerCancelled records that the timer of that name is not to fire.
type timerCancelled struct {
	fact

	Name string `json:"name"`
}

// timerFired records that the timer was due and that the process has reacted.
type timerFired struct {
	fact
	Timer
}

// parked records that the process cannot react to a timer or to an answer. No timer fires and no command is sent until it is retried.
type parked struct {
	fact
	Parked
}

// retried records that an operator had the timers and the open work put anew, and freed the process if it was parked.
type retried struct{ fact }

// cancelled records that an operator ended the process. Its timers and commands are dropped, and it hears nothing more.
type cancelled struct {
	fact

	Reason string `json:"reason"`
}

// EventName implements eventsourcing.Event, as do those below.
func (e commandsAsked) EventName() string   { return e.category + "/commandsAsked" }
func (e commandAnswered) EventName() string { return e.category + "/commandAnswered" }
func (e timerSet) EventName() string        { return e.category + "/timerSet" }
func (e timerCancelled) EventName() string  { return e.category + "/timerCancelled" }
func (e timerFired) EventName() string      { return e.category + "/timerFired" }
func (e parked) EventName() string          { return e.category + "/parked" }
func (e retried) EventName() string         { return e.category + "/retried" }
func (e cancelled) EventName() string       { return e.category + "/cancelled" }

// Events returns the codec of all that a process's stream has: the author's events and the engine's.
func (s Spec[S, E]) Events() *eventsourcing.Codec[eventsourcing.Event] {
	return eventsourcing.Join(s.Codec, s.engineEvents())
}

func (s Spec[S, E]) engineEvents() *eventsourcing.Codec[eventsourcing.Event] {
	f := fact{s.Category}
	return eventsourcing.NewCodec[eventsourcing.Event](
		commandsAsked{fact: f}, commandAnswered{fact: f}, timerSet{fact: f}, timerCancelled{fact: f}, timerFired{fact: f},
		parked{fact: f}, retried{f}, cancelled{fact: f},
	)
}

func (s Spec[S, E]) evolve(st state[S], event eventsourcing.Event) state[S] {
	st.Version++
	switch e := event.(type) {
	case commandsAsked:
		st.Open = slices.Clone(st.Open)
		for i, c := range e.Commands {
			st.Open = append(st.Open, asked{c, st.Version, i + 1, e.At, e.CorrelationID})
		}
	case commandAnswered:
		st.Open = slices.DeleteFunc(slices.Clone(st.Open), func(a asked) bool { return a.is(e.Version, e.Number) })
	case timerSet:
		st.Timers = with(st.Timers, e.Name, e.Due)
	case timerCancelled:
		st.Timers = without(st.Timers, e.Name)
	case timerFired:
		st.Timers = without(st.Timers, e.Name)
	case parked:
		st.Parked = e.Parked
	case retried:
		st.Renewed, st.Parked = st.Version, Parked{}
	case cancelled:
		st.Open, st.Timers, st.Parked, st.Cancelled = nil, nil, Parked{}, true
	case E:
		st.of = s.Evolve(st.of, e)
	}
	return st
}

func with(timers map[string]time.Time, name string, due time.Time) map[string]time.Time {
	timers = without(timers, name)
	timers[name] = due
	return timers
}

func without(timers map[string]time.Time, name string) map[string]time.Time {
	out := make(map[string]time.Time, len(timers)+1)
	maps.Copy(out, timers)
	delete(out, name)
	return out
}

// The names of the timers in the table: openWork says that a process has commands without an answer, parkedProcess that it is parked, and
// the author's have a prefix.
const (
	openWork      = "commands"
	parkedProcess = "parked"
	timerPrefix   = "timer "
)

// due are the timers that the table has of a process in that state, by their names. One that is parked has none but the one that lists it.
func (st state[S]) due(stream eventsourcing.StreamID) map[string]timers.Timer {
	out := make(map[string]timers.Timer, len(st.Timers)+1)
	put := func(name string, due time.Time) {
		out[name] = timers.Timer{Stream: stream, Name: name, Due: due, Version: st.Version}
	}
	if st.isParked() {
		put(parkedProcess, timers.Never())
		return out
	}
	for name, at := range st.Timers {
		put(timerPrefix+name, at)
	}
	if len(st.Open) > 0 {
		put(openWork, st.Open[0].At)
	}
	return out
}

// reaction returns the events of an input: first those of the engine, then those that React answers with. The context around its
// error is for operators.
func (m *Manager[S, E]) reaction(
	st state[S], in Input, correlationID string, first ...eventsourcing.Event,
) (events []eventsourcing.Event, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			events, err = nil, fmt.Errorf("%w: panic: %v", errReaction, cause)
		}
	}()
	f := fact{m.spec.Category}
	r := m.spec.React(st.of, in)
	events = first
	for _, e := range r.Events {
		events = append(events, e)
	}
	if len(r.Commands) > 0 {
		events = append(events, commandsAsked{fact: f, Commands: r.Commands, At: m.now(), CorrelationID: correlationID})
	}
	for _, e := range first {
		st = m.spec.evolve(st, e)
	}
	for _, name := range r.Cancel {
		if _, set := st.Timers[name]; set {
			st.Timers = without(st.Timers, name)
			events = append(events, timerCancelled{f, name})
		}
	}
	for _, t := range r.Set {
		t.Due = t.Due.UTC().Truncate(time.Millisecond)
		if err := (timers.Timer{Name: timerPrefix + t.Name, Due: t.Due}).Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", errReaction, err)
		}
		if due, set := st.Timers[t.Name]; set && due.Equal(t.Due) {
			continue
		}
		if st.Timers = with(st.Timers, t.Name, t.Due); len(st.Timers) > MaxTimers {
			return nil, fmt.Errorf("%w: more than %d timers", errReaction, MaxTimers)
		}
		events = append(events, timerSet{f, t})
	}
	return events, nil
}
