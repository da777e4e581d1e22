package simulation

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// flaw is an attribute that makes an item of the log one that the pipeline cannot carry. A nil value: it is missing.
type flaw struct {
	attribute string
	value     types.AttributeValue
}

func flaws(id string) []flaw {
	streamOf := func(length int) types.AttributeValue {
		text := "org/iam/user/" + id
		return textual(text + strings.Repeat("x", length-len(text)))
	}
	return []flaw{
		{"version", numeric("0")},
		{"stream", textual("org/iam/user/a " + id)},
		{"stream", textual("org/iam/user/é" + id)},
		{"stream", textual("org/iam/user/" + id + "\n")},
		{"stream", textual(id)},
		{"stream", streamOf(eventsourcing.MaxStreamText + 1)},
		{"stream", streamOf(129)}, // a group of SQS has up to 128 characters
		{"stream", streamOf(257)}, // a key of Kinesis has up to 256
		{"id", nil},
		{"data", nil},
		{"data", numeric("1")},
		{"data", textual("{")},
		{"schema", textual("1")},
		{"recorded_at", textual("yesterday")},
		{"metadata", textual("none")},
	}
}

func textual(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func numeric(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }

// putUnacceptable puts an item that the pipeline cannot carry into the event log: into a stream of its own, or before the first
// version of one that there is. No service uses its operation, so no fault strikes it.
func (w *world) putUnacceptable(pick uint64) {
	id := clientID(pick, "unacceptable")
	item := map[string]types.AttributeValue{
		"stream": textual(eventsourcing.StreamID{Category: user.Category, ID: id}.String()), "version": numeric("1"),
		"id": textual(clientID(pick, "event")), "name": textual("org/iam/user/disabled"), "schema": numeric("1"), "data": textual("{}"),
		"recorded_at": textual("2000-01-01T00:00:00.000Z"),
	}
	all := flaws(id)
	if n := pick % uint64(len(all)+1); n < uint64(len(all)) {
		if item[all[n].attribute] = all[n].value; all[n].value == nil {
			delete(item, all[n].attribute)
		}
	} else if stream := w.anyStream(pick); stream != "" {
		item["stream"], item["version"] = textual(stream), numeric("0")
	} else {
		return
	}
	w.ledger.mu.Lock()
	w.ledger.unacceptable[placeOf(item)] = true
	w.ledger.mu.Unlock()
	_, err := w.db.BatchWriteItem(w.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
		w.names.EventLog: {{PutRequest: &types.PutRequest{Item: item}}},
	}})
	must(err)
}

// anyStream returns one of those that have events, if there are any.
func (w *world) anyStream(pick uint64) (stream string) {
	done := make(chan struct{})
	w.scheduler.post(func() {
		if all := slices.Sorted(maps.Keys(w.monitor.stored)); len(all) > 0 {
			stream = all[pick/16%uint64(len(all))]
		}
		close(done)
	})
	<-done
	return stream
}

// place names an item of the log.
type place struct{ stream, version string }

func comparePlaces(a, b place) int {
	return cmp.Or(strings.Compare(a.stream, b.stream), cmp.Compare(number(a.version), number(b.version)))
}

func (p place) String() string { return fmt.Sprintf("%q version %s", p.stream, p.version) }

func placeOf(item map[string]types.AttributeValue) (p place) {
	if s, ok := item["stream"].(*types.AttributeValueMemberS); ok {
		p.stream = s.Value
	}
	if n, ok := item["version"].(*types.AttributeValueMemberN); ok {
		p.version = n.Value
	}
	return p
}

// placeInLog is that of what Store.All yields.
func placeInLog(rec eventsourcing.Record, err error) place {
	if item, ok := errors.AsType[*dynamostore.ItemError](err); ok {
		return place{item.Stream, item.Version}
	}
	return place{rec.Stream.String(), fmt.Sprint(rec.Version)}
}

// cannotCarry reports whether the pipeline cannot carry an item of the log.
func (l *ledger) cannotCarry(p place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unacceptable[p]
}

// setAside checks that nothing was set aside but what the pipeline cannot carry; behind, that all of that was.
func (j *judgement) setAside() {
	for e, err := range setaside.NewList(j.db, j.names.SetAside, nil).All(j.ctx) {
		if p := (place{e.Stream, e.Version}); err != nil {
			j.breach("harness", "", "list what was set aside: %v", err)
		} else if !j.ledger.cannotCarry(p) {
			j.breach("§8.4", e.Stream, "%v was set aside by %s: %s", p, e.Operation, e.Reason)
		}
	}
}
