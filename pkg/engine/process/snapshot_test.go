package process_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// snapshots are where programs of one build after the other keep states. They count what was made of them.
type snapshots struct {
	memstore.Snapshots
	uses map[eventsourcing.SnapshotUse]int
}

// of is a build whose states have a revision; it keeps them every few events.
func (s *snapshots) of(spec process.Spec[campaign, eventsourcing.Event], revision, every int) (
	process.Spec[campaign, eventsourcing.Event], func(*process.Config),
) {
	spec.States = snapshot.NewCodec[campaign](revision, spec.Codec)
	return spec, func(c *process.Config) {
		c.Snapshots, c.SnapshotEvery = &s.Snapshots, every
		c.OnSnapshot = func(u eventsourcing.SnapshotUse, _ error) { s.uses[u]++ }
	}
}

// build is the next build of the programs, which has nothing in memory.
func (o *office) build(spec process.Spec[campaign, eventsourcing.Event], change func(*process.Config)) {
	o.t.Helper()
	o.manager = o.newManager(spec, change)
	o.hears = o.newProjector()
}

func (o *office) show(id string) process.View[campaign] {
	o.t.Helper()
	v, err := o.manager.Show(o.t.Context(), id)
	require.NoError(o.t, err)
	return v
}

func TestALongProcessIsReadFromItsSnapshot(t *testing.T) {
	t.Parallel()
	kept := &snapshots{uses: map[eventsourcing.SnapshotUse]int{}}
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	o.build(kept.of(campaigns(1), 1, 10))
	o.happens("c", Lent{})
	o.hear("c")
	left := 30
	o.fail = func(process.Request) error {
		if left--; left < 0 {
			return errors.New("no route to the library")
		}
		return nil
	}
	require.Error(t, o.work())
	want := o.show("c")
	saved, err := kept.Load(t.Context(), o.stream("c"))
	require.NoError(t, err)
	assert.Greater(t, saved.Version+10, want.Version, "saved while it worked")

	o.build(kept.of(campaigns(1), 1, 10))
	assert.Equal(t, want, o.show("c"))
	assert.Equal(t, map[eventsourcing.SnapshotUse]int{eventsourcing.SnapshotLoaded: 1}, kept.uses)

	clear(kept.uses)
	o.build(kept.of(campaigns(1), 2, 10))
	assert.Equal(t, want, o.show("c"), "another revision reads the log")
	assert.Equal(t, map[eventsourcing.SnapshotUse]int{eventsourcing.SnapshotOtherShape: 1}, kept.uses)

	o.fail = func(process.Request) error { return nil }
	require.NoError(t, o.work())
	assert.Equal(t, allLetters(), o.sent)
}

// What the engine stores in snapshots. If this text changes, so must the shape: raise pendingRevision.
func TestTheStoredStateOfAProcessHasItsShape(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &snapshots{uses: map[eventsourcing.SnapshotUse]int{}}
		spec := campaigns(1)
		spec.React = func(_ campaign, in process.Input) (r process.Reaction[eventsourcing.Event]) {
			if _, answered := in.(process.Answered); answered {
				panic("no reaction")
			}
			r.Events = []eventsourcing.Event{counted{}}
			r.Commands = []process.Command{process.Ask("letter", 1)}
			r.Set = []process.Timer{{Name: "end", Due: friday}}
			return r
		}
		o := newOffice(t, spec, nil)
		defer o.server.Close()
		o.build(kept.of(spec, 1, 1))
		o.happens("c", Lent{})
		o.hear("c")
		require.NoError(t, o.manager.Retry(t.Context(), "c", eventsourcing.Metadata{}))
		require.NoError(t, o.work())
		s, err := kept.Load(t.Context(), o.stream("c"))
		require.NoError(t, err)
		assert.Equal(t, "7dc9150ceebe92b8e93f8ea52bfc3e16+f385361bb99a58aeea09f946b942295f", s.Shape)
		assert.JSONEq(t, `{"of":{"asked":0,"answered":1},"version":5,`+
			`"open":[{"name":"letter","data":1,"version":2,"number":1,"at":"2000-01-01T00:00:00Z","correlationId":""}],`+
			`"timers":{"end":"2026-11-27T17:00:00Z"},"renewed":4,"parked":{"reason":"answer to command library/campaign/c/2#1: `+
			`reaction that cannot be carried out: panic: no reaction","at":"2000-01-01T00:00:00Z"},"cancelled":false}`, string(s.State))
	})
}
