package projection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// The tests' aggregates: a shelf has a name; a book has a title, and copies on any number of shelves. The projection shows a
// shelf with its books: the book's stream owns the book's row on a shelf.

type (
	event = eventsourcing.Event

	shelfNamed struct{ Name string }

	titled    struct{ Title string }
	placed    struct{ Shelf string }
	withdrawn struct{ Shelf string }
	// torn cannot be folded while library.broken is set.
	torn struct{ Page int }
)

func (shelfNamed) EventName() string { return "test/shelf/named" }
func (titled) EventName() string     { return "test/book/titled" }
func (placed) EventName() string     { return "test/book/placed" }
func (withdrawn) EventName() string  { return "test/book/withdrawn" }
func (torn) EventName() string       { return "test/book/torn" }

type shelf struct {
	Name string `dynamodbav:"name"`
}

type book struct {
	Title   string          `dynamodbav:"title"`
	Shelves map[string]bool `dynamodbav:"shelves"` // changed in place by the fold, which is allowed
	Torn    []int           `dynamodbav:"torn"`
	Events  int             `dynamodbav:"events"` // shows any event applied twice
}

type onShelf struct {
	Title string `dynamodbav:"title"`
}

func shelfSource() projection.Source {
	codec := eventsourcing.NewCodec[event](shelfNamed{})
	return projection.NewSource(projection.Spec[shelf, event]{
		Category: "test/shelf", Row: "shelf", Codec: codec, Listed: true,
		Fold: func(_ shelf, e event, _ eventsourcing.Record) shelf {
			return shelf{Name: e.(shelfNamed).Name} //nolint:errcheck,forcetypeassert // the only event there is
		},
	})
}

func bookSource(broken *atomic.Bool, rows func(string, book) []projection.Row) projection.Source {
	return bookSourceOf(eventsourcing.NewCodec[event](titled{}, placed{}, withdrawn{}, torn{}), broken, rows)
}

func bookSourceOf(
	codec *eventsourcing.Codec[event], broken *atomic.Bool, rows func(string, book) []projection.Row,
) projection.Source {
	return projection.NewSource(projection.Spec[book, event]{
		Category: "test/book", Row: "book", Codec: codec, Rows: rows,
		Fold: func(b book, e event, _ eventsourcing.Record) book {
			if b.Shelves == nil {
				b.Shelves = map[string]bool{}
			}
			b.Events++
			switch e := e.(type) {
			case titled:
				b.Title = e.Title
			case placed:
				b.Shelves[e.Shelf] = true
			case withdrawn:
				delete(b.Shelves, e.Shelf)
			case torn:
				b.Shelves["half done"] = true
				if broken.Load() {
					panic(fmt.Sprintf("page %d is torn", e.Page))
				}
				delete(b.Shelves, "half done")
				b.Torn = append(b.Torn, e.Page)
			}
			return b
		},
	})
}

func bookRows(id string, b book) (rows []projection.Row) {
	for _, s := range slices.Sorted(maps.Keys(b.Shelves)) {
		rows = append(rows, projection.Row{ID: s, Row: "book#" + id, Data: onShelf{b.Title}})
	}
	return rows
}

// library is an event log and a projection of it on an embedded AWS.
type library struct {
	t        testing.TB
	server   *localaws.Server
	config   projection.Config
	db       *dynamodb.Client // sees no faults
	log      *memLog
	broken   atomic.Bool
	registry *prometheus.Registry
	now      time.Time

	mu      sync.Mutex
	applied map[string]int // calls of OnApplied by event ID
}

const table = "projection-shelves"

func newLibrary(t testing.TB) *library {
	t.Helper()
	lib := &library{
		t: t, server: localaws.New(localaws.Options{}), log: &memLog{records: map[eventsourcing.StreamID][]eventsourcing.Record{}},
		registry: prometheus.NewRegistry(), applied: map[string]int{}, now: time.UnixMilli(1_800_000_000_000).UTC(),
	}
	lib.db = dynamodb.NewFromConfig(lib.server.Config())
	_, err := lib.db.CreateTable(context.Background(), projection.CreateTableInput(table))
	require.NoError(t, err)
	lib.config = projection.Config{
		Name: "shelves", Table: table, DB: lib.db, EventLog: lib.log, Metrics: lib.registry, Cache: 1 << 20,
		Sources: []projection.Source{shelfSource(), bookSource(&lib.broken, bookRows)},
		Now:     func() time.Time { return lib.now },
		OnApplied: func(r eventsourcing.Record) {
			lib.mu.Lock()
			defer lib.mu.Unlock()
			lib.applied[r.ID]++
		},
	}
	return lib
}

func (lib *library) projector() *projection.Projector {
	lib.t.Helper()
	return lib.projectorOf(lib.config)
}

func (lib *library) projectorOf(c projection.Config) *projection.Projector {
	lib.t.Helper()
	p, err := projection.NewProjector(c)
	require.NoError(lib.t, err)
	return p
}

func (lib *library) reader() projection.Reader { return projection.Reader{DB: lib.db, Table: table} }

func bookStream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "test/book", ID: id}
}

func shelfStream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "test/shelf", ID: id}
}

// append adds events to the log and returns their records.
func (lib *library) append(s eventsourcing.StreamID, events ...event) []eventsourcing.Record {
	lib.log.mu.Lock()
	defer lib.log.mu.Unlock()
	var out []eventsourcing.Record
	for _, e := range events {
		data, err := json.Marshal(e)
		require.NoError(lib.t, err)
		version := eventsourcing.Version(len(lib.log.records[s]) + 1)
		r := eventsourcing.Record{
			ID: fmt.Sprintf("%s@%d", s, version), Stream: s, Version: version, Name: e.EventName(), Schema: 1, Data: data,
			Metadata:   eventsourcing.Metadata{CorrelationID: "because", CausationID: fmt.Sprintf("command-%d", version)},
			RecordedAt: lib.now.Add(-time.Duration(version) * time.Millisecond),
		}
		lib.log.records[s] = append(lib.log.records[s], r)
		out = append(out, r)
	}
	return out
}

// contents returns the table as key → attribute → value.
func (lib *library) contents() map[string]map[string]any {
	out := map[string]map[string]any{}
	in := &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)}
	for {
		res, err := lib.db.Scan(context.Background(), in)
		require.NoError(lib.t, err)
		for _, item := range res.Items {
			row := plain(lib.t, item)
			key := fmt.Sprintf("%s|%s", row["id"], row["row"])
			delete(row, "id")
			delete(row, "row")
			delete(row, "rebuild") // a random text
			out[key] = row
		}
		if in.ExclusiveStartKey = res.LastEvaluatedKey; in.ExclusiveStartKey == nil {
			return out
		}
	}
}

// expected is what the table should hold, computed from the log alone.
func (lib *library) expected() map[string]map[string]any {
	out := map[string]map[string]any{}
	for stream, records := range lib.log.records {
		last := records[len(records)-1]
		row := map[string]any{
			"version": float64(len(records)), "stream": stream.String(), "event_id": last.ID, "correlation_id": "because",
			"causation_id": last.Metadata.CausationID, "updated_at": last.RecordedAt.Format(time.RFC3339Nano),
		}
		out[stream.ID+"|"+strings.TrimPrefix(stream.Category, "test/")] = row
		title, name, shelves, torn := "", "", map[string]any{}, []any(nil)
		for _, r := range records {
			var e struct {
				Name, Title, Shelf string
				Page               float64
			}
			require.NoError(lib.t, json.Unmarshal(r.Data, &e))
			switch _, fact, _ := strings.Cut(strings.TrimPrefix(r.Name, "test/"), "/"); fact {
			case "named":
				name = e.Name
			case "titled":
				title = e.Title
			case "placed":
				shelves[e.Shelf] = true
			case "withdrawn":
				delete(shelves, e.Shelf)
			case "torn":
				torn = append(torn, e.Page)
			}
		}
		if stream.Category == "test/shelf" {
			row["name"], row["listed"] = name, stream.ID
			continue
		}
		row["title"], row["shelves"], row["torn"], row["events"] = title, shelves, any(torn), float64(len(records))
		if torn == nil {
			row["torn"] = nil
		}
		for s := range shelves {
			out[s+"|book#"+stream.ID] = map[string]any{"title": title, "stream": stream.String()}
		}
	}
	return out
}

func (lib *library) requireEqualsFold() {
	lib.t.Helper()
	require.Equal(lib.t, lib.expected(), lib.contents())
}

// metric is the sum of a counter over its labels.
func (lib *library) metric(name string) int {
	sum := 0.0
	families, err := lib.registry.Gather()
	require.NoError(lib.t, err)
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return int(sum)
}

// memLog is an event log in memory. onEnd is called when a read finds no more records.
type memLog struct {
	mu      sync.Mutex
	records map[eventsourcing.StreamID][]eventsourcing.Record
	onEnd   func(eventsourcing.StreamID)
}

func (l *memLog) Read(_ context.Context, s eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		l.mu.Lock()
		records, onEnd := slices.Clone(l.records[s]), l.onEnd
		l.mu.Unlock()
		records = records[min(int(after), len(records)):]
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
		if onEnd != nil && len(records) == 0 {
			onEnd(s)
		}
	}
}

// transport calls before and after around each request. If one returns an error, the client gets only that: an error of
// after is a lost answer.
type transport struct {
	next          http.RoundTripper
	before, after func(operation string) error
}

func (f *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if f.before != nil {
		if err := f.before(op); err != nil {
			return nil, err
		}
	}
	res, err := f.next.RoundTrip(r)
	if err == nil && f.after != nil {
		if err := f.after(op); err != nil {
			_ = res.Body.Close()
			return nil, err
		}
	}
	return res, err
}

// through returns a client that has f's faults and does not retry.
func (lib *library) through(f *transport) *dynamodb.Client {
	cfg := lib.server.Config()
	f.next = lib.server.Transport()
	cfg.HTTPClient = &http.Client{Transport: f}
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
}

func plain(t testing.TB, item projection.Item) (row map[string]any) {
	t.Helper()
	require.NoError(t, attributevalue.UnmarshalMap(item, &row))
	return row
}
