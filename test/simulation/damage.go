package simulation

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// damage is a row of a read model that something else than the system has changed.
type damage struct {
	table, id, row string
	stream         string // whose row it is
	what           string
	at             time.Time
	writtenAt      time.Time // by the system, since then
}

func (d *damage) String() string { return fmt.Sprintf("row %s of %s is %s", d.row, d.id, d.what) }

// item is a row as it is stored.
type item = map[string]types.AttributeValue

func textOf(i item, name string) string {
	text, ok := i[name].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return text.Value
}

// damage changes or deletes a row of a read model, or adds one, by an operation that no service uses. No stream is damaged twice: a
// second damage could undo the first.
func (w *world) damage(pick uint64) {
	all := w.names.Projections()
	table := all[pick%uint64(len(all))].Table
	pick /= uint64(len(all))
	done := make(chan struct{})
	w.scheduler.post(func() { // no call has an effect meanwhile
		defer close(done)
		rows := slices.DeleteFunc(w.ordinary(table), func(row item) bool {
			_, damaged := w.monitor.damagedAt(table, textOf(row, "stream"))
			return damaged
		})
		if len(rows) == 0 {
			return
		}
		was := rows[pick%uint64(len(rows))]
		pick /= uint64(len(rows))
		w.damageRow(table, was, pick)
	})
	<-done
}

// ordinary returns the rows of a read model in the order of their keys, without those of streams that are not applied like others.
func (w *world) ordinary(table string) []item {
	rows := slices.DeleteFunc(w.items(table), func(row item) bool {
		stream, err := eventsourcing.ParseStreamID(textOf(row, "stream"))
		w.ledger.mu.Lock()
		defer w.ledger.mu.Unlock()
		strange := err != nil || w.ledger.poisoned[stream] || w.ledger.unacceptable[place{stream.String(), "1"}]
		return strange || strings.HasPrefix(textOf(row, "row"), "parked#")
	})
	slices.SortFunc(rows, func(a, b item) int {
		return cmp.Or(strings.Compare(textOf(a, "id"), textOf(b, "id")), strings.Compare(textOf(a, "row"), textOf(b, "row")))
	})
	return rows
}

// damageRow damages that row or, of a user, adds one that it should not have.
func (w *world) damageRow(table string, was item, pick uint64) {
	d := &damage{table: table, id: textOf(was, "id"), row: textOf(was, "row"), stream: textOf(was, "stream"), at: time.Now()}
	own, is := isOwn(d.row), maps.Clone(was)
	switch former := w.monitor.former[table+" "+d.stream]; pick % 4 {
	case 0:
		d.what, is = "deleted", nil
	case 1:
		d.what = "edited"
		edit(is)
	case 2:
		if !own || former == nil {
			return
		}
		d.what = "stale"
		var err error
		is, err = attributevalue.UnmarshalMapJSON(encode(former))
		must(err)
	default:
		userID, ok := strings.CutPrefix(d.stream, user.Category+"/")
		if !ok {
			return
		}
		d.what, own = "foreign", false
		d.id, d.row = clientID(pick/4%4, "role"), "member#"+userID // as if the user had a role that there may be
		is = item{"id": textual(d.id), "row": textual(d.row), "stream": textual(d.stream)}
	}
	request := types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: item{"id": textual(d.id), "row": textual(d.row)}}}
	if is != nil {
		request = types.WriteRequest{PutRequest: &types.PutRequest{Item: is}}
	}
	_, err := w.db.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{table: {request}}})
	must(err)
	w.scheduler.trace.note("%s of %s in %s", d, d.stream, table)
	w.monitor.damaged(d, own, is)
}

// edit changes the first text of a row that says nothing about its version.
func edit(row item) {
	fixed := []string{"id", "row", "stream", "event_id", "correlation_id", "causation_id", "updated_at", "listed"}
	for _, name := range slices.Sorted(maps.Keys(row)) {
		if textOf(row, name) != "" && !slices.Contains(fixed, name) {
			row[name] = textual("edited")
			return
		}
	}
	row["note"] = textual("edited")
}

// damaged records a damage; is is what is stored now.
func (v *monitor) damaged(d *damage, own bool, is item) {
	v.damages = append(v.damages, d)
	if !own {
		return
	}
	version := eventsourcing.Version(0)
	if n, ok := is["version"].(*types.AttributeValueMemberN); ok {
		version = number(n.Value)
	}
	v.reach(d.table+" "+d.stream, version)
	delete(v.former, d.table+" "+d.stream)
}

// damagedAt returns when a row of the stream was damaged.
func (v *monitor) damagedAt(table, stream string) (at time.Time, ok bool) {
	for _, d := range v.damages {
		if d.table == table && d.stream == stream {
			return d.at, true
		}
	}
	return at, false
}

// written records that the system has written a row, or deleted it.
func (v *monitor) written(w write) {
	key := w.item
	if key == nil {
		key = w.key
	}
	for _, d := range v.damages {
		if d.table == w.table && d.id == scalar(key, "id") && d.row == scalar(key, "row") && d.writtenAt.IsZero() {
			d.writtenAt = time.Now()
		}
	}
}

// reached is when a projection came to a version of a stream.
type reached struct {
	version eventsourcing.Version
	at      time.Time
}

// reach records that a projection is at a version of a stream.
func (v *monitor) reach(key string, version eventsourcing.Version) {
	v.fences[key] = version
	v.reached[key] = append(v.reached[key], reached{version, time.Now()})
}

// stayed reports whether a projection was at a version of a stream for as long as an audit waits, in that time.
func (v *monitor) stayed(key string, version eventsourcing.Version, from, to time.Time) bool {
	at := reached{} // version 0, since ever
	for _, next := range append(slices.Clone(v.reached[key]), reached{at: to}) {
		begin, end := at.at, next.at
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		if at.version == version && end.Sub(begin) >= auditSettle {
			return true
		}
		at = next
	}
	return false
}
