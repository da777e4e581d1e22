//go:build unix

package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/services/leftfold/internal/demo"
)

// In a browser, a service is killed, shards are split and AWS is throttled, and the page shows that each event arrives.
func TestASystemIsBrokenInABrowserAndHeals(t *testing.T) {
	t.Parallel()
	tab, said := newBrowser(t)
	system, stop := running(t, "LEASE_DURATION", "1s")
	defer stop()
	api := "http://" + system.APIAddr
	users := 0
	register := func() {
		t.Helper()
		users++
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api+"/users",
			strings.NewReader(fmt.Sprintf(`{"email":"user%d@example.com"}`, users)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, http.StatusAccepted, res.StatusCode)
	}
	do := func(what string, actions ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(tab, actions...), what)
		assert.Empty(t, said.take(), what)
	}
	press := func(way string) chromedp.Action[chromedp.Void] {
		return press(fmt.Sprintf(`form[action$=%q] button`, "/"+way))
	}

	do("nothing has happened", chromedp.Navigate(api+"/console/faults"), awaitText("#strip", "Nothing is lost"))
	for _, way := range []string{"kill-streamer", "kill-broker", "split"} {
		do(way, press(way), awaitText(".done", "Begun"))
		register()
		do("it heals", awaitText("#strip", fmt.Sprintf("users shows %d of %d events", users, users)), awaitText("#strip", "Nothing is lost"))
	}
	do("throttle", press("throttle"), awaitText("#strip .attention", "Throttle AWS"))
	do("make all well", press("end"), awaitText("#strip h2", "Nothing is lost"))
	register()
	do("all is well", awaitText("#strip", fmt.Sprintf("users shows %d of %d events", users, users)))
	lookAt(t, tab, said, api+"/console/faults")
}

// A story whose answers are lost goes on: each command is sent again under its key, and carried out once.
func TestTheDemoGoesOnWhileAnswersAreLost(t *testing.T) {
	t.Parallel()
	system, stop := running(t)
	require.NoError(t, system.AWS.SetFaults(localaws.Faults{Seed: 1, Faults: []localaws.Fault{
		{Kind: localaws.FaultLoseAnswer, Operation: "DynamoDB.*", AccessKey: "command-api", Probability: .3},
	}}))
	var out strings.Builder
	on, err := stage(t.Context(), "http://"+system.APIAddr, system.Config, system.AWS.Config())
	require.NoError(t, err)
	on.Out = &out
	require.NoError(t, demo.Play(t.Context(), demo.Config{Users: 5}, on), out.String())
	assert.Contains(t, out.String(), "The read models equal the fold of the log")
	lost := int64(0)
	for _, strikes := range system.AWS.FaultReport().Faults[0].Strikes {
		lost += strikes
	}
	assert.Positive(t, lost)
	stop()
}
