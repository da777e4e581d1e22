package aggregatetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"testing"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Golden is a payload as it was stored once.
type Golden struct {
	File    string
	Name    string
	Schema  int
	Payload []byte
}

// GoldenFiles reads the payloads of every shape of every event the codec knows, from dir's files <fact>.v<schema
// version>.json and any further <fact>.v<schema version>.<what>.json. It is an error if a shape has no file or a file no
// shape.
func GoldenFiles[E eventsourcing.Event](codec *eventsourcing.Codec[E], dir fs.FS) ([]Golden, error) {
	var out []Golden
	var errs []error
	known := map[string]bool{}
	for _, event := range codec.Known() {
		for schema := range len(event.Shapes) {
			stem := fmt.Sprintf("%s.v%d", path.Base(event.Name), schema+1)
			further, err := fs.Glob(dir, stem+".*.json")
			errs = append(errs, err)
			for _, file := range append([]string{stem + ".json"}, further...) {
				known[file] = true
				payload, err := fs.ReadFile(dir, file)
				errs = append(errs, err)
				out = append(out, Golden{file, event.Name, schema + 1, payload})
			}
		}
	}
	files, err := fs.ReadDir(dir, ".")
	errs = append(errs, err)
	for _, f := range files {
		if !known[f.Name()] {
			errs = append(errs, fmt.Errorf("%s: no such event in the codec", f.Name()))
		}
	}
	return out, errors.Join(errs...)
}

// Stored decodes all GoldenFiles. What was once stored must decode for ever and, in the shape that is written, be encoded
// the same again. Fields that a later build adds must not disturb.
func Stored[E eventsourcing.Event](t *testing.T, codec *eventsourcing.Codec[E], dir fs.FS) {
	t.Helper()
	files, err := GoldenFiles(codec, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range files {
		t.Run(g.File, func(t *testing.T) {
			t.Parallel()
			event, again := roundTrip(t, codec, g)
			isWritten := event.EventName() == g.Name && g.Schema == knownAs(codec, g.Name).Writes
			if again != nil && isWritten && !reflect.DeepEqual(object(t, again), object(t, g.Payload)) {
				t.Errorf("stored as %s, encoded as %s", g.Payload, again)
			}
			g.Payload = extended(t, g.Payload)
			if got, _ := roundTrip(t, codec, g); !reflect.DeepEqual(got, event) {
				t.Errorf("with an unknown field decoded as %+v, want %+v", got, event)
			}
		})
	}
}

// extended adds a member to an object, and leaves the others as they are, byte for byte.
func extended(t *testing.T, payload []byte) []byte {
	t.Helper()
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(payload, &members); err != nil {
		t.Fatal(err)
	}
	members["addedByALaterBuild"] = json.RawMessage(`{"deep":[1]}`)
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzStored decodes whatever is stored under the name of any event; what decodes must lose nothing on the way back.
// Its corpus starts from GoldenFiles.
func FuzzStored[E eventsourcing.Event](f *testing.F, codec *eventsourcing.Codec[E], dir fs.FS) {
	f.Helper()
	files, err := GoldenFiles(codec, dir)
	if err != nil {
		f.Fatal(err)
	}
	for _, g := range files {
		f.Add(g.Name, g.Schema, g.Payload)
	}
	f.Fuzz(func(t *testing.T, name string, schema int, payload []byte) {
		if _, err := codec.Decode(name, schema, payload); err == nil {
			roundTrip(t, codec, Golden{Name: name, Schema: schema, Payload: payload})
		}
	})
}

// roundTrip decodes what must decode and returns the event and, unless that is retired or not written yet, its encoding, after
// making sure that it loses nothing.
func roundTrip[E eventsourcing.Event](t testing.TB, codec *eventsourcing.Codec[E], g Golden) (event E, encoded []byte) {
	t.Helper()
	event, err := codec.Decode(g.Name, g.Schema, g.Payload)
	if err != nil {
		t.Fatal(err)
	}
	known := knownAs(codec, g.Name)
	if event.EventName() != known.DecodesAs {
		t.Fatalf("decoded a %s as a %s", g.Name, event.EventName())
	}
	encoded, written, err := codec.Encode(event)
	if errors.Is(err, eventsourcing.ErrNotWrittenYet) && g.Schema > known.Writes {
		return event, nil
	}
	if known.Retired && known.DecodesAs == known.Name {
		if !errors.Is(err, eventsourcing.ErrRetiredEvent) {
			t.Fatalf("encoded a retired %s: %v", g.Name, err)
		}
		return event, nil
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := codec.Decode(known.DecodesAs, written, encoded)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, event) {
		t.Fatalf("%+v encoded as %s, decoded as %+v", event, encoded, again)
	}
	return event, encoded
}

func knownAs[E eventsourcing.Event](codec *eventsourcing.Codec[E], name string) eventsourcing.Known {
	for _, known := range codec.Known() {
		if known.Name == name {
			return known
		}
	}
	return eventsourcing.Known{}
}

func object(t *testing.T, payload []byte) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal(payload, &o); err != nil {
		t.Fatal(err)
	}
	return o
}
