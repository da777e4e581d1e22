package simulation

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/buildtest"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Upgrades.
const (
	// upgradeInTwo goes over the release that reads the new shapes and does not write them.
	upgradeInTwo = "in two releases"
	// upgradeAtOnce leaves that release out.
	upgradeAtOnce = "one release left out"
)

// upgrade replaces the replicas one by one, in any order, while the clients are at work. Of the release that writes the new
// shapes some are rolled back before all run it.
func (w *world) upgrade(stop <-chan struct{}) {
	r := rand.New(rand.NewPCG(w.plan.Seed, 4))
	from := buildtest.Old
	if w.plan.Upgrade == upgradeInTwo {
		w.replace(buildtest.Reader, len(w.replicas), r, stop)
		w.replace(buildtest.Old, r.IntN(len(w.replicas)), r, stop)
		w.replace(buildtest.Reader, len(w.replicas), r, stop)
		w.awaitEnd(buildtest.Old)
		from = buildtest.Reader
	}
	w.replace(buildtest.Writer, r.IntN(len(w.replicas)), r, stop)
	w.replace(from, len(w.replicas), r, stop)
	w.replace(buildtest.Writer, len(w.replicas), r, stop)
	w.upgraded.Store(true)
}

// replace lets up to most replicas that are of another build end and start again as this one.
func (w *world) replace(b buildtest.Build, most int, r *rand.Rand, stop <-chan struct{}) {
	for _, i := range r.Perm(len(w.replicas)) {
		target := w.replicas[i]
		if target.build == b || most == 0 {
			continue
		}
		most--
		sleep(time.Duration(r.ExpFloat64()*float64(2*time.Second)), stop)
		w.ledger.awaitOpen()
		w.scheduler.post(func() { w.scheduler.trace.note("%s becomes %v", target.name, b) })
		target.mu.Lock()
		target.build = b
		l := target.now
		target.mu.Unlock()
		if l != nil {
			go func() {
				l.terminate()
				target.start() // at once, unlike after a crash
			}()
		}
		w.report.Replacements++
	}
}

// awaitEnd waits until no process of that build runs, as who upgrades does before the next release.
func (w *world) awaitEnd(b buildtest.Build) {
	for {
		w.mu.Lock()
		running := slices.ContainsFunc(w.lives, func(l *life) bool { return l.build == b && !l.dead() })
		w.mu.Unlock()
		if !running {
			return
		}
		time.Sleep(time.Second)
	}
}

// connected is a process's connection to AWS, through its build. Those of hops and archive do not read payloads.
func (l *life) connected(to http.RoundTripper) http.RoundTripper {
	switch l.replica.kind {
	case streaming, brokering, archiving, verifying:
		return to
	}
	return buildtest.Transport(l.replica.world.mutant.buildOf(l.build), to)
}

// known is the event as the judge knows it, whichever build wrote it.
func known(r eventsourcing.Record) eventsourcing.Record {
	is := buildtest.Event{Name: r.Name, Schema: r.Schema, Data: r.Data}.Old()
	r.Name, r.Schema, r.Data = is.Name, is.Schema, is.Data
	return r
}

// upgrades checks that an upgrade fails no command but by 503, and in two releases by none that says that an event is unknown;
// that what is parked stays parked only if no build can apply it, and that nothing else is parked at all but by an older build
// where a release was left out.
func (j *judgement) upgrades() {
	denied := slices.ContainsFunc(j.plan.Denied, func(d Denial) bool { return d.Service == commandAPI }) // it answers 500 to that
	for _, code := range j.ledger.failed {
		if denied && code == httpapi.CodeInternal {
			continue
		}
		if code != httpapi.CodeUnavailable && (code != httpapi.CodeUnknownEvent || j.plan.Upgrade != upgradeAtOnce) {
			j.breach("upgrade", "", "a command was answered by %q", code)
		}
	}
	poisoned := map[string]bool{}
	for stream := range j.ledger.poisoned {
		poisoned[stream.String()] = true
	}
	for _, table := range j.models() {
		for stream := range j.monitor.stored {
			if j.plan.Upgrade != upgradeAtOnce && j.monitor.parked[table+" "+stream] && !poisoned[stream] {
				j.breach("§8.4", stream, "%s was parked in %s", stream, table)
			}
		}
		for _, item := range j.items(table) {
			var row struct{ Row, Stream, Reason string }
			if err := attributevalue.UnmarshalMap(item, &row); err != nil {
				j.breach("harness", "", "decode a row of %s: %v", table, err)
			} else if strings.HasPrefix(row.Row, "parked#") && !poisoned[row.Stream] {
				j.breach("§8.4", row.Stream, "%s is parked in %s: %s", row.Stream, table, row.Reason)
			}
		}
	}
}
