package rest_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/auth"
)

// would is the answer to a dry run.
type would struct {
	ID, Decision      string
	Expected, Version eventsourcing.Version
	Events            []struct {
		Version    eventsourcing.Version
		Name       string
		Schema     int
		Data       json.RawMessage
		Enrichment []eventsourcing.Enrichment
	}
	Taken, Released []struct{ Constraint, Value string }
	Guards          []struct {
		Stream  string
		Version eventsourcing.Version
	}
	Scopes []struct {
		Scope    string
		Checked  bool
		Counters []struct {
			Name      string
			Now, Then int64
		}
	}
}

// try sends a request as a dry run.
func (a *api) try(t *testing.T, r request, query string) *httptest.ResponseRecorder {
	t.Helper()
	before, remembered := a.store.appended.Load(), a.store.remembered.Load()
	res := a.tryAs(t, auth.Everything(), r, query)
	assert.Equal(t, before, a.store.appended.Load(), "%s was only to be tried", r)
	assert.Equal(t, remembered, a.store.remembered.Load(), "%s: no key is used up", r)
	return res
}

func (a *api) tryAs(t *testing.T, sender auth.Principal, r request, query string) *httptest.ResponseRecorder {
	t.Helper()
	method, path, _ := strings.Cut(r.line, " ")
	req := httptest.NewRequestWithContext(auth.With(t.Context(), sender), method, path+"?dry_run=true"+query, strings.NewReader(r.body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "tried")
	res := httptest.NewRecorder()
	a.ServeHTTP(res, req)
	return res
}

func wouldOf(t *testing.T, res *httptest.ResponseRecorder) (w would) {
	t.Helper()
	require.Equal(t, http.StatusOK, res.Code, res.Body)
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &w))
	return w
}

// drawn returns a request of any operation, on one of few users and roles and with one of few values.
func drawn(r *rand.Rand) request {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	role, user := one(auditor, clerk), one(ann, ben)
	until := one(`null`, `"2026-01-01T00:00:00Z"`, `"2100-01-31T18:00:00Z"`)
	members := fmt.Sprintf(`{"essential":%t,"maxMembers":%d}`, r.IntN(3) == 0, r.IntN(3))
	line := strings.NewReplacer("{a}", user, "{b}", role).Replace(one(operations...))
	if strings.Contains(line, " /roles") {
		line = strings.ReplaceAll(line, user, role)
	}
	body := ""
	switch {
	case line == "POST /users":
		body = `{"id":"` + user + `","email":"` + one("ann@example.com", "ben@example.com") + `"}`
	case line == "POST /roles":
		body = `{"id":"` + role + `","name":"` + one("auditor", "clerk") + `",` + members[1:]
	case strings.HasSuffix(line, "/email"):
		body = `{"email":"` + one("ann@example.com", "ben@example.com", "Zoë@example.com", "zoë@EXAMPLE.com") + `"}`
	case strings.HasSuffix(line, "/rules"):
		body = members
	case strings.HasPrefix(line, "POST"):
		body = `{"roleId":"` + role + `","until":` + until + `}`
	case strings.Contains(line, "/roles/"+role) && !strings.HasPrefix(line, "DELETE") && strings.Contains(line, user):
		body = `{"until":` + until + `}`
	case line == "PUT /users/"+user:
		body = `{"firstName":"` + one("Ann", "Ben") + `","lastName":"Lee"}`
	case line == "PUT /roles/"+role:
		body = `{"name":"` + one("auditor", "clerk", "chief") + `"}`
	}
	return request{line, body}
}

// TestADryRunSaysWhatTheCommandThenDoes: of every operation, accepted or refused.
func TestADryRunSaysWhatTheCommandThenDoes(t *testing.T) {
	t.Parallel()
	accepted := map[string]bool{}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 0))
		now := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
		a := startAPI(&counting{}, func() time.Time { return now })
		a.given(t, annRegistered, auditorCreated)
		for range 600 {
			req := drawn(r)
			if a.compare(t, req) {
				accepted[strings.NewReplacer(ann, "{a}", ben, "{a}", auditor, "{r}", clerk, "{r}").Replace(req.line)] = true
			}
			if t.Failed() {
				return
			}
		}
	}
	for _, operation := range operations {
		operation = strings.NewReplacer("/users/{a}/roles/{b}", "/users/{a}/roles/{r}", "/roles/{a}", "/roles/{r}").Replace(operation)
		assert.True(t, accepted[operation] || strings.HasSuffix(operation, "/expire"), "%s was never accepted", operation)
	}
}

// compare tries a request and then sends it; it reports whether it was accepted.
func (a *api) compare(t *testing.T, r request) bool {
	t.Helper()
	tried := a.try(t, r, "")
	held := a.owners(t)
	res := a.send(t, r)
	if tried.Code != http.StatusOK || res.Code != http.StatusAccepted {
		assert.Equal(t, res.Code, tried.Code, "%s: %s", r, res.Body)
		assert.Equal(t, res.Body.String(), tried.Body.String(), r)
		return false
	}
	w := wouldOf(t, tried)
	assert.Equal(t, fmt.Sprintf("%q", fmt.Sprint(w.Version)), res.Header().Get("ETag"), r)
	collection, id, _ := strings.Cut(strings.TrimPrefix(res.Header().Get("Location"), "/"), "/")
	assert.Equal(t, id, w.ID)
	stream := eventsourcing.StreamID{Category: "org/iam/" + strings.TrimSuffix(collection, "s"), ID: id}
	n := 0
	for rec, err := range a.store.Read(t.Context(), stream, w.Expected) {
		require.NoError(t, err)
		require.Greater(t, len(w.Events), n, "%s: nothing more is recorded than it said", r)
		e := w.Events[n]
		assert.Equal(t, []any{rec.Version, rec.Name, rec.Schema}, []any{e.Version, e.Name, e.Schema}, r)
		assert.JSONEq(t, string(rec.Data), string(e.Data), r)
		require.Len(t, e.Enrichment, len(rec.Enrichment), r)
		n++
	}
	assert.Len(t, w.Events, n, r)
	assert.Equal(t, n == 0, w.Decision == "nothing", r)
	for claim, owner := range a.owners(t) {
		shown := struct{ Constraint, Value string }{claim.Constraint(), claim.Value}
		was := held[claim]
		if owner == stream && was != stream {
			assert.Contains(t, w.Taken, shown, r)
		} else {
			assert.NotContains(t, w.Taken, shown, r)
		}
		if owner != stream && was == stream {
			assert.Contains(t, w.Released, shown, r)
		} else {
			assert.NotContains(t, w.Released, shown, r)
		}
	}
	for _, s := range w.Scopes {
		scope, ok := eventsourcing.ParseScope(s.Scope)
		require.True(t, ok)
		states, err := a.store.Scopes(t.Context(), []eventsourcing.Scope{scope})
		require.NoError(t, err)
		for _, c := range s.Counters {
			assert.Equal(t, c.Then, states[scope].Counters[c.Name], "%s: %s of %s", r, c.Name, s.Scope)
		}
	}
	return true
}

// owners are those of all values that requests are drawn with.
func (a *api) owners(t *testing.T) map[eventsourcing.Claim]eventsourcing.StreamID {
	t.Helper()
	owners := map[eventsourcing.Claim]eventsourcing.StreamID{}
	for name, values := range map[string][]string{
		"user#email": {"ann@example.com", "ben@example.com", "zoë@example.com"}, "role#name": {"auditor", "clerk", "chief"},
	} {
		category, claim, _ := strings.Cut(name, "#")
		for _, value := range values {
			c := eventsourcing.Claim{Category: "org/iam/" + category, Name: claim, Value: value}
			owner, err := a.store.Owner(t.Context(), c)
			require.NoError(t, err)
			owners[c] = owner
		}
	}
	return owners
}

func TestADryRunSaysWhatIsKeptWithTheEventAndWhatItDependsOn(t *testing.T) {
	t.Parallel()
	a := newAPI()
	a.given(t, annRegistered, auditorCreated, auditorLimited(3))
	w := wouldOf(t, a.try(t, auditorGranted, ""))
	require.Len(t, w.Events, 1)
	require.Len(t, w.Events[0].Enrichment, 1)
	assert.JSONEq(t, `{"name":"auditor"}`, string(w.Events[0].Enrichment[0].Data))
	require.Len(t, w.Guards, 1)
	assert.Equal(t, "org/iam/role/"+auditor, w.Guards[0].Stream)
	assert.Equal(t, eventsourcing.Version(2), w.Guards[0].Version)
	require.Len(t, w.Scopes, 1)
	assert.True(t, w.Scopes[0].Checked)
	changed := map[string]int64{}
	for _, c := range w.Scopes[0].Counters {
		if c.Now != c.Then {
			changed[c.Name] = c.Then - c.Now
		}
	}
	assert.Equal(t, map[string]int64{"seats": 1, "holders": 1}, changed)
}

func TestADryRunCanDecideOnAnEarlierVersion(t *testing.T) {
	t.Parallel()
	a := newAPI()
	a.given(t, annRegistered, auditorCreated, request{"PUT /users/" + ann + "/email", `{"email":"lee@example.com"}`}, annDisabled)
	update := request{"PUT /users/" + ann, `{"firstName":"Ann","lastName":"Lee"}`}
	mustRefuse(t, a.try(t, update, ""), "user_disabled")
	w := wouldOf(t, a.try(t, update, "&at=2"))
	assert.Equal(t, []eventsourcing.Version{2, 3}, []eventsourcing.Version{w.Expected, w.Version})

	back := wouldOf(t, a.try(t, request{"PUT /users/" + ann + "/email", `{"email":"new@example.com"}`}, "&at=1"))
	assert.Equal(t, "ann@example.com", back.Released[0].Value, "which it had then")
	mustRefuse(t, a.try(t, annRegistered, "&at=1"), "user_exists")
	mustRefuse(t, a.try(t, annDisabled, "&at=4"), "no_such_version")
	mustRefuse(t, a.try(t, request{"PUT /users/" + unknown + "/disable", ""}, "&at=1"), "no_such_version")
	mustRefuse(t, a.send(t, request{annDisabled.line + "?at=1", ""}), "invalid")
	mustRefuse(t, a.try(t, annDisabled, "&at=0"), "invalid")
}

// TestADryRunUsesNoKeyUp: the command can be sent with the key of its dry run.
func TestADryRunUsesNoKeyUp(t *testing.T) {
	t.Parallel()
	a := newAPI()
	wouldOf(t, a.try(t, annRegistered, ""))
	res := a.send(t, annRegistered, "Idempotency-Key", "tried")
	require.Equal(t, http.StatusAccepted, res.Code)
	assert.Empty(t, res.Header().Get("Idempotent-Replayed"))
	mustRefuse(t, a.try(t, annRegistered, ""), "user_exists")
	mustRefuse(t, a.send(t, request{annDisabled.line + "?dry_run=true", ""}, "If-Match", `"7"`), "precondition_failed")
}

// TestADryRunShowsNoMoreThanTheReaderMayRead: the address that a user gives up is for those who may read users.
func TestADryRunShowsNoMoreThanTheReaderMayRead(t *testing.T) {
	t.Parallel()
	a := newAPI()
	a.given(t, annRegistered, auditorCreated, auditorGranted)
	try := func(r request, query string, scopes ...string) *httptest.ResponseRecorder {
		return a.tryAs(t, auth.Principal{Subject: "eve", Scopes: scopes}, r, query)
	}
	change := request{"PUT /users/" + ann + "/email", `{"email":"lee@example.com"}`}
	blind := wouldOf(t, try(change, "", "users:write"))
	assert.Equal(t, "lee@example.com", blind.Taken[0].Value)
	assert.Equal(t, struct{ Constraint, Value string }{Constraint: "org/iam/user#email"}, blind.Released[0])
	assert.Empty(t, wouldOf(t, try(annDisabled, "", "users:write")).Scopes, "which name the roles that the user holds")

	reader := wouldOf(t, try(change, "", "users:write", "users:read"))
	assert.Equal(t, "ann@example.com", reader.Released[0].Value)
	assert.NotEmpty(t, wouldOf(t, try(annDisabled, "", "users:write", "users:read")).Scopes)

	mustRefuse(t, try(change, "&at=1", "users:write", "users:read"), "forbidden")
	wouldOf(t, try(change, "&at=1", "users:write", "users:read", "events:data"))
}
