// Package aggregatetest holds the tests that every aggregate has in common. The two laws of a command are "the right
// events when they are due", case by case in Decide, and "nothing, or a refusal, when it is repeated" in Repeat. The other
// tests are of the shapes of events that were ever stored, and of snapshots.
package aggregatetest

import (
	"errors"
	"reflect"
	"testing"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Case is one decision: given a history, when a command comes, then these events follow or it is refused.
type Case[S any, E eventsourcing.Event] struct {
	Given   []E
	When    eventsourcing.Command[S, E]
	Then    []E
	Refused *eventsourcing.Refusal
}

// Decide runs each case as a subtest.
func Decide[S any, E eventsourcing.Event](t *testing.T, a eventsourcing.Aggregate[S, E], cases map[string]Case[S, E]) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, err := c.When.Decide(Fold(a, *new(S), c.Given...))
			requireAnswer(t, err, c.Refused)
			requireEvents(t, events, c.Then)
		})
	}
}

// Fold returns s after events.
func Fold[S any, E eventsourcing.Event](a eventsourcing.Aggregate[S, E], s S, events ...E) S {
	for _, e := range events {
		s = a.Evolve(s, e)
	}
	return s
}

// Repeat decides c on s. Whatever the answer is, it is the same for the same state; a refusal has no events; and decided
// again on the state that the events lead to, c has no more. A command that opens a stream refuses every state but the first.
func Repeat[S any, E eventsourcing.Event](t T, a eventsourcing.Aggregate[S, E], s S, c eventsourcing.Command[S, E]) {
	t.Helper()
	events, err := c.Decide(s)
	again, errAgain := c.Decide(s)
	if !errors.Is(errAgain, err) {
		t.Fatalf("%T%+v on %+v: answer %v, then %v", c, c, s, err, errAgain)
	}
	requireEvents(t, again, events)
	if _, isRefusal := errors.AsType[*eventsourcing.Refusal](err); err != nil && (!isRefusal || len(events) > 0) {
		t.Fatalf("%T%+v on %+v: %v is not a refusal, or came with events %+v", c, c, s, err, events)
	}
	if _, opens := c.(eventsourcing.Opening); opens && err == nil && !reflect.DeepEqual(s, *new(S)) {
		t.Fatalf("%T%+v on %+v: accepted, although it opens a stream", c, c, s)
	}
	repeated, err := c.Decide(Fold(a, s, events...))
	if _, isRefusal := errors.AsType[*eventsourcing.Refusal](err); err != nil && !isRefusal {
		t.Fatalf("%T%+v repeated: %v is not a refusal", c, c, err)
	}
	requireEvents(t, repeated, nil)
}

// T is what *testing.T and *rapid.T have in common, as far as it is needed here.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

func requireAnswer(t T, got error, want *eventsourcing.Refusal) {
	t.Helper()
	switch {
	case want == nil && got != nil:
		t.Fatalf("refused with %v", got)
	case want != nil && !errors.Is(got, want):
		t.Fatalf("answer %v, want %v", got, want)
	}
}

func requireEvents[E eventsourcing.Event](t T, got, want []E) {
	t.Helper()
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("events %+v, want %+v", got, want)
	}
}
