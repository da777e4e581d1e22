package users_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/iamtest"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/services/projector-user/internal/users"
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
	return newModelWith(t, owners{})
}

func newModelWith(t *testing.T, owned owners) *iamtest.Model {
	t.Helper()
	register := func(api huma.API, r readservice.Reader, past history.Log, log *slog.Logger) {
		users.Register(api, r, past, owned, log)
	}
	return iamtest.NewModel(t, "users", users.Shapes(), register, history.ReadScope, history.DataScope)
}

// owners are the ids of the users that hold the claims, by key.
type owners map[string]string

func (o owners) Owner(_ context.Context, c eventsourcing.Claim) (eventsourcing.StreamID, error) {
	if id := o[c.Key()]; id != "" {
		return eventsourcing.StreamID{Category: user.Category, ID: id}, nil
	}
	return eventsourcing.StreamID{}, nil
}

// move makes the address, and no other, that of the user.
func (o owners) move(id string, email user.Email) {
	maps.DeleteFunc(o, func(_, owner string) bool { return owner == id })
	for _, claim := range user.Claims(user.State{Registered: true, Email: email}) {
		o[claim.Key()] = id
	}
}

// found returns the ids of the users that GET /users?email= shows.
func found(m *iamtest.Model, email string) []string {
	return slices.Concat(m.Pages("/users?"+url.Values{"email": {email}}.Encode(), "id")...)
}

func TestAUserIsFoundByItsEmailInAnySpelling(t *testing.T) {
	t.Parallel()
	owned := owners{}
	m := newModelWith(t, owned)
	owned.move(ann, "jos\u00e9@bücher.example")
	m.User(ann, user.Registered{UserID: ann, Email: "jos\u00e9@bücher.example"})
	for _, email := range []string{
		"jos\u00e9@bücher.example", "JOSE\u0301@B\u00dcCHER.example", "jos\u00e9@xn--bcher-kva.example", " jos\u00e9@bücher.example ",
	} {
		assert.Equal(t, []string{ann}, found(m, email), email)
	}
	assert.Empty(t, found(m, "jose@bücher.example"))

	owned.move(clerk, "rene\u0301@xn--bcher-kva.example") // of a former build, which kept what it was given
	m.User(clerk, user.Registered{UserID: clerk, Email: "rene\u0301@xn--bcher-kva.example"})
	assert.Equal(t, []string{clerk}, found(m, "ren\u00e9@bücher.example"))
	for query, want := range map[string]struct {
		status int
		code   string
	}{
		"email=x": {422, "invalid"}, "email=a@b.example&contains=email:a": {422, "invalid"},
		"email=a@b.example&cursor=x": {400, "bad_cursor"}, "email=&contains=email:a": {200, ""}, "email=a@b.example&limit=1": {200, ""},
	} {
		res := m.Get("/users?" + query)
		assert.Equal(t, want.status, res.Code, "%s: %s", query, res.Body)
		if want.code != "" {
			assert.Equal(t, want.code, iamtest.Code(t, res), query)
		}
	}
}

// TestALookUpIsRightWhileEmailsMove: users take addresses that others have just given up, and the rows follow the log at a distance. No
// user is found by an address that its row does not show, and once the rows have come up, each is found by its own.
func TestALookUpIsRightWhileEmailsMove(t *testing.T) {
	t.Parallel()
	ids := []string{ann, auditor, clerk}
	emails := []string{"a@x.example", "b@x.example", "c@x.example", "d@x.example"}
	rapid.Check(t, func(rt *rapid.T) {
		owned := owners{}
		m := newModelWith(t, owned)
		has := map[string]string{}          // in the log, by id
		behind := map[string][]user.Event{} // not in the rows yet, by id
		shown := func(id string) string {
			var u struct{ Email string }
			require.NoError(rt, json.Unmarshal(m.Get("/users/"+id).Body.Bytes(), &u))
			return u.Email
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			id := rapid.SampledFrom(ids).Draw(rt, "user")
			free := slices.DeleteFunc(slices.Clone(emails), func(e string) bool { return slices.Contains(slices.Collect(maps.Values(has)), e) })
			if rapid.Bool().Draw(rt, "a command") {
				email := user.Email(rapid.SampledFrom(free).Draw(rt, "email"))
				event := user.Event(user.EmailChanged{Email: email})
				if has[id] == "" {
					event = user.Registered{UserID: user.ID(id), Email: email}
				}
				has[id], behind[id] = string(email), append(behind[id], event)
				owned.move(id, email)
			} else if len(behind[id]) > 0 {
				m.User(id, behind[id][0])
				behind[id] = behind[id][1:]
			}
			for _, email := range emails {
				for _, id := range found(m, email) {
					require.Equal(rt, email, shown(id))
				}
			}
		}
		for id, events := range behind {
			m.User(id, events...)
		}
		for id, email := range has {
			require.Equal(rt, []string{id}, found(m, email))
		}
	})
}

func TestEachEventOfAUserIsShown(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	for i, step := range []struct {
		event user.Event
		want  string // beside id and version
	}{
		{
			user.Registered{UserID: ann, Email: "ann@example.com"},
			`"email":"ann@example.com","firstName":"","lastName":"","disabled":false,"roles":[]`,
		},
		{
			user.Updated{FirstName: "Ann", LastName: "Lee"},
			`"email":"ann@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`,
		},
		{user.EmailChanged{Email: "lee@example.com"}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
		{
			user.RoleAdded{RoleID: auditor},
			`"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[{"id":"` + auditor + `","name":""}]`,
		},
		{user.RoleRemoved{RoleID: auditor}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
		{
			user.RoleGranted{RoleID: auditor, Until: friday}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,` +
				`"roles":[{"id":"` + auditor + `","name":"","until":"2026-12-04T17:00:00Z"}]`,
		},
		{
			user.RoleUntilChanged{RoleID: auditor, Until: friday.Add(time.Hour)},
			`"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,` +
				`"roles":[{"id":"` + auditor + `","name":"","until":"2026-12-04T18:00:00Z"}]`,
		},
		{
			user.RoleUntilChanged{RoleID: auditor},
			`"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[{"id":"` + auditor + `","name":""}]`,
		},
		{user.RoleExpired{RoleID: auditor}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
		{user.Disabled{}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":true,"roles":[]`},
		{user.Enabled{}, `"email":"lee@example.com","firstName":"Ann","lastName":"Lee","disabled":false,"roles":[]`},
	} {
		m.User(ann, step.event)
		res := m.Get("/users/" + ann)
		require.Equal(t, http.StatusOK, res.Code, res.Body.String())
		assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"version":%d,%s}`, ann, i+1, step.want), res.Body.String(), step.event.EventName())
		assert.Regexp(t, fmt.Sprintf(`^"%d-`, i+1), res.Header().Get("ETag"))
	}
}

// Earlier builds enriched every event of a user with the user's own data.
func TestEnrichmentOfEarlierBuildsIsIgnored(t *testing.T) {
	t.Parallel()
	stored, err := envelope.Decode([]byte(`{"id":"e2","stream":"org/iam/user/` + ann + `","version":2,"name":"org/iam/user/roleAdded",` +
		`"schema":1,"data":{"roleId":"` + auditor + `"},"enrichment":[` +
		`{"aggregate":"org/iam/role","id":"` + auditor + `","data":{"name":"auditor"}},` +
		`{"aggregate":"org/iam/user","id":"` + ann + `","data":{"email":"old@example.com","firstName":"Old","lastName":"Name"}}],` +
		`"metadata":{"actor":"anonymous"},"recordedAt":"2026-03-01T12:00:00.007Z"}`))
	require.NoError(t, err)
	require.Len(t, stored.Enrichment, 2)
	m := newModel(t)
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	m.Apply(stored)
	assert.JSONEq(t, `{"id":"`+ann+`","version":2,"email":"ann@example.com","firstName":"","lastName":"","disabled":false,`+
		`"roles":[{"id":"`+auditor+`","name":"auditor"}]}`, m.Get("/users/"+ann).Body.String())
}

// TestAUserIsShownAsItWas: as of each version with what it had then, and its roles as they were called when they were given.
func TestAUserIsShownAsItWas(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	want := []string{ // by version, beside id and version
		"",
		`"email":"ann@example.com","firstName":"","lastName":"","disabled":false,"roles":[]`,
		`"email":"ann@example.com","firstName":"","lastName":"","disabled":false,"roles":[{"id":"` + auditor + `","name":"auditor"}]`,
		`"email":"lee@example.com","firstName":"","lastName":"","disabled":false,"roles":[{"id":"` + auditor + `","name":"auditor"}]`,
		`"email":"lee@example.com","firstName":"","lastName":"","disabled":false,"roles":[]`,
	}
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	m.UserEnriched(ann, user.RoleAdded{RoleID: auditor}, role.NewReference(auditor, "auditor"))
	m.User(ann, user.EmailChanged{Email: "lee@example.com"}, user.RoleRemoved{RoleID: auditor})
	m.Role(auditor, role.Renamed{Name: "chief"}, role.Disabled{})
	for v := 1; v < len(want); v++ {
		res := m.Get(fmt.Sprintf("/users/%s?as_of=%d", ann, v))
		require.Equal(t, http.StatusOK, res.Code, res.Body.String())
		assert.JSONEq(t, fmt.Sprintf(`{"id":%q,"version":%d,%s}`, ann, v, want[v]), res.Body.String())
		again := m.Get(fmt.Sprintf("/users/%s?as_of=%d", ann, v), "If-None-Match", res.Header().Get("ETag"))
		assert.Equal(t, http.StatusNotModified, again.Code)
	}
	res := m.Get("/users/" + ann + "/events?limit=2")
	assert.Equal(t, "/users/"+ann+"/events?cursor=2&limit=2", iamtest.Next(res))
	var events []history.Event
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &events))
	require.Len(t, events, 2)
	assert.Equal(t, "org/iam/user/roleAdded", events[1].Name)
}

// TestTheTagOfAReadChangesWhenTheAnswerDoes, also when it is what it shows of another aggregate that has changed.
func TestTheTagOfAReadChangesWhenTheAnswerDoes(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"}, user.RoleAdded{RoleID: auditor})
	bodies := map[string]string{} // by tag
	for _, change := range []func(){
		func() {},
		func() { m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"}) },
		func() { m.Role(auditor, role.Renamed{Name: "chief"}) },
		func() { m.Role(auditor, role.Disabled{}) },
		func() { m.User(ann, user.Disabled{}) },
	} {
		change()
		res := m.Get("/users/" + ann)
		tag := res.Header().Get("ETag")
		assert.NotContains(t, bodies, tag)
		bodies[tag] = res.Body.String()
		again := m.Get("/users/"+ann, "If-None-Match", tag)
		assert.Equal(t, http.StatusNotModified, again.Code)
		assert.Equal(t, tag, again.Header().Get("ETag"))
		assert.Empty(t, again.Body.String())
	}
	for tag := range bodies {
		if res := m.Get("/users/"+ann, "If-None-Match", tag); res.Code == http.StatusOK {
			assert.NotEqual(t, bodies[tag], res.Body.String())
		}
	}
	res := m.Get("/users", "If-None-Match", "*")
	assert.Equal(t, http.StatusOK, res.Code, "lists have no tag")
}

func TestARoleHasItsGrantedNameUntilItsEventsArrive(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
	m.UserEnriched(ann, user.RoleAdded{RoleID: auditor}, role.NewReference(clerk, "another"), role.NewReference(auditor, "auditor"))
	m.UserEnriched(ann, user.RoleAdded{RoleID: clerk}, role.NewReference(clerk, "clerk"))
	roles := func() string {
		var u struct{ Roles json.RawMessage }
		require.NoError(t, json.Unmarshal(m.Get("/users/"+ann).Body.Bytes(), &u))
		return string(u.Roles)
	}
	assert.JSONEq(t, `[{"id":"`+auditor+`","name":"auditor"},{"id":"`+clerk+`","name":"clerk"}]`, roles())

	m.Role(auditor, role.Created{RoleID: auditor, Name: "trainee"}, role.Renamed{Name: "Chief"}, role.Disabled{})
	assert.JSONEq(t, `[{"id":"`+auditor+`","name":"Chief","disabled":true},{"id":"`+clerk+`","name":"clerk"}]`, roles())
	m.Role(auditor, role.Enabled{})
	m.User(ann, user.RoleRemoved{RoleID: clerk})
	assert.JSONEq(t, `[{"id":"`+auditor+`","name":"Chief"}]`, roles())

	var listed []struct{ Roles []users.HeldRole }
	res := m.Get("/users")
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &listed), res.Body.String())
	require.Len(t, listed, 1, "roles are no users")
	assert.Equal(t, []users.HeldRole{{ID: auditor, Name: "Chief"}}, listed[0].Roles)
}

// TestHistoriesOfFormerBuildsGiveTheirRows: or they need a shape of their own.
func TestHistoriesOfFormerBuildsGiveTheirRows(t *testing.T) {
	t.Parallel()
	newModel(t).KeepsRows("testdata/rows.json")
}

// register registers n users, u1@example.com and so on, every second one with the last name O'Neill.
func register(m *iamtest.Model, n int) (emails []string) {
	for i := 1; i <= n; i++ {
		id := fmt.Sprintf("01920b7c-5e3a-7c4d-9b1e-%012d", i)
		email := fmt.Sprintf("u%d@example.com", i)
		m.User(id, user.Registered{UserID: user.ID(id), Email: user.Email(email)},
			user.Updated{FirstName: "Dan", LastName: []user.Name{"O'Neill", "Lee"}[i%2]})
		emails = append(emails, email)
	}
	return emails
}

func TestAListIsReadPageByPage(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	res := m.Get("/users")
	assert.JSONEq(t, `[]`, res.Body.String())
	assert.Empty(t, res.Header().Get("Link"))

	emails := register(m, 7)
	m.Role(auditor, role.Created{RoleID: auditor, Name: "auditor"})
	for limit, sizes := range map[int][]int{3: {3, 3, 1}, 7: {7}, 100: {7}} {
		pages := m.Pages(fmt.Sprintf("/users?limit=%d", limit), "email")
		var got []int
		for _, p := range pages {
			got = append(got, len(p))
		}
		assert.Equal(t, sizes, got, "pages are full but for the last")
		assert.ElementsMatch(t, emails, slices.Concat(pages...))
	}
}

func TestContainsFiltersAList(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	emails := register(m, 6)
	for query, want := range map[string][]string{
		"contains=lastName:Neill&limit=2":    {emails[1], emails[3], emails[5]},
		"contains=lastName:O%27Nei&limit=2":  {emails[1], emails[3], emails[5]},
		"contains=lastName:neill":            {},
		"contains=firstName:Da":              emails,
		"contains=email:U4%40EXAMPLE":        {emails[3]},
		"contains=email::":                   {},
		"contains=email:u&limit=1":           emails,
		"contains=email:unknown&limit=1":     {},
		"contains=":                          emails,
		"contains=lastName:Neill%26limit%3D": {},
	} {
		assert.ElementsMatch(t, want, slices.Concat(m.Pages("/users?"+query, "email")...), query)
	}
}

// Former builds kept what they were given, so that rows have either form.
func TestContainsFindsEachSpellingOfAText(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	emails := []string{
		"\uac00@x.example", "\u1100\u1161@x.example", "a@bücher.example", "a@xn--bcher-kva.example", "İnfo@x.example", "info@x.example",
	}
	for i, email := range emails {
		id := fmt.Sprintf("01920b7c-5e3a-7c4d-9b1e-%012d", i+1)
		m.User(id, user.Registered{UserID: user.ID(id), Email: user.Email(email)},
			user.Updated{FirstName: []user.Name{"Jos\u00e9", "Jose\u0301"}[i%2], LastName: "Lee"})
	}
	for text, want := range map[string][]string{
		"firstName:Jos\u00e9":   emails,
		"firstName:Jose\u0301":  emails,
		"email:\uac00@":         emails[:2],
		"email:\u1100\u1161@":   emails[:2],
		"email:@B\u00dcCHER.":   emails[2:4],
		"email:@bu\u0308cher.e": emails[2:4],
		"email:XN--BCHER-KVA":   emails[2:4],
		"email:İNFO@":           emails[4:5],
		"email:INFO@":           emails[5:],
	} {
		query := "/users?limit=1&" + url.Values{"contains": {text}}.Encode()
		assert.ElementsMatch(t, want, slices.Concat(m.Pages(query, "email")...), text)
	}
}

func TestInvalidReadsAreRefused(t *testing.T) {
	t.Parallel()
	m := newModel(t)
	register(m, 2)
	next := iamtest.Next(m.Get("/users?limit=1"))
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
		"/users/" + ann + "?as_of=1":        {404, "user_not_found"},
		"/users/" + ann + "/events":         {404, "user_not_found"},
		"/users/" + ann + "?as_of=now":      {422, "invalid"},
		"/users/" + ann + "?min_version=-1": {422, "invalid"},
		"/users/" + ann + "?wait=soon":      {422, "invalid"},
		"/users/" + ann + "?wait=11s":       {422, "invalid"},
		"/users/" + ann + "?wait=-1s":       {422, "invalid"},
	} {
		res := m.Get(path)
		assert.Equal(t, want.status, res.Code, "%s: %s", path, res.Body)
		assert.Equal(t, want.code, iamtest.Code(t, res), path)
	}
}

func TestAReadWaitsForItsMinimumVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newModel(t)
		m.User(ann, user.Registered{UserID: ann, Email: "ann@example.com"})
		assert.Equal(t, http.StatusOK, m.Get("/users/"+ann+"?min_version=1").Code)

		res := m.Get("/users/" + ann + "?min_version=2&wait=1ms")
		assert.Equal(t, http.StatusPreconditionFailed, res.Code)
		assert.Equal(t, "not_yet", iamtest.Code(t, res))
		assert.Equal(t, "1", res.Header().Get("Retry-After"))

		answer := make(chan *httptest.ResponseRecorder)
		go func() { answer <- m.Get("/users/" + ann + "?min_version=2&wait=10s") }()
		m.User(ann, user.Disabled{})
		waited := <-answer
		assert.Equal(t, http.StatusOK, waited.Code, waited.Body.String())
		assert.Regexp(t, `^"2-`, waited.Header().Get("ETag"))
	})
}
