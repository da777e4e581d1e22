package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
)

// auditSettle is less than a pipeline in trouble needs, so an audit reports what is late. Then it must be that late.
const auditSettle = 20 * time.Second

// audit is one audit of a read model, and what it reported.
type audit struct {
	table        string
	began, ended time.Time
	whole        bool // it read everything, and decided about everything
	findings     []auditFinding
}

type auditFinding struct {
	projectionaudit.Finding
	at time.Time
}

// auditorOf audits the generation that is read, and repairs it every other time. The last audit repairs, and is whole.
func (w *world) auditorOf(p service.Platform, of topology.Projection) (turn, error) {
	db, log := w.storesOf(p)
	states, backoff := w.control(db, of), retry.Backoff{Jitter: p.Jitter}
	return func(ctx context.Context, last bool) bool {
		state, err := states.Read(ctx)
		if err != nil {
			return false
		}
		table := state.Current.Name(of.Table)
		rows, err := projector(of, table, db, log, backoff)
		if err != nil {
			return false
		}
		a := &audit{table: table, began: time.Now()}
		result, err := projectionaudit.Run(ctx, projectionaudit.Config{
			Projector: rows, Log: log, Settle: auditSettle, Repair: last || p.Jitter(time.Hour)%2 == 0,
			Parallel: 1000, // so that no order among goroutines matters
			Backoff:  backoff, Now: p.Now,
			OnFinding: func(f projectionaudit.Finding) { a.findings = append(a.findings, auditFinding{f, time.Now()}) },
		})
		a.ended, a.whole = time.Now(), err == nil && result.Undecided == 0
		w.ledger.mu.Lock()
		w.ledger.audits = append(w.ledger.audits, a)
		w.ledger.mu.Unlock()
		return a.whole
	}, nil
}

// audits checks that an audit reports a difference only where there is one, and each that was there while it ran.
func (j *judgement) audits() {
	for _, a := range j.ledger.audits {
		for _, f := range a.findings {
			if !j.justified(a, f) {
				j.breach("audit", f.Stream, "an audit of %s, begun at %s, reported: %s", a.table, j.trace.clock(a.began), f)
			}
		}
		for _, d := range j.monitor.damages {
			there := d.table == a.table && d.at.Before(a.began) && (d.writtenAt.IsZero() || d.writtenAt.After(a.ended))
			if there && a.whole && !slices.ContainsFunc(a.findings, func(f auditFinding) bool { return f.Stream == d.stream }) {
				j.breach("audit", d.stream, "an audit of %s, begun at %s, did not report: %s", a.table, j.trace.clock(a.began), d)
			}
		}
	}
	j.report.Audits = len(j.ledger.audits)
	for _, d := range j.monitor.damages {
		if !d.writtenAt.IsZero() {
			j.report.Repaired++
		}
	}
	j.report.Damaged = len(j.monitor.damages)
}

// justified reports whether what an audit has found was so.
func (j *judgement) justified(a *audit, f auditFinding) bool {
	stream, err := eventsourcing.ParseStreamID(f.Stream)
	if err != nil {
		return false
	}
	strange := j.ledger.poisoned[stream] || j.ledger.cannotCarry(place{f.Stream, "1"}) || j.plan.Upgrade != "" // not applied by all
	if damagedAt, damaged := j.monitor.damagedAt(a.table, f.Stream); damaged && damagedAt.Before(f.at) {
		return true
	}
	switch f.Kind {
	case projectionaudit.Parked, projectionaudit.Illegible:
		return strange
	case projectionaudit.Missing, projectionaudit.Stale:
		first := slices.Contains(j.models(), a.table) // of other generations the monitor sees nothing
		return strange || !first || j.monitor.stayed(a.table+" "+f.Stream, f.Version, a.began, f.at)
	default:
		return false
	}
}
