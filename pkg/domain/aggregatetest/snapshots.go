package aggregatetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Snapshots holds an aggregate's States to their law: wherever a history is cut, the remaining events folded onto the snapshot of
// what went before leads to where the whole history leads.
func Snapshots[S any, E eventsourcing.Event](t T, a eventsourcing.Aggregate[S, E], history []E) {
	t.Helper()
	var zero S
	whole := Fold(a, zero, history...)
	for cut := range len(history) + 1 {
		before := Fold(a, zero, history[:cut]...)
		text, err := a.States.Encode(before)
		if err != nil {
			t.Fatalf("encode %+v: %v", before, err)
		}
		restored, err := a.States.Decode(text)
		if err != nil {
			t.Fatalf("decode %s: %v", text, err)
		}
		if !reflect.DeepEqual(restored, before) {
			t.Fatalf("%+v encoded as %s, decoded as %+v", before, text, restored)
		}
		if got := Fold(a, restored, history[cut:]...); !reflect.DeepEqual(got, whole) {
			t.Fatalf("%+v, cut after %d of %+v; whole %+v", got, cut, history, whole)
		}
	}
}

// goldenHistory is a history, and the state after each of its events as the shape keeps it.
type goldenHistory struct {
	Shape   string            `json:"shape"`
	History []goldenEvent     `json:"history"`
	States  []json.RawMessage `json:"states"`
}

type goldenEvent struct {
	Name   string          `json:"name"`
	Schema int             `json:"schema"`
	Data   json.RawMessage `json:"data"`
}

// SnapshotShape folds the history in file, which has every shape of every event that the codec knows. It fails if that
// leads to other states than before while the shape is the same: a build would then take old snapshots for its own. update
// writes the states of a new shape to the file; it never does for an old one.
func SnapshotShape[S any, E eventsourcing.Event](t T, a eventsourcing.Aggregate[S, E], file string, update bool) {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // a test's own file
	if err != nil {
		t.Fatalf("%v", err)
	}
	var was goldenHistory
	if err := json.Unmarshal(text, &was); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	now := goldenHistory{Shape: a.States.Shape(), History: was.History, States: statesOf(t, a, was.History)}
	if was.Shape == now.Shape {
		for i, state := range was.States {
			if i >= len(now.States) || !bytes.Equal(compact(t, state), now.States[i]) {
				t.Fatalf("%s: the state after event %d was %s and is %s, in the same shape: raise the snapshot revision",
					file, i+1, state, at(now.States, i))
			}
		}
	}
	if was.Shape == now.Shape && len(was.States) == len(now.States) {
		return
	}
	if !update {
		t.Fatalf("%s is of shape %q with %d states, want %q with %d: old snapshots are ignored from now on; write it anew with -update-snapshots",
			file, was.Shape, len(was.States), now.Shape, len(now.States))
	}
	if text, err = json.MarshalIndent(now, "", "  "); err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o600)
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// statesOf returns the state after each event, having seen that no event is missing.
func statesOf[S any, E eventsourcing.Event](t T, a eventsourcing.Aggregate[S, E], history []goldenEvent) []json.RawMessage {
	t.Helper()
	missing := map[string]bool{}
	for _, known := range a.Codec.Known() {
		for i := range known.Shapes {
			missing[fmt.Sprintf("%s of schema version %d", known.Name, i+1)] = true
		}
	}
	var state S
	var states []json.RawMessage
	for _, e := range history {
		delete(missing, fmt.Sprintf("%s of schema version %d", e.Name, e.Schema))
		event, err := a.Codec.Decode(e.Name, e.Schema, e.Data)
		if err != nil {
			t.Fatalf("%v", err)
		}
		state = a.Evolve(state, event)
		text, err := a.States.Encode(state)
		if err != nil {
			t.Fatalf("%v", err)
		}
		states = append(states, text)
	}
	if len(missing) > 0 {
		t.Fatalf("the history has no %v", slices.Sorted(maps.Keys(missing)))
	}
	return states
}

func at(states []json.RawMessage, i int) json.RawMessage {
	if i < len(states) {
		return states[i]
	}
	return nil
}

func compact(t T, text json.RawMessage) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		t.Fatalf("%v", err)
	}
	return out.Bytes()
}
