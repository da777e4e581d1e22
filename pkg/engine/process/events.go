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

// commandsAsked: React asked commands. Their keys are made of this event's version and their numbers.
type commandsAsked struct {
	fact

	Commands      []Command `json:"commands"`
	At            time.Time `json:"at"`
	CorrelationID string    `json:"correlationId,omitempty"`
}

// commandAnswered: a command asked by the event of that version has an answer.
type commandAnswered struct {
	fact

	Version eventsourcing.Version `json:"version"`
	Number  int                   `json:"number"`
	Answer  Answer                `json:"answer"`
}

// timerSet: a timer is set in place of the one of that name, if there is one.
type timerSet struct {
	fact
	Timer
}

// timerCancelled: the timer of that name is not to fire.
type timerCancelled struct {
	fact

	Name string `json:"name"`
}

// timerFired: the timer was due, and React was called.
type timerFired struct {
	fact
	Timer
}

// retried: an operator had the timers and the open work put anew.
type retried struct{ fact }

// cancelled: an operator ended the process. Its timers and commands are dropped, and it hears nothing more.
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
func (e retried) EventName() string         { return e.category + "/retried" }
func (e cancelled) EventName() string       { return e.category + "/cancelled" }

func (s Spec[S, E]) codec() *eventsourcing.Codec[eventsourcing.Event] {
	f := fact{s.Category}
	return eventsourcing.Join(s.Codec, eventsourcing.NewCodec[eventsourcing.Event](
		commandsAsked{fact: f}, commandAnswered{fact: f}, timerSet{fact: f}, timerCancelled{fact: f}, timerFired{fact: f},
		retried{f}, cancelled{fact: f},
	))
}

// state is a process: the author's state, and what the engine's events say.
type state[S any] struct {
	of        S
	version   eventsourcing.Version
	open      []asked // without an answer, in the order in which they were asked
	timers    map[string]time.Time
	renewed   eventsourcing.Version // of the last event by which all timers were put anew
	cancelled bool
}

// asked is a command as the event of that version asked it.
type asked struct {
	Command

	version       eventsourcing.Version
	number        int
	at            time.Time
	correlationID string
}

func (a asked) is(version eventsourcing.Version, number int) bool {
	return a.version == version && a.number == number
}

func (s Spec[S, E]) evolve(st state[S], event eventsourcing.Event) state[S] {
	st.version++
	switch e := event.(type) {
	case commandsAsked:
		st.open = slices.Clone(st.open)
		for i, c := range e.Commands {
			st.open = append(st.open, asked{c, st.version, i + 1, e.At, e.CorrelationID})
		}
	case commandAnswered:
		st.open = slices.DeleteFunc(slices.Clone(st.open), func(a asked) bool { return a.is(e.Version, e.Number) })
	case timerSet:
		st.timers = with(st.timers, e.Name, e.Due)
	case timerCancelled:
		st.timers = without(st.timers, e.Name)
	case timerFired:
		st.timers = without(st.timers, e.Name)
	case cancelled:
		st.open, st.timers, st.cancelled = nil, nil, true
	case retried:
		st.renewed = st.version
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

// openWork is the name of the timer that says that a process has commands without an answer. Those of the author have a prefix.
const (
	openWork    = "commands"
	timerPrefix = "timer "
)

// due are the timers that the table has of a process in that state, by their names.
func (st state[S]) due(stream eventsourcing.StreamID) map[string]timers.Timer {
	out := make(map[string]timers.Timer, len(st.timers)+1)
	for name, at := range st.timers {
		out[timerPrefix+name] = timers.Timer{Stream: stream, Name: timerPrefix + name, Due: at, Version: st.version}
	}
	if len(st.open) > 0 {
		out[openWork] = timers.Timer{Stream: stream, Name: openWork, Due: st.open[0].at, Version: st.version}
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
		if _, set := st.timers[name]; set {
			st.timers = without(st.timers, name)
			events = append(events, timerCancelled{f, name})
		}
	}
	for _, t := range r.Set {
		t.Due = t.Due.UTC().Truncate(time.Millisecond)
		if err := (timers.Timer{Name: timerPrefix + t.Name, Due: t.Due}).Validate(); err != nil {
			return nil, fmt.Errorf("%w: %w", errReaction, err)
		}
		if due, set := st.timers[t.Name]; set && due.Equal(t.Due) {
			continue
		}
		if st.timers = with(st.timers, t.Name, t.Due); len(st.timers) > MaxTimers {
			return nil, fmt.Errorf("%w: more than %d timers", errReaction, MaxTimers)
		}
		events = append(events, timerSet{f, t})
	}
	return events, nil
}
