package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

type person struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	Disabled  bool   `json:"disabled"`
	Version   uint64 `json:"version"`
	Roles     []held `json:"roles"`
}

type held struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Disabled bool   `json:"disabled"`
}

type group struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Disabled bool     `json:"disabled"`
	Version  uint64   `json:"version"`
	Users    []person `json:"users"`
}

// userAt and roleAt wait for the version.
func userAt(a api, id string, version uint64) person {
	a.t.Helper()
	u, header := read[person](a, fmt.Sprintf("/users/%s?min_version=%d&wait=10s", id, version))
	assert.Regexp(a.t, fmt.Sprintf(`^"%d-[\w-]+"$`, u.Version), header.Get("ETag"))
	return u
}

func roleAt(a api, id string, version uint64) group {
	a.t.Helper()
	r, header := read[group](a, fmt.Sprintf("/roles/%s?min_version=%d&wait=10s", id, version))
	assert.Regexp(a.t, fmt.Sprintf(`^"%d-[\w-]+"$`, r.Version), header.Get("ETag"))
	return r
}

// userInRoles waits until the roles projection has the user at the version; members have none of their own to wait for.
func userInRoles(a api, id string, version uint64) {
	a.t.Helper()
	var row struct{ projection.Fence }
	found, err := a.Roles().Await(a.t.Context(), id, "user", eventsourcing.Version(version), 10*time.Second, &row)
	require.NoError(a.t, err)
	require.True(a.t, found)
}

// roleInUsers is userInRoles for a role in the users projection.
func roleInUsers(a api, id string, version uint64) {
	a.t.Helper()
	var row struct{ projection.Fence }
	found, err := a.Users().Await(a.t.Context(), id, "role", eventsourcing.Version(version), 10*time.Second, &row)
	require.NoError(a.t, err)
	require.True(a.t, found)
}

// TestEveryCommandReachesBothReadModels sends each command through the pipeline and reads both read models.
func TestEveryCommandReachesBothReadModels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		dan, eve, admin, audit := newID(), "", newID(), ""
		step := func(name string, test func()) {
			t.Log(name)
			test()
		}

		step("register", func() {
			answer := a.send(http.MethodPost, "/users", object{"id": strings.ToUpper(dan), "email": " Dan@Example.com"})
			require.Equal(t, http.StatusAccepted, answer.Status)
			assert.Equal(t, `"1"`, answer.Header.Get("ETag"))
			assert.Equal(t, "/users/"+dan, answer.Header.Get("Location"))
			assert.JSONEq(t, `{"id":"`+dan+`","version":1}`, string(answer.Body))
			eve = a.accept(http.MethodPost, "/users", object{"email": "eve@example.com"}).ID
			assert.Equal(t, person{ID: dan, Email: "dan@example.com", Version: 1, Roles: []held{}}, userAt(a, dan, 1))
			assert.Equal(t, "eve@example.com", userAt(a, eve, 1).Email)

			a.refuse(http.MethodPost, "/users", object{"id": dan, "email": "x@example.com"}, 409, "user_exists")
			a.refuse(http.MethodPost, "/users", object{"email": "DAN@example.com"}, 409, "email_taken")
			p := a.refuse(http.MethodPost, "/users", object{"id": "1", "email": "no address"}, 422, "invalid")
			assert.Equal(t, []string{"body.email", "body.id"}, locations(p), "all fields at once")
		})
		step("create a role", func() {
			answer := a.send(http.MethodPost, "/roles", object{"id": admin, "name": "Admin"})
			require.Equal(t, http.StatusAccepted, answer.Status)
			assert.Equal(t, "/roles/"+admin, answer.Header.Get("Location"))
			audit = a.accept(http.MethodPost, "/roles", object{"name": "auditor"}).ID
			assert.Equal(t, group{ID: admin, Name: "Admin", Version: 1, Users: []person{}}, roleAt(a, admin, 1))

			a.refuse(http.MethodPost, "/roles", object{"id": admin, "name": "other"}, 409, "role_exists")
			a.refuse(http.MethodPost, "/roles", object{"name": "aDMIN"}, 409, "name_taken")
			p := a.refuse(http.MethodPost, "/roles", object{"id": "x", "name": "no digits 4 roles"}, 422, "invalid")
			assert.Equal(t, []string{"body.id", "body.name"}, locations(p))
		})
		step("update", func() {
			got := a.accept(http.MethodPut, "/users/"+dan, object{"firstName": "Dan", "lastName": "O'Neill"})
			assert.Equal(t, systemtest.Receipt{ID: dan, Version: 2}, got)
			u := userAt(a, dan, 2)
			assert.Equal(t, "Dan O'Neill", u.FirstName+" "+u.LastName)
			a.refuse(http.MethodPut, "/users/"+newID(), object{"firstName": "A", "lastName": "B"}, 404, "user_not_found")
			p := a.refuse(http.MethodPut, "/users/"+dan, object{"firstName": "R2D2", "lastName": ""}, 422, "invalid")
			assert.Equal(t, []string{"body.firstName", "body.lastName"}, locations(p))
		})
		step("add a role", func() {
			a.accept(http.MethodPost, "/users/"+dan+"/roles", object{"roleId": admin})
			assert.Equal(t, []held{{ID: admin, Name: "Admin"}}, userAt(a, dan, 3).Roles)
			userInRoles(a, dan, 3)
			assert.Equal(t, []person{{ID: dan, Email: "dan@example.com", FirstName: "Dan", LastName: "O'Neill"}}, roleAt(a, admin, 1).Users)
			a.refuse(http.MethodPost, "/users/"+dan+"/roles", object{"roleId": admin}, 409, "role_already_held")
			a.refuse(http.MethodPost, "/users/"+dan+"/roles", object{"roleId": newID()}, 404, "role_not_found")
			a.refuse(http.MethodPost, "/users/"+newID()+"/roles", object{"roleId": admin}, 404, "user_not_found")
		})
		step("change the e-mail", func() {
			a.refuse(http.MethodPut, "/users/"+dan+"/email", object{"email": "EVE@example.com"}, 409, "email_taken")
			a.accept(http.MethodPut, "/users/"+dan+"/email", object{"email": "dan@example.org"})
			a.accept(http.MethodPut, "/users/"+eve+"/email", object{"email": "Dan@example.com"}) // free at once
			assert.Equal(t, "dan@example.org", userAt(a, dan, 4).Email)
			assert.Equal(t, "dan@example.com", userAt(a, eve, 2).Email)
			userInRoles(a, dan, 4)
			assert.Equal(t, "dan@example.org", roleAt(a, admin, 1).Users[0].Email)
			a.refuse(http.MethodPut, "/users/"+newID()+"/email", object{"email": "new@example.com"}, 404, "user_not_found")
		})
		step("rename a role", func() {
			a.refuse(http.MethodPut, "/roles/"+admin, object{"name": "AUDITOR"}, 409, "name_taken")
			a.accept(http.MethodPut, "/roles/"+admin, object{"name": "chief"})
			a.accept(http.MethodPut, "/roles/"+audit, object{"name": "admin"}) // free at once
			assert.Equal(t, "chief", roleAt(a, admin, 2).Name)
			assert.Equal(t, "admin", roleAt(a, audit, 2).Name)
			roleInUsers(a, admin, 2)
			assert.Equal(t, []held{{ID: admin, Name: "chief"}}, userAt(a, dan, 4).Roles)
			a.refuse(http.MethodPut, "/roles/"+newID(), object{"name": "x"}, 404, "role_not_found")
		})
		step("disable and enable a role", func() {
			a.accept(http.MethodPut, "/roles/"+admin+"/disable", nil)
			assert.True(t, roleAt(a, admin, 3).Disabled)
			roleInUsers(a, admin, 3)
			assert.True(t, userAt(a, dan, 4).Roles[0].Disabled)
			a.refuse(http.MethodPut, "/roles/"+admin+"/disable", nil, 409, "role_disabled")
			a.refuse(http.MethodPut, "/roles/"+admin, object{"name": "boss"}, 409, "role_disabled")
			a.refuse(http.MethodPost, "/users/"+eve+"/roles", object{"roleId": admin}, 409, "role_disabled")
			a.refuse(http.MethodPost, "/roles", object{"name": "chief"}, 409, "name_taken") // it keeps its name
			a.accept(http.MethodPut, "/roles/"+admin+"/enable", "{not even JSON")           // the operation takes no body, so it is ignored
			assert.False(t, roleAt(a, admin, 4).Disabled)
			roleInUsers(a, admin, 4)
			assert.False(t, userAt(a, dan, 4).Roles[0].Disabled)
			a.refuse(http.MethodPut, "/roles/"+admin+"/enable", nil, 409, "role_enabled")
			a.refuse(http.MethodPut, "/roles/"+newID()+"/enable", nil, 404, "role_not_found")
		})
		step("disable and enable a user", func() {
			a.accept(http.MethodPut, "/users/"+dan+"/disable", object{"ignored": true})
			assert.True(t, userAt(a, dan, 5).Disabled)
			userInRoles(a, dan, 5)
			assert.True(t, roleAt(a, admin, 4).Users[0].Disabled)
			a.refuse(http.MethodPut, "/users/"+dan+"/disable", nil, 409, "user_disabled")
			a.refuse(http.MethodPut, "/users/"+dan, object{"firstName": "D", "lastName": "O"}, 409, "user_disabled")
			a.refuse(http.MethodPut, "/users/"+dan+"/email", object{"email": "d@example.com"}, 409, "user_disabled")
			a.refuse(http.MethodPost, "/users/"+dan+"/roles", object{"roleId": audit}, 409, "user_disabled")
			a.refuse(http.MethodPost, "/users", object{"email": "dan@example.org"}, 409, "email_taken") // it keeps its e-mail
			a.accept(http.MethodPut, "/users/"+dan+"/enable", nil)
			assert.False(t, userAt(a, dan, 6).Disabled)
			userInRoles(a, dan, 6)
			assert.False(t, roleAt(a, admin, 4).Users[0].Disabled)
			a.refuse(http.MethodPut, "/users/"+dan+"/enable", nil, 409, "user_enabled")
			a.refuse(http.MethodPut, "/users/"+newID()+"/disable", nil, 404, "user_not_found")
		})
		step("remove a role", func() {
			a.accept(http.MethodPut, "/users/"+dan+"/disable", nil) // a disabled user can lose roles
			a.accept(http.MethodDelete, "/users/"+dan+"/roles/"+admin, nil)
			assert.Empty(t, userAt(a, dan, 8).Roles)
			userInRoles(a, dan, 8)
			assert.Empty(t, roleAt(a, admin, 4).Users)
			a.refuse(http.MethodDelete, "/users/"+dan+"/roles/"+admin, nil, 409, "role_not_held")
			a.refuse(http.MethodDelete, "/users/"+newID()+"/roles/"+admin, nil, 404, "user_not_found")
		})
		step("reads", func() {
			a.refuse(http.MethodGet, "/users/"+newID(), nil, 404, "user_not_found")
			a.refuse(http.MethodGet, "/roles/"+newID(), nil, 404, "role_not_found")
			a.refuse(http.MethodGet, "/roles/"+newID()+"/users", nil, 404, "role_not_found")
			a.refuse(http.MethodGet, "/users/"+dan+"?min_version=99", nil, 412, "not_yet")
			a.refuse(http.MethodGet, "/users?limit=101", nil, 422, "invalid")
			a.refuse(http.MethodGet, "/users?limit=0&contains=password:x", nil, 422, "invalid")
			a.refuse(http.MethodGet, "/nowhere", nil, 404, "not_found")
		})
		_, err := a.Audit(t.Context())
		require.NoError(t, err)
	})
}

func locations(p systemtest.Problem) (out []string) {
	for _, f := range p.Errors {
		out = append(out, f.Location)
	}
	return out
}

// TestListsShowEveryRowOnce pages through users, roles and members.
func TestListsShowEveryRowOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		role := a.accept(http.MethodPost, "/roles", object{"name": "reader"}).ID
		roleAt(a, role, 1)
		users, odd := []string{}, []string{}
		for i := range 47 {
			name := []string{"Even", "Odd"}[i%2]
			id := a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("%s.%d@example.com", name, i)}).ID
			a.accept(http.MethodPut, "/users/"+id, object{"firstName": name, "lastName": "O'Neill"})
			a.accept(http.MethodPost, "/users/"+id+"/roles", object{"roleId": role})
			users = append(users, id)
			if name == "Odd" {
				odd = append(odd, id)
			}
		}
		for _, id := range users {
			userAt(a, id, 3)
			userInRoles(a, id, 3)
		}
		for range 11 {
			roleAt(a, a.accept(http.MethodPost, "/roles", object{"name": "role-" + letters(newID())}).ID, 1)
		}
		slices.Sort(users)
		slices.Sort(odd)
		for _, list := range []struct {
			path string
			page int
			want []string
		}{
			{"/users", 20, users}, // the default
			{"/users?limit=7", 7, users},
			{"/users?limit=47", 47, users},
			{"/users?limit=100", 100, users},
			{"/users?limit=5&contains=firstName:Od", 5, odd},
			{"/users?limit=3&contains=email:ODD.", 3, odd},
			{"/users?limit=10&contains=lastName:O'Neill", 10, users},
			{"/users?limit=10&contains=lastName:unknown", 10, []string{}},
			{"/roles/" + role + "/users?limit=9", 9, users},
			{"/roles?limit=5&contains=name:reader", 5, []string{role}},
		} {
			got := pages(a, list.path, list.page)
			slices.Sort(got)
			assert.Equal(t, list.want, got, list.path)
		}
		assert.Len(t, pages(a, "/roles?limit=4", 4), 12)
		one, _ := read[group](a, "/roles/"+role)
		assert.Len(t, one.Users, 20, "the first members")
		_, header := read[[]person](a, "/users?limit=7")
		next, _, _ := strings.Cut(strings.TrimPrefix(header.Get("Link"), "<"), ">")
		a.refuse(http.MethodGet, strings.Replace(next, "/users?", "/users?contains=email:x&", 1), nil, 400, "bad_cursor")
	})
}

// letters turns an ID into a valid name of a role.
func letters(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return 'g' + r - '0'
		}
		return r
	}, id)[12:]
}

// pages follows the Link headers. Every page but the last must be full.
func pages(a api, path string, size int) []string {
	a.t.Helper()
	ids := []string{}
	for path != "" {
		page, header := read[[]struct {
			ID string `json:"id"`
		}](a, path)
		for _, row := range page {
			ids = append(ids, row.ID)
		}
		link := header.Get("Link")
		path = ""
		if link != "" {
			require.Len(a.t, page, size, "a page that is not the last is full")
			require.True(a.t, strings.HasSuffix(link, `; rel="next"`), link)
			path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
		}
	}
	return ids
}

// TestCorrelationGoesFromTheRequestToTheRow follows one ID through the log into both read models.
func TestCorrelationGoesFromTheRequestToTheRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		id, correlation := newID(), "correlation-"+newID()
		answer, err := a.Do(t.Context(), systemtest.Request{
			Method: http.MethodPost, Path: "/users", Body: object{"id": id, "email": "dan@example.com"}, Correlation: correlation,
		})
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, answer.Status)
		assert.Equal(t, correlation, answer.Header.Get("X-Correlation-Id"))

		records, err := a.Records(t.Context())
		require.NoError(t, err)
		require.Len(t, records[correlation], 1)
		rec := records[correlation][0]
		assert.Equal(t, eventsourcing.StreamID{Category: user.Category, ID: id}, rec.Stream)
		assert.NotEmpty(t, rec.Metadata.CausationID)
		for name, model := range map[string]projection.Reader{"users": a.Users(), "roles": a.Roles()} {
			var row struct{ projection.Fence }
			_, err := model.Await(t.Context(), id, "user", 1, 10*time.Second, &row)
			require.NoError(t, err, name)
			assert.Equal(t, correlation, row.CorrelationID, name)
			assert.Equal(t, rec.Metadata.CausationID, row.CausationID, name)
			assert.Equal(t, rec.ID, row.EventID, name)
		}
		made := a.send(http.MethodPost, "/users", object{"email": "eve@example.com"}).Header.Get("X-Correlation-Id")
		assert.Len(t, made, 36, "one is made where none is sent")
	})
}
