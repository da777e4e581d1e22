package role_test

import (
	"flag"
	"testing"

	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
)

var updateSnapshots = flag.Bool("update-snapshots", false, "write testdata/snapshots anew for a new shape")

func drawEvent(t *rapid.T) role.Event {
	return rapid.SampledFrom([]func() role.Event{
		func() role.Event { return role.Created{RoleID: "r1", Name: drawName(t)} },
		func() role.Event { return role.Renamed{Name: drawName(t)} },
		func() role.Event { return role.Disabled{} },
		func() role.Event { return role.Enabled{} },
		func() role.Event { return role.RulesChanged{Rules: drawRules(t)} },
		func() role.Event { return role.RetirementRequested{Members: 3} },
		func() role.Event { return role.RetirementCancelled{} },
		func() role.Event { return role.Retired{} },
	}).Draw(t, "event")()
}

func TestASnapshotHoldsTheFoldedState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var history []role.Event
		for range rapid.IntRange(0, 20).Draw(t, "events") {
			history = append(history, drawEvent(t))
		}
		aggregatetest.Snapshots(t, role.Aggregate(), history)
	})
}

func TestAChangedFoldNeedsANewShape(t *testing.T) {
	t.Parallel()
	aggregatetest.SnapshotShape(t, role.Aggregate(), "testdata/snapshots/history.json", *updateSnapshots)
}
