//go:build unix

package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An administrator does in a browser what the API offers for users and roles, from an empty system on, and sees each refusal where it
// belongs and what came of each command.
func TestUsersAndRolesInABrowser(t *testing.T) {
	t.Parallel()
	tab, said := newBrowser(t)
	system, stop := running(t)
	defer stop()
	base := "http://" + system.APIAddr + "/console"
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
		assert.Empty(t, said.take(), what)
	}
	// refused does what is answered by a page with an error's status, of which a browser complains.
	refused := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
		for _, text := range said.take() {
			assert.Contains(t, text, "409", what)
		}
	}
	button := func(form string) string { return fmt.Sprintf(`form[action$=%q] button`, form) }
	address := func() string {
		t.Helper()
		at, err := chromedp.Run(tab, chromedp.Evaluate[string](`location.origin + location.pathname`))
		require.NoError(t, err)
		return at
	}

	do("nothing is there", chromedp.Navigate(base+"/users"), awaitText(".empty", "There are no users yet"))
	do("register", press(".empty a"), awaitText("h1", "New user"),
		chromedp.SendKeys("#new-email", "dan@example.com\r"), awaitText(".done", "The user is registered"))
	dan := address()
	do("a name", chromedp.SendKeys("#names-firstName", "Dan"), chromedp.SendKeys("#names-lastName", "Lee"),
		press(button("/names")), awaitText("h1", "Dan Lee"))
	do("another user", chromedp.Navigate(base+"/users/new"), chromedp.SendKeys("#new-email", "ann@example.com\r"),
		awaitText(".done", "The user is registered"))
	refused("a taken e-mail", chromedp.SetValue("#email-email", "DAN@example.com"), press(button("/email")),
		awaitText("#email-email-refused", "Another one has this email"))
	ann := address()[:len(address())-len("/email")]

	do("no roles", chromedp.Navigate(base+"/roles"), awaitText(".empty", "There are no roles yet"))
	do("create a role", press(".empty a"), awaitText("h1", "New role"), chromedp.SendKeys("#new-name", "auditor"),
		chromedp.SendKeys("#new-maxMembers", "1"), press("#new-essential"), press("form.edit button"),
		awaitText(".done", "The role is created"), awaitText("h1", "auditor"))
	role := address()
	do("grant it by address", chromedp.SendKeys("#grant-email", "dan@example.com"), press(button("/grant")),
		awaitText(".done", "The role is granted"), awaitText(".grants", "without an end"))
	refused("the last holder", press(button("/disable")), awaitText(`form[action$="/disable"] .refused`, "last enabled one"))
	refused("no seat left", chromedp.Navigate(ann), chromedp.SendKeys("#grant-roleId", "auditor"), press(button("/grant")),
		awaitText("#grant-roleId-refused", "As many users hold the role"))
	refused("no such member", chromedp.Navigate(role), chromedp.SendKeys("#grant-email", "nobody@example.com"),
		press(button("/grant")), awaitText("#grant-email-refused", "No user has this e-mail"))
	do("rename the role", chromedp.Navigate(role), chromedp.SetValue("#name-name", "chief"), press(button("/name")),
		awaitText("h1", "chief"))
	do("other rules", chromedp.SetValue("#rules-maxMembers", "2"), press("#rules-essential"), press(button("/rules")),
		awaitText(".done", "The rules are changed"))
	_, err := chromedp.Call(tab, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "America/New_York"})
	require.NoError(t, err)
	do("grant until a time of the reader's zone", chromedp.Navigate(ann), awaitText("form[action$='/grant']", "(America/New_York)"),
		chromedp.SendKeys("#grant-roleId", "chief"), chromedp.SetValue("#grant-until", "2100-01-31T18:00"),
		press(button("/grant")), chromedp.WaitVisible(`.grants time[datetime="2100-01-31T23:00:00.000Z"]`))
	do("it is shown in that zone", awaitText(".grants time", "Jan 31, 2100, 06:00"))
	do("without an end", chromedp.SetValue(`.grants input[type=datetime-local]`, ""), press(".grants form:first-child button"),
		awaitText(".grants", "without an end"))
	do("take it away", press(`form[action*="/remove/"] button`), awaitText(".done", "taken away"))
	do("disable and enable", press(button("/disable")), awaitText(".headline", "disabled"), press(button("/enable")),
		awaitText(".headline", "enabled"))
	do("find", chromedp.Navigate(base+"/users"), chromedp.SendKeys("#q", "ann"), press("form.ask button"),
		awaitText(".rows", "ann@example.com"))
	do("a role off and on", chromedp.Navigate(role), press(button("/disable")), awaitText(".headline", "disabled"),
		press(button("/enable")), awaitText(".headline", "enabled"), awaitText(".rows", "Dan Lee"))
	do("retire", press("#retire-sure"), press(button("/retire")), awaitText(".headline", "retired"),
		awaitText(".retirement", "Members when it was requested: 1"))

	for _, at := range []string{base + "/users", base + "/users/new", dan, base + "/roles", base + "/roles/new", role} {
		lookAt(t, tab, said, at)
	}
}
