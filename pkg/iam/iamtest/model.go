// Package iamtest tests read models on the embedded AWS: it applies events and reads the result through the REST API.
package iamtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Model is a read model in a table of the embedded AWS, with a log in memory and its REST API.
type Model struct {
	t         *testing.T
	db        *dynamodb.Client
	table     string
	log       *memstore.Store
	projector *projection.Projector
	api       http.Handler
	versions  map[eventsourcing.StreamID]eventsourcing.Version
}

// NewModel returns an empty read model with the API that register adds, whose requests have the scopes.
func NewModel(
	t *testing.T, name string, shapes []generation.Shape,
	register func(huma.API, readservice.Reader, history.Log, *slog.Logger), scopes ...string,
) *Model {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	db := dynamodb.NewFromConfig(server.Config())
	_, err := db.CreateTable(t.Context(), projection.CreateTableInput(name))
	require.NoError(t, err)
	log := &memstore.Store{}
	projector, err := projection.NewProjector(projection.Config{
		Name: name, Table: name, DB: db, EventLog: log, Sources: shapes[len(shapes)-1].Sources,
	})
	require.NoError(t, err)
	logger := slog.New(slog.DiscardHandler)
	router := httpapi.NewRouter(logger)
	register(httpapi.NewAPI(router), projection.Reader{DB: db, Table: name}, log, logger)
	return &Model{
		t: t, db: db, table: name, log: log, projector: projector, versions: map[eventsourcing.StreamID]eventsourcing.Version{},
		api: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			router.ServeHTTP(w, r.WithContext(auth.With(r.Context(), auth.Principal{Subject: "tester", Scopes: scopes})))
		}),
	}
}

// User applies the next events of a user.
func (m *Model) User(id string, events ...user.Event) {
	m.t.Helper()
	for _, e := range events {
		m.UserEnriched(id, e)
	}
}

// UserEnriched applies the next event of a user with its enrichment.
func (m *Model) UserEnriched(id string, e user.Event, enrichment ...eventsourcing.Enrichment) {
	m.t.Helper()
	data, schema, err := user.NewCodec().Encode(e)
	require.NoError(m.t, err)
	m.Apply(eventsourcing.Record{
		Stream: eventsourcing.StreamID{Category: user.Category, ID: id}, Name: e.EventName(), Schema: schema, Data: data,
		Enrichment: enrichment,
	})
}

// Role applies the next events of a role.
func (m *Model) Role(id string, events ...role.Event) {
	m.t.Helper()
	for _, e := range events {
		data, schema, err := role.NewCodec().Encode(e)
		require.NoError(m.t, err)
		m.Apply(eventsourcing.Record{
			Stream: eventsourcing.StreamID{Category: role.Category, ID: id}, Name: e.EventName(), Schema: schema, Data: data,
		})
	}
}

// Apply appends a record to the log as the next of its stream, and applies it.
func (m *Model) Apply(r eventsourcing.Record) {
	m.t.Helper()
	m.versions[r.Stream]++
	r.Version = m.versions[r.Stream]
	r.ID = fmt.Sprintf("%s#%d", r.Stream, r.Version)
	if r.RecordedAt.IsZero() {
		r.RecordedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	}
	require.NoError(m.t, m.log.Append(m.t.Context(), eventsourcing.Commit{
		Stream: r.Stream, Expected: r.Version - 1, Records: []eventsourcing.Record{r},
	}))
	done, err := m.projector.Apply(m.t.Context(), []eventsourcing.Record{r})
	require.NoError(m.t, err)
	require.Equal(m.t, 1, done)
}

// KeepsRows applies a history of the events that the first builds had, and compares the rows with those that they stored.
func (m *Model) KeepsRows(stored string) {
	m.t.Helper()
	const (
		ann     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
		bob     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"
		auditor = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
		clerk   = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e5a"
	)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"}, role.Renamed{Name: "chief"}, role.Disabled{})
	m.Role(clerk, role.Created{RoleID: clerk, Name: "clerk"}, role.Disabled{}, role.Enabled{})
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"}, user.Updated{FirstName: "Ann", LastName: "Lee"})
	m.UserEnriched(ann, user.RoleAdded{RoleID: auditor}, role.NewReference(auditor, "auditor"))
	m.UserEnriched(ann, user.RoleAdded{RoleID: clerk}, role.NewReference(clerk, "clerk"))
	m.User(ann, user.EmailChanged{Email: "lee@example.com"}, user.RoleRemoved{RoleID: auditor}, user.Disabled{}, user.Enabled{})
	m.UserEnriched(ann, user.RoleAdded{RoleID: auditor}, role.NewReference(auditor, "chief"))
	m.User(bob, user.Registered{UserID: bob, Email: "bob@example.com"}, user.Disabled{})
	was, err := os.ReadFile(stored) //nolint:gosec // a file of the test's own
	require.NoError(m.t, err)
	assert.Equal(m.t, string(was), m.rows())
}

// rows returns all rows as they are stored, as JSON, ordered by their keys.
func (m *Model) rows() string {
	m.t.Helper()
	out, err := m.db.Scan(m.t.Context(), &dynamodb.ScanInput{TableName: &m.table})
	require.NoError(m.t, err)
	require.Empty(m.t, out.LastEvaluatedKey)
	rows := []map[string]any{}
	require.NoError(m.t, attributevalue.UnmarshalListOfMaps(out.Items, &rows))
	slices.SortFunc(rows, func(a, b map[string]any) int {
		return cmp.Or(cmp.Compare(fmt.Sprint(a["id"]), fmt.Sprint(b["id"])), cmp.Compare(fmt.Sprint(a["row"]), fmt.Sprint(b["row"])))
	})
	text, err := json.MarshalIndent(rows, "", "  ")
	require.NoError(m.t, err)
	return string(text) + "\n"
}

// Get sends a GET request with headers, given as name and value in turn.
func (m *Model) Get(path string, headers ...string) *httptest.ResponseRecorder {
	m.t.Helper()
	req := httptest.NewRequestWithContext(m.t.Context(), http.MethodGet, path, nil)
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	res := httptest.NewRecorder()
	m.api.ServeHTTP(res, req)
	return res
}

// Pages reads the list at path to its end and returns an attribute of all in each page.
func (m *Model) Pages(path, attribute string) (pages [][]string) {
	m.t.Helper()
	for path != "" {
		res := m.Get(path)
		require.Equal(m.t, http.StatusOK, res.Code, res.Body.String())
		var rows []map[string]any
		require.NoError(m.t, json.Unmarshal(res.Body.Bytes(), &rows))
		page := []string{}
		for _, row := range rows {
			page = append(page, fmt.Sprint(row[attribute]))
		}
		pages = append(pages, page)
		path = Next(res)
	}
	return pages
}

// Next returns the path of the next page, or "".
func Next(res *httptest.ResponseRecorder) string {
	return strings.TrimSuffix(strings.TrimPrefix(res.Header().Get("Link"), "<"), `>; rel="next"`)
}

// Code returns the code of a problem.
func Code(t *testing.T, res *httptest.ResponseRecorder) string {
	t.Helper()
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &p), res.Body.String())
	assert.Equal(t, res.Code, p.Status)
	return p.Code
}
