package roles_test

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
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/projector-role/internal/roles"
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
	_, err := db.CreateTable(t.Context(), projection.CreateTableInput("roles"))
	require.NoError(t, err)
	m := &model{t: t, versions: map[eventsourcing.StreamID]eventsourcing.Version{}}
	m.projector, err = projection.NewProjector(projection.Config{
		Name: "roles", Table: "roles", DB: db, EventLog: &memstore.Store{}, Sources: roles.Sources(),
	})
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	router := httpapi.NewRouter(log)
	roles.Register(httpapi.NewAPI(router), projection.Reader{DB: db, Table: "roles"}, log)
	m.api = router
	return m
}

// user and role apply an aggregate's next events.
func (m *model) user(id string, events ...user.Event) {
	m.t.Helper()
	for _, e := range events {
		data, schema, err := user.NewCodec().Encode(e)
		require.NoError(m.t, err)
		m.apply(eventsourcing.Record{
			Stream: eventsourcing.StreamID{Category: user.Category, ID: id}, Name: e.EventName(), Schema: schema, Data: data,
		})
	}
}

func (m *model) role(id string, events ...role.Event) {
	m.t.Helper()
	for _, e := range events {
		data, schema, err := role.NewCodec().Encode(e)
		require.NoError(m.t, err)
		m.apply(eventsourcing.Record{
			Stream: eventsourcing.StreamID{Category: role.Category, ID: id}, Name: e.EventName(), Schema: schema, Data: data,
		})
	}
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

func (m *model) get(path string) *httptest.ResponseRecorder {
	m.t.Helper()
	res := httptest.NewRecorder()
	m.api.ServeHTTP(res, httptest.NewRequestWithContext(m.t.Context(), http.MethodGet, path, nil))
	return res
}

// members is what /roles/{id} and /roles/{id}/users both show.
func (m *model) members(id string) string {
	m.t.Helper()
	var one struct{ Users json.RawMessage }
	require.NoError(m.t, json.Unmarshal(m.get("/roles/"+id).Body.Bytes(), &one))
	res := m.get("/roles/" + id + "/users")
	require.Equal(m.t, http.StatusOK, res.Code, res.Body.String())
	assert.JSONEq(m.t, res.Body.String(), string(one.Users))
	return string(one.Users)
}

// code is a problem's.
func code(t *testing.T, res *httptest.ResponseRecorder) string {
	t.Helper()
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &p), res.Body.String())
	assert.Equal(t, res.Code, p.Status)
	return p.Code
}

// pages reads the list at path to its end and returns an attribute of all in each page.
func (m *model) pages(path, attr string) (pages [][]string) {
	m.t.Helper()
	for path != "" {
		res := m.get(path)
		require.Equal(m.t, http.StatusOK, res.Code, res.Body.String())
		var rows []map[string]any
		require.NoError(m.t, json.Unmarshal(res.Body.Bytes(), &rows))
		page := []string{}
		for _, row := range rows {
			page = append(page, fmt.Sprint(row[attr]))
		}
		pages = append(pages, page)
		path = next(res)
	}
	return pages
}

// next is the path of the next page, or "".
func next(res *httptest.ResponseRecorder) string {
	return strings.TrimSuffix(strings.TrimPrefix(res.Header().Get("Link"), "<"), `>; rel="next"`)
}

func id(i int) string { return fmt.Sprintf("01920b7c-5e3a-7c4d-9b1e-%012d", i) }

func TestARoleIsShownAsItsEventsSay(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	for i, step := range []struct {
		event role.Event
		want  string // beside id and version
	}{
		{role.Created{RoleID: auditor, Name: "auditor"}, `"name":"auditor","disabled":false`},
		{role.Renamed{Name: "Chief"}, `"name":"Chief","disabled":false`},
		{role.Disabled{}, `"name":"Chief","disabled":true`},
		{role.Enabled{}, `"name":"Chief","disabled":false`},
	} {
		m.role(auditor, step.event)
		want := fmt.Sprintf(`"id":%q,"version":%d,%s`, auditor, i+1, step.want)
		res := m.get("/roles/" + auditor)
		require.Equal(t, http.StatusOK, res.Code, res.Body.String())
		assert.JSONEq(t, `{`+want+`,"users":[]}`, res.Body.String(), step.event.EventName())
		assert.Equal(t, fmt.Sprintf("%q", fmt.Sprint(i+1)), res.Header().Get("ETag"))
		assert.JSONEq(t, `[{`+want+`}]`, m.get("/roles").Body.String())
	}
}

func TestMembersAreShownAsTheirEventsSay(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	m.role(clerk, role.Created{RoleID: clerk, Name: "clerk"})
	for _, step := range []struct {
		event          user.Event
		auditor, clerk string
	}{
		{user.Registered{UserID: ann, Email: "ann@example.com"}, ``, ``},
		{user.RoleAdded{RoleID: auditor}, `"firstName":"","lastName":"","email":"ann@example.com"`, ``},
		{
			user.Updated{FirstName: "Ann", LastName: "Lee"}, `"firstName":"Ann","lastName":"Lee","email":"ann@example.com"`, ``,
		},
		{
			user.RoleAdded{RoleID: clerk},
			`"firstName":"Ann","lastName":"Lee","email":"ann@example.com"`,
			`"firstName":"Ann","lastName":"Lee","email":"ann@example.com"`,
		},
		{
			user.EmailChanged{Email: "lee@example.com"},
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`,
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`,
		},
		{
			user.Disabled{},
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com","disabled":true`,
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com","disabled":true`,
		},
		{user.RoleRemoved{RoleID: auditor}, ``, `"firstName":"Ann","lastName":"Lee","email":"lee@example.com","disabled":true`},
		{user.Enabled{}, ``, `"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`},
		{user.RoleRemoved{RoleID: clerk}, ``, ``},
	} {
		m.user(ann, step.event)
		for id, want := range map[string]string{auditor: step.auditor, clerk: step.clerk} {
			if want != "" {
				want = `{"id":"` + ann + `",` + want + `}`
			}
			assert.JSONEq(t, `[`+want+`]`, m.members(id), step.event.EventName())
		}
	}
}

func TestAMemberMayComeBeforeItsRole(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.user(ann, user.Registered{UserID: ann, Email: "ann@example.com"}, user.RoleAdded{RoleID: auditor})
	assert.Equal(t, "role_not_found", code(t, m.get("/roles/"+auditor)))
	assert.Equal(t, [][]string{{ann}}, m.pages("/roles/"+auditor+"/users", "id"))
	m.role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	assert.Contains(t, m.members(auditor), ann)
}

func TestRolesAreListedPageByPage(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	assert.JSONEq(t, `[]`, m.get("/roles").Body.String())
	m.user(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	var names []string
	for i := range 5 {
		name := "role-" + strings.Repeat("x", i+1)
		m.role(id(i), role.Created{RoleID: role.ID(id(i)), Name: role.Name(name)})
		names = append(names, name)
	}
	pages := m.pages("/roles?limit=2", "name")
	assert.Len(t, pages, 3)
	assert.ElementsMatch(t, names, slices.Concat(pages...), "users are no roles")
	assert.ElementsMatch(t, names[2:], slices.Concat(m.pages("/roles?limit=1&contains=name:xxx", "name")...))
	assert.Empty(t, slices.Concat(m.pages("/roles?contains=name:XXX", "name")...), "a role keeps its case")
}

func TestMembersArePaged(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	var all []string
	for i := range 23 {
		m.user(id(i), user.Registered{UserID: user.ID(id(i)), Email: user.Email(fmt.Sprintf("u%d@example.com", i))},
			user.RoleAdded{RoleID: auditor})
		all = append(all, id(i))
	}
	for limit, sizes := range map[int][]int{10: {10, 10, 3}, 23: {23}} {
		pages := m.pages(fmt.Sprintf("/roles/%s/users?limit=%d", auditor, limit), "id")
		var got []int
		for _, p := range pages {
			got = append(got, len(p))
		}
		assert.Equal(t, sizes, got)
		assert.Equal(t, all, slices.Concat(pages...), "in the order of their ids")
	}
	var one roles.RoleWithMembers
	require.NoError(t, json.Unmarshal(m.get("/roles/"+auditor).Body.Bytes(), &one))
	assert.Len(t, one.Users, 20, "the first")
}

func TestBadReadsAreRefused(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	m.role(clerk, role.Created{RoleID: clerk, Name: "clerk"})
	for i := range 2 {
		m.user(id(i), user.Registered{UserID: user.ID(id(i)), Email: "u@example.com"}, user.RoleAdded{RoleID: auditor})
	}
	ofMembers := next(m.get("/roles/" + auditor + "/users?limit=1"))
	ofRoles := next(m.get("/roles?limit=1"))
	require.NotEmpty(t, ofMembers)
	require.NotEmpty(t, ofRoles)
	for path, want := range map[string]struct {
		status int
		code   string
	}{
		"/roles/" + ann:                               {404, "role_not_found"},
		"/roles/" + ann + "/users":                    {404, "role_not_found"},
		"/roles/x":                                    {422, "invalid"},
		"/roles/x/users?limit=0":                      {422, "invalid"},
		"/roles?contains=disabled:t":                  {422, "invalid"},
		"/roles?limit=101":                            {422, "invalid"},
		"/roles?cursor=x":                             {400, "bad_cursor"},
		"/roles/" + auditor + "/users?cursor=x":       {400, "bad_cursor"},
		strings.Replace(ofMembers, auditor, clerk, 1): {400, "bad_cursor"},
		strings.Replace(ofRoles, "/roles", "/roles/"+auditor+"/users", 1): {400, "bad_cursor"},
		ofRoles + "&contains=name:a":                                      {400, "bad_cursor"},
		"/roles/" + auditor + "?min_version=2":                            {412, "not_yet"},
		"/roles/" + auditor + "?min_version=2&wait=1ms":                   {412, "not_yet"},
		"/roles/" + auditor + "?min_version=1&wait=1h":                    {422, "invalid"},
	} {
		res := m.get(path)
		assert.Equal(t, want.status, res.Code, "%s: %s", path, res.Body)
		assert.Equal(t, want.code, code(t, res), path)
	}
	assert.Equal(t, http.StatusOK, m.get("/roles/"+auditor+"?min_version=1").Code)
	assert.JSONEq(t, `[]`, m.get("/roles/"+clerk+"/users").Body.String(), "a role without members")
}
