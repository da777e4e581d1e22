package user_test

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

var updateSnapshots = flag.Bool("update-snapshots", false, "write testdata/snapshots anew for a new shape")

func TestASnapshotHoldsTheFoldedState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var history events
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			history = append(history, drawEvent(t))
		}
		aggregatetest.Snapshots(t, user.Aggregate(), history)
	})
}

func TestAChangedFoldNeedsANewShape(t *testing.T) {
	t.Parallel()
	aggregatetest.SnapshotShape(t, user.Aggregate(), "testdata/snapshots/history.json", *updateSnapshots)
}
