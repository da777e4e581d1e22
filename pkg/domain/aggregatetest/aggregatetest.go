// Package aggregatetest holds the tests that every aggregate has in common: decisions case by case, the two laws of a
// command, and the shapes of events that were ever stored.
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
	When    eventsourcing.Decision[S, E]
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

// Law says what holds of a command in every state: the right event when it is due, and nothing or a refusal when it is
// repeated.
type Law[S any, E eventsourcing.Event, C eventsourcing.Decision[S, E]] struct {
	// Due reports whether the state calls for the event and allows it.
	Due func(S, C) bool
	// Then is the event that follows.
	Then func(C) E
	// Done reports whether the state after shows the command's effect on the state before, and no other.
	Done func(before, after S, c C) bool
	// Again is the answer to a repetition; nil: nothing happens.
	Again *eventsourcing.Refusal
}

// Check holds c, decided on s, to the law.
func (l Law[S, E, C]) Check(t T, a eventsourcing.Aggregate[S, E], s S, c C) {
	t.Helper()
	events, err := c.Decide(s)
	if !l.Due(s, c) {
		requireEvents(t, events, nil)
		if _, isRefusal := errors.AsType[*eventsourcing.Refusal](err); err != nil && !isRefusal {
			t.Fatalf("%T%+v on %+v: %v is no refusal", c, c, s, err)
		}
		return
	}
	requireAnswer(t, err, nil)
	requireEvents(t, events, []E{l.Then(c)})
	after := Fold(a, s, events...)
	if !l.Done(s, after, c) {
		t.Fatalf("%T%+v turned %+v into %+v", c, c, s, after)
	}
	events, err = c.Decide(after)
	requireAnswer(t, err, l.Again)
	requireEvents(t, events, nil)
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
