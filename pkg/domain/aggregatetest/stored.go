package aggregatetest

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"testing"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Stored decodes every shape of every event the codec knows, from dir's file <fact>.v<schema version>.json. What was
// once stored must decode for ever and, in its current shape, be encoded the same again. Fields that a later build adds
// must not disturb. A file of an event or version that the codec does not know fails too.
func Stored[E eventsourcing.Event](t *testing.T, codec *eventsourcing.Codec[E], dir fs.FS) {
	t.Helper()
	known := map[string]bool{}
	for name, current := range codec.Names() {
		for schema := 1; schema <= current; schema++ {
			file := fileOf(name, schema)
			known[file] = true
			t.Run(file, func(t *testing.T) {
				t.Parallel()
				payload, err := fs.ReadFile(dir, file)
				if err != nil {
					t.Fatal(err)
				}
				event := roundTrip(t, codec, name, schema, payload)
				again, _, err := codec.Encode(event)
				if err != nil {
					t.Fatal(err)
				}
				if schema == current && !reflect.DeepEqual(object(t, again), object(t, payload)) {
					t.Errorf("stored as %s, encoded as %s", payload, again)
				}
				extended := object(t, payload)
				extended["addedByALaterBuild"] = map[string]any{"deep": []any{1}}
				if payload, err = json.Marshal(extended); err != nil {
					t.Fatal(err)
				}
				if got := roundTrip(t, codec, name, schema, payload); !reflect.DeepEqual(got, event) {
					t.Errorf("with an unknown field decoded as %+v, want %+v", got, event)
				}
			})
		}
	}
	files, err := fs.ReadDir(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("%s is of no event that the codec knows", f.Name())
		}
	}
}

// FuzzStored decodes whatever is stored under the name of any event; what decodes must lose nothing on the way back.
// Its corpus starts from dir, as for Stored.
func FuzzStored[E eventsourcing.Event](f *testing.F, codec *eventsourcing.Codec[E], dir fs.FS) {
	f.Helper()
	for name, current := range codec.Names() {
		for schema := 1; schema <= current; schema++ {
			payload, err := fs.ReadFile(dir, fileOf(name, schema))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(name, schema, payload)
		}
	}
	f.Fuzz(func(t *testing.T, name string, schema int, payload []byte) {
		if _, err := codec.Decode(name, schema, payload); err == nil {
			roundTrip(t, codec, name, schema, payload)
		}
	})
}

func fileOf(name string, schema int) string {
	return fmt.Sprintf("%s.v%d.json", path.Base(name), schema)
}

// roundTrip decodes payload, which must succeed, and returns the event after making sure that encoding loses nothing of
// it.
func roundTrip[E eventsourcing.Event](
	t testing.TB, codec *eventsourcing.Codec[E], name string, schema int, payload []byte,
) E {
	t.Helper()
	event, err := codec.Decode(name, schema, payload)
	if err != nil {
		t.Fatal(err)
	}
	if event.EventName() != name {
		t.Fatalf("decoded a %s as a %s", name, event.EventName())
	}
	encoded, current, err := codec.Encode(event)
	if err != nil {
		t.Fatal(err)
	}
	again, err := codec.Decode(name, current, encoded)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, event) {
		t.Fatalf("%+v encoded as %s, decoded as %+v", event, encoded, again)
	}
	return event
}

func object(t *testing.T, payload []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(payload, &o); err != nil {
		t.Fatal(err)
	}
	return o
}
