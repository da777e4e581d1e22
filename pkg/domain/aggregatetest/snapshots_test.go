package aggregatetest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

func doors(revision int, evolve func(door, event) door) eventsourcing.Aggregate[door, event] {
	codec := eventsourcing.NewCodec[event](opened{}, painted{})
	return eventsourcing.Aggregate[door, event]{
		Evolve: evolve, Codec: codec, States: snapshot.NewCodec[door](revision, codec),
	}
}

func TestSnapshotsReportsALossyCodec(t *testing.T) {
	t.Parallel()
	history := []event{painted{}, opened{}, painted{}}
	assert.Empty(t, breachOf(func(t aggregatetest.T) { aggregatetest.Snapshots(t, doors(1, evolve), history) }))

	type forgetful struct { // Open is not in its JSON
		Open bool `json:"-"`
	}
	codec := eventsourcing.NewCodec[event](opened{}, painted{})
	a := eventsourcing.Aggregate[forgetful, event]{
		Evolve: func(f forgetful, e event) forgetful { return forgetful{Open: evolve(door{Open: f.Open}, e).Open} },
		States: snapshot.NewCodec[forgetful](1, codec),
	}
	assert.Contains(t, breachOf(func(t aggregatetest.T) { aggregatetest.Snapshots(t, a, history) }),
		`{Open:true} encoded as {}, decoded as {Open:false}`)
}

func TestSnapshotShapeReportsAChangedFold(t *testing.T) {
	t.Parallel()
	const history = `"history":[{"name":"test/door/painted","schema":1,"data":{}},{"name":"test/door/opened","schema":1,"data":{}}]`
	shape := doors(1, evolve).States.Shape()
	recorded := func(states string) string {
		return `{"shape":"` + shape + `",` + history + `,"states":[` + states + `]}`
	}
	stands := recorded(`{"open":false},{"open":true}`)
	for name, tt := range map[string]struct {
		file     string
		revision int
		evolve   func(door, event) door
		update   bool
		breach   string
		written  bool
	}{
		"unchanged":                {file: stands, revision: 1, evolve: evolve},
		"unchanged, to be updated": {file: stands, revision: 1, evolve: evolve, update: true},
		"another fold": {
			file: stands, revision: 1, evolve: forget,
			breach: `after event 2 was {"open":true} and is {"open":false}, in the same shape: raise the snapshot revision`,
		},
		"another fold, updated":     {file: stands, revision: 1, evolve: forget, update: true, breach: "raise the snapshot revision"},
		"raised":                    {file: stands, revision: 2, evolve: forget, breach: "write it anew with -update-snapshots"},
		"raised and updated":        {file: stands, revision: 2, evolve: forget, update: true, written: true},
		"a longer history":          {file: recorded(`{"open":false}`), revision: 1, evolve: evolve, breach: "with 1 states"},
		"a longer history, updated": {file: recorded(`{"open":false}`), revision: 1, evolve: evolve, update: true, written: true},
		"a shorter history, updated": {
			file:     recorded(`{"open":false},{"open":true},{"open":true}`),
			revision: 1, evolve: evolve, update: true, breach: "raise the snapshot revision",
		},
		"an event that is missing": {
			file:     `{"shape":"","history":[{"name":"test/door/painted","schema":1,"data":{}}]}`,
			revision: 1, evolve: evolve, update: true, breach: "the history has no [test/door/opened of schema version 1]",
		},
		"an unknown event": {
			file:     `{"history":[{"name":"test/door/slammed","schema":1,"data":{}}]}`,
			revision: 1, evolve: evolve, breach: "unknown event",
		},
		"no JSON": {file: `{`, revision: 1, evolve: evolve, breach: "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "history.json")
			require.NoError(t, os.WriteFile(file, []byte(tt.file), 0o600))
			a := doors(tt.revision, tt.evolve)
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
		aggregatetest.SnapshotShape(t, doors(1, evolve), filepath.Join("nowhere", "history.json"), true)
	}), "no such file")
}
