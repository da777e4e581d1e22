package rest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
	"github.com/leftfold/leftfold/services/command-api/internal/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ann     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	ben     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"
	auditor = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
	clerk   = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e5a"
	unknown = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0eff"
)

// api is the API on a store in memory, which counts what is appended.
type api struct {
	http.Handler
	store *counting
}

type counting struct {
	memstore.Store
	appended, remembered atomic.Int64

	fail error // answers every append, if set
	lost error // answers every append that was written, if set
}

func (s *counting) Remember(ctx context.Context, r eventsourcing.CommandResult) error {
	s.remembered.Add(1)
	return s.Store.Remember(ctx, r)
}

func (s *counting) Append(ctx context.Context, c eventsourcing.Commit) error {
	if s.fail != nil {
		return s.fail
	}
	err := s.Store.Append(ctx, c)
	if err == nil {
		s.appended.Add(1)
		err = s.lost
	}
	return err
}

func newAPI() *api { return startAPI(&counting{}, time.Now) }

// startAPI starts an API on an existing store.
func startAPI(store *counting, now func() time.Time) *api {
	log := slog.New(slog.DiscardHandler)
	h, err := commands.NewHandler(commands.Config{
		Store: store, Now: now, MaxAttempts: 2, Timeout: time.Minute, Cache: 4, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		panic(err)
	}
	router := httpapi.NewRouter(log)
	rest.Register(httpapi.NewAPI(router), h, log)
	return &api{router, store}
}

// request is a method and path, and a body if the operation takes one.
type request struct{ line, body string }

func (r request) String() string { return r.line + " " + r.body }

// do sends a request and answers with its receipt or its problem. Every problem must be listed, and must have
// written nothing.
func (a *api) do(t *testing.T, r request) (res *httptest.ResponseRecorder, got receipt, p httpapi.Problem) {
	t.Helper()
	before := a.store.appended.Load()
	method, path, _ := strings.Cut(r.line, " ")
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(r.body))
	if r.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	res = httptest.NewRecorder()
	a.ServeHTTP(res, req)
	if res.Code == http.StatusAccepted {
		require.NoError(t, json.Unmarshal(res.Body.Bytes(), &got))
		return res, got, p
	}
	assert.Equal(t, before, a.store.appended.Load(), "%s was answered %d and yet written", r, res.Code)
	assert.Equal(t, "application/problem+json", res.Header().Get("Content-Type"))
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &p), res.Body.String())
	assert.Equal(t, res.Code, p.Status)
	assert.Equal(t, statusOf(p.Code), p.Status, "as listed for %s", p.Code)
	return res, got, p
}

// statusOf returns the status of a listed code; 0 if it is not listed.
func statusOf(code string) int {
	for _, e := range problems.Info().Problems() {
		if e.Code == code {
			return e.Status
		}
	}
	return 0
}

type receipt struct {
	ID      string
	Version int
}

// given sends requests that must be accepted.
func (a *api) given(t *testing.T, requests ...request) {
	t.Helper()
	for _, r := range requests {
		res, _, _ := a.do(t, r)
		require.Equal(t, http.StatusAccepted, res.Code, "%s: %s", r, res.Body)
	}
}

// Givens of many tests.
var (
	annRegistered  = request{"POST /users", `{"id":"` + ann + `","email":"ann@example.com"}`}
	benRegistered  = request{"POST /users", `{"id":"` + ben + `","email":"ben@example.com"}`}
	annDisabled    = request{"PUT /users/" + ann + "/disable", ""}
	auditorCreated = request{"POST /roles", `{"id":"` + auditor + `","name":"auditor"}`}
	clerkCreated   = request{"POST /roles", `{"id":"` + clerk + `","name":"clerk"}`}
	auditorOff     = request{"PUT /roles/" + auditor + "/disable", ""}
	auditorGranted = request{"POST /users/" + ann + "/roles", `{"roleId":"` + auditor + `"}`}
	auditorTaken   = request{"DELETE /users/" + ann + "/roles/" + auditor, ""}
	auditorRetires = request{"PUT /roles/" + auditor + "/retire", ""}
	essential      = request{"PUT /roles/" + auditor + "/rules", `{"essential":true,"maxMembers":0}`}
)

// annsGrant lets ann lose the role auditor at that time.
func annsGrant(until string) request {
	return request{"PUT /users/" + ann + "/roles/" + auditor, `{"until":"` + until + `"}`}
}

// expiry takes the role auditor from ann, if it ends then and has ended.
func expiry(until string) request {
	return request{"PUT /users/" + ann + "/roles/" + auditor + "/expire", `{"until":"` + until + `"}`}
}

// retirement is what becomes of the retirement of the role auditor.
func retirement(what string) request { return request{"PUT /roles/" + auditor + "/retire/" + what, ""} }

// auditorLimited gives the role auditor to that many members at most.
func auditorLimited(members int) request {
	return request{"PUT /roles/" + auditor + "/rules", fmt.Sprintf(`{"essential":false,"maxMembers":%d}`, members)}
}

func TestEveryCommandIsAnsweredByIDAndVersion(t *testing.T) {
	t.Parallel()
	a := newAPI()
	for _, step := range []struct {
		request
		collection, id string
		version        int
	}{
		{annRegistered, "users", ann, 1},
		{request{"PUT /users/" + ann, `{"firstName":"Ann","lastName":"O'Neill"}`}, "users", ann, 2},
		{request{"PUT /users/" + ann + "/email", `{"email":"ann@example.org"}`}, "users", ann, 3},
		{request{"PUT /users/" + ann + "/email", `{"email":"ann@example.org"}`}, "users", ann, 3}, // as it is already
		{auditorCreated, "roles", auditor, 1},
		{request{"PUT /roles/" + auditor, `{"name":"Chief"}`}, "roles", auditor, 2},
		{auditorGranted, "users", ann, 4},
		{annsGrant("2100-01-31T18:00:00Z"), "users", ann, 5},
		{annsGrant("2100-01-31T19:00:00.0000001+01:00"), "users", ann, 5}, // ends then already
		{request{"PUT /users/" + ann + "/roles/" + auditor, `{"until":null}`}, "users", ann, 6},
		{auditorTaken, "users", ann, 7},
		{annDisabled, "users", ann, 8},
		{request{"PUT /users/" + ann + "/enable", ""}, "users", ann, 9},
		{auditorOff, "roles", auditor, 3},
		{request{"PUT /roles/" + auditor + "/enable", ""}, "roles", auditor, 4},
		{request{"PUT /users/" + strings.ToUpper(ann) + "/disable", ""}, "users", ann, 10},
		{auditorLimited(3), "roles", auditor, 5},
		{auditorRetires, "roles", auditor, 6},
		{retirement("cancel"), "roles", auditor, 7},
		{auditorRetires, "roles", auditor, 8},
		{retirement("complete"), "roles", auditor, 9},
		{request{"POST /roles", `{"id":"` + clerk + `","name":"clerk","essential":true,"maxMembers":2}`}, "roles", clerk, 2},
	} {
		res, got, _ := a.do(t, step.request)
		require.Equal(t, http.StatusAccepted, res.Code, "%s: %s", step.request, res.Body)
		assert.Equal(t, receipt{step.id, step.version}, got, step.request)
		assert.Equal(t, fmt.Sprintf("%q", fmt.Sprint(step.version)), res.Header().Get("ETag"), step.request)
		assert.Equal(t, "/"+step.collection+"/"+step.id, res.Header().Get("Location"), step.request)
		assert.Equal(t, "application/json", res.Header().Get("Content-Type"))
	}
}

func TestAnIDIsGeneratedIfNoneIsSent(t *testing.T) {
	t.Parallel()
	a := newAPI()
	for _, r := range []request{
		{"POST /users", `{"email":"ann@example.com"}`},
		{"POST /users", `{"id":"","email":"ben@example.com"}`},
		{"POST /roles", `{"name":"auditor"}`},
	} {
		res, got, _ := a.do(t, r)
		require.Equal(t, http.StatusAccepted, res.Code)
		id, err := uuid.Parse(got.ID)
		require.NoError(t, err)
		assert.Equal(t, uuid.Version(7), id.Version(), "it sorts by time")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	email := func(id, address string) request {
		return request{"PUT /users/" + id + "/email", `{"email":"` + address + `"}`}
	}
	for name, tt := range map[string]struct {
		given  []request
		when   request
		status int
		code   string
	}{
		"the user's id is taken": {
			[]request{annRegistered}, request{"POST /users", `{"id":"` + ann + `","email":"x@example.com"}`}, 409, "user_exists",
		},
		"the e-mail is taken":     {[]request{annRegistered}, request{"POST /users", `{"email":"ANN@example.com"}`}, 409, "email_taken"},
		"the new e-mail is taken": {[]request{annRegistered, benRegistered}, email(ben, "Ann@Example.com"), 409, "email_taken"},
		"a disabled user's e-mail": {
			[]request{annRegistered, annDisabled}, request{"POST /users", `{"email":"ann@example.com"}`}, 409, "email_taken",
		},
		"update an unknown user":   {nil, request{"PUT /users/" + unknown, `{"firstName":"A","lastName":"B"}`}, 404, "user_not_found"},
		"an unknown user's e-mail": {nil, email(unknown, "x@example.com"), 404, "user_not_found"},
		"disable an unknown user":  {nil, request{"PUT /users/" + unknown + "/disable", ""}, 404, "user_not_found"},
		"enable an unknown user":   {nil, request{"PUT /users/" + unknown + "/enable", ""}, 404, "user_not_found"},
		"grant to an unknown user": {
			[]request{auditorCreated}, request{"POST /users/" + unknown + "/roles", `{"roleId":"` + auditor + `"}`}, 404, "user_not_found",
		},
		"take from an unknown user": {nil, request{"DELETE /users/" + unknown + "/roles/" + auditor, ""}, 404, "user_not_found"},
		"update a disabled user": {
			[]request{annRegistered, annDisabled}, request{"PUT /users/" + ann, `{"firstName":"A","lastName":"B"}`}, 409, "user_disabled",
		},
		"its e-mail":             {[]request{annRegistered, annDisabled}, email(ann, "x@example.com"), 409, "user_disabled"},
		"a role for it":          {[]request{annRegistered, auditorCreated, annDisabled}, auditorGranted, 409, "user_disabled"},
		"disable a user twice":   {[]request{annRegistered, annDisabled}, annDisabled, 409, "user_disabled"},
		"enable an enabled user": {[]request{annRegistered}, request{"PUT /users/" + ann + "/enable", ""}, 409, "user_enabled"},
		"grant an unknown role":  {[]request{annRegistered}, auditorGranted, 404, "role_not_found"},
		"grant a disabled role":  {[]request{annRegistered, auditorCreated, auditorOff}, auditorGranted, 409, "role_disabled"},
		"grant twice":            {[]request{annRegistered, auditorCreated, auditorGranted}, auditorGranted, 409, "role_already_held"},
		"take what is not held": {
			[]request{annRegistered}, request{"DELETE /users/" + ann + "/roles/" + auditor, ""}, 409, "role_not_held",
		},
		"the role's id is taken": {
			[]request{auditorCreated}, request{"POST /roles", `{"id":"` + auditor + `","name":"x"}`}, 409, "role_exists",
		},
		"the name is taken": {[]request{auditorCreated}, request{"POST /roles", `{"name":"AUDITOR"}`}, 409, "name_taken"},
		"the new name is taken": {
			[]request{auditorCreated, clerkCreated}, request{"PUT /roles/" + clerk, `{"name":"Auditor"}`}, 409, "name_taken",
		},
		"rename an unknown role":  {nil, request{"PUT /roles/" + unknown, `{"name":"x"}`}, 404, "role_not_found"},
		"disable an unknown role": {nil, request{"PUT /roles/" + unknown + "/disable", ""}, 404, "role_not_found"},
		"enable an unknown role":  {nil, request{"PUT /roles/" + unknown + "/enable", ""}, 404, "role_not_found"},
		"rename a disabled role": {
			[]request{auditorCreated, auditorOff}, request{"PUT /roles/" + auditor, `{"name":"x"}`}, 409, "role_disabled",
		},
		"the last holder is disabled": {
			[]request{annRegistered, auditorCreated, auditorGranted, essential}, annDisabled, 409, "last_holder",
		},
		"the last holder loses it": {
			[]request{annRegistered, auditorCreated, auditorGranted, essential}, auditorTaken, 409, "last_holder",
		},
		"the last holder's grant gets an end": {
			[]request{annRegistered, auditorCreated, auditorGranted, essential}, annsGrant("2100-01-31T18:00:00Z"), 409, "last_holder",
		},
		"no seat is left": {
			[]request{annRegistered, benRegistered, auditorCreated, auditorLimited(1), auditorGranted},
			request{"POST /users/" + ben + "/roles", `{"roleId":"` + auditor + `"}`},
			409, "no_seat_left",
		},
		"an end in the past": {
			[]request{annRegistered, auditorCreated},
			request{"POST /users/" + ann + "/roles", `{"roleId":"` + auditor + `","until":"2001-01-01T00:00:00Z"}`},
			422, "until_passed",
		},
		"another end in the past": {
			[]request{annRegistered, auditorCreated, auditorGranted}, annsGrant("2001-01-01T00:00:00Z"), 422, "until_passed",
		},
		"an end of what is not held": {[]request{annRegistered, auditorCreated}, annsGrant("2100-01-31T18:00:00Z"), 409, "role_not_held"},
		"an expiry of what does not end": {
			[]request{annRegistered, auditorCreated, auditorGranted}, expiry("2001-01-01T00:00:00Z"), 409, "grant_changed",
		},
		"an expiry before its time": {
			[]request{annRegistered, auditorCreated, auditorGranted, annsGrant("2100-01-31T18:00:00Z")},
			expiry("2100-01-31T18:00:00Z"), 409, "grant_not_ended",
		},
		"an expiry of what is not held": {[]request{annRegistered}, expiry("2001-01-01T00:00:00Z"), 409, "role_not_held"},
		"essential without a holder":    {[]request{auditorCreated}, essential, 409, "no_holder"},
		"fewer members than there are": {
			[]request{
				annRegistered, benRegistered, auditorCreated, auditorGranted,
				{"POST /users/" + ben + "/roles", `{"roleId":"` + auditor + `"}`},
			},
			auditorLimited(1), 409, "too_many_members",
		},
		"rules of an unknown role": {nil, auditorLimited(1), 404, "role_not_found"},
		"rules of a disabled role": {[]request{auditorCreated, auditorOff}, auditorLimited(1), 409, "role_disabled"},
		"disable an essential role": {
			[]request{annRegistered, auditorCreated, auditorGranted, essential}, auditorOff, 409, "role_essential",
		},
		"retire an essential role": {
			[]request{annRegistered, auditorCreated, auditorGranted, essential}, auditorRetires, 409, "role_essential",
		},
		"grant a role that retires":     {[]request{annRegistered, auditorCreated, auditorRetires}, auditorGranted, 409, "role_retiring"},
		"retire a role twice":           {[]request{auditorCreated, auditorRetires}, auditorRetires, 409, "role_retiring"},
		"cancel what does not retire":   {[]request{auditorCreated}, retirement("cancel"), 409, "role_not_retiring"},
		"complete what does not retire": {[]request{auditorCreated}, retirement("complete"), 409, "role_not_retiring"},
		"complete what somebody holds": {
			[]request{annRegistered, auditorCreated, auditorGranted, auditorRetires}, retirement("complete"), 409, "members_left",
		},
		"enable a retired role": {
			[]request{auditorCreated, auditorRetires, retirement("complete")},
			request{"PUT /roles/" + auditor + "/enable", ""},
			409, "role_retired",
		},
		"the name of a retired role": {
			[]request{auditorCreated, auditorRetires, retirement("complete")}, request{"POST /roles", `{"name":"auditor"}`}, 409, "name_taken",
		},
		"grant a retired role": {
			[]request{annRegistered, auditorCreated, auditorRetires, retirement("complete")}, auditorGranted, 409, "role_retired",
		},
		"disable a role twice":   {[]request{auditorCreated, auditorOff}, auditorOff, 409, "role_disabled"},
		"enable an enabled role": {[]request{auditorCreated}, request{"PUT /roles/" + auditor + "/enable", ""}, 409, "role_enabled"},
		"no address":             {nil, request{"POST /nowhere", `{}`}, 404, "not_found"},
		"no such method":         {nil, request{"PATCH /users/" + ann, `{}`}, 405, "method_not_allowed"},
		"no body":                {nil, request{"POST /users", ""}, 400, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			a.given(t, tt.given...)
			res, _, p := a.do(t, tt.when)
			assert.Equal(t, tt.status, res.Code, res.Body.String())
			assert.Equal(t, tt.code, p.Code)
		})
	}
}

func TestAPathNamesTheMethodsItAllows(t *testing.T) {
	t.Parallel()
	for line, allow := range map[string]string{
		"PATCH /users/" + ann: "PUT, OPTIONS", "DELETE /users": "POST, OPTIONS",
		"POST /users/" + ann + "/roles/" + auditor: "PUT, DELETE, OPTIONS", "PUT /users/%ff/roles": "POST, OPTIONS",
	} {
		res, _, p := newAPI().do(t, request{line, `{}`})
		assert.Equal(t, "method_not_allowed", p.Code)
		assert.Equal(t, allow, res.Header().Get("Allow"), line)
	}
}

func TestADisabledUserCanLoseARole(t *testing.T) {
	t.Parallel()
	newAPI().given(t, annRegistered, auditorCreated, auditorGranted, annDisabled,
		request{"DELETE /users/" + ann + "/roles/" + auditor, ""})
}

func TestAReleasedValueIsFreeAtOnce(t *testing.T) {
	t.Parallel()
	newAPI().given(t, annRegistered, request{"PUT /users/" + ann + "/email", `{"email":"new@example.com"}`},
		request{"POST /users", `{"email":"ann@example.com"}`},
		auditorCreated, request{"PUT /roles/" + auditor, `{"name":"chief"}`}, request{"POST /roles", `{"name":"auditor"}`})
}

func TestErrorsOfTheStoreHaveTheirStatus(t *testing.T) {
	t.Parallel()
	for code, tt := range map[string]struct {
		err    error
		status int
	}{
		"unavailable": {eventsourcing.ErrUnavailable, 503},
		"busy":        {eventsourcing.ErrConflict, 409},
		"too_large":   {eventsourcing.ErrTooLarge, 413},
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			a.store.fail = tt.err
			res, _, p := a.do(t, annRegistered)
			assert.Equal(t, tt.status, res.Code)
			assert.Equal(t, code, p.Code)
			assert.Equal(t, code != "too_large", res.Header().Get("Retry-After") != "", "another try may help")
		})
	}
}

// A build before scopes made the role: its members must be counted before a rule of them is decided.
func TestARuleOfMembersThatAreNotCountedHasToWait(t *testing.T) {
	t.Parallel()
	a := newAPI()
	require.NoError(t, a.store.Append(t.Context(), eventsourcing.Commit{
		Stream: eventsourcing.StreamID{Category: "org/iam/role", ID: auditor},
		Records: []eventsourcing.Record{{
			ID: "e1", Stream: eventsourcing.StreamID{Category: "org/iam/role", ID: auditor}, Version: 1, Name: "org/iam/role/created", Schema: 1,
			Data: json.RawMessage(`{"roleId":"` + auditor + `","name":"auditor"}`), RecordedAt: time.Now(),
			Metadata: eventsourcing.Metadata{CorrelationID: "c", CausationID: "c", Actor: "a"},
		}},
	}))
	for _, r := range []request{essential, auditorLimited(1), auditorRetires} {
		res, _, p := a.do(t, r)
		assert.Equal(t, "scope_not_ready", p.Code, res.Body)
		assert.NotEmpty(t, res.Header().Get("Retry-After"), r)
	}
	a.given(t, annRegistered, auditorGranted, auditorTaken)
}

func TestEveryInvalidValueIsNamedOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		request
		want []string
	}{
		"register":             {request{"POST /users", `{"id":"x","email":"nowhere"}`}, []string{"body.email", "body.id"}},
		"register nothing":     {request{"POST /users", `{}`}, []string{"body.email"}},
		"register as admin":    {request{"POST /users", `{"email":"nowhere","admin":true}`}, []string{"body.admin", "body.email"}},
		"register wrong types": {request{"POST /users", `{"id":1,"email":["a@example.com"]}`}, []string{"body.email", "body.id"}},
		"register null":        {request{"POST /users", `null`}, []string{"body"}},
		"update": {
			request{"PUT /users/x", `{"firstName":"R2D2","lastName":""}`}, []string{"body.firstName", "body.lastName", "path.id"},
		},
		"update nothing": {request{"PUT /users/" + ann, `{}`}, []string{"body.firstName", "body.lastName"}},
		"e-mail":         {request{"PUT /users/x/email", `{"email":"a@b"}`}, []string{"body.email", "path.id"}},
		"disable":        {request{"PUT /users/x/disable", ""}, []string{"path.id"}},
		"grant":          {request{"POST /users/x/roles", `{"roleId":"y"}`}, []string{"body.roleId", "path.id"}},
		"take":           {request{"DELETE /users/x/roles/y", ""}, []string{"path.id", "path.roleId"}},
		"create":         {request{"POST /roles", `{"id":"x","name":"two words"}`}, []string{"body.id", "body.name"}},
		"grant until": {
			request{"POST /users/" + ann + "/roles", `{"roleId":"` + auditor + `","until":"tomorrow"}`}, []string{"body.until"},
		},
		"grant until a zero time": {
			request{"POST /users/" + ann + "/roles", `{"roleId":"` + auditor + `","until":"0001-01-01T00:00:00Z"}`}, []string{"body.until"},
		},
		"grant until after the last year": {
			request{"POST /users/" + ann + "/roles", `{"roleId":"` + auditor + `","until":"9999-12-31T23:59:59-01:00"}`}, []string{"body.until"},
		},
		"no new end":   {request{"PUT /users/" + ann + "/roles/" + auditor, `{}`}, []string{"body.until"}},
		"no expiry":    {request{"PUT /users/x/roles/y/expire", `{"until":null}`}, []string{"body.until", "path.id", "path.roleId"}},
		"half a rule":  {request{"PUT /roles/x/rules", `{"essential":1}`}, []string{"body.essential", "body.maxMembers", "path.id"}},
		"below nobody": {request{"PUT /roles/" + auditor + "/rules", `{"essential":false,"maxMembers":-1}`}, []string{"body.maxMembers"}},
		"half a member": {
			request{"PUT /roles/" + auditor + "/rules", `{"essential":false,"maxMembers":1.5}`}, []string{"body.maxMembers"},
		},
		"too many members": {request{"POST /roles", `{"name":"x","maxMembers":1000000001}`}, []string{"body.maxMembers"}},
		"rename":           {request{"PUT /roles/x", `{"name":"a1"}`}, []string{"body.name", "path.id"}},
		"enable role":      {request{"PUT /roles/x/enable", ""}, []string{"path.id"}},
		"another case":     {request{"POST /users", `{"EMAIL":"a@example.com"}`}, []string{"body.EMAIL", "body.email"}},
		"a long s":         {request{"PUT /users/" + ann, `{"firstName":"Good","fir\u017ftName":"Evil","lastName":"Lee"}`}, []string{"body"}},
		"half an e-mail":   {request{"POST /users", `{"email":"\ud800@example.com"}`}, []string{"body.email"}},
		"half a name": {
			request{"PUT /users/" + ann, `{"firstName":"Ann\ud800","lastName":"\udc00"}`}, []string{"body.firstName", "body.lastName"},
		},
		"half a role name": {request{"POST /roles", `{"name":"a\ud800"}`}, []string{"body.name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI()
			a.given(t, annRegistered)
			res, _, p := a.do(t, tt.request)
			assert.Equal(t, http.StatusUnprocessableEntity, res.Code, res.Body.String())
			assert.Equal(t, "invalid", p.Code)
			var at []string
			for _, f := range p.Errors {
				at = append(at, f.Location)
				assert.NotEmpty(t, f.Message)
			}
			assert.Equal(t, tt.want, at, res.Body.String())
		})
	}
}

func TestOperationsWithoutABodyIgnoreASentOne(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a fine one": `{"email":"a@example.com"}`, "malformed": `{"email":`, "invalid UTF-8": "\xff", "huge": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			newAPI().given(t, annRegistered, auditorCreated, auditorGranted,
				request{"DELETE /users/" + ann + "/roles/" + auditor, body},
				request{"PUT /users/" + ann + "/disable", body}, request{"PUT /users/" + ann + "/enable", body},
				request{"PUT /roles/" + auditor + "/disable", body}, request{"PUT /roles/" + auditor + "/enable", body})
		})
	}
}
