//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// chromium returns the path of a browser, or skips the test.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed")
	return ""
}

// complaints are what a browser says of the pages that it shows: exceptions of scripts, and what the policy of a page forbids.
type complaints struct {
	mu  sync.Mutex
	all []string
}

func (c *complaints) add(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, text)
}

func (c *complaints) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.all
	c.all = nil
	return all
}

// newBrowser returns the context of a tab.
func newBrowser(t *testing.T) (tab context.Context, said *complaints) {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(chromium(t)), chromedp.NoSandbox,
		chromedp.Flag("disable-dev-shm-usage", true))
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	tab, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(func() {
		closeTab()
		stop()
	})
	said = &complaints{}
	require.NoError(t, chromedp.Listen(tab, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			said.add(fmt.Sprint(e.ExceptionDetails.Text, e.ExceptionDetails.URL, e.ExceptionDetails.Exception))
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				said.add(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	}))
	_, err := chromedp.Call(tab, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	return tab, said
}

// axe is the accessibility engine, as make axe installs it.
const axe = "../../bin/axe/node_modules/axe-core/axe.min.js"

// findings returns what the engine finds serious in the page; ok is false if it is not installed.
func findings(t *testing.T, tab context.Context) (found []string, ok bool) { //nolint:revive // the test comes first
	t.Helper()
	engine, err := os.ReadFile(axe)
	if err != nil {
		return nil, false
	}
	const run = `axe.run().then(r => r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical')
		.flatMap(v => v.nodes.map(n => v.id + ': ' + n.html.slice(0, 120) + ' ' + n.failureSummary)))`
	require.NoError(t, chromedp.Do(tab, chromedp.Evaluate[chromedp.Void](string(engine))))
	found, err = chromedp.Run(tab, chromedp.Evaluate[[]string](run, chromedp.EvalAwaitPromise))
	require.NoError(t, err)
	return found, true
}

// awaitText waits until an element has the text. A page that comes in between ends one look, and not the wait.
func awaitText(selector, text string) chromedp.Action[chromedp.Void] {
	return awaitTrue(fmt.Sprintf(`!!document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
}

// awaitTrue waits until an expression of the page's is true, as awaitText does.
func awaitTrue(expression string) chromedp.Action[chromedp.Void] {
	look := `new Promise(r => setTimeout(() => r(` + expression + `), 20))`
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		for {
			if is, err := chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise)(ctx, tab); ctx.Err() != nil || err == nil && is {
				return chromedp.Void{}, ctx.Err()
			}
		}
	}
}

// lookAt looks at a page on a phone and on a desktop, light and dark: it fits, runs without a complaint, and an accessibility engine finds
// nothing serious.
func lookAt(t *testing.T, tab context.Context, said *complaints, address string) { //nolint:revive // the test comes first
	t.Helper()
	look(t, tab, said, address, chromedp.Navigate(address))
}

// lookAtNow is lookAt for the page that is open, which no address has.
func lookAtNow(t *testing.T, tab context.Context, said *complaints, what string) { //nolint:revive // as above
	t.Helper()
	look(t, tab, said, what, chromedp.WaitVisible("h1"))
}

func look(
	t *testing.T, tab context.Context, //nolint:revive // as above
	said *complaints, page string, open chromedp.Action[chromedp.Void],
) {
	t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{390, 1280} {
			what := fmt.Sprintf("%s %s %d", page, scheme, width)
			_, err := chromedp.Call(tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
			})
			require.NoError(t, err)
			require.NoError(t, chromedp.Do(tab, chromedp.EmulateViewport(width, 900), open, chromedp.WaitVisible("h1")), what)
			assert.Empty(t, said.take(), what)
			wider, err := chromedp.Run(tab, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
			require.NoError(t, err)
			assert.False(t, wider, "%s is wider than the window", what)
			found, ok := findings(t, tab)
			assert.Empty(t, found, what)
			if !ok {
				t.Log("no accessibility engine is installed: make axe")
			}
		}
	}
}

// press clicks an element once it is there. A page that is alive may exchange it at any time, so it is looked up and clicked in one step.
func press(selector string) chromedp.Action[chromedp.Void] {
	click := fmt.Sprintf(`new Promise(r => setTimeout(() => { const e = document.querySelector(%q); e?.click(); r(!!e) }, 20))`, selector)
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		for {
			if is, err := chromedp.Evaluate[bool](click, chromedp.EvalAwaitPromise)(ctx, tab); ctx.Err() != nil || err != nil || is {
				return chromedp.Void{}, errors.Join(ctx.Err(), ignoreLeft(err))
			}
		}
	}
}

// ignoreLeft takes a page that was left by the click for its success.
func ignoreLeft(err error) error {
	if err != nil && (strings.Contains(err.Error(), "context was destroyed") || strings.Contains(err.Error(), "navigated or closed")) {
		return nil
	}
	return err
}

func TestTheConsoleInABrowser(t *testing.T) {
	t.Parallel()
	tab, said := newBrowser(t)
	system, stop := running(t)
	defer stop()
	base := "http://" + system.APIAddr
	send := func(method, path, body string) (status int) {
		req, err := http.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Correlation-Id", "told-in-the-console")
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	require.Equal(t, http.StatusAccepted, send(http.MethodPost, "/users", `{"id":"`+id+`","email":"dan@example.com"}`))
	for _, name := range []string{"Lee", "O'Neill"} {
		require.Equal(t, http.StatusAccepted, send(http.MethodPut, "/users/"+id, `{"firstName":"Dan","lastName":"`+name+`"}`))
	}
	for send(http.MethodGet, "/users/"+id+"?min_version=3&wait=5s", "") != http.StatusOK {
		require.NoError(t, t.Context().Err())
	}
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
		assert.Empty(t, said.take(), what)
	}

	do("open", chromedp.Navigate(base+"/console"), awaitText("#pipeline + ol", "projector-user"))
	do("it is live", awaitText(".pipeline + .note", "Rates are of the last"))
	do("find a user", chromedp.SendKeys("#find", id+"\r"), awaitText("#answer", "Every read model shows it"),
		awaitText("#answer", "Version 3 of"))
	do("the event before", press(`a[rel=prev]`), awaitText("#answer", "Version 2 of"))
	do("find what is not there", chromedp.SetValue("#of", "nobody"), press("form.ask button"),
		awaitText("#answer", "Nothing is known"))
	do("find by a correlation ID", chromedp.SetValue("#of", "told-in-the-console"), press("form.ask button"),
		awaitText("#answer", "registered"))
	do("its stream", press("#answer tbody a[href*='/streams/']"), awaitText("#travel", "State for decisions"))
	do("travel in time", chromedp.Navigate(base+"/console/streams/org/iam/user/"+id), awaitText("#travel", "O'Neill"),
		chromedp.SendKeys("#at", kb.ArrowLeft),
		awaitText("#travel", "Version 2 of 3"), awaitText("#travel ins", "Dan"))
	do("as it was before it was", chromedp.SetValue("#when", "2020-01-01T12:00:30"), press("form.ask button"),
		awaitText("#travel", "At that time it did not exist"))
	do("as it is", chromedp.SetValue("#when", "2040-01-01T12:00:30"), press("form.ask button"), awaitText("#travel", "Version 3 of 3"))
	do("what happened today", chromedp.Navigate(base+"/console/streams"), awaitText("#answer", "updated"))

	on := func(f ...localaws.Fault) {
		require.NoError(t, system.AWS.SetFaults(localaws.Faults{Seed: 1, Faults: f}))
	}
	on(localaws.Fault{Kind: localaws.FaultFail, Operation: "DynamoDB.PutItem", AccessKey: "projector-user", Probability: 1},
		localaws.Fault{Kind: localaws.FaultFail, Operation: "DynamoDB.TransactWriteItems", AccessKey: "projector-user", Probability: 1})
	require.Equal(t, http.StatusAccepted, send(http.MethodPut, "/users/"+id, `{"firstName":"Dan","lastName":"Low"}`))
	do("a user's page says so", chromedp.Navigate(base+"/console/users/"+id), awaitText("main", "the read model shows version 3"))
	do("an event that waits", chromedp.Navigate(base+"/console/journey?of="+id), awaitText("#answer", "Not every read model shows it"))
	on()
	do("it arrives while one looks", awaitText("#answer", "Every read model shows it"))

	for _, page := range []string{"", "/journey?of=" + id, "/streams", "/streams/org/iam/user/" + id + "?at=2"} {
		lookAt(t, tab, said, base+"/console"+page)
	}
	require.NoError(t, chromedp.Do(tab, chromedp.Navigate(base+"/console/nothing"), awaitText("h1", "There is no such page")))
}
