package people_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/people"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	dan     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	auditor = "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"
	writer  = "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a91"

	usersAt = "/console/users/" + dan
	rolesAt = "/console/roles/" + auditor
)

// fake is an API that knows Dan, an auditor. What a test says comes first.
type fake struct {
	answers map[string]rest.Answer // by method and path
	away    error                  // of commands
	sent    []rest.Request
}

func (f *fake) Send(_ context.Context, r rest.Request) (rest.Answer, error) {
	f.sent = append(f.sent, r)
	path, _, _ := strings.Cut(r.Path, "?")
	if a, ok := f.answers[r.Method+" "+path]; ok {
		return a, nil
	}
	if r.Method != http.MethodGet {
		return rest.Answer{Status: http.StatusAccepted, Body: []byte(`{"id":"` + dan + `","version":8}`)}, f.away
	}
	return ok(map[string]string{
		"/users": `[{"id":"` + dan + `","email":"dan@example.com","firstName":"Dan","lastName":"<i>Lee","version":7,"roles":[]}]`,
		"/users/" + dan: `{"id":"` + dan + `","email":"dan@example.com","firstName":"Dan","lastName":"<i>Lee","version":7,` +
			`"roles":[{"id":"` + auditor + `","name":"auditor","until":"2030-01-31T18:00:00Z"}]}`,
		"/roles": `[{"id":"` + auditor + `","name":"auditor"},{"id":"` + writer + `","name":"writer"},` +
			`{"id":"1","name":"old","disabled":true}]`,
		"/roles/" + auditor: `{"id":"` + auditor + `","name":"auditor","essential":true,"maxMembers":25,"version":3}`,
		"/roles/" + auditor + "/users": `[{"id":"` + dan + `","email":"dan@example.com","firstName":"Dan","lastName":"Lee",` +
			`"until":"2030-01-31T18:00:00Z"}]`,
		"/roles/" + auditor + "/retirement": `{"roleId":"` + auditor + `","state":"running","total":3,"done":1,"failed":[]}`,
	}[path]), nil
}

func ok(body string) rest.Answer { return rest.Answer{Status: http.StatusOK, Body: []byte(body)} }

// refused is the answer with that code, which names parts of the request with what is wrong with them.
func refused(status int, code string, parts ...string) rest.Answer {
	problem := map[string]any{"status": status, "code": code, "detail": "it is " + code}
	var errs []map[string]string
	for i := 0; i < len(parts); i += 2 {
		errs = append(errs, map[string]string{"location": parts[i], "message": parts[i+1]})
	}
	problem["errors"] = errs
	body, _ := json.Marshal(problem) // texts alone
	return rest.Answer{Status: status, Body: body}
}

// ask returns the answer to a request of a reader who may do everything; one with a form is a POST.
func ask(t *testing.T, f *fake, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return askAs(t, f, auth.Everything(), path, form, header...)
}

func askAs(t *testing.T, f *fake, who auth.Principal, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	frame, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Admit: func(next http.Handler) http.Handler { return next }})
	require.NoError(t, err)
	users, err := people.Users(frame, f)
	require.NoError(t, err)
	roles, err := people.Roles(frame, f)
	require.NoError(t, err)
	router := chi.NewRouter()
	require.NoError(t, frame.Register(router, users, roles))
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r := httptest.NewRequestWithContext(auth.With(t.Context(), who), method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w
}

func TestNoPageRunsWhatItShows(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/console/users", "/console/users/new", usersAt, "/console/roles", "/console/roles/new", rolesAt, "/console/users?q=<i>&by=lastName",
	} {
		w := ask(t, &fake{}, path, nil)
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.NotContains(t, w.Body.String(), "<i>", path)
		assert.NotContains(t, w.Body.String(), "style=", path)
		assert.NotRegexp(t, `<script(>| [^s])`, w.Body.String(), path)
		assert.Less(t, w.Body.Len(), 100_000, path)
	}
}

func TestAUserIsShownWithWhatCanBeDone(t *testing.T) {
	t.Parallel()
	body := ask(t, &fake{}, usersAt, nil).Body.String()
	assert.Contains(t, body, "Dan &lt;i&gt;Lee</h1>")
	assert.Contains(t, body, `value="dan@example.com"`)
	assert.Contains(t, body, `value="2030-01-31T18:00:00"`)
	assert.Contains(t, body, `href="/console/streams/org/iam/user/`+dan+`"`)
	assert.Contains(t, body, `href="/console/journey?of=org%2fiam%2fuser%2f`+dan+`"`)
	assert.Regexp(t, `<option\s+value="`+writer+`">writer`, body)
	assert.NotRegexp(t, `<option\s+value="`+auditor, body, "the user holds it")
	assert.NotContains(t, body, ">old<", "nobody can be given a disabled role")
}

func TestReadersWithoutTheScopeAreOfferedNoChange(t *testing.T) {
	t.Parallel()
	reader := auth.Principal{Subject: "ann", Scopes: []string{"users:read", "roles:read"}}
	for _, path := range []string{"/console/users", usersAt, "/console/roles", rolesAt} {
		w := askAs(t, &fake{}, reader, path, nil)
		assert.Equal(t, http.StatusOK, w.Code, path)
		assert.NotContains(t, w.Body.String(), `method="post"`, path)
		assert.NotContains(t, w.Body.String(), `/new"`, path)
	}
	assert.Equal(t, http.StatusForbidden, askAs(t, &fake{}, auth.Principal{Subject: "ann"}, "/console/users", nil).Code)
}

// What is sent has the key of its form and the version that its reader saw.
func TestAFormAsksForItsCommand(t *testing.T) {
	t.Parallel()
	seen := url.Values{"key": {"once"}, "version": {"7"}}
	for path, test := range map[string]struct {
		typed              url.Values
		method, path, body string
	}{
		usersAt + "/names": {
			url.Values{"firstName": {" Dan "}, "lastName": {"Lee"}}, "PUT", "/users/" + dan, `{"firstName":"Dan","lastName":"Lee"}`,
		},
		usersAt + "/email":   {url.Values{"email": {"d@example.com"}}, "PUT", "/users/" + dan + "/email", `{"email":"d@example.com"}`},
		usersAt + "/disable": {nil, "PUT", "/users/" + dan + "/disable", `null`},
		usersAt + "/enable":  {nil, "PUT", "/users/" + dan + "/enable", `null`},
		usersAt + "/grant": {
			url.Values{"roleId": {writer}, "until": {"2030-01-31T18:00"}},
			"POST", "/users/" + dan + "/roles",
			`{"roleId":"` + writer + `","until":"2030-01-31T18:00:00Z"}`,
		},
		usersAt + "/until/" + auditor:  {url.Values{"until": {""}}, "PUT", "/users/" + dan + "/roles/" + auditor, `{"until":null}`},
		usersAt + "/remove/" + auditor: {nil, "DELETE", "/users/" + dan + "/roles/" + auditor, `null`},
		rolesAt + "/name":              {url.Values{"name": {"chief"}}, "PUT", "/roles/" + auditor, `{"name":"chief"}`},
		rolesAt + "/rules": {
			url.Values{"essential": {"yes"}, "maxMembers": {"25"}}, "PUT", "/roles/" + auditor + "/rules", `{"essential":true,"maxMembers":25}`,
		},
		rolesAt + "/disable": {nil, "PUT", "/roles/" + auditor + "/disable", `null`},
		rolesAt + "/enable":  {nil, "PUT", "/roles/" + auditor + "/enable", `null`},
		rolesAt + "/retire":  {url.Values{"sure": {"yes"}}, "PUT", "/roles/" + auditor + "/retire", `null`},
		rolesAt + "/cancel":  {nil, "PUT", "/roles/" + auditor + "/retire/cancel", `null`},
	} {
		f, form := &fake{}, url.Values{}
		for _, values := range []url.Values{seen, test.typed} {
			for name := range values {
				form.Set(name, values.Get(name))
			}
		}
		w := ask(t, f, path, form)
		require.Equal(t, http.StatusSeeOther, w.Code, path)
		assert.Regexp(t, `\?version=8&done=[a-z]+$`, w.Header().Get("Location"), path)
		require.Len(t, f.sent, 1, path)
		sent := f.sent[0]
		body, err := json.Marshal(sent.Body)
		require.NoError(t, err)
		assert.Equal(t, test.method+" "+test.path, sent.Method+" "+sent.Path, path)
		assert.JSONEq(t, test.body, string(body), path)
		assert.Equal(t, "once", sent.Header.Get("Idempotency-Key"), path)
		assert.Equal(t, `"7"`, sent.Header.Get("If-Match"), path)
	}
}

func TestWhatIsNewHasNoVersion(t *testing.T) {
	t.Parallel()
	for path, form := range map[string]url.Values{
		"/console/users/new": {"key": {"once"}, "email": {"dan@example.com"}},
		"/console/roles/new": {"key": {"once"}, "name": {"auditor"}, "maxMembers": {""}},
	} {
		f := &fake{}
		w := ask(t, f, path, form)
		assert.Equal(t, strings.TrimSuffix(path, "new")+dan+"?version=8&done=new", w.Header().Get("Location"))
		assert.Empty(t, f.sent[0].Header.Get("If-Match"), path)
	}
}

// A refusal stands at what is to be corrected: a field, or the button. What was typed is still there, under
// another key if the API has answered under the one before.
func TestARefusalStandsWhereItBelongs(t *testing.T) {
	t.Parallel()
	const user, role = "/users/" + dan, "/roles/" + auditor
	for _, test := range []struct {
		path    string
		form    url.Values
		command string
		answer  rest.Answer
		at      string // the id of what the refusal stands at; "": the form
		says    string
	}{
		{
			"/console/users/new",
			url.Values{"email": {"typed@example.com"}},
			"POST /users", refused(409, "email_taken"),
			"new-email", "It is email_taken; choose another",
		},
		{
			usersAt + "/names",
			url.Values{"firstName": {"typed"}, "lastName": {"7"}},
			"PUT " + user,
			refused(422, "invalid", "body.lastName", "has digits"), "names-lastName", "Has digits.",
		},
		{
			usersAt + "/grant",
			url.Values{"roleId": {writer}, "until": {"2031-01-31T18:00:00"}},
			"POST " + user + "/roles",
			refused(409, "no_seat_left"), "grant-roleId", "It is no_seat_left; remove it from one first",
		},
		{
			usersAt + "/grant",
			url.Values{"roleId": {writer}, "until": {"2031-01-31T18:00:00"}},
			"POST " + user + "/roles",
			refused(422, "until_passed"), "grant-until", "It is until_passed; send a time in the future",
		},
		{
			usersAt + "/until/" + auditor,
			url.Values{"until": {"tomorrow"}},
			"PUT " + user + "/roles/" + auditor,
			rest.Answer{},
			"until-" + auditor + "-until", "Want a day and a time",
		},
		{usersAt + "/disable", url.Values{}, "PUT " + user + "/disable", refused(409, "last_holder"), "", "grant the role to another user first"},
		{
			usersAt + "/names",
			url.Values{"firstName": {"typed"}, "lastName": {"Lee"}},
			"PUT " + user, refused(412, "precondition_failed"),
			"", "It was changed after this page was shown",
		},
		{
			usersAt + "/names",
			url.Values{"firstName": {"typed"}, "lastName": {"Lee"}},
			"PUT " + user, refused(422, "idempotency_key_reused"),
			"", "This form was sent before",
		},
		{
			"/console/roles/new",
			url.Values{"name": {"typed"}, "maxMembers": {"many"}},
			"POST /roles",
			rest.Answer{},
			"new-maxMembers", "Want a whole number",
		},
		{rolesAt + "/name", url.Values{"name": {"typed"}}, "PUT " + role, refused(409, "name_taken"), "name-name", "choose another"},
		{
			rolesAt + "/rules",
			url.Values{"essential": {"yes"}, "maxMembers": {"1"}},
			"PUT " + role + "/rules", refused(409, "too_many_members"),
			"rules-maxMembers", "or allow more",
		},
		{
			rolesAt + "/rules",
			url.Values{"essential": {"yes"}, "maxMembers": {"1"}},
			"PUT " + role + "/rules", refused(409, "no_holder"),
			"rules-essential", "grant it first",
		},
		{rolesAt + "/disable", url.Values{}, "PUT " + role + "/disable", refused(409, "role_essential"), "", "change its rules first"},
		{rolesAt + "/retire", url.Values{}, "PUT " + role + "/retire", rest.Answer{}, "", "say that you are sure"},
		{
			rolesAt + "/grant",
			url.Values{"email": {"typed@example.com"}, "until": {""}},
			"GET /users", ok(`[]`),
			"grant-email", "No user has this e-mail",
		},
		{
			rolesAt + "/grant",
			url.Values{"email": {"typed@example.com"}, "until": {""}},
			"POST " + user + "/roles",
			refused(409, "no_seat_left"), "", "It is no_seat_left",
		},
	} {
		what := test.path + " " + test.says
		test.form.Set("key", "once")
		f := &fake{answers: map[string]rest.Answer{test.command: test.answer}}
		w := ask(t, f, test.path, test.form)
		body := w.Body.String()
		require.Equal(t, http.StatusConflict, w.Code, what)
		at := `(?s)<p class="refused" role="alert">[^<]*`
		if test.at != "" {
			at = `(?s)id="` + test.at + `"[^>]*autofocus[^>]*aria-describedby="` + test.at + `-refused".*id="` + test.at + `-refused">[^<]*`
		}
		assert.Regexp(t, at+regexp.QuoteMeta(test.says), body, what)
		assert.Equal(t, 1, strings.Count(body, `class="refused"`), what)
		if test.answer.Status >= http.StatusBadRequest {
			assert.NotContains(t, body, `value="once"`, what)
		}
		for name, values := range test.form {
			if name != "key" && name != "essential" && name != "roleId" {
				assert.Contains(t, body, `value="`+values[0]+`"`, what)
			}
		}
	}
}

// Who was disabled meanwhile has no form for a name any more. What was typed is shown all the same, with what was refused.
func TestWhatHasNoPlaceAnyMoreIsNotLost(t *testing.T) {
	t.Parallel()
	f := &fake{answers: map[string]rest.Answer{
		"GET /users/" + dan: ok(`{"id":"` + dan + `","email":"dan@example.com","disabled":true,"version":8,"roles":[]}`),
		"PUT /users/" + dan: refused(409, "user_disabled"),
	}}
	body := ask(t, f, usersAt+"/names", url.Values{"key": {"once"}, "firstName": {"typed"}, "lastName": {"Lee"}}).Body.String()
	assert.Regexp(t, `(?s)role="alert">\s*<p>It is user_disabled; enable it first.</p>.*<dt>firstName</dt><dd>typed</dd>`, body)
	body = ask(t, &fake{answers: f.answers}, usersAt, nil).Body.String()
	assert.NotContains(t, body, `role="alert"`)
}

// Without an answer nobody knows what became of a command. It can be sent again as it was, under its key.
func TestWhatMayHaveBeenDoneIsSentAgainUnderItsKey(t *testing.T) {
	t.Parallel()
	form := url.Values{"key": {"once"}, "version": {"7"}, "email": {"typed@example.com"}}
	for what, f := range map[string]*fake{
		"no answer":   {away: errors.New("connection refused")},
		"unavailable": {answers: map[string]rest.Answer{"PUT /users/" + dan + "/email": refused(503, "unavailable")}},
		"a proxy's":   {answers: map[string]rest.Answer{"PUT /users/" + dan + "/email": {Status: 502, Body: []byte("<html>")}}},
	} {
		w := ask(t, f, usersAt+"/email", form)
		assert.Equal(t, http.StatusServiceUnavailable, w.Code, what)
		assert.Contains(t, w.Body.String(), `action="`+usersAt+`/email"`, what)
		for name := range form {
			assert.Contains(t, w.Body.String(), `name="`+name+`" value="`+form.Get(name)+`"`, what)
		}
	}
}

func TestReadersSeeWhatTheyWrote(t *testing.T) {
	t.Parallel()
	f := &fake{}
	w := ask(t, f, usersAt+"?version=7&done=names", nil)
	assert.Contains(t, f.sent[0].Path, "min_version=7&wait=5s")
	assert.Contains(t, w.Body.String(), "The names are saved.")

	f = &fake{answers: map[string]rest.Answer{"GET /users/" + dan: refused(412, "not_yet")}}
	body := ask(t, f, usersAt+"?version=7&done=names", nil).Body.String()
	assert.Contains(t, body, "version 7 of the user is in the log")
	assert.Contains(t, body, `href="/console/journey?of=org%2fiam%2fuser%2f`+dan+`%237"`)
	assert.Contains(t, body, `href="`+usersAt+`?version=7"`)
}

func TestAListGoesOn(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"/users", "/roles"} {
		answer := ok(`[]`)
		answer.Header = http.Header{"Link": {`<` + list + `?limit=25&cursor=abc>; rel="next"`}}
		f := &fake{answers: map[string]rest.Answer{"GET " + list: answer}}
		body := ask(t, f, "/console"+list+"?q=Lee&by=lastName", nil).Body.String()
		assert.Contains(t, body, "None in this part of the list")
		if list == "/users" {
			assert.Contains(t, body, "has it in the last name.")
			assert.Contains(t, body, `href="/console/users?by=firstName&amp;q=Lee">in the first name</a>`)
		}
		assert.Regexp(t, `href="/console`+list+`\?[^"]*cursor=abc[^"]*q=Lee`, body)
		assert.NotContains(t, body, "‹ first", list)
		body = ask(t, f, "/console"+list+"?q=Lee&by=lastName&cursor=abc", nil).Body.String()
		assert.Regexp(t, `href="/console`+list+`\?by=lastName&amp;q=Lee">‹ first`, body)
		assert.Contains(t, f.sent[1].Path, "cursor=abc")
	}
}

func TestUsersAreFound(t *testing.T) {
	t.Parallel()
	for asked, want := range map[string]string{
		"q=dan@example.com&by=address": "email=dan%40example.com",
		"q=Lee&by=lastName":            "contains=lastName%3ALee",
		"q=dan":                        "contains=email%3Adan",
	} {
		f := &fake{}
		ask(t, f, "/console/users?"+asked, nil)
		assert.Contains(t, f.sent[0].Path, want)
	}
	assert.Equal(t, usersAt, ask(t, &fake{}, "/console/users?q="+dan, nil).Header().Get("Location"))
	f := &fake{answers: map[string]rest.Answer{"GET /users": refused(422, "invalid", "query.email", "is none")}}
	assert.Contains(t, ask(t, f, "/console/users?q=x&by=address", nil).Body.String(), `role="alert">Is none.`)
}

func TestAnEmptySystemSaysHowToBegin(t *testing.T) {
	t.Parallel()
	f := &fake{answers: map[string]rest.Answer{"GET /users": ok(`[]`), "GET /roles": ok(`[]`)}}
	assert.Contains(t, ask(t, f, "/console/users", nil).Body.String(), "There are no users yet.")
	assert.Contains(t, ask(t, f, "/console/roles", nil).Body.String(), "There are no roles yet.")
}

// A role is granted from its own page to the user that has an address, whose page then shows it.
func TestARoleIsGrantedToAnAddress(t *testing.T) {
	t.Parallel()
	f := &fake{}
	w := ask(t, f, rolesAt+"/grant", url.Values{"key": {"once"}, "version": {"3"}, "email": {"dan@example.com"}, "until": {""}})
	assert.Equal(t, usersAt+"?version=8&done=grant", w.Header().Get("Location"))
	require.Len(t, f.sent, 2)
	assert.Equal(t, "/users?email=dan%40example.com", f.sent[0].Path)
	assert.Equal(t, "/users/"+dan+"/roles", f.sent[1].Path)
	assert.Empty(t, f.sent[1].Header.Get("If-Match"), "the version is the role's")
}

func TestARetirementIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	f := &fake{answers: map[string]rest.Answer{
		"GET /roles/" + auditor: ok(`{"id":"` + auditor + `","name":"auditor","retiring":true,"version":4}`),
	}}
	body := ask(t, f, rolesAt, nil).Body.String()
	assert.Contains(t, body, "taken from 1 of 3")
	assert.Contains(t, body, `hx-trigger="every 2s"`)
	assert.Contains(t, body, "Cancel the retirement")
	part := ask(t, f, rolesAt+"/retirement", nil, "Hx-Request", "true")
	assert.NotContains(t, part.Body.String(), "<html")
	assert.Empty(t, part.Header().Get("Hx-Refresh"))
	assert.Equal(t, rolesAt, ask(t, f, rolesAt+"/retirement", nil).Header().Get("Location"), "it is no page")

	f.answers["GET /roles/"+auditor+"/retirement"] = ok(`{"roleId":"` + auditor + `","state":"done","total":3,"done":3,"failed":[]}`)
	part = ask(t, f, rolesAt+"/retirement", nil, "Hx-Request", "true")
	assert.Equal(t, "true", part.Header().Get("Hx-Refresh"), "the rest of the page has changed, too")
	assert.NotContains(t, part.Body.String(), "hx-trigger")
}

func TestAPartThatIsAwayIsNamed(t *testing.T) {
	t.Parallel()
	f := &fake{answers: map[string]rest.Answer{
		"GET /roles": refused(503, "unavailable"), "GET /roles/" + auditor + "/users": refused(503, "unavailable"),
	}}
	assert.Contains(t, ask(t, f, usersAt, nil).Body.String(), "Roles cannot be read: It is unavailable.")
	assert.Contains(t, ask(t, f, rolesAt, nil).Body.String(), "They cannot be read: It is unavailable.")
	assert.Equal(t, http.StatusServiceUnavailable, ask(t, f, "/console/roles", nil).Code)
	f.answers["GET /users/"+dan] = refused(404, "user_not_found")
	assert.Contains(t, ask(t, f, usersAt, nil).Body.String(), "There is no such user")
}
