//go:build unix

package main

import (
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// runningWithTokens runs a system that requires the tokens of an issuer.
func runningWithTokens(t *testing.T) (system *app.System, issuer *devissuer.Issuer, stop func()) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	at := "http://" + server.Listener.Addr().String()
	issuer, err := devissuer.New(
		devissuer.Config{Environment: auth.Local, URL: at, Audience: "leftfold", TokenLife: time.Hour}, time.Now)
	require.NoError(t, err)
	server.Config.Handler = issuer
	server.Start()
	t.Cleanup(server.Close)
	system, stop = running(t, "AUTH_MODE", "oidc", "OIDC_ISSUER", at, "OIDC_AUDIENCE", "leftfold")
	return system, issuer, stop
}

// person is a browser without a screen or scripts.
type person struct {
	t      *testing.T
	client *http.Client
	base   string
}

// do sends a request and returns the last one that came of it, and its answer.
func (p person) do(method, at string, form url.Values) (*http.Request, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, at, strings.NewReader(form.Encode()))
	require.NoError(p.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.client.Do(req)
	require.NoError(p.t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	require.NoError(p.t, res.Body.Close())
	return res.Request, string(text)
}

var inputOf = regexp.MustCompile(`name="(\w+)"[^>]* value="([^"]*)"`) // read only

// signIn returns a person who has signed in with these scopes.
func signIn(t *testing.T, base string, scopes ...string) person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	p := person{t, &http.Client{Jar: jar, Transport: &http.Transport{DisableKeepAlives: true}}, base}
	asked, text := p.do(http.MethodGet, base+"/console/login", nil)
	form := url.Values{"grant": scopes}
	for _, field := range inputOf.FindAllStringSubmatch(text, -1) {
		if field[1] != "grant" && field[1] != "refuse" {
			form.Add(field[1], html.UnescapeString(field[2]))
		}
	}
	res, page := p.do(http.MethodPost, asked.URL.String(), form)
	require.Equal(t, "/console", res.URL.Path, page)
	return p
}

// A person signs in, reads in their own name, and signs out.
func TestAPersonSignsInInABrowser(t *testing.T) {
	t.Parallel()
	tab, said := newBrowser(t)
	system, _, stop := runningWithTokens(t)
	defer stop()
	base := "http://" + system.APIAddr + "/console"
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
	}
	do("the issuer asks", chromedp.Navigate(base+"/streams"), awaitText("h1", "Who are you?"))
	said.take() // the first answer was 401
	do("sign in", press("form button"), awaitText("h1", "What happened?"), awaitText(".reader", "dan"))
	do("the overview is live", chromedp.Navigate(base), awaitText(".pipeline + .note", "Rates are of the last"))
	assert.Empty(t, said.take())
	found, looked := findings(t, tab)
	assert.Empty(t, found)
	if !looked {
		t.Log("no accessibility engine is installed: make axe")
	}
	do("sign out", press(".reader button"), awaitText("h1", "You are signed out"))
	parts, err := chromedp.Run(tab, chromedp.Evaluate[int](`document.querySelectorAll("nav a, .find, .reader").length`))
	require.NoError(t, err)
	assert.Zero(t, parts, "nothing is offered to who is signed out")
	do("and again in", chromedp.Navigate(base+"/journey"), awaitText("h1", "Who are you?"))
}

// Whatever page of the console somebody opens who may not see what events say: no name and no address is on it. Only those who may
// read users see who they are now.
func TestNoPageShowsPersonalDataWithoutItsScope(t *testing.T) {
	t.Parallel()
	system, issuer, stop := runningWithTokens(t)
	defer stop()
	base := "http://" + system.APIAddr
	token, err := issuer.Token("seed", "users:write users:read roles:write roles:read", nil)
	require.NoError(t, err)
	send := func(method, path, body string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	const id, role = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57", "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"
	for _, command := range [][3]string{
		{http.MethodPost, "/users", `{"id":"` + id + `","email":"secret@example.com"}`},
		{http.MethodPut, "/users/" + id, `{"firstName":"Secretfirst","lastName":"Secretlast"}`},
		{http.MethodPost, "/roles", `{"id":"` + role + `","name":"auditor"}`},
		{http.MethodPost, "/users/" + id + "/roles", `{"roleId":"` + role + `"}`},
		{http.MethodPut, "/users/" + id + "/email", `{"email":"secret@example.org"}`},
	} {
		status := http.StatusServiceUnavailable
		for status == http.StatusServiceUnavailable { // until the issuer's keys have come
			require.NoError(t, t.Context().Err())
			status = send(command[0], command[1], command[2])
		}
		require.Equal(t, http.StatusAccepted, status, command)
	}
	for send(http.MethodGet, "/users/"+id+"?min_version=4&wait=5s", "") != http.StatusOK {
		require.NoError(t, t.Context().Err())
	}
	all := []string{"console:read", "console:operate", "users:write", "roles:read", "roles:write", "events:read", "audit:read"}
	stream := "/console/streams/org/iam/user/" + id
	roots := []string{
		"/console", stream, stream + "?at=2", "/console/journey?of=" + id, "/console/users/" + id, "/console/roles/" + role,
	}
	seen := crawl(signIn(t, base, all...), roots)
	assert.Greater(t, len(seen), 10)
	for at, text := range seen {
		assert.NotContains(t, strings.ToLower(text), "secret", at)
	}
	assert.Contains(t, seen[stream], "•••")
	assert.Contains(t, seen[stream], "the scope events:data")
	_, text := signIn(t, base, append(all, "events:data")...).do(http.MethodGet, base+stream, nil)
	assert.Contains(t, text, "Secretfirst")
}

var link = regexp.MustCompile(`(?:href|action|hx-get|sse-connect)="(/console[^"#]*)"`) // read only

// crawl returns every page that links lead to from the roots, by its address.
func crawl(p person, roots []string) map[string]string {
	seen := map[string]string{}
	for next := slices.Clone(roots); len(next) > 0 && len(seen) < 200; next = next[1:] {
		at := next[0]
		if _, known := seen[at]; known || strings.Contains(at, "/assets/") || strings.HasSuffix(at, "/live") || strings.HasSuffix(at, "/logout") {
			continue
		}
		_, seen[at] = p.do(http.MethodGet, p.base+at, nil)
		for _, found := range link.FindAllStringSubmatch(seen[at], -1) {
			next = append(next, html.UnescapeString(found[1]))
		}
	}
	return seen
}
