package commands_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// twoWorlds are two processes on one store.
func twoWorlds(t *testing.T) (w, other *world) {
	t.Helper()
	w = newWorld(t, nil)
	other = newWorld(t, func(dryrun.Log) dryrun.Log { return w.store })
	other.store = w.store
	return w, other
}

func TestCacheHitsAndMissesAreCounted(t *testing.T) {
	t.Parallel()
	w, other := twoWorlds(t)
	update := func(w *world, name user.Name) {
		_, err := w.User(t.Context(), "update", ann, user.Update{FirstName: name, LastName: "Lee"}, commands.Options{})
		require.NoError(t, err)
	}
	w.annAndAuditor()  // two openings, which need no read
	update(w, "A")     // hit
	update(other, "B") // the other's miss
	update(w, "C")     // stale
	update(w, "D")     // hit
	update(w, "D")     // nothing to do, which takes a read to say
	for result, want := range map[string]float64{"miss": 0, "hit": 4, "stale": 2} {
		assert.InDelta(t, want, w.counted("state_cache_total", result), 0, result)
	}
	assert.InDelta(t, 1, other.counted("state_cache_total", "miss"), 0)
	assert.InDelta(t, 0, w.counted("command_conflicts_total", "stream"), 0, "a stale cache is not a conflict")
	assert.Len(t, w.events(ann), 5)
}

func TestARoleIsNotReadFromTheCache(t *testing.T) {
	t.Parallel()
	w, other := twoWorlds(t)
	w.annAndAuditor()
	_, err := other.Role(t.Context(), "disable", auditor, role.Disable{}, commands.Options{})
	require.NoError(t, err)
	_, err = w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.ErrorIs(t, err, user.ErrRoleDisabled)
	_, err = other.Role(t.Context(), "enable", auditor, role.Enable{}, commands.Options{})
	require.NoError(t, err)
	_, err = w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.NoError(t, err)
	assert.InDelta(t, 0, w.counted("command_conflicts_total", "guard"), 0, "the guard had nothing to do")
}

func TestReplaysAndConflictsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	options := func(key, fingerprint string) commands.Options {
		return commands.Options{Key: key, Fingerprint: fingerprint, Outcome: func(id string, after eventsourcing.Version) []byte {
			return fmt.Appendf(nil, "%s came to %d", id, after)
		}}
	}
	register := func(id string, d commands.Options) error {
		_, err := w.User(t.Context(), "register", id, user.Register{ID: user.ID(id), Email: "ann@example.com"}, d)
		return err
	}
	require.NoError(t, register(ann, options("k", "f")))
	var repeated *commands.RepeatedError
	require.ErrorAs(t, register(ben, options("k", "f")), &repeated)
	assert.Equal(t, ann+" came to 1", string(repeated.Outcome))
	require.ErrorIs(t, register(ann, options("k", "g")), problems.ErrKeyReused)
	require.ErrorIs(t, register(ann, commands.Options{
		AllowVersion: func(v eventsourcing.Version) bool { return v == 7 },
	}), eventsourcing.ErrVersionMismatch)
	for _, outcome := range []string{"accepted", "repeated", "idempotency_key_reused", "precondition_failed"} {
		assert.InDelta(t, 1, w.counted("commands_total", "register", outcome), 0, outcome)
	}
	_, err := w.store.Result(t.Context(), "anonymous k")
	require.NoError(t, err, "keys are each sender's own")
}

// damaged refuses to write a result twice, but cannot read it.
type damaged struct{ dryrun.Log }

func (s damaged) Result(context.Context, string) (eventsourcing.CommandResult, error) {
	return eventsourcing.CommandResult{}, fmt.Errorf("%w: no outcome", eventsourcing.ErrResultUnreadable)
}

func TestACommandWhoseResultCannotBeReadIsNotCarriedOutAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s dryrun.Log) dryrun.Log { return damaged{s} })
	options := commands.Options{Key: "k", Outcome: func(string, eventsourcing.Version) []byte { return nil }}
	version, err := w.User(t.Context(), "register", ann, user.Register{ID: ann, Email: "ann@example.com"}, options)
	require.NoError(t, err)
	assert.EqualValues(t, 1, version)
	_, err = w.User(t.Context(), "disable", ann, user.Disable{}, options)
	require.ErrorIs(t, err, eventsourcing.ErrResultUnreadable)
	assert.InDelta(t, 1, w.counted("commands_total", "disable", "result_unreadable"), 0)
	for r, err := range w.store.Read(t.Context(), eventsourcing.StreamID{Category: user.Category, ID: ann}, 1) {
		t.Fatal("carried out again", r, err)
	}
}

// forgetful refuses to write a result twice, but never finds it.
type forgetful struct{ dryrun.Log }

func (s forgetful) Result(context.Context, string) (eventsourcing.CommandResult, error) {
	return eventsourcing.CommandResult{}, eventsourcing.ErrNoResult
}

func TestACommandWithoutItsStoredResultIsBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s dryrun.Log) dryrun.Log { return forgetful{s} })
	options := commands.Options{Key: "k", Outcome: func(string, eventsourcing.Version) []byte { return nil }}
	for i, id := range []string{ann, ben} {
		_, err := w.User(t.Context(), "register", id, user.Register{ID: user.ID(id), Email: "ann@example.com"}, options)
		if i == 1 {
			require.ErrorIs(t, err, eventsourcing.ErrConflict)
		}
	}
	assert.InDelta(t, 1, w.counted("commands_total", "register", "busy"), 0)
}

// A dry run is counted as what it is, and what it has decided is in no cache, snapshot or log.
func TestADryRunLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.annAndAuditor()
	var would dryrun.Outcome
	version, err := w.User(t.Context(), "disable", ann, user.Disable{}, commands.Options{DryRun: &would})
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(2), version)
	require.Len(t, would.Commit.Records, 1)
	assert.Equal(t, "org/iam/user/disabled", would.Commit.Records[0].Name)
	assert.Len(t, w.events(ann), 1)
	assert.InDelta(t, 1, w.counted("commands_total", "disable", "dry_run"), 0)
	assert.InDelta(t, 1, w.counted("command_seconds", "disable"), 0)

	_, err = w.User(t.Context(), "enable", ann, user.Enable{}, commands.Options{DryRun: &would})
	require.ErrorIs(t, err, user.ErrEnabled)
	assert.Zero(t, would, "of a refusal nothing is left of the trial before")
	assert.InDelta(t, 1, w.counted("commands_total", "enable", user.ErrEnabled.Code), 0)
	_, err = w.User(t.Context(), "disable", ann, user.Disable{}, commands.Options{})
	require.NoError(t, err)
}
