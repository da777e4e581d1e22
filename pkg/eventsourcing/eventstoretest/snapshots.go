package eventstoretest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// RunSnapshots tests one implementation against the contract of eventsourcing.Snapshots. newSnapshots is called once per
// test, from parallel tests; every test keeps to streams of its own.
func RunSnapshots(t *testing.T, newSnapshots func(testing.TB) eventsourcing.Snapshots) {
	t.Helper()
	for name, test := range snapshots {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(snapshotFixture{T: t, snapshots: newSnapshots(t), category: "conformance/" + rand.Text()})
		})
	}
}

// snapshotFixture is one test's snapshots and the category that only this test uses.
type snapshotFixture struct {
	*testing.T
	snapshots eventsourcing.Snapshots
	category  string
}

var snapshots = map[string]func(snapshotFixture){
	"a snapshot loads as it was saved": func(f snapshotFixture) {
		s := f.snapshot("1", 7, "shape")
		s.State = json.RawMessage(`{"name":"Zoë \u003cz\u003e","none":null,"n":18446744073709551615}`)
		f.save(s)
		f.keeps(s)
	},
	"a stream without a snapshot has none": func(f snapshotFixture) {
		f.save(f.snapshot("1", 7, "shape"))
		f.keepsNone("2")
	},
	"streams are kept apart": func(f snapshotFixture) {
		one, two := f.snapshot("1", 7, "shape"), f.snapshot("2", 3, "shape")
		f.save(one, two)
		f.keeps(one)
		f.keeps(two)
	},
	"a newer snapshot replaces an older one": func(f snapshotFixture) {
		newer := f.snapshot("1", 10, "shape")
		f.save(f.snapshot("1", 9, "shape"), newer) // 9 < 10 by number, not by text
		f.keeps(newer)
	},
	"an older snapshot never replaces a newer one": func(f snapshotFixture) {
		newer := f.snapshot("1", 10, "shape")
		f.save(newer, f.snapshot("1", 9, "shape"), f.snapshot("1", 9, "another shape"))
		f.keeps(newer)
	},
	"of one version and shape the first stays": func(f snapshotFixture) {
		first := f.snapshot("1", 9, "shape")
		f.save(first, f.snapshot("1", 9, "shape"))
		f.keeps(first)
	},
	"a new shape replaces another at the same version": func(f snapshotFixture) {
		again := f.snapshot("1", 9, "another shape")
		f.save(f.snapshot("1", 9, "shape"), again)
		f.keeps(again)
	},
	"after Forget an older snapshot can be saved": func(f snapshotFixture) {
		s, older := f.snapshot("1", 9, "shape"), f.snapshot("1", 2, "shape")
		f.save(s)
		require.NoError(f, f.snapshots.Forget(f.Context(), s))
		f.keepsNone("1")
		f.save(older)
		f.keeps(older)
	},
	"Forget removes only the snapshot it names": func(f snapshotFixture) {
		s := f.snapshot("1", 9, "shape")
		f.save(s)
		for _, other := range []func(*eventsourcing.Snapshot){
			func(s *eventsourcing.Snapshot) { s.Version++ },
			func(s *eventsourcing.Snapshot) { s.EventID = "another" },
			func(s *eventsourcing.Snapshot) { s.Shape = "another" },
			func(s *eventsourcing.Snapshot) { s.Stream.ID = "another" },
		} {
			changed := s
			other(&changed)
			require.NoError(f, f.snapshots.Forget(f.Context(), changed))
			f.keeps(s)
		}
	},
	"the newest of a race stays": func(f snapshotFixture) {
		var racing sync.WaitGroup
		for v := range eventsourcing.Version(16) {
			s := f.snapshot("1", v+1, "shape")
			racing.Go(func() {
				if err := f.snapshots.Save(f.Context(), s); err != nil {
					f.Errorf("save version %d: %v", s.Version, err)
				}
			})
		}
		racing.Wait()
		s, err := f.snapshots.Load(f.Context(), f.stream("1"))
		require.NoError(f, err)
		require.Equal(f, eventsourcing.Version(16), s.Version)
	},
	"an ended context does nothing": func(f snapshotFixture) {
		kept, never := f.snapshot("1", 9, "shape"), f.snapshot("1", 10, "shape")
		f.save(kept)
		ctx, cancel := context.WithCancel(f.Context())
		cancel()
		_, err := f.snapshots.Load(ctx, kept.Stream)
		require.ErrorIs(f, err, context.Canceled)
		require.ErrorIs(f, f.snapshots.Save(ctx, never), context.Canceled)
		require.ErrorIs(f, f.snapshots.Forget(ctx, kept), context.Canceled)
		f.keeps(kept)
	},
	"callers keep their slices": func(f snapshotFixture) {
		s := f.snapshot("1", 9, "shape")
		mine := s
		mine.State = json.RawMessage(string(s.State))
		f.save(mine)
		clear(mine.State)
		for range 2 { // a loaded snapshot belongs to the caller, too
			got, err := f.snapshots.Load(f.Context(), s.Stream)
			require.NoError(f, err)
			require.Equal(f, s, got)
			clear(got.State)
		}
	},
}

func (f snapshotFixture) stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: f.category, ID: id}
}

// snapshot is unlike any other.
func (f snapshotFixture) snapshot(id string, v eventsourcing.Version, shape string) eventsourcing.Snapshot {
	return eventsourcing.Snapshot{
		Stream: f.stream(id), Version: v, EventID: rand.Text(), Shape: shape,
		State: json.RawMessage(`{"of":"` + rand.Text() + `"}`),
	}
}

func (f snapshotFixture) save(all ...eventsourcing.Snapshot) {
	f.Helper()
	for _, s := range all {
		require.NoError(f, f.snapshots.Save(f.Context(), s))
	}
}

func (f snapshotFixture) keeps(s eventsourcing.Snapshot) {
	f.Helper()
	got, err := f.snapshots.Load(f.Context(), s.Stream)
	require.NoError(f, err)
	require.Equal(f, s, got)
}

func (f snapshotFixture) keepsNone(id string) {
	f.Helper()
	_, err := f.snapshots.Load(f.Context(), f.stream(id))
	require.ErrorIs(f, err, eventsourcing.ErrNoSnapshot)
}
