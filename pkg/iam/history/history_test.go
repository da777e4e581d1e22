package history_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const lamp = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

// moved is the event of the tests; its first shape had the place under another name.
type moved struct {
	To string `json:"to"`
}

type movedV1 struct {
	Place string `json:"place"`
}

func (moved) EventName() string { return "test/thing/moved" }

// places is a read model that folds all of an event and something of its record.
type places struct {
	Been []string `dynamodbav:"been"`
}

var errNone = &eventsourcing.Refusal{Kind: eventsourcing.NotFound, Code: "thing_not_found"}

func historyIn(log history.Log) history.Of[places, eventsourcing.Event] {
	codec := eventsourcing.NewCodec[eventsourcing.Event](moved{}).History(moved{}, eventsourcing.Upcast(func(old movedV1) moved {
		return moved{To: old.Place}
	}))
	return history.Of[places, eventsourcing.Event]{
		Log: log, Collection: "things", OperationID: "listThingEvents", NotFound: errNone,
		Spec: projection.Spec[places, eventsourcing.Event]{
			Category: "test/thing", Row: "thing", Codec: codec,
			Fold: func(p places, e eventsourcing.Event, r eventsourcing.Record) places {
				m, _ := e.(moved)
				return places{append(p.Been, fmt.Sprintf("%s by %s", m.To, r.Metadata.Actor))}
			},
		},
	}
}

var stream = eventsourcing.StreamID{Category: "test/thing", ID: lamp}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// event is the thing's event of that version, recorded so long after noon.
func event(v eventsourcing.Version, after time.Duration) eventsourcing.Record {
	return eventsourcing.Record{
		ID: fmt.Sprintf("e%d", v), Stream: stream, Version: v, Name: "test/thing/moved", Schema: 2,
		Data: json.RawMessage(fmt.Sprintf(`{"to":"p%d"}`, v)), RecordedAt: noon.Add(after),
		Metadata: eventsourcing.Metadata{Actor: fmt.Sprintf("a%d", v), CorrelationID: "c", CausationID: "k", Traceparent: "t"},
	}
}

func logOf(t require.TestingT, records ...eventsourcing.Record) *memstore.Store {
	log := &memstore.Store{}
	for _, r := range records {
		require.NoError(t, log.Append(context.Background(), eventsourcing.Commit{
			Stream: r.Stream, Expected: r.Version - 1, Records: []eventsourcing.Record{r},
		}))
	}
	return log
}

// reader is the context of a request that may see data.
func reader(ctx context.Context, scopes ...string) context.Context {
	return auth.With(ctx, auth.Principal{Subject: "dan", Scopes: scopes})
}

func TestAsOf(t *testing.T) {
	t.Parallel()
	old := event(1, 0)
	old.Schema, old.Data = 1, json.RawMessage(`{"place":"p1"}`) // of a former build
	of := historyIn(logOf(t, old, event(2, time.Minute), event(3, 3*time.Minute), event(4, 2*time.Minute), event(5, 5*time.Minute)))
	at := func(after time.Duration) string { return noon.Add(after).Format(time.RFC3339Nano) }
	for asOf, want := range map[string]any{ // a version or an error
		"1": 1, "3": 3, "5": 5, "005": 5,
		"0": errNone, "6": problems.ErrNoSuchVersion, "9007199254740991": problems.ErrNoSuchVersion,
		at(-time.Millisecond):            errNone,
		at(0):                            1,
		at(time.Minute - 1):              1,
		at(time.Minute):                  2,
		at(2 * time.Minute):              2, // the fourth has an earlier time than the third, which cuts it off
		at(3*time.Minute - 1):            2,
		at(3 * time.Minute):              4,
		at(24 * time.Hour):               5,
		"2026-03-01T13:01:00+01:00":      2,
		"2026-03-01t12:01:00z":           2,
		"0001-01-01T00:00:00Z":           errNone,
		"9999-12-31T23:59:59.999999999Z": 5,
	} {
		row, version, err := of.At(reader(t.Context(), history.DataScope), lamp, history.AsOf(asOf))
		if refusal, ok := want.(error); ok {
			require.ErrorIs(t, err, refusal, asOf)
			continue
		}
		require.NoError(t, err, asOf)
		assert.EqualValues(t, want, version, asOf)
		var been []string
		for v := range int(version) {
			been = append(been, fmt.Sprintf("p%d by a%d", v+1, v+1))
		}
		assert.Equal(t, been, row.Been, asOf)
	}
	_, _, err := of.At(reader(t.Context(), history.DataScope), "another", "1")
	require.ErrorIs(t, err, errNone)
}

// TestATimeMeansTheLastVersionBeforeTheFirstEventAfterIt, whatever the clocks of the writers were.
func TestATimeMeansTheLastVersionBeforeTheFirstEventAfterIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 12).Draw(t, "times of the events")
		asked := rapid.IntRange(-1, 10).Draw(t, "time asked for")
		var records []eventsourcing.Record
		for i, s := range seconds {
			records = append(records, event(eventsourcing.Version(i+1), time.Duration(s)*time.Second))
		}
		want := 0
		for want < len(seconds) && seconds[want] <= asked {
			want++
		}
		asOf := noon.Add(time.Duration(asked) * time.Second).Format(time.RFC3339)
		_, version, err := historyIn(logOf(t, records...)).At(reader(context.Background(), history.DataScope), lamp, history.AsOf(asOf))
		if want == 0 {
			require.ErrorIs(t, err, errNone)
			return
		}
		require.NoError(t, err)
		require.EqualValues(t, want, version)
	})
}

// server serves the events of the thing to a client with these scopes.
func server(log history.Log, scopes ...string) http.Handler {
	quiet := slog.New(slog.DiscardHandler)
	router := httpapi.NewRouter(quiet)
	historyIn(log).Register(httpapi.NewAPI(router), quiet)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		router.ServeHTTP(w, r.WithContext(reader(r.Context(), scopes...)))
	})
}

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	res := httptest.NewRecorder()
	h.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return res
}

func TestEventsAreListedAsTheyStandInTheLog(t *testing.T) {
	t.Parallel()
	old, unknown := event(1, 0), event(2, time.Second)
	old.Schema, old.Data = 1, json.RawMessage(`{"place":"p1"}`)
	unknown.Name, unknown.Data, unknown.Metadata = "test/thing/invented", json.RawMessage(`{"x": 1}`), eventsourcing.Metadata{}
	log := logOf(t, old, unknown)
	const common = `"id":"e1","version":1,"name":"test/thing/moved","recordedAt":"2026-03-01T12:00:00Z","actor":"a1",` +
		`"correlationId":"c","causationId":"k","schema":1`
	const invented = `"id":"e2","version":2,"name":"test/thing/invented","recordedAt":"2026-03-01T12:00:01Z","schema":2`

	res := get(t, server(log, history.ReadScope, history.DataScope), "/things/"+lamp+"/events")
	require.Equal(t, http.StatusOK, res.Code, res.Body)
	assert.JSONEq(t, `[{`+common+`,"data":{"place":"p1"}},{`+invented+`,"data":{"x":1}}]`, res.Body.String())

	res = get(t, server(log, history.ReadScope), "/things/"+lamp+"/events")
	require.Equal(t, http.StatusOK, res.Code, res.Body)
	assert.JSONEq(t, `[{`+common+`},{`+invented+`}]`, res.Body.String(), "no data without its scope")
}

func TestThePastIsRefusedWithoutItsScope(t *testing.T) {
	t.Parallel()
	_, _, err := historyIn(logOf(t, event(1, 0))).At(reader(t.Context(), history.ReadScope), lamp, "1")
	p, ok := errors.AsType[*httpapi.Problem](err)
	require.True(t, ok, err)
	assert.Equal(t, http.StatusForbidden, p.Status)
	assert.Equal(t, `Bearer realm="leftfold", error="insufficient_scope", scope="events:data"`, p.GetHeaders().Get("WWW-Authenticate"))
}

func TestEventsAreReadPageByPage(t *testing.T) {
	t.Parallel()
	log := &memstore.Store{}
	h := server(log, history.ReadScope)
	assert.Equal(t, http.StatusNotFound, get(t, h, "/things/"+lamp+"/events").Code)
	for v := eventsourcing.Version(1); v <= 7; v++ {
		require.NoError(t, log.Append(t.Context(), eventsourcing.Commit{
			Stream: stream, Expected: v - 1, Records: []eventsourcing.Record{event(v, 0)},
		}))
	}
	for limit, want := range map[int][]int{3: {3, 3, 1}, 7: {7}, 100: {7}} {
		var sizes []int
		var versions []eventsourcing.Version
		for path := fmt.Sprintf("/things/%s/events?limit=%d", lamp, limit); path != ""; {
			res := get(t, h, path)
			require.Equal(t, http.StatusOK, res.Code, res.Body)
			var page []history.Event
			require.NoError(t, json.Unmarshal(res.Body.Bytes(), &page))
			sizes = append(sizes, len(page))
			for _, e := range page {
				versions = append(versions, e.Version)
			}
			path = strings.TrimSuffix(strings.TrimPrefix(res.Header().Get("Link"), "<"), `>; rel="next"`)
		}
		assert.Equal(t, want, sizes)
		assert.Equal(t, []eventsourcing.Version{1, 2, 3, 4, 5, 6, 7}, versions)
	}
	for cursor, status := range map[string]int{
		"6": 200, "7": 400, "99": 400, "0": 400, "06": 400, "-1": 400, "x": 400, "18446744073709551615": 400, "18446744073709551616": 400,
	} {
		assert.Equal(t, status, get(t, h, "/things/"+lamp+"/events?cursor="+cursor).Code, cursor)
	}
}

func TestAnAsOfThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	quiet := slog.New(slog.DiscardHandler)
	router := httpapi.NewRouter(quiet)
	httpapi.Register(httpapi.NewAPI(router), quiet, huma.Operation{OperationID: "getThing", Method: http.MethodGet, Path: "/thing"},
		func(context.Context, *struct{ history.Reading }) (*struct{}, error) { return nil, nil })
	for query, status := range map[string]int{
		"as_of=1": 204, "as_of=": 204, "as_of=2026-03-01T12:00:00%2B01:00": 204, "as_of=2026-03-01T12:00:00.5Z": 204,
		"as_of=2026-03-01T12:00:00+01:00": 422, "as_of=x": 422, "as_of=-1": 422, "as_of=1.5": 422, "as_of=9007199254740992": 422,
		"as_of=2026-02-30T12:00:00Z": 422, "as_of=2026-03-01": 422, "as_of=2026-03-01T12:00:00": 422,
		"as_of=1&min_version=1": 422, "as_of=1&wait=1s": 422, "as_of=&min_version=1": 204,
	} {
		res := get(t, router, "/thing?"+query)
		assert.Equal(t, status, res.Code, "%s: %s", query, res.Body)
		if status == 422 {
			assert.Contains(t, res.Body.String(), `"location":"query.as_of"`, query)
		}
	}
}

// silent is a log of which a read does not end by itself.
type silent struct{}

func (silent) Read(ctx context.Context, _ eventsourcing.StreamID, _ eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		<-ctx.Done()
		yield(eventsourcing.Record{}, ctx.Err())
	}
}

func TestAReadOfThePastEndsWithItsRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(reader(t.Context(), history.DataScope), time.Second)
		defer cancel()
		_, _, err := historyIn(silent{}).At(ctx, lamp, "1")
		assert.Equal(t, http.StatusServiceUnavailable, httpapi.ProblemOf(err).Status)
	})
}

// TestAShortReadOfALongStreamIsCheap: on DynamoDB a page of events, and an early version, are one query of a few records; the whole
// stream is read in pages of 1 MB.
func TestAShortReadOfALongStreamIsCheap(t *testing.T) {
	t.Parallel()
	const long = 1_000
	aws := localaws.New(localaws.Options{})
	t.Cleanup(aws.Close)
	db := dynamodb.NewFromConfig(aws.Config())
	tables := dynamostore.Tables{}
	_, err := db.CreateTable(t.Context(), tables.CreateTableInputs()[0])
	require.NoError(t, err)
	log := dynamostore.NewStore(db, dynamostore.Config{FirstPage: history.FirstPage})
	for v := eventsourcing.Version(1); v <= long; v += 50 {
		commit := eventsourcing.Commit{Stream: stream, Expected: v - 1}
		for i := range eventsourcing.Version(50) {
			e := event(v+i, 0)
			e.Data = json.RawMessage(fmt.Sprintf(`{"to":"p%d","ballast":%q}`, e.Version, strings.Repeat("x", 4_000)))
			commit.Records = append(commit.Records, e)
		}
		require.NoError(t, log.Append(t.Context(), commit))
	}
	queries := func() int { return int(aws.Calls()["DynamoDB.Query"]) }
	count := func(do func()) int {
		before := queries()
		do()
		return queries() - before
	}
	of, ctx := historyIn(log), reader(t.Context(), history.DataScope)
	assert.Equal(t, 1, count(func() {
		_, version, err := of.At(ctx, lamp, "100")
		require.NoError(t, err)
		assert.EqualValues(t, 100, version)
	}))
	assert.Equal(t, 1, count(func() {
		res := get(t, server(log, history.ReadScope), "/things/"+lamp+"/events?limit=100&cursor=500")
		assert.Equal(t, http.StatusOK, res.Code, res.Body)
	}))
	assert.Less(t, count(func() {
		row, version, err := of.At(ctx, lamp, "1000")
		require.NoError(t, err)
		assert.EqualValues(t, long, version)
		assert.Len(t, row.Been, long)
	}), 8, "4 MB")
}

// lacking is a log without one version, as dynamostore reads it.
type lacking struct {
	history.Log
	version eventsourcing.Version
}

func (l lacking) Read(
	ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for r, err := range l.Log.Read(ctx, s, after) {
			if err == nil && r.Version == l.version {
				yield(eventsourcing.Record{}, fmt.Errorf("%w: version %d", eventsourcing.ErrLogHole, l.version))
				return
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// What is before a hole, and behind it, is shown.
func TestAHoleHidesNothingButItself(t *testing.T) {
	t.Parallel()
	log := lacking{logOf(t, event(1, 0), event(2, time.Minute), event(3, 2*time.Minute), event(4, 3*time.Minute)), 3}
	of, ctx := historyIn(log), reader(t.Context(), history.DataScope)
	for _, asOf := range []string{"1", "2"} {
		_, version, err := of.At(ctx, lamp, history.AsOf(asOf))
		require.NoError(t, err)
		assert.Equal(t, asOf, fmt.Sprint(version))
	}
	for _, asOf := range []string{"3", "4", noon.Add(time.Minute).Format(time.RFC3339)} {
		_, _, err := of.At(ctx, lamp, history.AsOf(asOf))
		require.ErrorIs(t, err, eventsourcing.ErrLogHole, "what came next is not known")
	}

	h, path := server(log, history.ReadScope), "/things/"+lamp+"/events"
	first := get(t, h, path)
	require.Equal(t, http.StatusOK, first.Code, first.Body)
	var page []history.Event
	require.NoError(t, json.Unmarshal(first.Body.Bytes(), &page))
	assert.Len(t, page, 2)
	assert.Contains(t, first.Header().Get("Link"), "cursor=2")
	assert.Equal(t, http.StatusInternalServerError, get(t, h, path+"?cursor=2").Code)
	assert.Equal(t, http.StatusOK, get(t, h, path+"?cursor=3").Code)
}
