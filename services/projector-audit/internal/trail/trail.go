// Package trail provides the audit trail: which events there were, when, and who caused them, to be found by actor, by correlation ID
// and by day. It has no data of events: the log has that, and /users/{id}/events shows it to those who may see it.
//
// An event has a line in each of its lists. A line is an entry of package projection: it is made of the event's record alone, so it
// is the same whenever the event is applied, and it never changes.
package trail

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
)

// Shapes are the folds that this build knows, the newest last: see docs/rebuild.md.
func Shapes() []generation.Shape {
	return []generation.Shape{{Number: 1, Sources: sources()}}
}

// sources are all aggregates, each of whose streams has an own row with nothing but its fence.
func sources() (all []projection.Source) {
	for _, a := range aggregates.All() {
		all = append(all, a.Entries(lines))
	}
	return all
}

// line is what a row has beside its fence.
type line struct {
	Name  string `dynamodbav:"name"`
	Actor string `dynamodbav:"actor,omitempty"`
}

// lines puts a record into its lists.
func lines(r eventsourcing.Record) []projection.Row {
	name, data := nameOf(r), line{Name: r.Name, Actor: r.Metadata.Actor}
	in := func(l list) projection.Row { return projection.Row{ID: l.partOf(r.Stream), Row: name, Data: data} }
	rows := []projection.Row{in(ofDay(r.RecordedAt))}
	if r.Metadata.Actor != "" {
		rows = append(rows, in(ofActor(r.Metadata.Actor)))
	}
	if r.Metadata.CorrelationID != "" {
		rows = append(rows, in(ofCorrelation(r.Metadata.CorrelationID)))
	}
	return rows
}

// list is a list of events, as its rows' IDs begin.
type list string

// ofDay lists the events that were recorded on a day of UTC.
func ofDay(t time.Time) list { return list("day#" + t.UTC().Format(time.DateOnly)) }

// ofActor lists what one subject caused.
func ofActor(subject string) list { return list("actor#" + digest(subject)) }

// ofCorrelation lists what one correlation ID connects.
func ofCorrelation(id string) list { return list("correlation#" + digest(id)) }

// digest stands for a text in a key, where it is as long as any other and shows nothing.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// parts is the number of partitions that a list is spread over. A partition of DynamoDB takes 1,000 write units a second, and a line
// in a transaction costs 2. So a day, a job that is one actor, or an import under one correlation ID, may have 4,000 events a second. A
// page reads all parts, so more of them would make every read dearer. Another number is another Shape.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
const parts = 8

// partOf is the partition with the lines of a stream: one, so that the lines of a transaction share it.
func (l list) partOf(stream eventsourcing.StreamID) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(stream.String())) // a hash never fails
	return l.part(h.Sum32() % parts)
}

func (l list) part(n uint32) string { return fmt.Sprintf("%s#%d", l, n) }

// all are the IDs of the list's rows.
func (l list) all() (ids []string) {
	for n := range uint32(parts) {
		ids = append(ids, l.part(n))
	}
	return ids
}

// nameOf is the name of a record's lines. Names are in the order of time, and in that of versions among the events of one stream at one
// time; the event's ID makes them differ.
func nameOf(r eventsourcing.Record) string {
	return fmt.Sprintf("%s#%020d#%s", timeName(r.RecordedAt), r.Version, r.ID)
}

// timeName is less than the name of every record from that time on, and not less than that of any before, to the millisecond.
func timeName(t time.Time) string { return fmt.Sprintf("%015d", max(0, t.UnixMilli())) }

// Every name is between them.
const begin, end = "0", "~"
