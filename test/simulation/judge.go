package simulation

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// Bounds of waiting for what must happen eventually: leases, visibility timeouts and back-off add up to minutes.
const (
	settleWithin = 20 * time.Minute
	caughtWithin = 2 * time.Minute // a planted bug; longer than any run without one takes to settle
	calmAtLeast  = calmBefore + 6*time.Second
	repeated     = 45 * time.Second // what a killed projector received is received again, and applied
)

// settle waits until all read models show every stream's last version, all messages are delivered and the operators are done, and
// a little longer, so that late effects, which must not happen, would show. It waits no longer once a planted bug is caught.
func (w *world) settle() {
	began, within, calm := time.Now(), settleWithin, calmAtLeast
	if w.plan.Rebuilds || w.plan.Audits {
		calm = repeated // the generation that is not read has to be up to date, too
	}
	if w.plan.Mutant != "" {
		within = caughtWithin
	}
	done := make(chan bool, 1)
	w.scheduler.post(func() { w.monitor.calmAt = time.Now() })
	for {
		time.Sleep(500 * time.Millisecond)
		w.scheduler.post(func() { done <- w.monitor.settled() })
		settled := <-done
		if settled && w.report.Settled == 0 {
			w.report.Settled = time.Since(began)
		}
		if settled && len(w.undone()) == 0 && time.Since(began) > calm && len(w.unfinished()) == 0 || time.Since(began) > within {
			return
		}
	}
}

// settled reports whether nothing is left to be done.
func (v *monitor) settled() bool {
	if v.world.replacing() {
		return v.all()
	}
	return len(v.behind()) == 0 && v.delivered()
}

// behind returns what the projections have not applied.
func (v *monitor) behind() (out []Breach) {
	for stream, versions := range v.stored {
		if ofProcess(stream) {
			continue
		}
		head := eventsourcing.Version(len(versions))
		for _, table := range v.world.models() {
			if at := v.fences[table+" "+stream]; at != head {
				out = append(out, Breach{"§8.3", stream, fmt.Sprintf("%s is at version %d of %s after %v of calm, the log at %d",
					table, at, stream, settleWithin, head)})
			}
		}
	}
	v.world.ledger.mu.Lock()
	defer v.world.ledger.mu.Unlock()
	for _, stream := range v.world.ledger.toPark {
		for _, table := range v.world.models() {
			if !v.parked[table+" "+stream] {
				out = append(out, Breach{"§8.4", stream, fmt.Sprintf("%s is not parked in %s", stream, table)})
			}
		}
	}
	for p := range v.world.ledger.unacceptable {
		if !v.aside[p] {
			out = append(out, Breach{"§8.4", p.stream, fmt.Sprintf("%v is not set aside", p)})
		}
	}
	for _, e := range v.notArchived() {
		out = append(out, Breach{"archive", e.stream, fmt.Sprintf("version %d of %s is not in the archive", e.version, e.stream)})
	}
	slices.SortFunc(out, func(a, b Breach) int { return strings.Compare(a.Text, b.Text) })
	return out
}

// delivered reports whether all queues delivered every event; after a heal, an event is delivered later than it is applied.
func (v *monitor) delivered() bool {
	if v.world.plan.republishes() {
		return true // hops are not checked then
	}
	for stream, versions := range v.stored {
		for version := range versions {
			if ofProcess(stream) {
				break
			}
			for _, s := range v.world.names.Subscriptions() {
				if _, ok := v.sent[s.Queue][stream][uint64(version)]; !ok {
					return false
				}
			}
		}
	}
	return true
}

// healthy is the log of users and roles without the poisoned streams and what the pipeline cannot carry.
type healthy struct{ *world }

func (h healthy) All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for rec, err := range h.log.All(ctx, segments) {
			if err == nil && (h.ledger.poisoned[rec.Stream] || ofProcess(rec.Stream.Category)) || h.ledger.cannotCarry(placeInLog(rec, err)) {
				continue
			}
			if !yield(known(rec), err) {
				return
			}
		}
	}
}

// judge checks every promise against the log.
func (w *world) judge() {
	fold, err := oracle.FoldLog(w.ctx, healthy{w})
	if err != nil {
		w.report.Breaches = append(w.report.Breaches, Breach{"§8.1", "", fmt.Sprintf("fold the log: %v", err)})
		return
	}
	records := map[string][]eventsourcing.Record{} // by correlation ID
	streams := map[string][]eventsourcing.Record{}
	for rec, err := range (healthy{w}).All(w.ctx, 1) {
		if err != nil {
			w.report.Breaches = append(w.report.Breaches, Breach{"§8.1", "", fmt.Sprintf("read the log: %v", err)})
			return
		}
		records[rec.Metadata.CorrelationID] = append(records[rec.Metadata.CorrelationID], rec)
		streams[rec.Stream.String()] = append(streams[rec.Stream.String()], rec)
	}
	for _, s := range streams {
		slices.SortFunc(s, func(a, b eventsourcing.Record) int { return cmp.Compare(a.Version, b.Version) })
	}
	j := &judgement{world: w, fold: fold, byCommand: records, streams: streams}
	steps := []func(){j.log, j.derived, j.heard, j.commands, j.history, j.claims, j.scopes}
	if !w.replacing() {
		steps = append(steps, j.processes, j.reads, j.hops, j.setAside, j.upgrades, j.audits, j.archives, j.operators)
	}
	for _, step := range steps {
		step()
	}
	j.breaches = append(j.breaches, w.monitor.breaches...)
	if !w.replacing() {
		j.outcome()
	}
	w.report.Breaches = append(w.report.Breaches, j.breaches...)
	if w.variant != nil {
		j.tally()
	}
}

// outcome checks what the read models came to.
func (j *judgement) outcome() {
	behind := j.monitor.behind()
	j.breaches = append(j.breaches, behind...)
	if len(behind) == 0 { // otherwise reads must differ
		j.shown()
		j.rows()
	}
	j.deadLetters()
}

// operators checks that each operator came to an end.
func (j *judgement) operators() {
	for _, name := range j.undone() {
		j.breach("operators", "", "the %s did not end within %v of calm", name, settleWithin)
	}
}

type judgement struct {
	*world

	fold      *oracle.Fold
	byCommand map[string][]eventsourcing.Record
	streams   map[string][]eventsourcing.Record
	breaches  []Breach
}

func (j *judgement) breach(promise, stream, format string, args ...any) {
	j.breaches = append(j.breaches, Breach{promise, stream, fmt.Sprintf(format, args...)})
}

// log checks that the log is exactly what was committed, without gaps.
func (j *judgement) log() {
	for _, f := range j.fold.Faults {
		promise := "§8.1"
		if strings.Contains(f, "held by both") {
			promise = "§8.2"
		}
		j.breach(promise, "", "%s", f)
	}
	for stream, records := range j.streams {
		for _, rec := range records {
			if seen := j.monitor.stored[stream][rec.Version]; seen != rec.ID {
				j.breach("§8.1", stream, "version %d of %s is event %s, committed was %q", rec.Version, stream, rec.ID, seen)
			}
		}
		if len(j.monitor.stored[stream]) != len(records) {
			j.breach("§8.1", stream, "%s has %d events, %d were committed", stream, len(records), len(j.monitor.stored[stream]))
		}
	}
}

// commands checks that an accepted command is in the log once, a refused one is not, and one without a clear answer at most once. What a
// command writes, it writes in one commit.
func (j *judgement) commands() {
	for _, c := range j.ledger.commands {
		found := j.byCommand[c.id]
		stream := c.stream.String()
		slices.SortFunc(found, func(a, b eventsourcing.Record) int { return cmp.Compare(a.Version, b.Version) })
		switch n := len(found); {
		case n > 1 && j.commitOf(found[0]) != j.commitOf(found[n-1]):
			j.breach("§8.1", stream, "%s is in the log %d times", c, n)
		case c.refused() && n > 0 && c.sends > 1 && !j.commitOf(found[0]).Before(c.lastAt):
			// an earlier request of it arrived late
		case c.refused() && n > 0:
			j.breach("§8.1", stream, "%s was refused, but wrote version %d of %s", c, found[0].Version, stream)
		case c.accepted() && n > 0 && found[n-1].Version != c.version:
			j.breach("§8.1", stream, "%s is in the log as version %d", c, found[n-1].Version)
		case c.accepted() && c.ifMatch > 0 && c.version > c.ifMatch+eventsourcing.Version(max(n, 1)):
			j.breach("§8.1", stream, "%s was accepted at another version", c)
		case c.accepted() && n == 0 && !j.nothingToDo(c):
			j.breach("§8.1", stream, "%s was accepted, but is not in the log", c)
		}
		delete(j.byCommand, c.id)
	}
	delete(j.byCommand, busyCorrelation)
	for id, records := range j.byCommand {
		j.breach("§8.1", records[0].Stream.String(), "no command wrote event %s of %s, version %d (%s)",
			records[0].ID, records[0].Stream, records[0].Version, id)
	}
}

// commitOf returns when the event was committed, which no two commits were at once; the zero time: no commit was seen.
func (j *judgement) commitOf(rec eventsourcing.Record) time.Time {
	for _, made := range j.monitor.commits {
		if slices.ContainsFunc(made.events, func(e storedEvent) bool { return e.id == rec.ID }) {
			return made.at
		}
	}
	return time.Time{}
}

// nothingToDo reports whether the aggregate already was as the command demands, at the version answered.
func (j *judgement) nothingToDo(c *command) bool {
	u, r, ok := j.stateAt(c.stream, c.version)
	return ok && c.is != nil && c.is(u, r)
}

// stateAt folds a stream up to a version: that of a user, or of a role.
func (j *judgement) stateAt(s eventsourcing.StreamID, version eventsourcing.Version) (u user.State, r role.State, ok bool) {
	records := j.streams[s.String()]
	if version < 1 || int(version) > len(records) {
		return u, r, false
	}
	var err error
	if s.Category == role.Category {
		r, err = foldStream(role.Aggregate(), records[:version])
	} else {
		u, err = foldStream(user.Aggregate(), records[:version])
	}
	return u, r, err == nil
}

// viewAt is what a read of a stream must show at a version.
func (j *judgement) viewAt(s eventsourcing.StreamID, version eventsourcing.Version) (is view, ok bool) {
	u, r, ok := j.stateAt(s, version)
	is = view{
		Email: string(u.Email), FirstName: string(u.FirstName), LastName: string(u.LastName), Version: version,
		Name: string(r.Name), Disabled: u.Disabled || r.Disabled, Essential: r.Rules.Essential, MaxMembers: r.Rules.MaxMembers,
		Retiring: r.Retiring, Retired: r.Retired,
	}
	for _, g := range u.Roles {
		is.Roles = append(is.Roles, heldRole{ID: string(g.RoleID), Until: g.Until})
	}
	return is, ok
}

func foldStream[S any, E eventsourcing.Event](a eventsourcing.Aggregate[S, E], records []eventsourcing.Record) (state S, err error) {
	for _, rec := range records {
		event, err := a.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return state, err
		}
		state = a.Evolve(state, event)
	}
	return state, nil
}

// claims checks that the table of unique values is the union of the claims of all aggregates.
func (j *judgement) claims() {
	wanted := map[string]string{}
	for id, state := range j.fold.Users {
		for _, c := range user.Claims(state) {
			wanted[c.Key()] = eventsourcing.StreamID{Category: user.Category, ID: id}.String()
		}
	}
	for id, state := range j.fold.Roles {
		for _, c := range role.Claims(state) {
			wanted[c.Key()] = eventsourcing.StreamID{Category: role.Category, ID: id}.String()
		}
	}
	for _, item := range j.items(j.names.SetValidations) {
		var stored struct{ Constraint, Stream string }
		if err := attributevalue.UnmarshalMap(item, &stored); err != nil {
			j.breach("§8.2", "", "decode a claim: %v", err)
			continue
		}
		if owner := wanted[stored.Constraint]; owner != stored.Stream {
			j.breach("§8.2", stored.Stream, "%s is reserved for %s, by the log its owner is %q", stored.Constraint, stored.Stream, owner)
		}
		delete(wanted, stored.Constraint)
	}
	for constraint, owner := range wanted {
		j.breach("§8.2", owner, "%s of %s is not reserved", constraint, owner)
	}
}

// countsLost reports whether what is counted over many streams was lost with the log, and a poisoned stream keeps it lost: nobody knows
// what that shares.
func (p Plan) countsLost() bool { return p.LogLost && slices.Contains(p.Moves, movePoison) }

// scopes checks that what is counted over many streams is the sum of what their states share.
func (j *judgement) scopes() {
	if j.plan.countsLost() {
		return
	}
	differences, err := j.fold.Uncounted(j.ctx, dynamostore.NewScopes(j.db, dynamostore.Config{
		Tables: dynamostore.Tables{Scopes: j.names.Scopes},
	}))
	must(err)
	for _, d := range differences {
		j.breach("§8.2", "", "%s", d)
	}
}

// items returns what is stored in a table.
func (w *world) items(table string) (items []item) {
	pages := dynamodb.NewScanPaginator(w.db, &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.ctx)
		must(err)
		items = append(items, page.Items...)
	}
	return items
}

// deadLetters checks that no message is in a dead-letter queue: all can be decoded.
func (j *judgement) deadLetters() {
	queues := sqs.NewFromConfig(j.aws.Config())
	for _, s := range j.names.Subscriptions() {
		url, err := queues.GetQueueUrl(j.ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(topology.DeadLetters(s.Queue))})
		if err != nil {
			j.breach("harness", "", "find the dead letters of %s: %v", s.Queue, err)
			continue
		}
		out, err := queues.GetQueueAttributes(j.ctx, &sqs.GetQueueAttributesInput{
			QueueUrl: url.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages},
		})
		if err != nil {
			j.breach("harness", "", "count the dead letters of %s: %v", s.Queue, err)
		} else if n := out.Attributes["ApproximateNumberOfMessages"]; n != "0" {
			j.breach("§8.3", "", "%s dead letters of %s", n, s.Queue)
		}
	}
}
