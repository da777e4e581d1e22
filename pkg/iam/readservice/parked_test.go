package readservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/waittest"
)

// sickSource cannot fold an event of any stream while sick is set.
func sickSource(sick *atomic.Bool) projection.Source {
	codec := eventsourcing.NewCodec[eventsourcing.Event](happened{})
	return projection.NewSource(projection.Spec[row, eventsourcing.Event]{
		Category: "test/thing", Row: "thing", Codec: codec,
		Fold: func(r row, _ eventsourcing.Event, rec eventsourcing.Record) row {
			if sick.Load() && rec.Version == 2 {
				panic("cannot be folded")
			}
			return row{r.Times + 1}
		},
	})
}

// answer sends a request to h and decodes the response into out, unless that is nil.
func answer(t *testing.T, h http.Handler, method, path string, out any) *httptest.ResponseRecorder {
	t.Helper()
	res := httptest.NewRecorder()
	h.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, nil))
	if out != nil {
		require.NoError(t, json.Unmarshal(res.Body.Bytes(), out), "%s %s: %s", method, path, res.Body)
	}
	return res
}

type shown struct {
	Projection, Stream, Event, Reason, Redrive string
	Version                                    uint64
	ParkedAt                                   time.Time
	Waiting                                    int
}

type outcome struct {
	Projection, Stream, Code string
	Version                  uint64
	Done                     bool
}

// TestAParkedAggregateIsListedAndRedrivenOverHTTP sends messages, parks, and uses the admin address. The public address
// has no such operations.
func TestAParkedAggregateIsListedAndRedrivenOverHTTP(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Truncate(time.Second) // what is stored is less precise
		server := localaws.New(localaws.Options{})
		require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: names}))
		var sick atomic.Bool
		sick.Store(true)
		p := platform(server)
		registry := prometheus.NewRegistry()
		p.Metrics = registry
		var api service.API
		local := map[string]string{"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0"}
		require.NoError(t, service.LoadConfig(service.Fixed(local), &api))
		app, err := readservice.New(t.Context(), readservice.Config{
			Name: "things", EventLog: names.EventLog, Table: names.Users, Queue: names.UserQueue,
			Shapes: []generation.Shape{{Number: 1, Sources: []projection.Source{sickSource(&sick)}}}, Generations: names.Generations,
			Routes: func(huma.API, readservice.Reader, history.Log) {}, API: api,
		}, p)
		require.NoError(t, err)
		endpoints, err := service.Endpoints(service.Config{}, p, registry, app)
		require.NoError(t, err)
		require.Len(t, endpoints, 2)
		admin, public := endpoints[0].Handler, endpoints[1].Handler
		require.Equal(t, "admin", endpoints[0].Name)

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- app.Parts[0].Run(ctx) }()
		db, queues := dynamodb.NewFromConfig(server.Config()), sqs.NewFromConfig(server.Config())
		log := dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: names.EventLog}})
		url, err := fifoqueue.QueueURL(t.Context(), queues, names.UserQueue)
		require.NoError(t, err)
		streams := []string{group, "test/thing/a?b%"} // the other one's name must be escaped in a path
		for _, stream := range streams {
			var out []fifoqueue.Outgoing
			for v := range eventsourcing.Version(4) {
				r := record(stream, v+1)
				require.NoError(t, log.Append(t.Context(), eventsourcing.Commit{
					Stream: r.Stream, Expected: v, Records: []eventsourcing.Record{r},
				}))
				out = append(out, fifoqueue.Outgoing{
					Group: stream, DeduplicationID: fmt.Sprint(stream, v), Body: message(t, r).Body,
				})
			}
			require.NoError(t, fifoqueue.NewPublisher(queues, url, retry.Backoff{}).Publish(t.Context(), out))
		}
		reader := projection.Reader{DB: db, Table: names.Users}
		for _, stream := range streams {
			waittest.Until(t, "all messages to be handled", func() (any, bool) {
				var parked projection.Parked
				found, err := reader.Get(t.Context(), strings.TrimPrefix(stream, "test/thing/"), "parked#thing", &parked)
				return parked.Latest, err == nil && found && parked.Latest == 4
			})
		}

		const list = "/projections/things/parked"
		var rows, second []shown
		res := answer(t, admin, http.MethodGet, list+"?limit=1", &rows)
		require.Equal(t, http.StatusOK, res.Code)
		next, _, _ := strings.Cut(strings.TrimPrefix(res.Header().Get("Link"), "<"), ">")
		require.Contains(t, next, list+"?", "there is another page")
		answer(t, admin, http.MethodGet, next, &second)
		rows = append(rows, second...)
		require.Len(t, rows, 2)
		if rows[0].Stream != group {
			rows[0], rows[1] = rows[1], rows[0]
		}
		assert.WithinRange(t, rows[0].ParkedAt, began, time.Now())
		rows[0].ParkedAt = time.Time{}
		assert.Equal(t, shown{
			Projection: "things", Stream: group, Event: "test/thing/happened", Reason: "panic: cannot be folded",
			Redrive: list + "/" + group + "/redrive", Version: 2, Waiting: 3,
		}, rows[0])

		for path, method := range map[string]string{
			list: http.MethodGet, list + "?limit=1": http.MethodGet, rows[0].Redrive: http.MethodPost,
		} {
			assert.Equal(t, http.StatusNotFound, answer(t, public, method, path, nil).Code, "%s is for operators", path)
		}
		assert.NotContains(t, answer(t, public, http.MethodGet, "/openapi.json", nil).Body.String(), "parked")

		var problem outcome
		res = answer(t, admin, http.MethodPost, rows[0].Redrive, &problem)
		assert.Equal(t, http.StatusConflict, res.Code)
		assert.Equal(t, "application/problem+json", res.Header().Get("Content-Type"))
		assert.Equal(t, "still_parked", problem.Code)
		assert.NotContains(t, res.Body.String(), "cannot be folded", "the reason is for the list alone")

		sick.Store(false)
		for _, r := range rows {
			var done outcome
			res = answer(t, admin, http.MethodPost, r.Redrive, &done)
			assert.Equal(t, http.StatusOK, res.Code, res.Body)
			assert.Equal(t, outcome{Projection: "things", Stream: r.Stream, Version: 4, Done: true}, done)
			res = answer(t, admin, http.MethodPost, r.Redrive, &problem)
			assert.Equal(t, http.StatusNotFound, res.Code, "it is parked no more")
			assert.Equal(t, "not_found", problem.Code)
		}
		var got row
		found, err := reader.Get(t.Context(), "x", "thing", &got)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, row{4}, got)
		assert.Equal(t, "[]", strings.TrimSpace(answer(t, admin, http.MethodGet, list, nil).Body.String()))
		metrics := answer(t, admin, http.MethodGet, "/metrics", nil).Body.String()
		assert.Contains(t, metrics, `projection_redriven_total{category="test/thing",projection="things"} 2`)
		assert.Contains(t, metrics, `projection_parked_total{category="test/thing",projection="things"}`)
		stop()
		require.NoError(t, <-ended)
		server.Close()
	})
}

// parked is a projection whose redrive is scripted.
type parked struct {
	redrive func(context.Context) (eventsourcing.Version, error)
	err     error
}

func (parked) Categories() []string { return []string{"test/thing"} }

func (s parked) Parked(context.Context, int, projection.Cursor) ([]projection.Parked, projection.Cursor, error) {
	return nil, projection.Cursor{}, s.err
}

func (s parked) ParkedStream(_ context.Context, stream eventsourcing.StreamID) (projection.Parked, bool, error) {
	return projection.Parked{Stream: stream.String(), Version: 2, Latest: 4}, stream.ID == "x", s.err
}

func (s parked) Redrive(ctx context.Context, _ eventsourcing.StreamID) (eventsourcing.Version, error) {
	return s.redrive(ctx)
}

func TestARedriveReportsItsOutcome(t *testing.T) {
	t.Parallel()
	const path = "/projections/things/parked/" + group + "/redrive"
	returns := func(v eventsourcing.Version, err error) parked {
		return parked{redrive: func(context.Context) (eventsourcing.Version, error) { return v, err }}
	}
	slow := parked{redrive: func(ctx context.Context) (eventsourcing.Version, error) {
		<-ctx.Done()
		return 3, fmt.Errorf("redrive: %w", ctx.Err())
	}}
	for name, c := range map[string]struct {
		parked parked
		path   string
		status int
		want   outcome
	}{
		"done":                     {returns(4, nil), path, 200, outcome{Projection: "things", Stream: group, Version: 4, Done: true}},
		"time is up":               {slow, path, 202, outcome{Projection: "things", Stream: group, Version: 3}},
		"still not applicable":     {returns(1, fmt.Errorf("redrive: %w", projection.ErrParked)), path, 409, outcome{Code: "still_parked"}},
		"messages in the way":      {returns(1, fmt.Errorf("redrive: %w", projection.ErrContended)), path, 503, outcome{Code: "unavailable"}},
		"the log is unavailable":   {returns(1, eventsourcing.ErrUnavailable), path, 503, outcome{Code: "unavailable"}},
		"the log lacks events":     {returns(1, eventsourcing.ErrLogHole), path, 500, outcome{Code: "log_hole"}},
		"the table is unavailable": {parked{err: eventsourcing.ErrUnavailable}, path, 503, outcome{Code: "unavailable"}},
		"not parked":               {returns(4, nil), strings.Replace(path, "/x/", "/y/", 1), 404, outcome{Code: "not_found"}},
		"another category":         {returns(4, nil), strings.Replace(path, "/thing/", "/thong/", 1), 404, outcome{Code: "not_found"}},
		"an unexpected trouble":    {returns(4, errors.New("secret")), path, 500, outcome{Code: "internal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
			timeout := time.Hour // never over while the test runs, however slow the machine
			if name == "time is up" {
				timeout = time.Millisecond
			}
			readservice.RegisterParked(httpapi.NewAPI(router), "things", c.parked, timeout, slog.New(slog.DiscardHandler))
			var got outcome
			res := answer(t, router, http.MethodPost, c.path, &got)
			assert.Equal(t, c.status, res.Code, res.Body)
			assert.Equal(t, c.want, got)
			assert.NotContains(t, res.Body.String(), "secret")
			assert.Equal(t, c.status == 503, res.Header().Get("Retry-After") != "")
		})
	}
}

func TestTheListOfParkedRefusesAnInvalidCursor(t *testing.T) {
	t.Parallel()
	router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
	readservice.RegisterParked(httpapi.NewAPI(router), "things", parked{}, time.Hour, slog.New(slog.DiscardHandler))
	for path, status := range map[string]int{"": 200, "?cursor=invalid": 400, "?limit=0": 422, "?limit=101": 422} {
		assert.Equal(t, status, answer(t, router, http.MethodGet, "/projections/things/parked"+path, nil).Code, path)
	}
}

// The leftfold program serves both projections at one address.
func TestTwoProjectionsCanShareAnAPI(t *testing.T) {
	t.Parallel()
	router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
	api := httpapi.NewAPI(router)
	for _, name := range []string{"users", "roles"} {
		readservice.RegisterParked(api, name, parked{redrive: func(context.Context) (eventsourcing.Version, error) { return 9, nil }},
			time.Hour, slog.New(slog.DiscardHandler))
	}
	require.NoError(t, httpapi.Publish(router, api, problems.Info()))
	for _, name := range []string{"users", "roles"} {
		var got outcome
		answer(t, router, http.MethodPost, "/projections/"+name+"/parked/"+group+"/redrive", &got)
		assert.Equal(t, outcome{Projection: name, Stream: group, Version: 9, Done: true}, got)
		document := answer(t, router, http.MethodGet, "/openapi.json", nil).Body.String()
		assert.Contains(t, document, `"redrive-`+name+`-test-thing"`)
		assert.Contains(t, document, "still_parked")
	}
}
