package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/projectors"
	"github.com/leftfold/leftfold/pkg/service/adminclient"
)

// TestGenerationsAreMovedByCommands rebuilds a projection of a running system; each wait is one for the system's processes.
func TestGenerationsAreMovedByCommands(t *testing.T) {
	o, stop := operate(t)
	defer stop()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+o.APIAddr+"/users", strings.NewReader(`{"email":"a@example.com"}`))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusAccepted, answer.StatusCode)

	code, out, failure := o.run("projections", "list")
	assert.Zero(t, code, failure)
	assert.Regexp(t, `(?m)^users +projection-user +1 +settled`, out)

	code, out, failure = o.run("projections", "rebuild", "users", "--dry-run")
	assert.Zero(t, code, failure)
	assert.Regexp(t, `^about 1 event .* read units, .* write units,\n\$0\.00 at list price`, out)
	assert.Contains(t, out, "would rebuild users: generation 1 (projection-user) is read, settled")
	for _, step := range []string{"switch", "rollback", "retire"} {
		for _, really := range [][]string{{}, {"--dry-run"}} {
			code, out, failure = o.run(append([]string{"projections", step, "users"}, really...)...)
			assert.Equal(t, trouble, code)
			assert.Empty(t, out)
			assert.Equal(t, "projections "+step+": users: not possible in this phase: no "+step+
				" at generation 1, which is settled: there is no other generation; rebuild makes one", failure)
		}
	}

	code, out, failure = o.run("projections", "rebuild", "users", "--output", "json", "--rate", "1000")
	require.Zero(t, code, failure)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3)
	assert.Regexp(t, `^{"projection":"users","events":1,"fillSeconds":[\d.e-]+,"streams":1,"rows":1,"compareSeconds":[\d.e-]+}$`, lines[1])
	var s projectors.Generations
	require.NoError(t, json.Unmarshal([]byte(lines[2]), &s))
	assert.Equal(t, "projection-user-g2", s.OtherTable)
	code, out, failure = o.run("projections", "rebuild", "users")
	require.Zero(t, code, failure)
	assert.Equal(t, "users: generation 1 (projection-user) is read, ready; the other one is 2 (projection-user-g2)\n", out)
	code, out, failure = o.run("projections", "retire", "users")
	require.Zero(t, code, failure)
	assert.Equal(t, "users: generation 1 (projection-user) is read, settled\n", out)

	for _, wrong := range [][]string{{"rebuild"}, {"rebuild", "groups"}, {"rebuild", "users", "--segments", "0"}} {
		code, out, failure = o.run(append([]string{"projections"}, wrong...)...)
		assert.Equal(t, trouble, code, out)
		assert.Regexp(t, "^projections rebuild: ", failure)
	}
}

// TestGenerationsAreShownByServices: one who has no right in AWS sees the same, as the services know it.
func TestGenerationsAreShownByServices(t *testing.T) {
	o, stop := operate(t)
	defer stop()
	code, byAWS, failure := o.run("projections", "list", "--output", "json")
	require.Zero(t, code, failure)
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
	code, byServices, failure := o.run("projections", "list", "--output", "json", "--admin", "http://"+o.AdminAddr)
	require.Zero(t, code, failure)
	assert.Equal(t, byAWS, byServices)
	assert.Equal(t, 3, strings.Count(byServices, `"phase":"settled"`))
	code, _, failure = o.run("projections", "list", "--admin", "http://127.0.0.1:1")
	assert.Equal(t, trouble, code)
	assert.Regexp(t, "^projections list: no admin address answers", failure)
}

// TestAProjectorRebuildsItsReadModel on request, beside what it does, and leaves the other generation again.
func TestAProjectorRebuildsItsReadModel(t *testing.T) {
	o, stop := operate(t)
	defer stop()
	o.log("1", "registered", `{"email":"dan@example.com"}`)
	o.visible()
	client, err := adminclient.New(t.Context(), adminclient.Config{URLs: []string{"http://" + o.AdminAddr}}, nil)
	require.NoError(t, err)
	address, err := client.Projection(t.Context(), "users")
	require.NoError(t, err)
	at := address + projectors.GenerationsPath("users")
	for _, step := range []string{"rebuild", "retire"} {
		run, err := projectors.Follow(t.Context(), client, at+"/"+step, at+"/step", func(projectors.Step) {})
		require.NoError(t, err)
		assert.Equal(t, "done", run.State, run.Problem)
		code, out, failure := o.run("projections", "list")
		assert.Zero(t, code, failure)
		assert.Regexp(t, map[string]string{
			"rebuild": `(?m)^users +projection-user +1 +ready +projection-user-g2`, "retire": `(?m)^users +projection-user +1 +settled`,
		}[step], out)
	}
	audit, err := projectors.Follow(t.Context(), client, address+projectors.AuditPath("users"), address+projectors.AuditPath("users"),
		func(projectors.Audit) {})
	require.NoError(t, err)
	assert.Equal(t, "done", audit.State)
	assert.Equal(t, 1, audit.Streams)
	assert.Zero(t, audit.Differences)
}
