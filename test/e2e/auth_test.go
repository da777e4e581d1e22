package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// operation is one operation of the API, from its service's document.
type operation struct {
	ID       string                `json:"operationId"`
	Security []map[string][]string `json:"security"`

	method, path string
}

// scopes returns all scopes that the operation requires.
func (o operation) scopes(t *testing.T) []string {
	t.Helper()
	require.Len(t, o.Security, 1, "%s %s has one security requirement", o.method, o.path)
	require.NotEmpty(t, o.Security[0]["oidc"], "%s %s is not public", o.method, o.path)
	return o.Security[0]["oidc"]
}

// documented returns the operations of a service's /openapi.json.
func documented(t *testing.T, client *http.Client, base string) []operation {
	t.Helper()
	get := systemtest.Request{Method: http.MethodGet, Path: "/openapi.json"}
	answer, err := systemtest.Client{HTTP: client, Base: base}.Do(t.Context(), get)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.Status)
	doc, err := systemtest.Decode[struct {
		Paths map[string]map[string]json.RawMessage
	}](answer)
	require.NoError(t, err)
	var out []operation
	for path, item := range doc.Paths {
		for method, text := range item {
			o := operation{method: strings.ToUpper(method), path: path}
			require.NoError(t, json.Unmarshal(text, &o))
			out = append(out, o)
		}
	}
	return out
}

// wholeAPI returns the operations of all services.
func wholeAPI(t *testing.T, s *systemtest.System) []operation {
	t.Helper()
	var out []operation
	for _, svc := range s.APIs() {
		own := documented(t, &http.Client{Transport: svc}, "http://leftfold.test")
		assert.NotEmpty(t, own, svc.Name)
		out = append(out, own...)
	}
	return out
}

// TestEveryOperationDeclaresItsScopes compares docs/security.md with the code; no operation is public.
func TestEveryOperationDeclaresItsScopes(t *testing.T) {
	t.Parallel()
	declared := map[string][]string{}
	for _, o := range wholeAPI(t, systemtest.New(t, nil)) {
		declared[o.method+" "+o.path+" "+o.ID] = o.scopes(t)
	}
	file := filepath.Join(root, "docs", "security.md")
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	written := map[string][]string{}
	code, last := regexp.MustCompile("`([^`]+)`"), ""
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `([A-Z]+ /[^`]*)` \\| ([^|]+) \\|\n")
	for _, row := range rows.FindAllStringSubmatch(string(page), -1) {
		last = row[0]
		for _, scope := range code.FindAllStringSubmatch(row[3], -1) {
			written[row[2]+" "+row[1]] = append(written[row[2]+" "+row[1]], scope[1])
		}
	}
	if *update { // adds what is missing, at the end
		rows := last
		for _, operation := range slices.Sorted(maps.Keys(declared)) {
			if words := strings.Fields(operation); written[words[0]+" "+words[1]+" "+words[2]] == nil {
				scopes := "`" + strings.Join(declared[operation], "` `") + "`"
				rows += fmt.Sprintf("| `%s` | `%s %s` | %s |\n", words[2], words[0], words[1], scopes)
			}
		}
		require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(page), last, rows, 1)), 0o644))
		return
	}
	assert.Equal(t, declared, written, "docs/security.md: the table of operations and scopes")
}

// startIssuer starts an issuer, and returns the environment of a service that trusts it.
func startIssuer(t testing.TB) (*devissuer.Issuer, map[string]string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	url := "http://" + server.Listener.Addr().String()
	issuer, err := devissuer.New(devissuer.Config{
		Environment: auth.Local, URL: url, Audience: "leftfold", TokenLife: time.Hour,
	}, time.Now)
	require.NoError(t, err)
	server.Config.Handler = issuer
	server.Start()
	t.Cleanup(server.Close)
	return issuer, map[string]string{"AUTH_MODE": "oidc", "OIDC_ISSUER": url, "OIDC_AUDIENCE": "leftfold", "RATE_LIMIT": "0"}
}

// withIssuer returns a system that trusts an issuer of its own.
func withIssuer(t *testing.T) (api, *devissuer.Issuer) {
	t.Helper()
	issuer, env := startIssuer(t)
	return trusting(t, issuer, env), issuer
}

// trusting returns a system that has the issuer's keys.
func trusting(t *testing.T, issuer *devissuer.Issuer, env map[string]string) api {
	t.Helper()
	a := api{systemtest.New(t, env), t}
	token := tokenFor(t, issuer, "probe", "none")
	for _, svc := range a.APIs() {
		waittest.Until(t, "the issuer's keys", func() (any, bool) {
			client := systemtest.Client{HTTP: &http.Client{Transport: svc}, Base: a.Base}
			o := documented(t, client.HTTP, a.Base)[0]
			answer, err := client.Do(t.Context(), systemtest.Request{Method: o.method, Path: concrete(o.path), Header: token})
			return answer.Status, err == nil && answer.Status == http.StatusForbidden
		})
	}
	return a
}

// tokenFor returns the header of a subject's request.
func tokenFor(t testing.TB, issuer *devissuer.Issuer, subject string, scopes ...string) http.Header {
	t.Helper()
	token, err := issuer.Token(subject, strings.Join(scopes, " "), nil)
	require.NoError(t, err)
	return http.Header{"Authorization": {"Bearer " + token}}
}

func concrete(path string) string {
	return regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, newID())
}

// TestEveryOperationRequiresItsScopes calls each without a token, with every scope but one, and with all it requires.
func TestEveryOperationRequiresItsScopes(t *testing.T) {
	t.Parallel()
	a, issuer := withIssuer(t)
	every := []string{history.ReadScope, history.DataScope}
	for _, p := range a.Names.Projections() {
		every = append(every, p.Name+":read", p.Name+":write")
	}
	for _, o := range wholeAPI(t, a.System) {
		try := func(header http.Header) systemtest.Answer {
			answer, err := a.Do(t.Context(), systemtest.Request{Method: o.method, Path: concrete(o.path), Body: "{}", Header: header})
			require.NoError(t, err)
			return answer
		}
		answer := try(nil)
		assert.Equal(t, http.StatusUnauthorized, answer.Status, o.ID)
		a.problem(answer, httpapi.CodeUnauthenticated)
		for _, scope := range o.scopes(t) {
			others := slices.DeleteFunc(slices.Clone(every), func(s string) bool { return s == scope })
			answer = try(tokenFor(t, issuer, "dan", others...))
			assert.Equal(t, http.StatusForbidden, answer.Status, "%s without %s", o.ID, scope)
			a.problem(answer, httpapi.CodeForbidden)
		}
		answer = try(tokenFor(t, issuer, "dan", o.scopes(t)...))
		assert.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, answer.Status, "%s: %s", o.ID, answer.Body)
		assert.Less(t, answer.Status, http.StatusInternalServerError, o.ID)
	}
}

// TestThePastIsShownToThoseWhoMaySeeIt: the events to a token with events:read, their data and the state of the past with events:data.
func TestThePastIsShownToThoseWhoMaySeeIt(t *testing.T) {
	t.Parallel()
	a, issuer := withIssuer(t)
	id := newID()
	register := post("/users", object{"id": id, "email": "ann@example.com"})
	register.Header = tokenFor(t, issuer, "dan", "users:write")
	answer, err := a.Do(t.Context(), register)
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, answer.Status, string(answer.Body))
	get := func(status int, path string, scopes ...string) string {
		answer, err := a.Do(t.Context(), systemtest.Request{Method: http.MethodGet, Path: path, Header: tokenFor(t, issuer, "eve", scopes...)})
		require.NoError(t, err)
		require.Equal(t, status, answer.Status, "%s: %s", path, answer.Body)
		return string(answer.Body)
	}
	events, past := "/users/"+id+"/events", "/users/"+id+"?as_of=1"
	get(403, events, "users:read", "users:write", history.DataScope)
	get(403, past, "users:read", history.ReadScope)
	get(403, past, history.DataScope)
	names := get(200, events, history.ReadScope)
	assert.Contains(t, names, `"actor":"dan"`)
	assert.NotContains(t, names, "ann@example.com")
	assert.Contains(t, get(200, events, history.ReadScope, history.DataScope), "ann@example.com")
	assert.Contains(t, get(200, past, "users:read", history.DataScope), "ann@example.com")
}

// TestTheActorIsInTheLog follows two subjects' commands into the event log; their Idempotency-Keys do not clash.
func TestTheActorIsInTheLog(t *testing.T) {
	t.Parallel()
	a, issuer := withIssuer(t)
	dan := tokenFor(t, issuer, "dan", "users:write", "users:read")
	eve := tokenFor(t, issuer, "auth0|eve", "users:write")
	register := func(who http.Header, key, correlation string, body object) systemtest.Answer {
		header := maps.Clone(who)
		header.Set("Idempotency-Key", key)
		r := post("/users", body)
		r.Header, r.Correlation = header, correlation
		answer, err := a.Do(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, answer.Status, string(answer.Body))
		return answer
	}
	id := newID()
	ann, ben := object{"id": id, "email": "ann@example.com"}, object{"id": newID(), "email": "ben@example.com"}
	first := register(dan, "one", "by-dan", ann)
	other := register(eve, "one", "by-eve", ben)
	assert.NotEqual(t, string(first.Body), string(other.Body), "the same key is another one")
	assert.Empty(t, other.Header.Get("Idempotent-Replayed"))
	again := register(dan, "one", "again", ann)
	assert.Equal(t, "true", again.Header.Get("Idempotent-Replayed"))
	assert.Equal(t, string(first.Body), string(again.Body))

	records, err := a.Records(t.Context())
	require.NoError(t, err)
	for correlation, actor := range map[string]string{"by-dan": "dan", "by-eve": "auth0|eve"} {
		require.Len(t, records[correlation], 1)
		assert.Equal(t, actor, records[correlation][0].Metadata.Actor)
	}
	waittest.Until(t, "the user to be visible", func() (any, bool) {
		answer, err := a.Do(t.Context(), systemtest.Request{
			Method: http.MethodGet, Path: "/users/" + id + "?min_version=1&wait=10s", Header: dan,
		})
		require.NoError(t, err)
		return answer.Status, answer.Status == http.StatusOK
	})
}

func TestNoServiceStartsWithoutTokensOutsideLocal(t *testing.T) {
	t.Parallel()
	configs := map[string]reflect.Type{"leftfold": reflect.TypeFor[app.Config]()}
	for service := range reflect.TypeFor[app.Services]().Fields() {
		configs[service.Name] = service.Type
	}
	public := 0
	for name, config := range configs {
		load := func(vars map[string]string) error {
			return service.LoadConfig(service.Fixed(vars), reflect.New(config).Interface())
		}
		variables := service.Variables(reflect.New(config).Interface())
		if !slices.ContainsFunc(variables, func(v service.Variable) bool { return v.Name == "AUTH_MODE" }) {
			require.NoError(t, load(nil), "%s has no API", name)
			continue
		}
		public++
		require.ErrorContains(t, load(nil), "OIDC_ISSUER", name)
		require.ErrorContains(t, load(map[string]string{"AUTH_MODE": "none"}), "only where ENVIRONMENT=local, and it is production", name)
		require.ErrorContains(t, load(map[string]string{"AUTH_MODE": "none", "ENVIRONMENT": "staging"}), "and it is staging", name)
		require.NoError(t, load(map[string]string{"AUTH_MODE": "none", "ENVIRONMENT": "local"}), name)
		require.NoError(t, load(map[string]string{
			"OIDC_ISSUER": "https://id.example.com", "OIDC_AUDIENCE": "x", "OIDC_CLIENT_ID": "x", "OIDC_CLIENT_SECRET": "x",
			"LOGIN_CLIENT_ID": "x", "SESSION_KEYS": "of at least thirty-two characters",
		}), name)
	}
	assert.Equal(t, 2+len(topology.Names{}.APIs()), public, "leftfold, the console and all services with an API")
}

// TestAdminIsNotOnThePublicAddress requests from each of the two addresses everything that the other serves.
func TestAdminIsNotOnThePublicAddress(t *testing.T) {
	t.Parallel()
	var cfg app.Config
	free := map[string]string{"API_ADDR": "127.0.0.1:0", "ADMIN_ADDR": "127.0.0.1:0", "AWS_ADDR": "127.0.0.1:0", "STOP_TIMEOUT": "5m"}
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(free)), &cfg))
	system, err := app.New(t.Context(), cfg, io.Discard)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := func(base, method, path string) int {
		answer, err := systemtest.Client{HTTP: client, Base: base}.Do(t.Context(), systemtest.Request{Method: method, Path: path, Body: "{}"})
		require.NoError(t, err)
		return answer.Status
	}
	public, admin := "http://"+system.APIAddr, "http://"+system.AdminAddr
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/debug/pprof/"} {
		assert.Equal(t, http.StatusNotFound, status(public, http.MethodGet, path), path)
	}
	assert.Equal(t, http.StatusOK, status(admin, http.MethodGet, "/healthz"))
	assert.Equal(t, http.StatusOK, status(admin, http.MethodGet, service.ProfilePath))
	if status(admin, http.MethodGet, "/openapi.json") == http.StatusOK {
		for _, o := range documented(t, client, admin) {
			assert.Equal(t, http.StatusNotFound, status(public, o.method, concrete(o.path)), o.ID)
		}
	}
	for _, o := range documented(t, client, public) {
		assert.Equal(t, http.StatusNotFound, status(admin, o.method, concrete(o.path)), o.ID)
	}
	stop()
	require.NoError(t, <-ended)
}
