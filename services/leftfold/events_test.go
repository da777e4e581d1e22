package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

const secret = "dan@example.com"

func TestEventsAreShownWithoutWhatIsPersonal(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"`+secret+`"}`)
	o.log("2", "disabled", `{}`)
	code, out, failure := o.run("events", "show", somebody)
	assert.Zero(t, code, failure)
	assert.Regexp(t, `(?m)^RECORDED AT +STREAM +VERSION +ID +EVENT$`, out)
	assert.Regexp(t, `(?m)^2026-01-02T03:04:05.000Z +`+somebody+` +1 +event-1 +org/iam/user/registered$`, out)
	assert.Equal(t, 3, strings.Count(out, "\n"))
	assert.NotContains(t, out, secret)
	one := o.objects(0, "events", "show", somebody+"#1", "--data")
	require.Len(t, one, 1)
	assert.Equal(t, map[string]any{"email": secret}, one[0]["data"])
	assert.NotContains(t, o.objects(0, "events", "show", somebody+"#2")[0], "data")
	for _, none := range []string{somebody + "#3", "org/iam/user/nobody"} {
		code, out, _ = o.run("events", "show", none)
		assert.Equal(t, differs, code)
		assert.Empty(t, out)
	}
	for _, wrong := range []string{somebody + "#0", somebody + "#x", "nobody"} {
		code, _, _ = o.run("events", "show", wrong)
		assert.Equal(t, trouble, code)
	}
	stop()
}

func TestTheJourneyOfAnEventLeadsFromTheLogToTheRows(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"`+secret+`"}`)
	o.visible()
	var all []map[string]any
	waittest.Until(t, "all rows", func() (any, bool) {
		code, out, _ := o.run("events", "journey", somebody)
		return out, code == 0 && strings.Count(out, " applied ") == 4
	})
	all = o.objects(0, "events", "journey", somebody+"#1")
	var places []string
	for _, s := range all {
		places = append(places, fmt.Sprint(s["place"], " ", s["name"], " ", s["state"]))
	}
	assert.Equal(t, []string{
		"log EventLog stored", "claim set-validations taken", "stream EventLog read", "kinesis event-source sent", "kinesis event-source read",
		"queue IamUserQueue.fifo sent", "queue IamUserQueue.fifo received", "row projection-user applied", "row projection-user shows it",
		"queue IamRoleQueue.fifo sent", "queue IamRoleQueue.fifo received", "row projection-roles applied", "row projection-roles shows it",
		"queue IamAuditQueue.fifo sent", "queue IamAuditQueue.fifo received", "row projection-audit applied", "row projection-audit shows it",
		"queue IamProcessQueue.fifo sent", "queue IamProcessQueue.fifo received", "row process-fences applied", "row process-fences shows it",
	}, places)
	for i, s := range all {
		assert.NotContains(t, fmt.Sprint(s), secret)
		switch {
		case s["state"] == "read":
			assert.NotEmpty(t, s["shard"], i)
			assert.NotEmpty(t, s["sequence"], i)
			assert.NotEmpty(t, s["by"], i)
		case s["state"] == "received":
			assert.InEpsilon(t, 1, s["receives"], 0)
			assert.Equal(t, somebody, s["group"])
		case s["state"] == "applied":
			assert.InEpsilon(t, 1, s["after"], 0)
		case s["place"] == "claim":
			assert.Equal(t, "org/iam/user#email, no one has it now", s["detail"], "the test put the event into the log alone")
		}
	}

	code, byID, failure := o.run("events", "journey", "event-1")
	assert.Zero(t, code, failure)
	assert.Equal(t, len(all)+1, strings.Count(byID, "\n"))
	code, _, failure = o.run("events", "journey", "event-2")
	assert.Equal(t, trouble, code)
	assert.Contains(t, failure, "no service remembers it; name it as STREAM#VERSION, or --scan")
	code, _, failure = o.run("events", "journey", "event-2", "--scan")
	assert.Equal(t, trouble, code)
	assert.Contains(t, failure, "the log has no event event-2")
	code, _, failure = o.run("events", "journey", somebody+"#2")
	assert.Equal(t, trouble, code)
	assert.Contains(t, failure, "the log has no version 2")

	// What no service that is asked remembers was not seen; what is stored is known all the same.
	code, out, _ := o.run("events", "journey", "event-1", "--scan", "--admin", "http://127.0.0.1:1")
	assert.Zero(t, code)
	assert.Equal(t, 6, strings.Count(out, "not seen"), out)
	assert.Equal(t, 4, strings.Count(out, "shows it"), out)
	assert.NotContains(t, out, "applied")
	stop()
}

func TestTheJourneyEndsWhereAnAggregateIsParked(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "teleported", `{}`)
	waittest.Until(t, "all have parked it", func() (any, bool) {
		code, out, _ := o.run("events", "journey", somebody)
		return out, code == differs && strings.Count(out, "parked since") == 4
	})
	code, out, _ := o.run("events", "journey", somebody)
	assert.Equal(t, differs, code)
	assert.Regexp(t, `(?m)^row +projection-user +parked +\S+ +fence 0 → 0; by `, out)
	assert.Regexp(t, `(?m)^row +projection-user +does not show it +there is no row yet; parked since .* at version 1: leftfold parked`, out)
	assert.Regexp(t, `(?m)^claim +set-validations +unknown +this build cannot fold the stream$`, out)
	assert.Equal(t, 4, strings.Count(out, "it cannot be applied, so the aggregate is parked"), out)
	o.log("2", "disabled", `{}`)
	_, out, _ = o.run("events", "journey", somebody+"#2")
	assert.Equal(t, 4, strings.Count(out, "version 1 before it cannot be applied, so the aggregate is parked"), out)
	stop()
}

func TestTheJourneyOfAGrantShowsTheSeatThatItTook(t *testing.T) {
	o, stop := operate(t)
	const role = "0192c3a1-7b10-7e55-9d01-5f3b8a6c2e11"
	for at, body := range map[string]string{
		"/users": `{"id":"` + path.Base(somebody) + `","email":"` + secret + `"}`, "/roles": `{"id":"` + role + `","name":"auditor"}`,
	} {
		res, err := http.Post("http://"+o.APIAddr+at, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	res, err := http.Post("http://"+o.APIAddr+"/users/"+path.Base(somebody)+"/roles", "application/json", strings.NewReader(`{"roleId":"`+role+`"}`))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	_, out, _ := o.run("events", "journey", somebody)
	assert.Regexp(t, `(?m)^scope +scopes +moved +org/iam/role/`+role+`#members: holders \+1, seats \+1$`, out)
	assert.Contains(t, out, "with what was known of org/iam/role/"+role)
	stop()
}

func TestTheTailHasWhatArrivesAndIsAskedFor(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"`+secret+`"}`)
	o.visible()
	var out bytes.Buffer
	begun, logs := make(chan struct{}), &lineWriter{}
	logs.on = func(line string) {
		if strings.Contains(line, "following event-source from now on") {
			close(begun)
		}
	}
	root := newRoot(&out, logs)
	root.SetArgs([]string{"events", "tail", "--count", "1", "--stream", somebody, "--category", "org/iam/user"})
	ended := make(chan error, 1)
	go func() { ended <- root.ExecuteContext(t.Context()) }()
	<-begun
	res, err := http.Post("http://"+o.APIAddr+"/roles", "application/json", strings.NewReader(`{"name":"auditor"}`))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	o.log("2", "emailChanged", `{"email":"`+secret+`"}`)
	require.NoError(t, <-ended)
	assert.Regexp(t, `^RECORDED AT.*\n2026-01-02T03:04:05.000Z +`+somebody+` +2 +event-2 +org/iam/user/emailChanged\n$`, out.String())

	ctx, cancel := context.WithCancel(t.Context())
	logs.on = func(string) { cancel() }
	root = newRoot(&out, logs)
	root.SetArgs([]string{"events", "tail"})
	require.NoError(t, root.ExecuteContext(ctx), "Ctrl-C ends it well")
	stop()
}

// lineWriter calls on with what is written.
type lineWriter struct{ on func(string) }

func (w *lineWriter) Write(text []byte) (int, error) {
	w.on(string(text))
	return len(text), nil
}
