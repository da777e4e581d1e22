package eventsourcing_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// spySnapshots records its calls. An error that is set takes the place of the call.
type spySnapshots struct {
	eventsourcing.Snapshots
	loads                          int
	saved, forgotten               []eventsourcing.Version
	failLoad, failSave, failForget error
	stuck                          bool // until the context ends
}

func newSpySnapshots() *spySnapshots { return &spySnapshots{Snapshots: new(memstore.Snapshots)} }

func (s *spySnapshots) Load(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Snapshot, error) {
	s.loads++
	if s.stuck {
		<-ctx.Done()
		return eventsourcing.Snapshot{}, ctx.Err()
	}
	if s.failLoad != nil {
		return eventsourcing.Snapshot{}, s.failLoad
	}
	return s.Snapshots.Load(ctx, stream)
}

func (s *spySnapshots) Save(ctx context.Context, saved eventsourcing.Snapshot) error {
	if s.failSave != nil {
		return s.failSave
	}
	s.saved = append(s.saved, saved.Version)
	return s.Snapshots.Save(ctx, saved)
}

func (s *spySnapshots) Forget(ctx context.Context, saved eventsourcing.Snapshot) error {
	if s.failForget != nil {
		return s.failForget
	}
	s.forgotten = append(s.forgotten, saved.Version)
	return s.Snapshots.Forget(ctx, saved)
}

// longCounters is a repository with a snapshot every three events, the uses that it reported, and a log of some events.
type longCounters struct {
	*counterRepository
	store     *watched
	snapshots *spySnapshots
	uses      []eventsourcing.SnapshotUse
	errs      []error
}

func newLong(t testing.TB, events int) *longCounters {
	t.Helper()
	store := new(memstore.Store)
	rival := newCounters(store)
	for range events {
		_, err := rival.Do(t.Context(), "c1", emit(counted{}))
		require.NoError(t, err)
	}
	c := &longCounters{store: &watched{Store: store}, snapshots: newSpySnapshots()}
	c.counterRepository = newCounters(c.store)
	c.NewID = func() string {
		return fmt.Sprintf("long %d", len(c.store.reads)+c.snapshots.loads+len(c.snapshots.saved))
	}
	c.Snapshots, c.SnapshotEvery = c.snapshots, 3
	c.OnSnapshot = func(u eventsourcing.SnapshotUse, err error) { c.uses, c.errs = append(c.uses, u), append(c.errs, err) }
	return c
}

// holds expects a load of that many events.
func (c *longCounters) holds(t testing.TB, n int) {
	t.Helper()
	state, version, err := c.Load(t.Context(), "c1")
	require.NoError(t, err)
	assert.Equal(t, n, state.N)
	assert.Equal(t, eventsourcing.Version(n), version)
}

func (c *longCounters) snapshot(t testing.TB) eventsourcing.Snapshot {
	t.Helper()
	s, err := c.snapshots.Snapshots.Load(t.Context(), eventsourcing.StreamID{Category: "test/counter", ID: "c1"})
	require.NoError(t, err)
	return s
}

func TestALongStreamIsReadFromItsSnapshot(t *testing.T) {
	t.Parallel()
	c := newLong(t, 10)
	c.holds(t, 10)
	assert.Equal(t, []eventsourcing.Version{0, 3}, c.store.reads)
	assert.Equal(t, []eventsourcing.Version{10}, c.snapshots.saved)
	s := c.snapshot(t)
	assert.Equal(t, "e10", s.EventID)
	assert.Equal(t, c.Aggregate.States.Shape(), s.Shape)
	assert.JSONEq(t, `{"name":"","n":10}`, string(s.State))

	c.store.reads = nil
	c.holds(t, 10)
	assert.Equal(t, []eventsourcing.Version{0, 9}, c.store.reads, "what begins the stream, and the snapshot's own event")
	assert.Equal(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotNone, eventsourcing.SnapshotLoaded}, c.uses)
	assert.Equal(t, []eventsourcing.Version{10}, c.snapshots.saved, "nothing is new, so nothing is saved")
}

func TestEventsAfterTheSnapshotAreRead(t *testing.T) {
	t.Parallel()
	c := newLong(t, 10)
	c.holds(t, 10)
	rival := newCounters(c.store.Store)
	rival.NewID = func() string { return "another" }
	for n := 11; n <= 13; n++ {
		_, err := rival.Do(t.Context(), "c1", emit(counted{}))
		require.NoError(t, err)
		c.holds(t, n)
	}
	assert.Equal(t, []eventsourcing.Version{10, 13}, c.snapshots.saved, "three were read since")
}

func TestAShortStreamLoadsNoSnapshot(t *testing.T) {
	t.Parallel()
	for n := range 4 {
		c := newLong(t, n)
		c.holds(t, n)
		assert.Zero(t, c.snapshots.loads)
		assert.Equal(t, []eventsourcing.Version{0}, c.store.reads)
	}
}

func TestAStaleCachedStateNeedsNoSnapshot(t *testing.T) {
	t.Parallel()
	c := newLong(t, 2)
	c.Cache = eventsourcing.NewCache[counter](1)
	c.holds(t, 2)
	rival := newCounters(c.store.Store)
	rival.NewID = func() string { return "another" }
	add := func(n int) {
		for range n {
			_, err := rival.Do(t.Context(), "c1", emit(counted{}))
			require.NoError(t, err)
		}
	}
	add(3)
	c.holds(t, 5)
	assert.Zero(t, c.snapshots.loads)
	add(4)
	c.holds(t, 9)
	assert.Equal(t, 1, c.snapshots.loads, "four were to be read")
}

func TestASnapshotIsSavedEveryNEvents(t *testing.T) {
	t.Parallel()
	c := newLong(t, 0)
	c.Cache = eventsourcing.NewCache[counter](1)
	for _, n := range []int{1, 1, 2, 1, 1, 7, 1} { // to versions 1, 2, 4, 5, 6, 13, 14
		events := make([]event, n)
		for i := range events {
			events[i] = counted{}
		}
		ids := 0
		before := len(c.snapshots.saved)
		c.NewID = func() string { ids++; return fmt.Sprintf("%d of %d after %d", ids, n, before) }
		_, err := c.Do(t.Context(), "c1", emit(events...))
		require.NoError(t, err)
	}
	assert.Equal(t, []eventsourcing.Version{4, 6, 13}, c.snapshots.saved)
	assert.Equal(t, "7 of 7 after 2", c.snapshot(t).EventID, "the last of its commit")
	c.Cache = nil
	c.holds(t, 14)
	assert.Equal(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotLoaded}, c.uses)
}

// A caller that appends by itself, with other writes for example, loses neither the cache nor the snapshots.
func TestACommitThatTheCallerAppendedIsKeptAsAnyOther(t *testing.T) {
	t.Parallel()
	c := newLong(t, 0)
	c.Cache = eventsourcing.NewCache[counter](1)
	for v := range eventsourcing.Version(4) {
		commit := eventsourcing.Commit{
			Stream: eventsourcing.StreamID{Category: "test/counter", ID: "c1"}, Expected: v,
			Records: []eventsourcing.Record{{
				ID: fmt.Sprint("own ", v+1), Stream: eventsourcing.StreamID{Category: "test/counter", ID: "c1"}, Version: v + 1,
				Name: counted{}.EventName(), Schema: 1, Data: []byte(`{}`), RecordedAt: time.UnixMilli(1),
			}},
		}
		require.NoError(t, c.Store.Append(t.Context(), commit))
		c.repository().Appended(t.Context(), commit, counter{N: int(v) + 1})
	}
	assert.Equal(t, []eventsourcing.Version{3}, c.snapshots.saved)
	assert.Equal(t, "own 3", c.snapshot(t).EventID)
	c.holds(t, 4)
	assert.Equal(t, []eventsourcing.Version{3}, c.store.reads, "from the cached state on")
}

func TestAFailedAppendSavesNoSnapshot(t *testing.T) {
	t.Parallel()
	c := newLong(t, 2)
	c.Store = &scripted{Store: c.store, before: func(int) error { return eventsourcing.ErrUnavailable }}
	_, err := c.Do(t.Context(), "c1", emit(counted{}))
	require.ErrorIs(t, err, eventsourcing.ErrUnavailable)
	assert.Empty(t, c.snapshots.saved)
}

// holding makes a snapshot hold another state.
func holding(state string) func(*eventsourcing.Snapshot) {
	return func(s *eventsourcing.Snapshot) { s.State = []byte(state) }
}

// The wrong snapshots all say that ten events have counted to 999.
func TestAWrongSnapshotIsIgnored(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		spoil     func(*eventsourcing.Snapshot)
		use       eventsourcing.SnapshotUse
		forgotten bool
	}{
		"beyond the log's head":       {func(s *eventsourcing.Snapshot) { s.Version = 11 }, eventsourcing.SnapshotOtherLog, true},
		"far beyond the log's head":   {func(s *eventsourcing.Snapshot) { s.Version = 1 << 40 }, eventsourcing.SnapshotOtherLog, true},
		"of another event":            {func(s *eventsourcing.Snapshot) { s.EventID = "e9" }, eventsourcing.SnapshotOtherLog, true},
		"of another version":          {func(s *eventsourcing.Snapshot) { s.Version = 9 }, eventsourcing.SnapshotOtherLog, true},
		"of no event":                 {func(s *eventsourcing.Snapshot) { s.EventID = "" }, eventsourcing.SnapshotUndecodable, true},
		"of another shape":            {func(s *eventsourcing.Snapshot) { s.Shape = "another" }, eventsourcing.SnapshotOtherShape, false},
		"of no shape":                 {func(s *eventsourcing.Snapshot) { s.Shape = "" }, eventsourcing.SnapshotOtherShape, false},
		"not JSON":                    {holding(`{"n":999`), eventsourcing.SnapshotUndecodable, true},
		"null":                        {holding(`null`), eventsourcing.SnapshotUndecodable, true},
		"with a number too large":     {holding(`{"name":"","n":999e999}`), eventsourcing.SnapshotUndecodable, true},
		"with a field too many":       {holding(`{"name":"","n":999,"m":1}`), eventsourcing.SnapshotUndecodable, true},
		"with a field too few":        {holding(`{"n":999}`), eventsourcing.SnapshotUndecodable, true},
		"of what is known already":    {func(s *eventsourcing.Snapshot) { s.Version, s.EventID = 3, "e3" }, eventsourcing.SnapshotNone, false},
		"of less than what was known": {func(s *eventsourcing.Snapshot) { s.Version, s.EventID = 2, "e2" }, eventsourcing.SnapshotNone, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newLong(t, 10)
			s := eventsourcing.Snapshot{
				Stream: eventsourcing.StreamID{Category: "test/counter", ID: "c1"}, Version: 10, EventID: "e10",
				Shape: c.Aggregate.States.Shape(), State: []byte(`{"name":"","n":999}`),
			}
			tt.spoil(&s)
			require.NoError(t, c.snapshots.Snapshots.Save(t.Context(), s))
			c.holds(t, 10)
			assert.Equal(t, tt.use, c.uses[0])
			if tt.forgotten {
				assert.Equal(t, []eventsourcing.Version{s.Version}, c.snapshots.forgotten)
				require.Error(t, c.errs[0])
				assert.NotContains(t, c.errs[0].Error(), "999", "a state may be personal")
			} else {
				assert.Empty(t, c.snapshots.forgotten)
				require.NoError(t, c.errs[0])
			}
			c.holds(t, 10)
			assert.Equal(t, eventsourcing.SnapshotLoaded, c.uses[len(c.uses)-1], "a right one has taken its place")
		})
	}
}

func TestASnapshotThatTheLogConfirmsIsUsed(t *testing.T) { // or the test above would prove nothing
	t.Parallel()
	c := newLong(t, 10)
	require.NoError(t, c.snapshots.Snapshots.Save(t.Context(), eventsourcing.Snapshot{
		Stream: eventsourcing.StreamID{Category: "test/counter", ID: "c1"}, Version: 10, EventID: "e10",
		Shape: c.Aggregate.States.Shape(), State: []byte(`{"name":"","n":999}`),
	}))
	state, _, err := c.Load(t.Context(), "c1")
	require.NoError(t, err)
	assert.Equal(t, 999, state.N)
}

func TestAChangedFoldIgnoresOlderSnapshots(t *testing.T) {
	t.Parallel()
	c := newLong(t, 10)
	c.holds(t, 10)
	c.Aggregate.States = snapshot.NewCodec[counter](2, c.Aggregate.Codec)
	c.Aggregate.Evolve = func(s counter, _ event) counter { s.N += 2; return s }
	state, _, err := c.Load(t.Context(), "c1")
	require.NoError(t, err)
	assert.Equal(t, 20, state.N)
	assert.JSONEq(t, `{"name":"","n":20}`, string(c.snapshot(t).State), "and leaves its own at once")
}

func TestFailedSnapshotsFailNoCommand(t *testing.T) {
	t.Parallel()
	errAway := errors.New("away")
	for name, spoil := range map[string]func(*longCounters){
		"load": func(c *longCounters) { c.snapshots.failLoad = errAway },
		"save": func(c *longCounters) { c.snapshots.failSave = errAway },
		"forget": func(c *longCounters) {
			c.snapshots.failForget = errAway
			require.NoError(t, c.snapshots.Snapshots.Save(t.Context(), eventsourcing.Snapshot{
				Stream: eventsourcing.StreamID{Category: "test/counter", ID: "c1"}, Version: 11, EventID: "no", Shape: c.Aggregate.States.Shape(),
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newLong(t, 10)
			spoil(c)
			version, err := c.Do(t.Context(), "c1", emit(counted{}, counted{}, counted{}))
			require.NoError(t, err)
			assert.Equal(t, eventsourcing.Version(13), version)
			failed := 0
			for i, err := range c.errs {
				if errors.Is(err, errAway) {
					failed++
					assert.Contains(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotUnread, eventsourcing.SnapshotUnsaved}, c.uses[i])
				}
			}
			assert.Positive(t, failed, "a failure must be reported")
		})
	}
}

func TestALoadWaitsForASnapshotOnlyUpToItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newLong(t, 10)
		c.snapshots.stuck = true
		started := time.Now()
		c.holds(t, 10)
		assert.Equal(t, 500*time.Millisecond, time.Since(started))
		assert.Equal(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotUnread}, c.uses)
	})
}

func TestWithoutSnapshotsNoneIsSaved(t *testing.T) {
	t.Parallel()
	for name, without := range map[string]func(*longCounters){
		"place to keep them": func(c *longCounters) { c.Snapshots = nil },
		"encoding":           func(c *longCounters) { c.Aggregate.States = nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newLong(t, 10)
			without(c)
			_, err := c.Do(t.Context(), "c1", emit(counted{}, counted{}, counted{}))
			require.NoError(t, err)
			assert.Empty(t, c.uses)
			assert.Empty(t, c.snapshots.saved)
			assert.Equal(t, []eventsourcing.Version{0}, c.store.reads)
		})
	}
}

func TestSnapshotsComeEveryHundredEventsByDefault(t *testing.T) {
	t.Parallel()
	c := newLong(t, 99)
	c.SnapshotEvery = 0
	_, err := c.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	assert.Equal(t, []eventsourcing.Version{100}, c.snapshots.saved)
}

// torn is a Store whose reads from a version on break off.
type torn struct {
	eventsourcing.Store
	from eventsourcing.Version
	err  error
}

func (s torn) Read(ctx context.Context, id eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	if after < s.from {
		return s.Store.Read(ctx, id, after)
	}
	return func(yield func(eventsourcing.Record, error) bool) { yield(eventsourcing.Record{}, s.err) }
}

// shortOfTime is a Store whose reads break off after some records.
type shortOfTime struct {
	eventsourcing.Store
	after int
}

func (s shortOfTime) Read(
	ctx context.Context, id eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		read := 0
		for rec, err := range s.Store.Read(ctx, id, after) {
			if read == s.after {
				yield(eventsourcing.Record{}, context.DeadlineExceeded)
				return
			}
			if read++; !yield(rec, err) {
				return
			}
		}
	}
}

func TestALoadThatIsBrokenOffIsContinuedByTheNext(t *testing.T) {
	t.Parallel()
	c := newLong(t, 20)
	whole := c.Store
	c.Store = shortOfTime{whole, 8}
	cut, cancel := context.WithCancel(t.Context())
	for _, at := range []eventsourcing.Version{11, 18} {
		_, _, err := c.Load(cut, "c1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, at, c.snapshot(t).Version)
	}
	c.holds(t, 20)
	assert.Equal(t, []eventsourcing.Version{11, 18}, c.snapshots.saved)
	cancel()

	c.snapshots.Snapshots = new(memstore.Snapshots) // they were lost
	_, _, err := c.Load(t.Context(), "c1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c.Store = whole
	c.holds(t, 20)
}

// A load that is not confirmed by the log, or has read next to nothing, has nothing to save.
func TestALoadThatIsBrokenOffAtOnceSavesNothing(t *testing.T) {
	t.Parallel()
	c := newLong(t, 20)
	whole := c.Store
	for after := range 3 {
		c.Store = shortOfTime{whole, after}
		_, _, err := c.Load(t.Context(), "c1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	assert.Empty(t, c.snapshots.saved)
}

func TestAFailedReadOfTheLogRemovesNoSnapshot(t *testing.T) {
	t.Parallel()
	c := newLong(t, 10)
	c.holds(t, 10)
	errAway := errors.New("away")
	c.Store = torn{Store: c.Store, from: 9, err: errAway}
	_, _, err := c.Load(t.Context(), "c1")
	require.ErrorIs(t, err, errAway)
	require.ErrorContains(t, err, "load test/counter/c1: ")
	assert.Empty(t, c.snapshots.forgotten)
	assert.Equal(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotNone}, c.uses)
}

// TestSnapshotsChangeNoAnswer runs one scenario twice: by builds of two shapes, with caches or not, that share snapshots
// which are lost and forged at random, and by one that has none.
func TestSnapshotsChangeNoAnswer(t *testing.T) {
	t.Parallel()
	uses := map[eventsourcing.SnapshotUse]int{}
	rapid.Check(t, func(t *rapid.T) {
		store, snapshots, mirror := new(memstore.Store), new(memstore.Snapshots), newCounters(new(memstore.Store))
		writers := make([]*counterRepository, 3)
		ids := 0
		for i := range writers {
			w := newCounters(store)
			w.NewID = func() string { ids++; return fmt.Sprintf("e%d", ids) }
			w.Snapshots, w.SnapshotEvery = snapshots, rapid.IntRange(1, 4).Draw(t, "every")
			w.OnSnapshot = func(u eventsourcing.SnapshotUse, _ error) { uses[u]++ }
			w.Aggregate.States = snapshot.NewCodec[counter](i%2, w.Aggregate.Codec)
			if rapid.Bool().Draw(t, "cached") {
				w.Cache = eventsourcing.NewCache[counter](1)
			}
			writers[i] = w
		}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			id := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id")
			events := rapid.SampledFrom([][]event{{counted{}}, {counted{}, counted{}}, {named{"a" + id}}, {}}).Draw(t, "events")
			writer := rapid.SampledFrom(writers).Draw(t, "writer")
			want, _ := mirror.Do(context.Background(), id, emit(events...))
			got, err := writer.Do(context.Background(), id, emit(events...))
			if got != want || err != nil {
				t.Fatalf("with snapshots: %d, %v; without: %d", got, err, want)
			}
			mishap(t, snapshots, id, writers[0].Aggregate.States.Shape())
			wantState, _, _ := mirror.Load(context.Background(), id)
			if state, version, err := writer.Load(context.Background(), id); state != wantState || version != want || err != nil {
				t.Fatalf("with snapshots: %v at %d, %v; without: %v at %d", state, version, err, wantState, want)
			}
		}
	})
	for _, u := range []eventsourcing.SnapshotUse{
		eventsourcing.SnapshotLoaded, eventsourcing.SnapshotNone, eventsourcing.SnapshotOtherShape,
		eventsourcing.SnapshotOtherLog, eventsourcing.SnapshotUndecodable,
	} {
		assert.Positive(t, uses[u], "%s: did not occur in the scenario", u)
	}
}

// mishap leaves a snapshot alone, loses it, or replaces it by a wrong one.
func mishap(t *rapid.T, snapshots *memstore.Snapshots, id, shape string) {
	ctx := context.Background()
	s, err := snapshots.Load(ctx, eventsourcing.StreamID{Category: "test/counter", ID: id})
	if err != nil {
		return
	}
	switch rapid.IntRange(0, 5).Draw(t, "mishap") {
	case 0:
		_ = snapshots.Forget(ctx, s)
	case 1: // as after a restore of the log
		_ = snapshots.Forget(ctx, s)
		s.Version, s.State = s.Version+eventsourcing.Version(rapid.IntRange(0, 3).Draw(t, "ahead")), []byte(`{"name":"","n":999}`)
		s.EventID, s.Shape = "of another log", shape
		_ = snapshots.Save(ctx, s)
	case 2:
		_ = snapshots.Forget(ctx, s)
		s.State = []byte(`{`)
		_ = snapshots.Save(ctx, s)
	default:
	}
}
