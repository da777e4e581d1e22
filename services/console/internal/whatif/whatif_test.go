package whatif_test

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
	"github.com/leftfold/leftfold/services/console/internal/whatif"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

// document has two commands, and an operation that cannot be tried.
const document = `{"paths":{
"/users/{id}/email":{"put":{"operationId":"changeEmail","summary":"Change a user's e-mail","tags":["users"],
 "parameters":[{"name":"id","in":"path","schema":{"type":"string"},"example":"0192"},{"name":"dry_run","in":"query"}],
 "requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/ChangeEmail"}}}}}},
"/roles":{"post":{"operationId":"createRole","summary":"Create a role","tags":["roles"],
 "parameters":[{"name":"dry_run","in":"query"}],
 "requestBody":{"content":{"application/json":{"schema":{"type":"object","required":["name"],"properties":{
  "name":{"type":"string"},"id":{"type":"string"},"essential":{"type":"boolean"},"maxMembers":{"type":"integer"},
  "until":{"type":["string","null"],"format":"date-time"}}}}}}},
 "get":{"operationId":"listRoles","tags":["roles"],"parameters":[]}}},
"components":{"schemas":{"ChangeEmail":{"type":"object","required":["email"],"properties":{
 "email":{"type":"string","description":"unique","examples":["dan@example.com"]}}}}}}`

// system answers every try alike, and keeps what it was asked.
type system struct {
	status int
	answer string
	away   error
	asked  *rest.Request
}

func (s system) Send(_ context.Context, r rest.Request) (rest.Answer, error) {
	if r.Path == "/openapi.json" {
		return rest.Answer{Status: http.StatusOK, Body: []byte(document)}, s.away
	}
	*s.asked = r
	return rest.Answer{Status: s.status, Body: []byte(s.answer)}, nil
}

func (system) Read(
	_ context.Context, s eventsourcing.StreamID, _ eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for v, email := range []string{"dan@example.com", "lee@example.com"} {
			data, name := json.RawMessage(`{"email":"`+email+`"}`), "org/iam/user/emailChanged"
			if v == 0 {
				data, name = json.RawMessage(`{"userId":"`+id+`","email":"`+email+`"}`), "org/iam/user/registered"
			}
			if !yield(eventsourcing.Record{Stream: s, Version: eventsourcing.Version(v) + 1, Name: name, Schema: 1, Data: data}, nil) {
				return
			}
		}
	}
}

// send returns the answer to a request of a reader with the scopes; none: with every scope.
func (s *system) send(t *testing.T, method, path string, form url.Values, scopes ...string) (status int, body string) {
	t.Helper()
	reader := auth.Everything()
	if len(scopes) > 0 {
		reader = auth.Principal{Subject: "ann", Scopes: scopes}
	}
	frame, err := page.New(page.Config{Logger: slog.New(slog.DiscardHandler), Admit: func(next http.Handler) http.Handler { return next }})
	require.NoError(t, err)
	s.asked = new(rest.Request)
	area, err := whatif.New(frame, s, s)
	require.NoError(t, err)
	router := chi.NewRouter()
	require.NoError(t, frame.Register(router, area))
	r := httptest.NewRequestWithContext(auth.With(t.Context(), reader), method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	assert.NotContains(t, w.Body.String(), "ZgotmplZ", "a value where the template cannot have one")
	return w.Code, w.Body.String()
}

func TestCommandsAreThoseThatTheAPISaysCanBeTried(t *testing.T) {
	t.Parallel()
	status, body := new(system).send(t, http.MethodGet, "/console/whatif", nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `<a href="/console/whatif/changeEmail">Change a user&#39;s e-mail</a>`)
	assert.Contains(t, body, "/console/whatif/createRole")
	assert.NotContains(t, body, "listRoles")

	_, body = new(system).send(t, http.MethodGet, "/console/whatif?on=org/iam/user/"+id+"&at=2", nil)
	assert.Contains(t, body, `/console/whatif/changeEmail?at=2&amp;on=org%2Fiam%2Fuser%2F`+id)
	assert.NotContains(t, body, "createRole", "it is for no user")

	status, body = (&system{away: errors.New("connection refused")}).send(t, http.MethodGet, "/console/whatif", nil)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Contains(t, body, "connection refused")
}

func TestAFormHasTheFieldsOfItsCommand(t *testing.T) {
	t.Parallel()
	status, body := new(system).send(t, http.MethodGet, "/console/whatif/changeEmail?at=2&on=org/iam/user/"+id, nil)
	assert.Equal(t, http.StatusOK, status)
	assert.Contains(t, body, `name="id" value="`+id+`"`)
	assert.Contains(t, body, `name="email" value="" placeholder="dan@example.com"`)
	assert.Contains(t, body, `name="at" value="2"`)

	_, body = new(system).send(t, http.MethodGet, "/console/whatif/createRole", nil)
	assert.Regexp(t, `(?s)name="name".*type="checkbox" name="essential".*name="id".*name="maxMembers"[^>]*inputmode="numeric"`, body)
	assert.NotContains(t, body, `name="at"`, "there is no version of what does not exist")

	status, _ = new(system).send(t, http.MethodGet, "/console/whatif/listRoles", nil)
	assert.Equal(t, http.StatusNotFound, status)
}

func TestValuesAreSentAsTheSchemaHasThem(t *testing.T) {
	t.Parallel()
	s := &system{status: http.StatusOK, answer: `{}`}
	s.send(t, http.MethodPost, "/console/whatif/changeEmail", url.Values{"id": {id}, "email": {" a@example.com "}, "at": {"2"}})
	assert.Equal(t, rest.Request{
		Method: http.MethodPut, Path: "/users/" + id + "/email?at=2&dry_run=true", Body: map[string]any{"email": "a@example.com"},
	}, *s.asked)
	for _, tt := range []struct {
		form url.Values
		want map[string]any
	}{
		{url.Values{"name": {"clerk"}}, map[string]any{"name": "clerk", "essential": false}},
		{url.Values{}, map[string]any{"name": "", "essential": false}},
		{
			url.Values{"name": {"clerk"}, "essential": {"true"}, "maxMembers": {"3"}, "id": {id}},
			map[string]any{"name": "clerk", "essential": true, "maxMembers": json.Number("3"), "id": id},
		},
		{url.Values{"name": {"clerk"}, "maxMembers": {"x"}}, map[string]any{"name": "clerk", "essential": false, "maxMembers": "x"}},
	} {
		s.send(t, http.MethodPost, "/console/whatif/createRole", tt.form)
		assert.Equal(t, tt.want, s.asked.Body)
	}
}

func TestATrialShowsWhatWouldBe(t *testing.T) {
	t.Parallel()
	s := &system{status: http.StatusOK, answer: `{"id":"` + id + `","decision":"append","expected":1,"version":2,
		"events":[{"version":2,"name":"org/iam/user/emailChanged","schema":1,"data":{"email":"new@example.com"},
			"enrichment":[{"aggregate":"org/iam/role","id":"r1","data":{"name":"clerk"}}]}],
		"taken":[{"constraint":"org/iam/user#email","value":"new@example.com"}],"released":[{"constraint":"org/iam/user#email"}],
		"guards":[{"stream":"org/iam/role/r1","version":7}],
		"scopes":[{"scope":"org/iam/role/r1#members","checked":true,"counters":[{"name":"seats","now":3,"then":4}]}]}`}
	form := url.Values{"id": {id}, "email": {"new@example.com"}}
	status, body := s.send(t, http.MethodPost, "/console/whatif/changeEmail", form)
	assert.Equal(t, http.StatusOK, status)
	for _, want := range []string{
		"It would be accepted", `<a href="/console/streams/org/iam/user/` + id + `?at=1">version 1</a>`, "emailChanged",
		`takes <code>org/iam/user#email</code> new@example.com`, `releases <code>org/iam/user#email</code>`, "is still at version 7",
		"which it was decided on", "<td class=\"number\">3</td><td\nclass=\"number\">4</td>", "{&#34;name&#34;:&#34;clerk&#34;}",
		`<ins>new@example.com</ins></td><td><del>dan@example.com</del>`, "Nothing was written",
	} {
		assert.Contains(t, body, want)
	}
	_, body = s.send(t, http.MethodPost, "/console/whatif/changeEmail", form, "users:write")
	assert.Contains(t, body, "It would be accepted")
	assert.NotContains(t, body, "dan@example.com</del>", "the state is for those who may read the data of events")
	assert.Contains(t, body, "events:data")

	s.answer = `{"id":"` + id + `","decision":"nothing","expected":2,"version":2,"events":[]}`
	_, body = s.send(t, http.MethodPost, "/console/whatif/changeEmail", form)
	assert.Contains(t, body, "Nothing would happen")
}

func TestARefusedTrialSaysWhereItIsWrong(t *testing.T) {
	t.Parallel()
	form := url.Values{"id": {id}, "email": {"<b>x"}, "at": {"9"}}
	for name, tt := range map[string]struct {
		status int
		answer string
		want   string
	}{
		"at a field": {
			422, `{"code":"invalid","errors":[{"location":"body.email","message":"not an address"}]}`,
			`(?s)name="email" value="&lt;b&gt;x"[^>]*aria-invalid="true".*class="refused">not an address`,
		},
		"at the version": {
			422, `{"code":"invalid","errors":[{"location":"query.at","message":"too late"}]}`,
			`(?s)name="at"[^>]*aria-invalid.*class="refused">too late`,
		},
		"at the value that another one has": {
			409, `{"code":"email_taken","detail":"another one has this email"}`, `(?s)name="email"[^>]*aria-invalid.*another one has this email`,
		},
		"above, of the whole":  {409, `{"code":"user_disabled","detail":"the user is disabled"}`, `<p class="refused">the user is disabled</p>`},
		"above, without scope": {403, `{"code":"forbidden","detail":"not allowed"}`, `<p class="refused">not allowed</p>`},
		"above, of no field": {
			422, `{"code":"invalid","errors":[{"location":"body.x","message":"unexpected"}]}`, `<p class="refused">x: unexpected</p>`,
		},
		"above, unknown": {502, `<html>`, `<p class="refused">the API answers 502 without saying why</p>`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &system{status: tt.status, answer: tt.answer}
			_, body := s.send(t, http.MethodPost, "/console/whatif/changeEmail", form)
			assert.Contains(t, body, "It would be refused")
			assert.Regexp(t, tt.want, body)
			assert.Contains(t, body, "&lt;b&gt;x", "what was entered is still there")
		})
	}
}
