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

// RunSnapshots holds one implementation to the contract of eventsourcing.Snapshots. newSnapshots is called once per
// test, from parallel tests; every test keeps to streams of its own.
func RunSnapshots(t *testing.T, newSnapshots func(testing.TB) eventsourcing.Snapshots) {
	t.Helper()
	for name, test := range snapshots {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(album{T: t, snapshots: newSnapshots(t), category: "conformance/" + rand.Text()})
		})
	}
}

// album is one test's snapshots and the corner of them that is the test's own.
type album struct {
	*testing.T
	snapshots eventsourcing.Snapshots
	category  string
}

var snapshots = map[string]func(album){
	"what is kept comes back as it was": func(a album) {
		s := a.snapshot("1", 7, "shape")
		s.State = json.RawMessage(`{"name":"Zoë \u003cz\u003e","none":null,"n":18446744073709551615}`)
		a.save(s)
		a.keeps(s)
	},
	"there may be none": func(a album) {
		a.save(a.snapshot("1", 7, "shape"))
		a.keepsNone("2")
	},
	"streams are kept apart": func(a album) {
		one, two := a.snapshot("1", 7, "shape"), a.snapshot("2", 3, "shape")
		a.save(one, two)
		a.keeps(one)
		a.keeps(two)
	},
	"a newer one takes the place": func(a album) {
		newer := a.snapshot("1", 10, "shape")
		a.save(a.snapshot("1", 9, "shape"), newer) // 9 < 10 by number, not by text
		a.keeps(newer)
	},
	"an older one never replaces a newer one": func(a album) {
		newer := a.snapshot("1", 10, "shape")
		a.save(newer, a.snapshot("1", 9, "shape"), a.snapshot("1", 9, "another shape"))
		a.keeps(newer)
	},
	"of one version and shape the first stays": func(a album) {
		first := a.snapshot("1", 9, "shape")
		a.save(first, a.snapshot("1", 9, "shape"))
		a.keeps(first)
	},
	"a new shape takes the place at the same version": func(a album) {
		again := a.snapshot("1", 9, "another shape")
		a.save(a.snapshot("1", 9, "shape"), again)
		a.keeps(again)
	},
	"what is forgotten is gone, and an older one may come": func(a album) {
		s, older := a.snapshot("1", 9, "shape"), a.snapshot("1", 2, "shape")
		a.save(s)
		require.NoError(a, a.snapshots.Forget(a.Context(), s))
		a.keepsNone("1")
		a.save(older)
		a.keeps(older)
	},
	"only what is kept can be forgotten": func(a album) {
		s := a.snapshot("1", 9, "shape")
		a.save(s)
		for _, other := range []func(*eventsourcing.Snapshot){
			func(s *eventsourcing.Snapshot) { s.Version++ },
			func(s *eventsourcing.Snapshot) { s.EventID = "another" },
			func(s *eventsourcing.Snapshot) { s.Shape = "another" },
			func(s *eventsourcing.Snapshot) { s.Stream.ID = "another" },
		} {
			changed := s
			other(&changed)
			require.NoError(a, a.snapshots.Forget(a.Context(), changed))
			a.keeps(s)
		}
	},
	"the newest of a race stays": func(a album) {
		var racing sync.WaitGroup
		for v := range eventsourcing.Version(16) {
			s := a.snapshot("1", v+1, "shape")
			racing.Go(func() {
				if err := a.snapshots.Save(a.Context(), s); err != nil {
					a.Errorf("save version %d: %v", s.Version, err)
				}
			})
		}
		racing.Wait()
		s, err := a.snapshots.Load(a.Context(), a.stream("1"))
		require.NoError(a, err)
		require.Equal(a, eventsourcing.Version(16), s.Version)
	},
	"an ended context does nothing": func(a album) {
		kept, never := a.snapshot("1", 9, "shape"), a.snapshot("1", 10, "shape")
		a.save(kept)
		ctx, cancel := context.WithCancel(a.Context())
		cancel()
		_, err := a.snapshots.Load(ctx, kept.Stream)
		require.ErrorIs(a, err, context.Canceled)
		require.ErrorIs(a, a.snapshots.Save(ctx, never), context.Canceled)
		require.ErrorIs(a, a.snapshots.Forget(ctx, kept), context.Canceled)
		a.keeps(kept)
	},
	"callers keep their slices": func(a album) {
		s := a.snapshot("1", 9, "shape")
		mine := s
		mine.State = json.RawMessage(string(s.State))
		a.save(mine)
		clear(mine.State)
		for range 2 { // what is loaded is the caller's own, too
			got, err := a.snapshots.Load(a.Context(), s.Stream)
			require.NoError(a, err)
			require.Equal(a, s, got)
			clear(got.State)
		}
	},
}

func (a album) stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: a.category, ID: id}
}

// snapshot is unlike any other.
func (a album) snapshot(id string, v eventsourcing.Version, shape string) eventsourcing.Snapshot {
	return eventsourcing.Snapshot{
		Stream: a.stream(id), Version: v, EventID: rand.Text(), Shape: shape,
		State: json.RawMessage(`{"of":"` + rand.Text() + `"}`),
	}
}

func (a album) save(all ...eventsourcing.Snapshot) {
	a.Helper()
	for _, s := range all {
		require.NoError(a, a.snapshots.Save(a.Context(), s))
	}
}

func (a album) keeps(s eventsourcing.Snapshot) {
	a.Helper()
	got, err := a.snapshots.Load(a.Context(), s.Stream)
	require.NoError(a, err)
	require.Equal(a, s, got)
}

func (a album) keepsNone(id string) {
	a.Helper()
	_, err := a.snapshots.Load(a.Context(), a.stream(id))
	require.ErrorIs(a, err, eventsourcing.ErrNoSnapshot)
}
