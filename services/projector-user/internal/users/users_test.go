package users_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/projector-user/internal/users"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ann     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	auditor = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
	clerk   = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e5a"
)

// model is the read model on an AWS in memory, and the API on it.
type model struct {
	t         *testing.T
	projector *projection.Projector
	api       http.Handler
	versions  map[eventsourcing.StreamID]eventsourcing.Version
}

func newModel(t *testing.T) *model {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	db := dynamodb.NewFromConfig(server.Config())
	_, err := db.CreateTable(t.Context(), projection.CreateTableInput("users"))
	require.NoError(t, err)
	m := &model{t: t, versions: map[eventsourcing.StreamID]eventsourcing.Version{}}
	m.projector, err = projection.NewProjector(projection.Config{
		Name: "users", Table: "users", DB: db, EventLog: &memstore.Store{}, Sources: users.Sources(),
	})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	router := httpapi.NewRouter(log)
	users.Register(httpapi.NewAPI(router), projection.Reader{DB: db, Table: "users"}, log)
	m.api = router
	return m
}

// user applies a user's next event, with what was looked up for it.
func (m *model) user(id string, e user.Event, lookedUp ...eventsourcing.Enrichment) {
	m.t.Helper()
	data, schema, err := user.NewCodec().Encode(e)
	require.NoError(m.t, err)
	m.apply(eventsourcing.Record{
		Stream: eventsourcing.StreamID{Category: user.Category, ID: id}, Name: e.EventName(), Schema: schema, Data: data,
		Enrichment: lookedUp,
	})
}

// auditor applies the next event of the one role there is.
func (m *model) auditor(e role.Event) {
	m.t.Helper()
	data, schema, err := role.NewCodec().Encode(e)
	require.NoError(m.t, err)
	m.apply(eventsourcing.Record{
		Stream: eventsourcing.StreamID{Category: role.Category, ID: auditor}, Name: e.EventName(), Schema: schema, Data: data,
	})
}

func (m *model) apply(r eventsourcing.Record) {
	m.t.Helper()
	m.versions[r.Stream]++
	r.Version = m.versions[r.Stream]
	r.ID = fmt.Sprintf("%s#%d", r.Stream, r.Version)
	r.RecordedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	done, err := m.projector.Apply(m.t.Context(), []eventsourcing.Record{r})
	require.NoError(m.t, err)
	require.Equal(m.t, 1, done)
}

// called is the enrichment that names a role.
func called(id, name string) eventsourcing.Enrichment {
	return role.NewReference(role.ID(id), role.Name(name))
}

func (m *model) get(path string) *httptest.ResponseRecorder {
	m.t.Helper()
	res := httptest.NewRecorder()
	m.api.ServeHTTP(res, httptest.NewRequestWithContext(m.t.Context(), http.MethodGet, path, nil))
	return res
}

// code is a problem's.
func code(t *testing.T, res *httptest.ResponseRecorder) string {
	t.Helper()
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &p), res.Body.String())
	assert.Equal(t, res.Code, p.Status)
	return p.Code
}

// emails reads the list at path to its end, page by page, and returns who is in each.
func (m *model) emails(path string) (pages [][]string) {
	m.t.Helper()
	for path != "" {
		res := m.get(path)
		require.Equal(m.t, http.StatusOK, res.Code, res.Body.String())
		var page []struct{ Email string }
		require.NoError(m.t, json.Unmarshal(res.Body.Bytes(), &page))
		emails := []string{}
		for _, u := range page {
			emails = append(emails, u.Email)
		}
		pages = append(pages, emails)
		path = strings.TrimSuffix(strings.TrimPrefix(res.Header().Get("Link"), "<"), `>; rel="next"`)
	}
	return pages
}

func TestAUserIsShownAsItsEventsSay(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	for i, step := range []struct {
		event user.Event
		want  string // beside id and version
	}{
		{user.Registered{UserID: ann, Email: "ann@example.com"}, `"email":"ann@example.com","firstName":"","lastName":"","disabled":false,"roles":[]`},
		{user.Updated{FirstName: "Ann", LastName: "Lee"}, `"email":"ann@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
		{user.EmailChanged{Email: "lee@example.com"}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
		{user.RoleAdded{RoleID: auditor}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[{"id":"` + auditor + `","name":""}]`},
		{user.RoleRemoved{RoleID: auditor}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
		{user.Disabled{}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":true,"roles":[]`},
		{user.Enabled{}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
	} {
		m.user(ann, step.event)
		res := m.get("/users/" + ann)
		require.Equal(t, http.StatusOK, res.Code, res.Body.String())
		assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"version":%d,%s}`, ann, i+1, step.want), res.Body.String(), step.event.EventName())
		assert.Equal(t, fmt.Sprintf("%q", fmt.Sprint(i+1)), res.Header().Get("ETag"))
	}
}

// A former build enriched every event of a user with the user's own data.
func TestEnrichmentOfFormerBuildsIsReadAndIgnored(t *testing.T) {
	t.Parallel()
	stored, err := envelope.Decode([]byte(`{"id":"e2","stream":"org/iam/user/` + ann + `","version":2,"name":"org/iam/user/roleAdded",` +
		`"schema":1,"data":{"roleId":"` + auditor + `"},"enrichment":[` +
		`{"aggregate":"org/iam/role","id":"` + auditor + `","data":{"name":"auditor"}},` +
		`{"aggregate":"org/iam/user","id":"` + ann + `","data":{"email":"old@example.com","firstName":"Old","lastName":"Name"}}],` +
		`"metadata":{"actor":"anonymous"},"recordedAt":"2026-03-01T12:00:00.007Z"}`))
	require.NoError(t, err)
	require.Len(t, stored.Enrichment, 2)
	m := newModel(t)
	m.user(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	m.apply(stored)
	assert.JSONEq(t, `{"id":"`+ann+`","version":2,"email":"ann@example.com","firstName":"","lastName":"","disabled":false,`+
		`"roles":[{"id":"`+auditor+`","name":"auditor"}]}`, m.get("/users/"+ann).Body.String())
}

func TestARoleIsNamedAsGrantedUntilItsOwnEventsArrive(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.user(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	m.user(ann, user.RoleAdded{RoleID: auditor}, called(clerk, "another"), called(auditor, "auditor"))
	m.user(ann, user.RoleAdded{RoleID: clerk}, called(clerk, "clerk"))
	roles := func() string {
		var u struct{ Roles json.RawMessage }
		require.NoError(t, json.Unmarshal(m.get("/users/"+ann).Body.Bytes(), &u))
		return string(u.Roles)
	}
	assert.JSONEq(t, `[{"id":"`+auditor+`","name":"auditor"},{"id":"`+clerk+`","name":"clerk"}]`, roles())

	m.auditor(role.Created{RoleID: auditor, Name: "trainee"})
	m.auditor(role.Renamed{Name: "Chief"})
	m.auditor(role.Disabled{})
	assert.JSONEq(t, `[{"id":"`+auditor+`","name":"Chief","disabled":true},{"id":"`+clerk+`","name":"clerk"}]`, roles())
	m.auditor(role.Enabled{})
	m.user(ann, user.RoleRemoved{RoleID: clerk})
	assert.JSONEq(t, `[{"id":"`+auditor+`","name":"Chief"}]`, roles())

	var listed []struct{ Roles []users.HeldRole }
	res := m.get("/users")
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &listed), res.Body.String())
	require.Len(t, listed, 1, "roles are no users")
	assert.Equal(t, []users.HeldRole{{ID: auditor, Name: "Chief"}}, listed[0].Roles)
}

// crowd registers n users, u1@example.com and so on, of which every second is called Neill.
func (m *model) crowd(n int) (emails []string) {
	for i := 1; i <= n; i++ {
		id := fmt.Sprintf("01920b7c-5e3a-7c4d-9b1e-%012d", i)
		email := fmt.Sprintf("u%d@example.com", i)
		m.user(id, user.Registered{UserID: user.ID(id), Email: user.Email(email)})
		m.user(id, user.Updated{FirstName: "Dan", LastName: []user.Name{"O'Neill", "Lee"}[i%2]})
		emails = append(emails, email)
	}
	return emails
}

func TestAListIsReadPageByPage(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	res := m.get("/users")
	assert.JSONEq(t, `[]`, res.Body.String())
	assert.Empty(t, res.Header().Get("Link"))

	emails := m.crowd(7)
	m.auditor(role.Created{RoleID: auditor, Name: "auditor"})
	for limit, sizes := range map[int][]int{3: {3, 3, 1}, 7: {7}, 100: {7}} {
		pages := m.emails(fmt.Sprintf("/users?limit=%d", limit))
		var got []int
		for _, p := range pages {
			got = append(got, len(p))
		}
		assert.Equal(t, sizes, got, "pages are full but for the last")
		assert.ElementsMatch(t, emails, slices.Concat(pages...))
	}
}

func TestContainsKeepsOnlyWhatMatches(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	emails := m.crowd(6)
	for query, want := range map[string][]string{
		"contains=lastName:Neill&limit=2":    {emails[1], emails[3], emails[5]},
		"contains=lastName:O%27Nei&limit=2":  {emails[1], emails[3], emails[5]},
		"contains=lastName:neill":            {},
		"contains=firstName:Da":              emails,
		"contains=email:U4%40EXAMPLE":        {emails[3]},
		"contains=email::":                   {},
		"contains=email:u&limit=1":           emails,
		"contains=email:nobody&limit=1":      {},
		"contains=":                          emails,
		"contains=lastName:Neill%26limit%3D": {},
	} {
		assert.ElementsMatch(t, want, slices.Concat(m.emails("/users?"+query)...), query)
	}
}

func TestBadReadsAreRefused(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.crowd(2)
	next := strings.TrimSuffix(strings.TrimPrefix(m.get("/users?limit=1").Header().Get("Link"), "<"), `>; rel="next"`)
	require.NotEmpty(t, next)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/users/" + ann:             {404, "user_not_found"},
		"/users/x":                  {422, "invalid"},
		"/users?contains=roles:x":   {422, "invalid"},
		"/users?contains=email":     {422, "invalid"},
		"/users?contains=email:":    {422, "invalid"},
		"/users?contains=email:%ff": {422, "invalid"},
		"/users?contains=email:" + strings.Repeat("x", 300): {422, "invalid"},
		"/users?limit=0":                    {422, "invalid"},
		"/users?limit=101":                  {422, "invalid"},
		"/users?limit=x":                    {422, "invalid"},
		"/users?cursor=x":                   {400, "bad_cursor"},
		"/users?cursor=%00":                 {400, "bad_cursor"},
		next + "&contains=email:x":          {400, "bad_cursor"},
		"/users/" + ann + "?min_version=1":  {412, "not_yet"},
		"/users/" + ann + "?min_version=-1": {422, "invalid"},
		"/users/" + ann + "?wait=soon":      {422, "invalid"},
		"/users/" + ann + "?wait=11s":       {422, "invalid"},
		"/users/" + ann + "?wait=-1s":       {422, "invalid"},
	} {
		res := m.get(path)
		assert.Equal(t, want.status, res.Code, "%s: %s", path, res.Body)
		assert.Equal(t, want.code, code(t, res), path)
	}
}

func TestReadersSeeTheVersionTheyAskFor(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.user(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	assert.Equal(t, http.StatusOK, m.get("/users/"+ann+"?min_version=1").Code)

	res := m.get("/users/" + ann + "?min_version=2&wait=1ms")
	assert.Equal(t, http.StatusPreconditionFailed, res.Code)
	assert.Equal(t, "not_yet", code(t, res))
	assert.Equal(t, "1", res.Header().Get("Retry-After"))

	answer := make(chan *httptest.ResponseRecorder)
	go func() { answer <- m.get("/users/" + ann + "?min_version=2&wait=10s") }()
	m.user(ann, user.Disabled{})
	waited := <-answer
	assert.Equal(t, http.StatusOK, waited.Code, waited.Body.String())
	assert.Equal(t, `"2"`, waited.Header().Get("ETag"))
}
