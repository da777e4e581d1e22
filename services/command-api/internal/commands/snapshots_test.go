package commands_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// away is a store of snapshots that always fails.
type away struct{ err error }

func (a away) Load(context.Context, eventsourcing.StreamID) (eventsourcing.Snapshot, error) {
	return eventsourcing.Snapshot{}, a.err
}
func (a away) Save(context.Context, eventsourcing.Snapshot) error   { return a.err }
func (a away) Forget(context.Context, eventsourcing.Snapshot) error { return a.err }

// newSnapshotting is a world whose Handler keeps a snapshot every three events and no state in memory. It must run in a
// bubble, where its writer works until the test ends.
func newSnapshotting(t *testing.T, store *memstore.Store, snapshots eventsourcing.Snapshots, logs *bytes.Buffer) *world {
	t.Helper()
	w := &world{t: t, store: store, registry: prometheus.NewRegistry()}
	var err error
	w.Handler, err = commands.NewHandler(commands.Config{
		Store: store, Now: time.Now, MaxAttempts: 3, Timeout: time.Minute, Metrics: w.registry,
		Logger: slog.New(slog.NewTextHandler(logs, nil)), Snapshots: snapshots, SnapshotEvery: 3,
	})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.WriteSnapshots(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	return w
}

// rename renames the role, which must exist, and waits until its snapshots are written.
func (w *world) rename(n int) {
	w.t.Helper()
	for i := range n {
		name := role.Name("name-" + strings.Repeat("x", i+1))
		_, err := w.Role(w.t.Context(), "rename", auditor, role.Rename{Name: name}, commands.Options{})
		require.NoError(w.t, err)
		synctest.Wait()
	}
}

func TestSnapshotsOfUsersAndRolesAreSaved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		store, snapshots := &memstore.Store{}, new(memstore.Snapshots)
		w := newSnapshotting(t, store, snapshots, &logs)
		w.annAndAuditor()
		w.rename(5)
		for n := range 5 {
			update := user.Update{FirstName: user.Name(fmt.Sprint("Ann", n)), LastName: "Lee"}
			_, err := w.User(t.Context(), "update", ann, update, commands.Options{})
			require.NoError(t, err)
			synctest.Wait()
		}
		for _, id := range []eventsourcing.StreamID{{Category: user.Category, ID: ann}, {Category: role.Category, ID: auditor}} {
			s, err := snapshots.Load(t.Context(), id)
			require.NoError(t, err)
			assert.Equal(t, eventsourcing.Version(6), s.Version)
		}
		later := newSnapshotting(t, store, snapshots, &logs)
		_, err := later.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
		require.NoError(t, err)
		assert.InDelta(t, 2, later.counted("snapshots_total", "loaded"), 0)
		assert.InDelta(t, 0, later.counted("snapshots_total", "saved"), 0)
		assert.Empty(t, logs.String())
	})
}

func TestAMissingSnapshotTableIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		w := newSnapshotting(t, &memstore.Store{}, away{errors.New("no such table")}, &logs)
		w.annAndAuditor()
		w.rename(9)
		assert.InDelta(t, 10, w.counted("commands_total", "rename", "accepted")+w.counted("commands_total", "create", "accepted"), 0)
		assert.Positive(t, w.counted("snapshots_total", "load_failed"))
		assert.Positive(t, w.counted("snapshots_total", "save_failed"))
		assert.Equal(t, 1, strings.Count(logs.String(), "\n"), logs.String())
		assert.Contains(t, logs.String(),
			`level=WARN msg="snapshots cannot be used, commands continue without them" result=save_failed error="no such table"`)
	})
}

// moody is a store of snapshots that fails while err is set.
type moody struct {
	memstore.Snapshots
	err error
}

func (m *moody) Save(ctx context.Context, s eventsourcing.Snapshot) error {
	if m.err != nil {
		return m.err
	}
	return m.Snapshots.Save(ctx, s)
}

func TestASecondFailureAfterASuccessIsLoggedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		m := &moody{err: errors.New("away")}
		w := newSnapshotting(t, &memstore.Store{}, m, &logs)
		w.annAndAuditor()
		w.rename(2) // to version 3
		m.err = nil
		w.rename(3)
		m.err = errors.New("away again")
		w.rename(3)
		assert.Equal(t, 2, strings.Count(logs.String(), "\n"), logs.String())
	})
}

func TestASnapshotOfAnotherEventLogIsLoggedWithoutItsState(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		snapshots := new(memstore.Snapshots)
		w := newSnapshotting(t, &memstore.Store{}, snapshots, &logs)
		w.annAndAuditor()
		w.rename(4)
		s, err := snapshots.Load(t.Context(), eventsourcing.StreamID{Category: role.Category, ID: auditor})
		require.NoError(t, err)
		s.Version, s.State = 100, bytes.Replace(s.State, []byte("name-xx"), []byte("name-of-another-log"), 1)
		require.NoError(t, snapshots.Save(t.Context(), s))
		_, err = w.Role(t.Context(), "disable", auditor, role.Disable{}, commands.Options{})
		require.NoError(t, err)
		assert.InDelta(t, 1, w.counted("snapshots_total", "ignored_log"), 0)
		assert.Contains(t, logs.String(), "snapshot of org/iam/role/"+auditor+" at version 100: ")
		assert.NotContains(t, logs.String(), "name-of-another-log")
		synctest.Wait()
		assert.InDelta(t, 1, w.counted("snapshots_total", "forgotten"), 0)
	})
}

func TestWriteSnapshotsWaitsForTheStopWithoutSnapshots(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.WriteSnapshots(ctx) }()
		synctest.Wait()
		assert.Empty(t, ended, "a part that ends would take the others down")
		stop()
		require.NoError(t, <-ended)
	})
}
