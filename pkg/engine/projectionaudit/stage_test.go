package projectionaudit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tests' aggregates: a shelf has a name; a book has a title, and copies on any number of shelves. The read model shows a
// shelf with its books: the book's stream owns the book's row on a shelf.

type (
	event = eventsourcing.Event

	named     struct{ Name string }
	titled    struct{ Title string }
	placed    struct{ Shelf string }
	withdrawn struct{ Shelf string }
	// torn cannot be folded while stage.broken is set.
	torn struct{}
)

func (named) EventName() string     { return "test/shelf/named" }
func (titled) EventName() string    { return "test/book/titled" }
func (placed) EventName() string    { return "test/book/placed" }
func (withdrawn) EventName() string { return "test/book/withdrawn" }
func (torn) EventName() string      { return "test/book/torn" }

type shelf struct {
	Name string `dynamodbav:"name"`
}

type book struct {
	Title   string          `dynamodbav:"title"`
	Shelves map[string]bool `dynamodbav:"shelves"`
	Price   float64         `dynamodbav:"price"`
	Tags    []string        `dynamodbav:"tags,stringset,omitempty"`
}

type onShelf struct {
	Title string `dynamodbav:"title"`
}

func shelves() projection.Source {
	return projection.NewSource(projection.Spec[shelf, event]{
		Category: "test/shelf", Row: "shelf", Codec: eventsourcing.NewCodec[event](named{}), Listed: true,
		Fold: func(_ shelf, e event, _ eventsourcing.Record) shelf {
			return shelf{Name: e.(named).Name} //nolint:errcheck,forcetypeassert // the only event there is
		},
	})
}

func books(broken *atomic.Bool) projection.Source {
	return projection.NewSource(projection.Spec[book, event]{
		Category: "test/book", Row: "book", Codec: eventsourcing.NewCodec[event](titled{}, placed{}, withdrawn{}, torn{}),
		Fold: func(b book, e event, r eventsourcing.Record) book {
			if b.Shelves == nil {
				b.Shelves = map[string]bool{}
			}
			b.Price += 0.1
			switch e := e.(type) {
			case titled:
				b.Title = e.Title
				b.Tags = append(b.Tags, fmt.Sprint("v", r.Version))
			case placed:
				b.Shelves[e.Shelf] = true
			case withdrawn:
				delete(b.Shelves, e.Shelf)
			case torn:
				if broken.Load() {
					panic("torn: secret")
				}
			}
			return b
		},
		Rows: func(id string, b book) (rows []projection.Row) {
			for _, s := range slices.Sorted(maps.Keys(b.Shelves)) {
				rows = append(rows, projection.Row{ID: s, Row: "book#" + id, Data: onShelf{b.Title}})
			}
			return rows
		},
	})
}

const table = "shelves"

// stage is a log, a read model of it, and an auditor.
type stage struct {
	t      tb
	server *localaws.Server
	db     *dynamodb.Client
	log    *dynamostore.Store
	broken atomic.Bool

	mu     sync.Mutex
	logged map[eventsourcing.StreamID][]eventsourcing.Record
}

// tb is what tests and property tests have in common.
type tb interface {
	require.TestingT
	Helper()
	Context() context.Context
}

func newStage(t tb) *stage {
	t.Helper()
	s := &stage{t: t, server: localaws.New(localaws.Options{}), logged: map[eventsourcing.StreamID][]eventsourcing.Record{}}
	s.db = dynamodb.NewFromConfig(s.server.Config())
	for _, in := range append((dynamostore.Tables{}).CreateTableInputs(), projection.CreateTableInput(table)) {
		_, err := s.db.CreateTable(t.Context(), in)
		require.NoError(t, err)
	}
	s.log = dynamostore.NewStore(s.db, dynamostore.Config{})
	return s
}

func bookStream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "test/book", ID: id}
}

func shelfStream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "test/shelf", ID: id}
}

// projector calls DynamoDB as db does.
func (s *stage) projector(db *dynamodb.Client) *projection.Projector {
	return s.projectorOf(db, &s.broken)
}

func (s *stage) projectorOf(db *dynamodb.Client, broken *atomic.Bool) *projection.Projector {
	s.t.Helper()
	p, err := projection.NewProjector(projection.Config{
		Name: "shelves", Table: table, DB: db, EventLog: dynamostore.NewStore(db, dynamostore.Config{}),
		Sources: []projection.Source{shelves(), books(broken)},
	})
	require.NoError(s.t, err)
	return p
}

// append adds events to the log, in one commit, and returns all records of the stream.
func (s *stage) append(stream eventsourcing.StreamID, events ...event) []eventsourcing.Record {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.logged[stream]
	commit := eventsourcing.Commit{Stream: stream, Expected: eventsourcing.Version(len(before))}
	for _, e := range events {
		data, err := json.Marshal(e)
		require.NoError(s.t, err)
		version := commit.Expected + eventsourcing.Version(len(commit.Records)) + 1
		commit.Records = append(commit.Records, eventsourcing.Record{
			ID: fmt.Sprintf("%s@%d", stream, version), Stream: stream, Version: version, Name: e.EventName(), Schema: 1, Data: data,
			Metadata:   eventsourcing.Metadata{CorrelationID: "because", CausationID: fmt.Sprint("command", version)},
			RecordedAt: time.UnixMilli(1_800_000_000_000).Add(time.Duration(version) * time.Millisecond),
		})
	}
	require.NoError(s.t, s.log.Append(s.t.Context(), commit))
	s.logged[stream] = slices.Concat(before, commit.Records)
	return s.logged[stream]
}

// happened appends events and applies them.
func (s *stage) happened(stream eventsourcing.StreamID, events ...event) {
	s.t.Helper()
	records := s.append(stream, events...)
	_, err := s.projector(s.db).Apply(s.t.Context(), records[len(records)-len(events):])
	require.NoError(s.t, err)
}

// crowd makes 4 shelves and 10 books, of which most have copies on some of them.
func (s *stage) crowd() {
	s.t.Helper()
	for n := range 4 {
		s.happened(shelfStream(fmt.Sprint("s", n)), named{fmt.Sprint("secret shelf ", n)})
	}
	for n := range 10 {
		stream := bookStream(fmt.Sprint("b", n))
		s.happened(stream, titled{fmt.Sprint("secret ", n)})
		for copies := range n % 4 {
			s.happened(stream, placed{fmt.Sprint("s", copies)})
		}
	}
}

// rows is the table, but for the random marks of rebuilds.
func (s *stage) rows() map[string]projection.Item {
	s.t.Helper()
	out, err := s.db.Scan(s.t.Context(), &dynamodb.ScanInput{TableName: aws.String(table), ConsistentRead: aws.Bool(true)})
	require.NoError(s.t, err)
	rows := map[string]projection.Item{}
	for _, item := range out.Items {
		delete(item, "rebuild")
		rows[textOf(item["id"])+"|"+textOf(item["row"])] = item
	}
	return rows
}

func textOf(v types.AttributeValue) string {
	s, _ := v.(*types.AttributeValueMemberS)
	if s == nil {
		return ""
	}
	return s.Value
}

func text(v string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: v} }
func number(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }

// plant writes a row by hand: that which is there, if any, with these attributes. An attribute of nil is removed.
func (s *stage) plant(id, row string, attributes projection.Item) {
	s.t.Helper()
	item := projection.Item{"id": text(id), "row": text(row)}
	out, err := s.db.GetItem(s.t.Context(), &dynamodb.GetItemInput{TableName: aws.String(table), Key: item, ConsistentRead: aws.Bool(true)})
	require.NoError(s.t, err)
	if out.Item != nil {
		item = out.Item
	}
	for name, value := range attributes {
		if item[name] = value; value == nil {
			delete(item, name)
		}
	}
	_, err = s.db.PutItem(s.t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item})
	require.NoError(s.t, err)
}

// lose deletes a row by hand.
func (s *stage) lose(id, row string) {
	s.t.Helper()
	_, err := s.db.DeleteItem(s.t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(table), Key: projection.Item{"id": text(id), "row": text(row)},
	})
	require.NoError(s.t, err)
}

// forget deletes an event of the log by hand.
func (s *stage) forget(stream eventsourcing.StreamID, version int) {
	s.t.Helper()
	_, err := s.db.DeleteItem(s.t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("EventLog"), Key: projection.Item{"stream": text(stream.String()), "version": number(fmt.Sprint(version))},
	})
	require.NoError(s.t, err)
}

// audit runs an audit; with changes its configuration.
func (s *stage) audit(with ...func(*projectionaudit.Config)) (projectionaudit.Result, []projectionaudit.Finding, error) {
	var found []projectionaudit.Finding
	c := projectionaudit.Config{
		Projector: s.projector(s.db), Log: s.log, Settle: time.Millisecond,
		OnFinding: func(f projectionaudit.Finding) { found = append(found, f) },
	}
	for _, change := range with {
		change(&c)
	}
	result, err := projectionaudit.Run(s.t.Context(), c)
	for _, f := range found {
		shown, jsonErr := json.Marshal(f)
		require.NoError(s.t, jsonErr)
		require.NotContains(s.t, f.String()+string(shown), "secret", "no data is shown")
	}
	if err != nil {
		require.NotContains(s.t, err.Error(), "secret", "no data is shown")
	}
	require.Len(s.t, found, result.Differences+result.Parked)
	return result, found, err
}

// audited is audit without an error, its findings as sorted lines.
func (s *stage) audited(with ...func(*projectionaudit.Config)) (projectionaudit.Result, []string) {
	s.t.Helper()
	result, found, err := s.audit(with...)
	require.NoError(s.t, err)
	lines := []string{}
	for _, f := range found {
		lines = append(lines, strings.ReplaceAll(f.String(), "test/", ""))
	}
	slices.Sort(lines)
	return result, lines
}

func repairing(c *projectionaudit.Config) { c.Repair = true }

func repairingEmptied(c *projectionaudit.Config) { c.Repair, c.RepairEmptied = true, true }

// through makes the audit call DynamoDB through the hooks, without retries of the SDK.
func (s *stage) through(h *hooks) func(*projectionaudit.Config) {
	db := s.client(h)
	return func(c *projectionaudit.Config) {
		c.Projector, c.Log = s.projector(db), dynamostore.NewStore(db, dynamostore.Config{})
	}
}

func (s *stage) client(h *hooks) *dynamodb.Client {
	cfg := s.server.Config()
	cfg.HTTPClient = &http.Client{Transport: &hooks{next: s.server.Transport(), before: h.before, after: h.after}}
	return dynamodb.NewFromConfig(cfg, func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
}

// hooks run before and after every call. If one returns an error, the caller gets only that: an error of after is a lost
// answer.
type hooks struct {
	next          http.RoundTripper
	before, after func(operation string) error
}

func (h *hooks) RoundTrip(r *http.Request) (*http.Response, error) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	if h.before != nil {
		if err := h.before(op); err != nil {
			return nil, err
		}
	}
	res, err := h.next.RoundTrip(r)
	if err == nil && h.after != nil {
		if err := h.after(op); err != nil {
			return nil, errors.Join(err, res.Body.Close())
		}
	}
	return res, err
}
