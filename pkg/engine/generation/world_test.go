package generation_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// The tests' projection shows things and how often each was touched. Shape 2 shows twice as much, and cannot apply a break.

const category = "test/thing"

type (
	touched struct{}
	broken  struct{}
)

func (touched) EventName() string { return "test/thing/touched" }
func (broken) EventName() string  { return "test/thing/broken" }

type thing struct {
	Times   int `dynamodbav:"times"`
	Doubled int `dynamodbav:"doubled"`
}

// seen is a thing as it is read.
type seen struct {
	projection.Key
	projection.Fence
	thing
}

func source(shape int) projection.Source { return sourceOf(shape, touched{}, broken{}) }

// sourceOf is a source that knows these events.
func sourceOf(shape int, events ...eventsourcing.Event) projection.Source {
	return projection.NewSource(projection.Spec[thing, eventsourcing.Event]{
		Category: category, Row: "thing", Listed: true, Codec: eventsourcing.NewCodec(events...),
		Fold: func(t thing, e eventsourcing.Event, _ eventsourcing.Record) thing {
			t.Times++
			if shape > 1 {
				if _, is := e.(broken); is {
					panic("it is broken")
				}
				t.Doubled = 2 * t.Times
			}
			return t
		},
		Rows: func(id string, t thing) []projection.Row {
			return []projection.Row{{ID: "all", Row: "thing#" + id, Data: t}}
		},
	})
}

func shapes(numbers ...int) (all []generation.Shape) {
	for _, n := range numbers {
		all = append(all, generation.Shape{Number: n, Sources: []projection.Source{source(n)}})
	}
	return all
}

// world is a log and a projection with its generations on an embedded AWS.
type world struct {
	*testing.T
	server  *localaws.Server
	db      *dynamodb.Client
	log     *dynamostore.Store
	control generation.Control
	heads   map[string]eventsourcing.Version
}

func newWorld(t *testing.T) *world {
	t.Helper()
	control, server := table(t)
	db := dynamodb.NewFromConfig(server.Config())
	w := &world{
		T: t, server: server, db: db, log: dynamostore.NewStore(db, dynamostore.Config{Now: time.Now}), control: control,
		heads: map[string]eventsourcing.Version{},
	}
	for _, in := range append((dynamostore.Tables{}).CreateTableInputs(), projection.CreateTableInput("things")) {
		w.create(in)
	}
	return w
}

func (w *world) create(in *dynamodb.CreateTableInput) {
	w.Helper()
	_, err := w.db.CreateTable(w.Context(), in)
	require.NoError(w, err)
}

// model returns the projection as a new process of a build with these shapes has it.
func (w *world) model(numbers ...int) *generation.Model {
	w.Helper()
	return w.modelOf(shapes(numbers...)...)
}

func (w *world) modelOf(shapes ...generation.Shape) *generation.Model {
	w.Helper()
	m, err := generation.NewModel(generation.Config{
		Projection: projection.Config{Name: "things", Table: "things", DB: w.db, EventLog: w.log, Now: time.Now},
		Shapes:     shapes, States: w.control.Table,
	})
	require.NoError(w, err)
	return m
}

// append appends events to the log and returns them.
func (w *world) append(id string, events ...eventsourcing.Event) (records []eventsourcing.Record) {
	w.Helper()
	stream := eventsourcing.StreamID{Category: category, ID: id}
	for _, e := range events {
		w.heads[id]++
		records = append(records, eventsourcing.Record{
			ID: fmt.Sprintf("%s#%d", stream, w.heads[id]), Stream: stream, Version: w.heads[id], Name: e.EventName(), Schema: 1,
			Data: json.RawMessage(`{}`), RecordedAt: time.UnixMilli(int64(1_700_000_000_000 + len(w.heads))).UTC(),
		})
	}
	require.NoError(w, w.log.Append(w.Context(), eventsourcing.Commit{
		Stream: stream, Expected: w.heads[id] - eventsourcing.Version(len(events)), Records: records,
	}))
	return records
}

// apply applies records as one delivery, all of which must be done.
func (w *world) apply(m *generation.Model, records []eventsourcing.Record) {
	w.Helper()
	done, err := m.Apply(w.Context(), records)
	require.NoError(w, err)
	require.Equal(w, len(records), done)
}

// step writes the state that follows, and creates the table of a generation that begins.
func (w *world) step(to func(generation.State) (generation.State, error)) {
	w.Helper()
	s, err := w.control.Read(w.Context())
	require.NoError(w, err)
	s, err = to(s)
	require.NoError(w, err)
	if s.Phase == generation.Filling {
		w.create(projection.CreateTableInput(s.Other.Name("things")))
	}
	_, err = w.control.Write(w.Context(), s, time.Now())
	require.NoError(w, err)
}

func begin(shape int) func(generation.State) (generation.State, error) {
	return func(s generation.State) (generation.State, error) { return s.Begin(shape, 4) }
}

// in returns the thing as a generation's table has it.
func (w *world) in(table, id string) (s seen) {
	w.Helper()
	_, err := projection.Reader{DB: w.db, Table: table}.Get(w.Context(), id, "thing", &s)
	require.NoError(w, err)
	return s
}

// put puts an item into a table.
func (w *world) put(table string, of map[string]any) {
	w.Helper()
	item, err := attributevalue.MarshalMap(of)
	require.NoError(w, err)
	_, err = w.db.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: &table, Item: item})
	require.NoError(w, err)
}

// read returns the version that a read answers.
func read(ctx context.Context, r generation.Reader, id string) (eventsourcing.Version, error) {
	var s seen
	_, err := r.Get(ctx, id, "thing", &s)
	return s.Version, err
}
