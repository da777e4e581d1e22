package simulation

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/oracle"
	"github.com/leftfold/leftfold/test/simulation/pipelines"
)

// Tally counts what became of the events of a run, whichever read side was played. Poisoned streams, whose events no handler knows, do not
// count; what they do to others does.
type Tally struct {
	Aggregates, Events int
	// Lost are the events that no row shows: they were dropped, ignored, or never handled until the end of calm.
	Lost int
	// Repeated are the writes of an event that a row had been written by before.
	Repeated int
	// Disordered are the events of which the first write came after that of a later event.
	Disordered int
	// Stuck are the aggregates whose last event is lost, Wrong those whose row differs from the fold of the log.
	Stuck, Wrong int
}

// Clean reports whether every event was applied once and in order, and all rows are right.
func (t Tally) Clean() bool { return t == Tally{Aggregates: t.Aggregates, Events: t.Events} }

// Add adds the numbers of o.
func (t *Tally) Add(o Tally) {
	t.Aggregates += o.Aggregates
	t.Events += o.Events
	t.Lost += o.Lost
	t.Repeated += o.Repeated
	t.Disordered += o.Disordered
	t.Stuck += o.Stuck
	t.Wrong += o.Wrong
}

// stream adds what happened to a stream of that many events.
func (t *Tally) stream(applied []eventsourcing.Version, head eventsourcing.Version) {
	t.Aggregates++
	t.Events += int(head)
	seen, highest := map[eventsourcing.Version]bool{}, eventsourcing.Version(0)
	for _, v := range applied {
		switch {
		case seen[v]:
			t.Repeated++
		case v < highest:
			t.Disordered++
		}
		seen[v], highest = true, max(highest, v)
	}
	t.Lost += int(head) - len(seen)
	if !seen[head] {
		t.Stuck++
	}
}

// replacing reports whether another read side than Leftfold's is played.
func (w *world) replacing() bool { return w.variant != nil && w.variant.name != Leftfold }

// shownIn returns the table whose rows of a stream count.
func (w *world) shownIn(stream eventsourcing.StreamID) string {
	if w.replacing() {
		return variantRows
	}
	return w.readIn(stream)
}

// recordApplied records that a variant has written an event into its row. Each of its writes adds one to the row's number of writes: by
// that it is seen whether one without a clear answer took effect.
func (v *monitor) recordApplied(c *call, a *answer) {
	if text(c.body["TableName"]) != variantRows {
		return
	}
	if a.err == nil && a.status >= 400 && a.status < 500 {
		if strings.HasSuffix(text(object(a.body)["__type"]), "ValidationException") {
			v.breach("harness", "", "a variant's write is wrong: %s", a.body)
		}
		return
	}
	stream := scalar(c.body["Key"], "id")
	key := variantRows + " " + stream
	if writes := number(scalar(v.get(c, variantRows, []string{"id"}, c.body["Key"]), "writes")); int(writes) > len(v.applied[key]) {
		v.applied[key] = append(v.applied[key], number(scalar(c.body["ExpressionAttributeValues"], ":version")))
		v.lastAt = time.Now()
	}
}

// patience is how long a variant may apply nothing, in calm, before it is judged as it is: three visibility timeouts of its queue.
const patience = 10 * time.Minute

// all reports whether a variant has applied all events, or will not.
func (v *monitor) all() bool {
	if last := slices.MaxFunc([]time.Time{v.calmAt, v.lastAt}, time.Time.Compare); time.Since(last) > patience {
		return true
	}
	v.world.ledger.mu.Lock()
	defer v.world.ledger.mu.Unlock()
	for stream, versions := range v.stored {
		var t Tally
		t.stream(v.applied[variantRows+" "+stream], eventsourcing.Version(len(versions)))
		if id, err := eventsourcing.ParseStreamID(stream); t.Lost > 0 && err == nil && !v.world.ledger.poisoned[id] {
			return false
		}
	}
	return true
}

// tally counts what became of the events, and compares the rows with the fold of the log.
func (j *judgement) tally() {
	is, err := j.finalRows()
	if err != nil {
		j.report.Breaches = append(j.report.Breaches, Breach{"harness", "", err.Error()})
		return
	}
	want := rowsShown(j.fold.Expect())
	for stream, head := range j.fold.Heads {
		j.report.Tally.stream(j.monitor.applied[j.shownIn(stream)+" "+stream.String()], head)
		if !reflect.DeepEqual(is[stream.String()], want[stream.String()]) {
			j.report.Tally.Wrong++
		}
	}
}

// finalRows returns what the read side shows in the end, by stream.
func (j *judgement) finalRows() (map[string]pipelines.Row, error) {
	if !j.replacing() {
		shown, err := oracle.Show(j.ctx, &http.Client{Transport: edge{j.world}}, "http://leftfold.test")
		return rowsShown(shown), err
	}
	rows := map[string]pipelines.Row{}
	for _, stored := range j.items(variantRows) {
		var row pipelines.Row
		if err := attributevalue.UnmarshalMap(stored, &row); err != nil {
			return nil, err
		}
		slices.Sort(row.Roles)
		rows[textOf(stored, "id")] = row
	}
	return rows, nil
}

func rowsShown(s oracle.Shown) map[string]pipelines.Row {
	rows := map[string]pipelines.Row{}
	for id, u := range s.Users {
		row := pipelines.Row{Email: u.Email, FirstName: u.FirstName, LastName: u.LastName, Disabled: u.Disabled}
		for _, r := range u.Roles {
			row.Roles = append(row.Roles, r.ID)
		}
		slices.Sort(row.Roles)
		rows[eventsourcing.StreamID{Category: user.Category, ID: id}.String()] = row
	}
	for id, r := range s.Roles {
		rows[eventsourcing.StreamID{Category: role.Category, ID: id}.String()] = pipelines.Row{Name: r.Name, Disabled: r.Disabled}
	}
	return rows
}
