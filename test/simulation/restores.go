package simulation

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/scopesaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
)

// recorded is what a log is restored from: its events, in any order.
type recorded = iter.Seq2[eventsourcing.Record, error]

// loss is a lost log that is to be restored.
type loss struct {
	// gap is an event that the archive is said to lack at first. Its zero value: there is none that a later one follows.
	gap      archivedEvent
	refused  atomic.Bool // an archive without that one
	restored atomic.Bool
}

// late is longer than a call of a process that does not run any more may take to have an effect: the longest pause.
const late = 2 * time.Minute

// loseLog loses the log, and mostly what is beside it, and lets it be restored as docs/operations.md says.
func (w *world) loseLog(stop <-chan struct{}) {
	if !sleep(20*time.Second, stop) {
		return
	}
	w.ledger.stopClients()
	defer w.ledger.resumeClients()
	others := except(restoring, w.replicas)
	defer w.release(others)
	w.hold(slices.Concat(w.of(commandAPI), w.of(processing)))
	if !w.awaitArchived(others) {
		return // what is not archived would be lost
	}
	w.scheduler.post(func() { w.scheduler.trace.note("the log is lost") })
	before := w.logged()
	w.loseTables()
	l := &loss{gap: w.gapIn(before)}
	w.loss.Store(l)
	for began := time.Now(); !l.restored.Load(); time.Sleep(time.Second) {
		if time.Since(began) > settleWithin {
			w.wrong("", "the log was not restored within %v", settleWithin)
			return
		}
	}
	if after := w.logged(); !reflect.DeepEqual(before, after) {
		for _, p := range slices.SortedFunc(maps.Keys(before), comparePlaces) {
			if !reflect.DeepEqual(before[p], after[p]) {
				w.wrong(p.stream, "%v is not what it was", p)
			}
		}
		w.wrong("", "the log had %d events and has %d", len(before), len(after))
	}
	w.report.Restored++
}

func except(kind string, replicas []*replica) []*replica {
	return slices.DeleteFunc(slices.Clone(replicas), func(r *replica) bool { return r.kind == kind })
}

// wrong records what is wrong with a restore.
func (w *world) wrong(stream, format string, args ...any) {
	w.scheduler.post(func() { w.monitor.breach("restore", stream, format, args...) })
}

// awaitArchived waits until the archive has everything that the log has, and stops those who put it there. It reports whether it has.
func (w *world) awaitArchived(archivers []*replica) bool {
	for began := time.Now(); time.Since(began) < settleWithin; time.Sleep(time.Second) {
		if !w.allArchived() {
			continue
		}
		w.hold(archivers)
		time.Sleep(late)
		if w.allArchived() { // also what had an effect late
			return true
		}
		w.release(except(processing, except(commandAPI, archivers)))
	}
	return false
}

func (w *world) allArchived() bool {
	archived, _ := w.bucket.since()
	for p := range w.logged() {
		if archived[archivedEvent{stream: p.stream, version: number(p.version)}].IsZero() {
			return false
		}
	}
	return true
}

// logged returns what the log has.
func (w *world) logged() map[place]item {
	out := map[place]item{}
	for _, each := range w.items(w.names.EventLog) {
		out[placeOf(each)] = each
	}
	return out
}

// loseTables deletes the log and the snapshots, and every other time the claims, and makes them anew, empty.
func (w *world) loseTables() {
	ready := time.Now().Add(5 * time.Minute) // what provisioning waits for differs from run to run
	tables := []string{w.names.EventLog, w.names.Snapshots}
	if w.plan.Seed%2 == 0 {
		tables = append(tables, w.names.SetValidations, w.names.Scopes)
	}
	for _, name := range tables {
		_, err := w.db.DeleteTable(w.ctx, &dynamodb.DeleteTableInput{TableName: &name})
		must(err)
	}
	must(provision.Run(w.ctx, w.aws.Config(), provision.Config{Names: w.names}))
	time.Sleep(time.Until(ready))
}

// gapIn returns an event that another of its stream follows.
func (w *world) gapIn(log map[place]item) archivedEvent {
	var all []archivedEvent
	for _, p := range slices.SortedFunc(maps.Keys(log), comparePlaces) {
		version := number(p.version)
		if _, followed := log[place{p.stream, fmt.Sprint(version + 1)}]; followed {
			all = append(all, archivedEvent{stream: p.stream, version: version})
		}
	}
	if len(all) == 0 {
		return archivedEvent{}
	}
	return all[w.plan.Seed%uint64(len(all))]
}

// restorerOf restores a lost log: first from an archive with a gap, which must be refused, then from the whole one.
func (w *world) restorerOf(p service.Platform) (turn, error) {
	storage, err := w.archiveConfig().Storage(p.AWS)
	db, log := w.storesOf(p)
	backoff := retry.Backoff{Jitter: p.Jitter}
	audit := claimsaudit.Config{
		Claims: dynamostore.NewClaims(db, dynamostore.Config{
			Tables: dynamostore.Tables{Events: w.names.EventLog, Claims: w.names.SetValidations}, Now: p.Now, Backoff: backoff,
		}),
		Repair: true, Parallel: 1000, Backoff: backoff,
	}
	sums := scopesaudit.Config{
		Scopes: dynamostore.NewScopes(db, dynamostore.Config{
			Tables: dynamostore.Tables{Events: w.names.EventLog, Scopes: w.names.Scopes}, Now: p.Now, Backoff: backoff,
		}),
		Repair: true, Parallel: 1000, Backoff: backoff,
	}
	for _, a := range aggregates.Streams() {
		audit.Categories, sums.Categories = append(audit.Categories, a.Audit), append(sums.Categories, a.Sums)
	}
	return func(ctx context.Context, _ bool) bool {
		l := w.loss.Load()
		if l == nil || l.restored.Load() {
			return true
		}
		archived := archive.Events(ctx, storage, 8)
		if !l.refused.Load() && l.gap.version > 0 {
			r, err := archive.Restore(ctx, archive.RestoreConfig{Source: w.mutant.restores(without(archived, l.gap)), EventLog: log})
			if err != nil {
				return false
			}
			if l.refused.Store(true); r.Findings == 0 {
				w.wrong(l.gap.stream, "an archive without version %d of %s was accepted", l.gap.version, l.gap.stream)
			}
		}
		r, err := archive.Restore(ctx, archive.RestoreConfig{
			Source: w.mutant.restores(archived), EventLog: log,
			OnFinding: func(f archive.Finding) { w.wrong(f.Stream, "refused: %s", f) },
		})
		if err != nil || r.Findings > 0 {
			return false
		}
		claims, errOfClaims := claimsaudit.Run(ctx, audit)
		scopes, errOfScopes := scopesaudit.Run(ctx, sums)
		l.restored.Store(errOfClaims == nil && errOfScopes == nil && claims.Undecided+scopes.Undecided == 0)
		return l.restored.Load()
	}, err
}

// without yields all events but one.
func without(source recorded, gap archivedEvent) recorded {
	return func(yield func(eventsourcing.Record, error) bool) {
		for r, err := range source {
			if r.Version == gap.version && r.Stream.String() == gap.stream {
				continue
			}
			if !yield(r, err) {
				return
			}
		}
	}
}
