package main

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// The processes of the tests. What they wait for is far in the future, or for an operator, so that no processor changes them.
const (
	ofDan  = "11111111-1111-4111-8111-111111111111" // waits for a timer
	ofEve  = "22222222-2222-4222-8222-222222222222" // is parked
	ofRole = "33333333-3333-4333-8333-333333333333" // is parked, with a command that has no answer
)

// processEvents puts events into a process's stream, and its timer into the table.
func (o operated) processEvents(kind, id string, timer timers.Timer, events ...string) {
	o.t.Helper()
	db := dynamodb.NewFromConfig(o.AWS.Config())
	c := eventsourcing.Commit{Stream: eventsourcing.StreamID{Category: "org/iam/process/" + kind, ID: id}}
	for i := 0; i < len(events); i += 2 {
		v := eventsourcing.Version(i/2 + 1)
		c.Records = append(c.Records, eventsourcing.Record{
			ID: fmt.Sprint(kind, id, v), Stream: c.Stream, Version: v, Name: c.Stream.Category + "/" + events[i], Schema: 1,
			Data: json.RawMessage(events[i+1]), RecordedAt: time.UnixMilli(1),
		})
	}
	require.NoError(o.t, dynamostore.NewStore(db, dynamostore.Config{}).Append(o.t.Context(), c))
	timer.Stream, timer.Version = c.Stream, c.Records[len(c.Records)-1].Version
	_, err := db.PutItem(o.t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String("timers"), Item: (timers.Table{}).Set(timer).Put.Item,
	})
	require.NoError(o.t, err)
}

func TestProcessesAreListedShownRetriedAndCancelled(t *testing.T) { // not in parallel: it sets the environment
	o, stop := operate(t)
	defer stop()
	assert.Equal(t, "no process waits for anything but events\n", o.says(0, "processes", "list"))

	const role, end = `"roleId":"44444444-4444-4444-8444-444444444444"`, "2199-11-27T17:00:00Z"
	due, err := time.Parse(time.RFC3339, end)
	require.NoError(t, err)
	parked := timers.Timer{Name: "parked", Due: timers.Never()}
	awaited := []string{
		"awaited", `{` + role + `,"until":"` + end + `"}`, "timerSet", `{"name":"44444444-4444-4444-8444-444444444444","due":"` + end + `"}`,
	}
	o.processEvents("grants", ofDan, timers.Timer{Name: "timer 44444444-4444-4444-8444-444444444444", Due: due}, awaited...)
	o.processEvents("grants", ofEve, parked, append(awaited, "parked", `{"reason":"a fault","at":"2026-11-27T17:00:00Z"}`)...)
	o.processEvents("retirement", ofRole, parked, "begun", `{"total":2}`,
		"commandsAsked", `{"commands":[{"name":"list","data":{"run":1}}],"at":"2026-11-27T17:00:00Z"}`,
		"parked", `{"reason":"another fault","at":"2026-11-27T17:00:00Z"}`)

	code, out, _ := o.run("processes", "list")
	assert.Equal(t, differs, code)
	assert.Regexp(t, `(?m)^KIND +ID +SINCE +STUCK +WAITS FOR$`, out)
	assert.Regexp(t, `(?m)^grants +`+ofDan+` +`+end+` +no +timer 44444444-4444-4444-8444-444444444444$`, out)
	assert.Regexp(t, `(?m)^grants +`+ofEve+` +2026-11-27T17:00:00Z +yes +a retry: a fault$`, out)
	assert.Len(t, o.objects(differs, "processes", "list", "--only-stuck"), 2)
	only := o.objects(differs, "processes", "list", "--kind", "retirement")
	require.Len(t, only, 1)
	assert.Equal(t, map[string]any{
		"kind": "retirement", "id": ofRole, "parked": "another fault", "since": "2026-11-27T17:00:00Z", "stuck": true,
	}, only[0])

	shown := o.objects(0, "processes", "show", "retirement", ofRole)[0]
	assert.Equal(t, map[string]any{"reason": "another fault", "at": "2026-11-27T17:00:00Z"}, shown["parked"])
	_, out, _ = o.run("processes", "show", "retirement", ofRole, "--output", "json")
	assert.Contains(t, out, `"key":"org/iam/process/retirement/`+ofRole+`/2#1"`)
	assert.Contains(t, out, `"state":{"phase":"running"`)
	_, out, _ = o.run("processes", "show", "grants", ofEve, "--events", "1")
	assert.Regexp(t, `^grants `+ofEve+` at version 3
  parked   2026-11-27T17:00:00Z: a fault
  state    {"ends":{"44444444-4444-4444-8444-444444444444":"`+end+`"}}
  timer    `+end+` 44444444-4444-4444-8444-444444444444
  event  3 \S+ parked by : {"reason":.*}
$`, out)

	assert.Empty(t, o.objects(0, "processes", "retry", "grants", ofEve, "--dry-run")[0]["url"])
	code, out, _ = o.run("processes", "retry", "grants", ofEve, "--actor", "ada")
	assert.Zero(t, code)
	assert.Equal(t, "grants "+ofEve+": retried\n", out)
	assert.Len(t, o.objects(0, "processes", "list", "--kind", "grants"), 2, "none is stuck")
	_, out, _ = o.run("processes", "show", "grants", ofEve)
	assert.Regexp(t, `(?m)^  event  4 \S+ retried by ada: {}$`, out)

	o.processesAfterALoss()

	code, out, _ = o.run("processes", "cancel", "grants", ofDan, "--reason", "a test", "--dry-run")
	assert.Zero(t, code)
	assert.Equal(t, "would cancel grants "+ofDan+"\n", out)
	code, out, _ = o.run("processes", "cancel", "grants", ofDan, "--reason", "a test")
	assert.Zero(t, code)
	assert.Equal(t, "grants "+ofDan+": cancelled\n", out)
	for _, again := range [][]string{{"cancel", "grants", ofDan, "--reason", "a test"}, {"retry", "grants", ofDan}} {
		assert.Equal(t, "process grants "+ofDan+" is cancelled\n", o.says(differs, append([]string{"processes"}, again...)...))
	}
	for _, args := range [][]string{{"show", "grants", "x"}, {"retry", "grants", "x"}, {"cancel", "grants", "x", "--reason", "a test"}} {
		assert.Equal(t, "there is no process grants x\n", o.says(differs, append([]string{"processes"}, args...)...))
	}
	for _, args := range [][]string{
		{},
		{"list", "x"},
		{"list", "--kind", "x"},
		{"show", "grants"},
		{"show", "x", ofDan},
		{"retry", "grants"},
		{"retry", "grants", ofDan, "--all"},
		{"retry", "grants", "--all", "--parallel", "0"},
		{"cancel", "grants", ofDan},
	} {
		assert.Contains(t, o.says(trouble, append([]string{"processes"}, args...)...), "processes")
	}
}

// processesAfterALoss loses the table of timers, and has it filled from the log.
func (o operated) processesAfterALoss() {
	o.t.Helper()
	before := o.objects(0, "processes", "list", "--kind", "grants")
	db := dynamodb.NewFromConfig(o.AWS.Config())
	_, err := db.DeleteTable(o.t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("timers")})
	require.NoError(o.t, err)
	_, err = db.CreateTable(o.t.Context(), timers.Table{}.CreateTableInput())
	require.NoError(o.t, err)
	_, out, _ := o.run("processes", "list")
	require.Empty(o.t, out)

	code, out, _ := o.run("processes", "retry", "grants", "--all", "--dry-run")
	assert.Zero(o.t, code)
	assert.Contains(o.t, out, "would retry grants "+ofDan+"\n")
	code, out, _ = o.run("processes", "retry", "grants", "--all")
	assert.Zero(o.t, code)
	assert.Contains(o.t, out, "grants "+ofDan+": retried\n")
	assert.Contains(o.t, out, "grants "+ofEve+": retried\n")
	assert.ElementsMatch(o.t, before, o.objects(0, "processes", "list", "--kind", "grants"))

	o.processEvents("grants", "of-a-later-build", timers.Timer{Name: "commands", Due: timers.Never()}, "postponed", `{}`)
	code, out, _ = o.run("processes", "retry", "grants", "--all")
	assert.Equal(o.t, differs, code)
	assert.Contains(o.t, out, "grants of-a-later-build: it cannot be read: ")
}
