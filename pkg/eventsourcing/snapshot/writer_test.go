package snapshot_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// slow takes its time for each write.
type slow struct {
	memstore.Snapshots
	takes time.Duration
	err   error
}

func (s *slow) Save(ctx context.Context, next eventsourcing.Snapshot) error {
	if s.err != nil {
		return s.err
	}
	select {
	case <-time.After(s.takes):
		return s.Snapshots.Save(ctx, next)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tally counts the uses it is called with.
type tally struct {
	mu   sync.Mutex
	uses []eventsourcing.SnapshotUse
}

func (c *tally) observe(u eventsourcing.SnapshotUse, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uses = append(c.uses, u)
}

func (c *tally) count(u eventsourcing.SnapshotUse) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.uses {
		if other == u {
			n++
		}
	}
	return n
}

func version(v eventsourcing.Version) eventsourcing.Snapshot {
	return eventsourcing.Snapshot{
		Stream: eventsourcing.StreamID{Category: "test", ID: "1"}, Version: v, EventID: "e", Shape: "s", State: []byte(`{}`),
	}
}

// running is a writer at work; stop ends it and returns how long that took.
func running(t *testing.T, s *slow) (w *snapshot.Writer, c *tally, stop func() time.Duration) {
	t.Helper()
	c = &tally{}
	w = snapshot.NewWriter(s, c.observe)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	return w, c, func() time.Duration {
		synctest.Wait()
		at := time.Now()
		cancel()
		require.NoError(t, <-ended)
		return time.Since(at)
	}
}

func TestSnapshotsAreWrittenBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: time.Second}
		w, c, stop := running(t, s)
		started := time.Now()
		require.NoError(t, w.Save(t.Context(), version(1)))
		assert.Zero(t, time.Since(started), "a command waited")
		_, err := w.Load(t.Context(), version(1).Stream)
		require.ErrorIs(t, err, eventsourcing.ErrNoSnapshot)
		time.Sleep(time.Second)
		synctest.Wait()
		got, err := w.Load(t.Context(), version(1).Stream)
		require.NoError(t, err)
		assert.Equal(t, version(1), got)
		require.NoError(t, w.Forget(t.Context(), version(1)))
		synctest.Wait()
		_, err = w.Load(t.Context(), version(1).Stream)
		require.ErrorIs(t, err, eventsourcing.ErrNoSnapshot)
		assert.Zero(t, stop())
		assert.Equal(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotSaved, eventsourcing.SnapshotForgotten}, c.uses)
	})
}

func TestWritesBeyondTheQueueAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, stop := running(t, &slow{takes: time.Millisecond})
		for v := range eventsourcing.Version(100) {
			require.NoError(t, w.Save(t.Context(), version(v+1)))
			synctest.Wait()
		}
		assert.Equal(t, 100-1-64, c.count(eventsourcing.SnapshotDropped), "one is in flight and 64 wait")
		stop()
		assert.Equal(t, 65, c.count(eventsourcing.SnapshotSaved))
		require.NoError(t, w.Save(t.Context(), version(101)), "nothing is written any more, and nothing waits")
	})
}

func TestQueuedSnapshotsAreWrittenAtTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: 100 * time.Millisecond}
		w, c, stop := running(t, s)
		for v := range eventsourcing.Version(5) {
			require.NoError(t, w.Save(t.Context(), version(v+1)))
		}
		assert.Equal(t, 500*time.Millisecond, stop())
		got, err := s.Load(t.Context(), version(1).Stream)
		require.NoError(t, err)
		assert.Equal(t, eventsourcing.Version(5), got.Version)
		assert.Equal(t, 5, c.count(eventsourcing.SnapshotSaved))
	})
}

func TestTheStopIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, stop := running(t, &slow{takes: time.Hour})
		for v := range eventsourcing.Version(64) {
			require.NoError(t, w.Save(t.Context(), version(v+1)))
		}
		assert.Equal(t, 4*time.Second, stop(), "for what is in flight, and for all that waits")
		assert.Equal(t, 64, c.count(eventsourcing.SnapshotUnsaved))
	})
}

func TestAStuckWriteDelaysTheNextByItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: time.Hour}
		w, c, stop := running(t, s)
		require.NoError(t, w.Save(t.Context(), version(1)))
		synctest.Wait()
		s.takes = 0
		require.NoError(t, w.Save(t.Context(), version(2)))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, []eventsourcing.SnapshotUse{eventsourcing.SnapshotUnsaved, eventsourcing.SnapshotSaved}, c.uses)
		stop()
	})
}

func TestFailedWritesAreReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, c, stop := running(t, &slow{err: errors.New("away")})
		for v := range eventsourcing.Version(3) {
			require.NoError(t, w.Save(t.Context(), version(v+1)))
		}
		stop()
		assert.Equal(t, slices.Repeat([]eventsourcing.SnapshotUse{eventsourcing.SnapshotUnsaved}, 3), c.uses)
	})
}
