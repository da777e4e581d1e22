package retirement_test

import (
	"flag"
	"testing"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

var updateSnapshots = flag.Bool("update-snapshots", false, "write testdata/snapshots anew for a new shape")

func TestAChangedFoldNeedsANewShape(t *testing.T) {
	t.Parallel()
	spec := retirement.Spec()
	aggregatetest.SnapshotShape(t, eventsourcing.Aggregate[retirement.State, retirement.Event]{
		Category: spec.Category, Evolve: spec.Evolve, Codec: spec.Codec, States: spec.States,
	}, "testdata/snapshots/history.json", *updateSnapshots)
}
