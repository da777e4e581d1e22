package simulation

import (
	"slices"
	"testing"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// Shrink searches for a smaller plan that breaks the same promise: it leaves out one thing after the other, then halves
// numbers. It returns the last report that did.
func Shrink(t *testing.T, failed *Report, mostRuns int) *Report {
	t.Helper()
	best, promise := failed, failed.Breaches[0].Promise
	try := func(change func(*Plan)) bool {
		p := best.Plan
		p.Faults, p.Moves = slices.Clone(p.Faults), slices.Clone(p.Moves)
		before := p.String()
		if change(&p); p.String() == before || mostRuns == 0 {
			return false
		}
		mostRuns--
		r := Run(t, p)
		if !slices.ContainsFunc(r.Breaches, func(b Breach) bool { return b.Promise == promise }) {
			return false
		}
		slices.SortStableFunc(r.Breaches, func(a, b Breach) int { // the promise in question comes first
			return boolRank(b.Promise == promise) - boolRank(a.Promise == promise)
		})
		best = r
		return true
	}
	for _, change := range []func(*Plan){
		func(p *Plan) { p.Moves = nil }, func(p *Plan) { p.Outage = 0 }, func(p *Plan) { p.Faults = nil },
		func(p *Plan) { p.Denied = nil }, func(p *Plan) { p.Upgrade = "" }, func(p *Plan) { p.Rebuilds = false },
		func(p *Plan) { p.Audits = false }, func(p *Plan) { p.Archive, p.LogLost = false, false }, func(p *Plan) { p.StorageFaults = 0 },
		func(p *Plan) { p.LogLost = false }, func(p *Plan) { p.Crowd = false },
		func(p *Plan) { p.Pause = 0 }, func(p *Plan) { p.Kill = 0 }, func(p *Plan) { p.Silent = 0 }, func(p *Plan) { p.EdgeRepeats = false },
	} {
		try(change)
	}
	for _, kind := range []localaws.FaultKind{
		localaws.FaultThrottle, localaws.FaultFail, localaws.FaultLoseAnswer, localaws.FaultPartial,
		localaws.FaultTransactionConflict, localaws.FaultExpireIterator, localaws.FaultDuplicate, localaws.FaultReorder,
		localaws.FaultRedeliver,
	} {
		try(func(p *Plan) {
			p.Faults = slices.DeleteFunc(p.Faults, func(f localaws.Fault) bool { return f.Kind == kind })
		})
	}
	for _, move := range best.Plan.Moves {
		try(func(p *Plan) { p.Moves = slices.DeleteFunc(p.Moves, func(m string) bool { return m == move }) })
	}
	for try(func(p *Plan) { p.Commands = (p.Commands + 1) / 2 }) && best.Plan.Commands > 1 {
	}
	for try(func(p *Plan) { p.Clients = (p.Clients + 1) / 2 }) && best.Plan.Clients > 1 {
	}
	for until := best.Virtual / 2; until > time.Second; until /= 2 {
		if best.Plan.Outage > 0 || !try(func(p *Plan) { p.Until = until }) {
			break
		}
	}
	return best
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}
