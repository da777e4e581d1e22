package aggregatetest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

type keptDoor struct {
	Open bool `json:"open"`
}

// doors keeps what keep says of a door.
func doors(revision int, keep func(door) keptDoor, evolve func(door, event) door) eventsourcing.Aggregate[door, event] {
	codec := eventsourcing.NewCodec[event]()
	eventsourcing.Register[opened](codec)
	eventsourcing.Register[painted](codec)
	return eventsourcing.Aggregate[door, event]{
		Evolve: evolve, Codec: codec,
		States: eventsourcing.NewStateCodec(revision, codec, keep, func(k keptDoor) door { return door{open: k.Open} }),
	}
}

func wholly(d door) keptDoor { return keptDoor{Open: d.open} }

func TestASnapshotThatLosesIsSeen(t *testing.T) {
	t.Parallel()
	history := []event{painted{}, opened{}, painted{}}
	check := func(keep func(door) keptDoor) string {
		return breachOf(func(t aggregatetest.T) { aggregatetest.Snapshots(t, doors(1, keep, evolve), history) })
	}
	assert.Empty(t, check(wholly))
	assert.Contains(t, check(func(door) keptDoor { return keptDoor{} }), `{open:true} encoded as {"open":false}, decoded as {open:false}`)
}

func TestAChangedFoldIsSeen(t *testing.T) {
	t.Parallel()
	const history = `"history":[{"name":"test/door/painted","schema":1,"data":{}},{"name":"test/door/opened","schema":1,"data":{}}]`
	shape := doors(1, wholly, evolve).States.Shape()
	stands := `{"shape":"` + shape + `",` + history + `,"states":[{"open":false},{"open":true}]}`
	for name, tt := range map[string]struct {
		file     string
		revision int
		evolve   func(door, event) door
		update   bool
		breach   string
		written  bool
	}{
		"as it was":                  {file: stands, revision: 1, evolve: evolve},
		"as it was, to be updated":   {file: stands, revision: 1, evolve: evolve, update: true},
		"another fold":               {file: stands, revision: 1, evolve: forget, breach: `after event 2 was {"open":true} and is {"open":false}, in the same shape: raise the revision`},
		"another fold, updated":      {file: stands, revision: 1, evolve: forget, update: true, breach: "raise the revision"},
		"raised":                     {file: stands, revision: 2, evolve: forget, breach: "write it anew with -update-snapshots"},
		"raised and updated":         {file: stands, revision: 2, evolve: forget, update: true, written: true},
		"a longer history":           {file: `{"shape":"` + shape + `",` + history + `,"states":[{"open":false}]}`, revision: 1, evolve: evolve, breach: "with 1 states"},
		"a longer history, updated":  {file: `{"shape":"` + shape + `",` + history + `,"states":[{"open":false}]}`, revision: 1, evolve: evolve, update: true, written: true},
		"a shorter history, updated": {file: `{"shape":"` + shape + `",` + history + `,"states":[{"open":false},{"open":true},{"open":true}]}`, revision: 1, evolve: evolve, update: true, breach: "raise the revision"},
		"an event that is missing":   {file: `{"shape":"","history":[{"name":"test/door/painted","schema":1,"data":{}}]}`, revision: 1, evolve: evolve, update: true, breach: "the history has no [test/door/opened of schema version 1]"},
		"an event of nobody":         {file: `{"history":[{"name":"test/door/slammed","schema":1,"data":{}}]}`, revision: 1, evolve: evolve, breach: "unknown event"},
		"no JSON":                    {file: `{`, revision: 1, evolve: evolve, breach: "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "history.json")
			require.NoError(t, os.WriteFile(file, []byte(tt.file), 0o600))
			a := doors(tt.revision, wholly, tt.evolve)
			breach := breachOf(func(t aggregatetest.T) { aggregatetest.SnapshotShape(t, a, file, tt.update) })
			if tt.breach == "" {
				assert.Empty(t, breach)
			} else {
				assert.Contains(t, breach, tt.breach)
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, tt.written, string(text) != tt.file)
			if tt.written {
				aggregatetest.SnapshotShape(t, a, file, false)
			}
		})
	}
	assert.Contains(t, breachOf(func(t aggregatetest.T) {
		aggregatetest.SnapshotShape(t, doors(1, wholly, evolve), filepath.Join("nowhere", "history.json"), true)
	}), "no such file")
}
