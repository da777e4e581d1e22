package roles_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/iamtest"
	"github.com/leftfold/leftfold/services/projector-role/internal/roles"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ann     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	auditor = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
	clerk   = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e5a"
)

var friday = time.Date(2026, 12, 4, 17, 0, 0, 0, time.UTC)

func newModel(t *testing.T) *iamtest.Model {
	t.Helper()
	return iamtest.NewModel(t, "roles", roles.Shapes(), roles.Register, history.ReadScope, history.DataScope)
}

// members returns what /roles/{id} and /roles/{id}/users both show.
func members(t *testing.T, m *iamtest.Model, id string) string {
	t.Helper()
	var one struct{ Users json.RawMessage }
	require.NoError(t, json.Unmarshal(m.Get("/roles/"+id).Body.Bytes(), &one))
	res := m.Get("/roles/" + id + "/users")
	require.Equal(t, http.StatusOK, res.Code, res.Body.String())
	assert.JSONEq(t, res.Body.String(), string(one.Users))
	return string(one.Users)
}

func id(i int) string { return fmt.Sprintf("01920b7c-5e3a-7c4d-9b1e-%012d", i) }

func TestEachEventOfARoleIsShown(t *testing.T) {
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
		{
			role.RulesChanged{Rules: role.Rules{Essential: true, MaxMembers: 2}},
			`"name":"Chief","disabled":false,"essential":true,"maxMembers":2`,
		},
		{role.RulesChanged{}, `"name":"Chief","disabled":false`},
		{role.RetirementRequested{Members: 1}, `"name":"Chief","disabled":false,"retiring":true`},
		{role.RetirementCancelled{}, `"name":"Chief","disabled":true`},
		{role.RetirementRequested{}, `"name":"Chief","disabled":true,"retiring":true`},
		{role.Retired{}, `"name":"Chief","disabled":true,"retired":true`},
	} {
		m.Role(auditor, step.event)
		want := fmt.Sprintf(`"id":%q,"version":%d,%s`, auditor, i+1, step.want)
		res := m.Get("/roles/" + auditor)
		require.Equal(t, http.StatusOK, res.Code, res.Body.String())
		assert.JSONEq(t, `{`+want+`,"users":[]}`, res.Body.String(), step.event.EventName())
		assert.Regexp(t, fmt.Sprintf(`^"%d-`, i+1), res.Header().Get("ETag"))
		assert.JSONEq(t, `[{`+want+`}]`, m.Get("/roles").Body.String())
	}
}

func TestARoleIsShownAsItWasWithoutItsMembers(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"}, role.Renamed{Name: "chief"}, role.Disabled{})
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"}, user.RoleAdded{RoleID: auditor})
	for v, want := range []string{`"name":"auditor","disabled":false`, `"name":"chief","disabled":false`, `"name":"chief","disabled":true`} {
		res := m.Get(fmt.Sprintf("/roles/%s?as_of=%d", auditor, v+1))
		require.Equal(t, http.StatusOK, res.Code, res.Body.String())
		assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"version":%d,%s}`, auditor, v+1, want), res.Body.String())
	}
	assert.Equal(t, "no_such_version", iamtest.Code(t, m.Get("/roles/"+auditor+"?as_of=4")))
	assert.Equal(t, "role_not_found", iamtest.Code(t, m.Get("/roles/"+auditor+"?as_of=0")))
	assert.Equal(t, [][]string{{"1", "2"}, {"3"}}, m.Pages("/roles/"+auditor+"/events?limit=2", "version"))
}

func TestEachEventOfAMemberIsShown(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	m.Role(clerk, role.Created{RoleID: clerk, Name: "clerk"})
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
		{
			user.RoleGranted{RoleID: clerk, Until: friday},
			``, `"firstName":"Ann","lastName":"Lee","email":"lee@example.com","until":"2026-12-04T17:00:00Z"`,
		},
		{
			user.RoleAdded{RoleID: auditor},
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`,
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com","until":"2026-12-04T17:00:00Z"`,
		},
		{
			user.RoleUntilChanged{RoleID: auditor, Until: friday.Add(time.Hour)},
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com","until":"2026-12-04T18:00:00Z"`,
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com","until":"2026-12-04T17:00:00Z"`,
		},
		{
			user.RoleUntilChanged{RoleID: clerk},
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com","until":"2026-12-04T18:00:00Z"`,
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`,
		},
		{user.RoleExpired{RoleID: auditor, Until: friday.Add(time.Hour)}, ``, `"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`},
		{
			user.RoleAdded{RoleID: auditor},
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`,
			`"firstName":"Ann","lastName":"Lee","email":"lee@example.com"`,
		},
	} {
		m.User(ann, step.event)
		for id, want := range map[string]string{auditor: step.auditor, clerk: step.clerk} {
			if want != "" {
				want = `{"id":"` + ann + `",` + want + `}`
			}
			assert.JSONEq(t, `[`+want+`]`, members(t, m, id), step.event.EventName())
		}
	}
}

// TestHistoriesOfFormerBuildsGiveTheirRows: or they need a shape of their own.
func TestHistoriesOfFormerBuildsGiveTheirRows(t *testing.T) {
	t.Parallel()
	newModel(t).KeepsRows("testdata/rows.json")
}

func TestAMemberMayArriveBeforeItsRole(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"}, user.RoleAdded{RoleID: auditor})
	assert.Equal(t, "role_not_found", iamtest.Code(t, m.Get("/roles/"+auditor)))
	assert.Equal(t, [][]string{{ann}}, m.Pages("/roles/"+auditor+"/users", "id"))
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	assert.Contains(t, members(t, m, auditor), ann)
}

func TestRolesAreListedPageByPage(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	assert.JSONEq(t, `[]`, m.Get("/roles").Body.String())
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	var names []string
	for i := range 5 {
		name := "role-" + strings.Repeat("x", i+1)
		m.Role(id(i), role.Created{RoleID: role.ID(id(i)), Name: role.Name(name)})
		names = append(names, name)
	}
	pages := m.Pages("/roles?limit=2", "name")
	assert.Len(t, pages, 3)
	assert.ElementsMatch(t, names, slices.Concat(pages...), "users are no roles")
	assert.ElementsMatch(t, names[2:], slices.Concat(m.Pages("/roles?limit=1&contains=name:xxx", "name")...))
	assert.Empty(t, slices.Concat(m.Pages("/roles?contains=name:XXX", "name")...), "a role keeps its case")
}

func TestMembersArePaged(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	var all []string
	for i := range 23 {
		m.User(id(i), user.Registered{UserID: user.ID(id(i)), Email: user.Email(fmt.Sprintf("u%d@example.com", i))},
			user.RoleAdded{RoleID: auditor})
		all = append(all, id(i))
	}
	for limit, sizes := range map[int][]int{10: {10, 10, 3}, 23: {23}} {
		pages := m.Pages(fmt.Sprintf("/roles/%s/users?limit=%d", auditor, limit), "id")
		var got []int
		for _, p := range pages {
			got = append(got, len(p))
		}
		assert.Equal(t, sizes, got)
		assert.Equal(t, all, slices.Concat(pages...), "in the order of their ids")
	}
	var one roles.RoleWithMembers
	require.NoError(t, json.Unmarshal(m.Get("/roles/"+auditor).Body.Bytes(), &one))
	assert.Len(t, one.Users, 20, "the first")
}

func TestInvalidReadsAreRefused(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	m.Role(clerk, role.Created{RoleID: clerk, Name: "clerk"})
	for i := range 2 {
		m.User(id(i), user.Registered{UserID: user.ID(id(i)), Email: "u@example.com"}, user.RoleAdded{RoleID: auditor})
	}
	ofMembers := iamtest.Next(m.Get("/roles/" + auditor + "/users?limit=1"))
	ofRoles := iamtest.Next(m.Get("/roles?limit=1"))
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
		res := m.Get(path)
		assert.Equal(t, want.status, res.Code, "%s: %s", path, res.Body)
		assert.Equal(t, want.code, iamtest.Code(t, res), path)
	}
	assert.Equal(t, http.StatusOK, m.Get("/roles/"+auditor+"?min_version=1").Code)
	assert.JSONEq(t, `[]`, m.Get("/roles/"+clerk+"/users").Body.String(), "a role without members")
}
