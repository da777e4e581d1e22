//go:build unix

package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

// TestAnOperatorFreesAParkedAggregateInABrowser: found by the first page alone, redriven, and in the audit trail.
func TestAnOperatorFreesAParkedAggregateInABrowser(t *testing.T) {
	tab, said := newBrowser(t)
	o, stop := operate(t)
	defer stop()
	base := "http://" + o.APIAddr + "/console"
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
		assert.Empty(t, said.take(), what)
	}
	do("nothing to do", chromedp.Navigate(base+"/operate"), awaitText(".parts", "nothing is parked"))

	o.log("1", "registered", `{"email":"dan@example.com"}`)
	o.visible()
	o.log("2", "teleported", `{}`)
	waittest.Until(t, "all have parked it", func() (any, bool) {
		_, out, _ := o.run("parked", "list")
		return out, strings.Count(out, somebody) == 4
	})
	do("what is wrong", chromedp.Navigate(base), awaitText(".attention", "parked since its start"), press(`.attention a`),
		awaitText("table", somebody))
	do("why", press(`a[href$="/parked/users/`+somebody+`"]`), awaitText(".facts", "unknown event: org/iam/user/teleported"))
	do("too early", press("main button"), awaitText("#action", "It is not done. 409 still_parked"))

	o.log("2", "disabled", `{}`) // the cause is gone
	do("free all", chromedp.Navigate(base+"/operate/parked"), press("main button"), awaitText("#action", "It is done. 4 redriven"))
	do("nothing is parked", chromedp.Navigate(base+"/operate/parked"), awaitText("main", "Nothing is parked"))

	waittest.Until(t, "the audit trail has both orders, with how they ended", func() (any, bool) {
		res, err := http.Get("http://" + o.APIAddr + "/events?actor=anonymous&limit=100")
		require.NoError(t, err)
		defer func() { _ = res.Body.Close() }() // of a reader
		var events []struct{ Name, Aggregate string }
		require.NoError(t, json.NewDecoder(res.Body).Decode(&events))
		n := map[string]int{}
		for _, e := range events {
			n[e.Name]++
		}
		return n, n["org/ops/action/requested"] == 2 && n["org/ops/action/failed"] == 1 && n["org/ops/action/completed"] == 1
	})
	for _, page := range []string{"", "/parked", "/processes", "/leases"} {
		do(page, chromedp.EmulateViewport(390, 844), chromedp.Navigate(base+"/operate"+page), chromedp.WaitVisible("h1"))
		wider, err := chromedp.Run(tab, chromedp.Evaluate[bool](`document.documentElement.scrollWidth > innerWidth`))
		require.NoError(t, err)
		assert.False(t, wider, "%s is wider than the window", page)
		found, _ := findings(t, tab)
		assert.Empty(t, found, page)
	}
}
