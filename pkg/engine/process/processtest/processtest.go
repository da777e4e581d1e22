// Package processtest tests the reactions of processes: given a history, when an input comes, then this follows.
package processtest

import (
	"reflect"
	"testing"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Case is one reaction.
type Case[E eventsourcing.Event] struct {
	Given []E
	When  process.Input
	Then  process.Reaction[E] // in any order of the timers
}

// React runs each case as a subtest. Whatever the reaction is, it is the same for the same state, and its events and commands can be
// stored.
func React[S any, E eventsourcing.Event](t *testing.T, spec process.Spec[S, E], cases map[string]Case[E]) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s S
			for _, e := range c.Given {
				s = spec.Evolve(s, e)
			}
			got := spec.React(s, c.When)
			requireSame(t, got, c.Then)
			if again := spec.React(s, c.When); !reflect.DeepEqual(again, got) {
				t.Fatalf("reaction %+v, then %+v to the same input", got, again)
			}
			for _, e := range got.Events {
				if _, _, err := spec.Codec.Encode(e); err != nil {
					t.Fatalf("event %T cannot be stored: %v", e, err)
				}
			}
		})
	}
}

func requireSame[E eventsourcing.Event](t *testing.T, got, want process.Reaction[E]) {
	t.Helper()
	for _, part := range []struct {
		name      string
		got, want any
		empty     bool
	}{
		{"events", got.Events, want.Events, len(got.Events)+len(want.Events) == 0},
		{"commands", got.Commands, want.Commands, len(got.Commands)+len(want.Commands) == 0},
		{"set timers", byName(got.Set), byName(want.Set), false},
		{"cancelled timers", set(got.Cancel), set(want.Cancel), false},
	} {
		if !part.empty && !reflect.DeepEqual(part.got, part.want) {
			t.Fatalf("%s %+v, want %+v", part.name, part.got, part.want)
		}
	}
}

func byName(timers []process.Timer) map[string]int64 {
	out := map[string]int64{}
	for _, t := range timers {
		out[t.Name] = t.Due.UnixMilli()
	}
	return out
}

func set(names []string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		out[name] = true
	}
	return out
}
