package dryrun_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/eventsourcing/eventstoretest"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

func TestADryRunSaysWhatAnAppendDoes(t *testing.T) {
	t.Parallel()
	eventstoretest.RunDryRuns(t, func(testing.TB) dryrun.Log { return new(memstore.Store) })
}

// renamed is the only event of a thing, whose state is its name.
type renamed struct {
	To string `json:"to"`
}

func (renamed) EventName() string { return "thing/renamed" }

func thing() eventsourcing.Aggregate[string, renamed] {
	codec := eventsourcing.NewCodec(renamed{})
	return eventsourcing.Aggregate[string, renamed]{
		Category: "thing", Codec: codec,
		Evolve: func(_ string, e renamed) string { return e.To },
		Claims: func(name string) []eventsourcing.Claim {
			if name == "" {
				return nil
			}
			return []eventsourcing.Claim{{Category: "thing", Name: "name", Value: name}}
		},
		States: snapshot.NewCodec[string](1, codec),
	}
}

var errSame = errors.New("has that name")

// rename is refused on what has the name.
type rename string

func (c rename) Decide(name string) ([]renamed, error) {
	if name == string(c) {
		return nil, errSame
	}
	return []renamed{{To: string(c)}}, nil
}

// world is a thing called a, then b, then c.
type world struct {
	*testing.T
	log *memstore.Store
}

var (
	stream = eventsourcing.StreamID{Category: "thing", ID: "1"} //nolint:gochecknoglobals // read only
	errAny = errors.New("any")
)

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{t, new(memstore.Store)}
	for _, name := range []rename{"a", "b", "c"} {
		require.NoError(t, w.do(w.log, nil, name))
	}
	return w
}

func (w world) do(store eventsourcing.Store, snapshots eventsourcing.Snapshots, c rename) error {
	w.Helper()
	r, err := eventsourcing.NewRepository(eventsourcing.Config[string, renamed]{
		Aggregate: thing(), Store: store, Snapshots: snapshots, SnapshotEvery: 1, MaxAttempts: 1,
	})
	require.NoError(w, err)
	_, err = r.Do(w.Context(), stream.ID, c)
	return err
}

func (w world) head() (v eventsourcing.Version) {
	w.Helper()
	for r, err := range w.log.Read(w.Context(), stream, 0) {
		require.NoError(w, err)
		v = r.Version
	}
	return v
}

func TestACommandIsDecidedOnTheVersionAskedFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		at      eventsourcing.Version
		command rename
		want    error
	}{
		"as it is":              {0, "d", nil},
		"as it is, refused":     {0, "c", errSame},
		"as it was":             {2, "c", nil},
		"as it was, refused":    {2, "b", errSame},
		"its last version":      {3, "c", errSame},
		"a version to come":     {4, "d", dryrun.ErrNoVersion},
		"long before it exists": {40, "a", dryrun.ErrNoVersion},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			trial := dryrun.New(w.log, stream, tt.at)
			require.ErrorIs(t, w.do(trial, nil, tt.command), tt.want)
			assert.Equal(t, eventsourcing.Version(3), w.head(), "nothing is written")
			if tt.want != nil {
				assert.Zero(t, trial.Outcome())
				return
			}
			would := trial.Outcome().Commit
			require.Len(t, would.Records, 1)
			assert.JSONEq(t, `{"to":"`+string(tt.command)+`"}`, string(would.Records[0].Data))
			assert.Equal(t, would.Expected+1, would.Records[0].Version)
			if tt.at > 0 {
				assert.Equal(t, tt.at+1, would.Records[0].Version)
				assert.Equal(t, []eventsourcing.Claim{{Category: "thing", Name: "name", Value: "b"}}, would.Release)
			}
			assert.Equal(t, []eventsourcing.Claim{{Category: "thing", Name: "name", Value: string(tt.command)}}, would.Take)
		})
	}
}

// noted is a set of snapshots that counts writes.
type noted struct {
	memstore.Snapshots
	loads, writes int
}

func (n *noted) Load(ctx context.Context, s eventsourcing.StreamID) (eventsourcing.Snapshot, error) {
	n.loads++
	return n.Snapshots.Load(ctx, s)
}

func (n *noted) Save(ctx context.Context, s eventsourcing.Snapshot) error {
	n.writes++
	return n.Snapshots.Save(ctx, s)
}

func (n *noted) Forget(ctx context.Context, s eventsourcing.Snapshot) error {
	n.writes++
	return n.Snapshots.Forget(ctx, s)
}

func TestSnapshotsAreReadAndNotWritten(t *testing.T) {
	t.Parallel()
	w, kept := newWorld(t), new(noted)
	require.NoError(t, w.do(w.log, kept, "d")) // a load of three events saves one
	writes := kept.writes
	require.NotZero(t, writes)
	for at := range eventsourcing.Version(5) {
		trial := dryrun.New(w.log, stream, at)
		require.NoError(t, w.do(trial, trial.Snapshots(kept), "e"), "at version %d", at)
	}
	assert.NotZero(t, kept.loads)
	assert.Equal(t, writes, kept.writes)

	wrong, err := kept.Snapshots.Load(t.Context(), stream)
	require.NoError(t, err)
	wrong.EventID, wrong.Version = "of another log", wrong.Version+1
	require.NoError(t, kept.Snapshots.Save(t.Context(), wrong))
	trial := dryrun.New(w.log, stream, 0)
	require.NoError(t, w.do(trial, trial.Snapshots(kept), "e"))
	assert.Equal(t, writes, kept.writes, "one that is wrong is left to those that write")
}

func TestACommandThatIsOnlyTriedIsNeverARepetition(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	trial := dryrun.New(w.log, stream, 0)
	require.NoError(t, trial.Remember(t.Context(), eventsourcing.CommandResult{ID: "one"}))
	_, err := w.log.Result(t.Context(), "one")
	require.ErrorIs(t, err, eventsourcing.ErrNoResult)
}

// broken fails to read what a dry run asks for.
type broken struct{ dryrun.Log }

func (broken) Owner(context.Context, eventsourcing.Claim) (eventsourcing.StreamID, error) {
	return eventsourcing.StreamID{}, errAny
}

func TestWhatCannotBeReadIsNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	trial := dryrun.New(broken{w.log}, stream, 0)
	require.ErrorIs(t, w.do(trial, nil, "d"), errAny)
	assert.Zero(t, trial.Outcome())
}
