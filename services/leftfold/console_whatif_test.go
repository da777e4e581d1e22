//go:build unix

package main

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const tried = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

// registerTried registers a user that has been renamed once.
func registerTried(t *testing.T, api string) {
	t.Helper()
	for _, r := range []httpRequest{
		{method: http.MethodPost, url: api + "/users", body: `{"id":"` + tried + `","email":"dan@example.com"}`},
		{method: http.MethodPut, url: api + "/users/" + tried, body: `{"firstName":"Dan","lastName":"Lee"}`},
	} {
		r.header = http.Header{"Content-Type": {"application/json"}}
		status, answer := r.send(t)
		require.Equal(t, http.StatusAccepted, status, answer)
	}
}

// Each command of the API can be chosen, and is tried with what its document gives as an example: it is accepted or refused, and never
// malformed.
func TestEveryCommandCanBeTriedInTheConsole(t *testing.T) {
	t.Parallel()
	system, stop := running(t)
	defer stop()
	api := "http://" + system.APIAddr
	registerTried(t, api)
	get := func(address string) string {
		t.Helper()
		status, body := httpRequest{method: http.MethodGet, url: api + address, header: http.Header{}}.send(t)
		require.Equal(t, http.StatusOK, status, address)
		return body
	}
	found := regexp.MustCompile(`href="(/console/whatif/\w+)"`).FindAllStringSubmatch(get("/console/whatif"), -1)
	commands := 0
	for _, op := range operationsAt(t, api) {
		if op.method != http.MethodGet {
			commands++
		}
	}
	assert.Len(t, found, commands)
	for _, link := range found {
		form := url.Values{}
		for _, input := range regexp.MustCompile(`(?s)name="(\w+)" value="[^"]*" placeholder="([^"]*)"`).FindAllStringSubmatch(get(link[1]), -1) {
			form.Set(input[1], html.UnescapeString(input[2]))
		}
		res, err := http.PostForm(api+link[1], form)
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Regexp(t, "It would be accepted|It would be refused", string(text), link[1])
		assert.NotContains(t, string(text), "aria-invalid", "%s: its example is well formed", link[1])
	}
}

// A reader asks what a command would do to a user at an earlier version, and sees the refusal where it belongs.
func TestWhatIfInABrowser(t *testing.T) {
	t.Parallel()
	tab, said := newBrowser(t)
	system, stop := running(t)
	defer stop()
	base := "http://" + system.APIAddr
	registerTried(t, base)
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
		assert.Empty(t, said.take(), what)
	}
	do("from its stream", chromedp.Navigate(base+"/console/streams/org/iam/user/"+tried+"?at=1"),
		press(`a[href*="/console/whatif"][href*="at=1"]`), awaitText("main", "at version 1"))
	do("choose", press(`a[href*="/whatif/changeEmail"]`), awaitText("h1", "e-mail"))
	do("accepted", chromedp.SendKeys("#value-email", "lee@example.com\r"), awaitText("#outcome", "It would be accepted"),
		awaitText(".outcome", "takes org/iam/user#email lee@example.com"), awaitText(".outcome ins", "lee@example.com"))
	lookAtNow(t, tab, said, "accepted")
	do("refused", chromedp.SetValue("#value-email", "nobody"), press("form.values button"),
		awaitText("#outcome", "It would be refused"), awaitText("#about-email .refused", "e-mail"))
	lookAtNow(t, tab, said, "refused")
	lookAt(t, tab, said, base+"/console/whatif")

	read := httpRequest{method: http.MethodGet, url: fmt.Sprintf("%s/users/%s/events", base, tried), header: http.Header{}}
	_, events := read.send(t)
	assert.Equal(t, 2, strings.Count(events, `"version"`), "nothing was written: %s", events)
}
