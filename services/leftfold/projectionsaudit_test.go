package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// The audit runs beside the live system, through the AWS that the environment names.
func TestProjectionsAudit(t *testing.T) { // not in parallel: it sets the environment
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"secret@example.com"}`)
	o.visible()
	run := func(args ...string) (code int, out, failure string) {
		code, out, failure = o.run(append([]string{"projections", "audit"}, args...)...)
		assert.NotContains(t, out+failure, "secret", "no data is shown")
		return code, out, failure
	}
	waittest.Until(t, "all projections have the event", func() (any, bool) {
		code, out, _ := run("--settle", "1ms")
		return out, code == 0
	})
	code, out, failure := run()
	assert.Zero(t, code, failure)
	assert.Equal(t, "users: 1 stream and 1 row compared: 0 differences, 0 repaired, 0 parked\n"+
		"roles: 1 stream and 1 row compared: 0 differences, 0 repaired, 0 parked\n"+
		"audit-trail: 1 stream and 2 rows compared: 0 differences, 0 repaired, 0 parked\n", out)

	text := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	db, id := dynamodb.NewFromConfig(o.AWS.Config()), strings.TrimPrefix(somebody, "org/iam/user/")
	_, err := db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String("projection-user"), Key: map[string]types.AttributeValue{"id": text(id), "row": text("user")},
	})
	require.NoError(t, err)
	_, err = db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("projection-roles"), Item: map[string]types.AttributeValue{
		"id": text("r"), "row": text("member#" + id), "stream": text(somebody),
	}})
	require.NoError(t, err)
	code, out, failure = run("--settle", "1ms", "--repair", "--dry-run")
	assert.Equal(t, differs, code, failure)
	assert.Equal(t, "users: missing: "+somebody+" has no row; the log is at version 1\n"+
		"users: 1 stream and 0 rows compared: 1 difference, 0 repaired, 0 parked\n"+
		"roles: foreign: row member#"+id+" of r: "+somebody+" does not derive it at version 1\n"+
		"roles: 1 stream and 2 rows compared: 1 difference, 0 repaired, 0 parked\n"+
		"audit-trail: 1 stream and 2 rows compared: 0 differences, 0 repaired, 0 parked\n", out)

	all := o.objects(differs, "projections", "audit", "users", "--settle", "1ms", "--sample", "0.5")
	require.Len(t, all, 2)
	assert.Equal(t, map[string]any{
		"audit": "projections", "projection": "users", "kind": "missing", "stream": somebody, "head": 1.0, "repaired": false,
		"text": "missing: " + somebody + " has no row; the log is at version 1",
	}, all[0])
	assert.Equal(t, 1.0, all[1]["differences"]) //nolint:testifylint // it is a count

	_, said, _ := o.runTo(t.Context(), io.Discard, "projections", "audit", "users", "--settle", "1ms")
	assert.Contains(t, said, "leftfold projections audit --repair repairs what can be\n")
	code, out, failure = run("--settle", "1ms", "--repair", "--parallel", "2")
	assert.Zero(t, code, failure)
	assert.Equal(t, 2, strings.Count(out, ": repaired\n"))
	code, out, _ = run()
	assert.Zero(t, code)
	assert.NotContains(t, out, "missing")

	for line, want := range map[string]string{
		"--parallel 0": "at least 1", "--sample 0": "more than 0", "--sample 2": "at most 1", "--settle 0s": "more than 0",
		"--repair-emptied": "want --repair", "user": "there are: users roles audit-trail", "--repiar": "--help",
	} {
		code, out, failure = run(strings.Fields(line)...)
		assert.Equal(t, trouble, code, "%s: what did not run proves nothing", line)
		assert.Empty(t, out)
		assert.Regexp(t, "^projections", failure)
		assert.Contains(t, failure, want)
	}
	t.Setenv("TABLE_EVENT_LOG", "elsewhere")
	code, _, failure = run()
	assert.Equal(t, trouble, code)
	assert.Contains(t, failure, "elsewhere")
	stop()
}

func TestAnAuditSaysWhyItWaitsAndWhatToDo(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	con := newConsole(io.Discard, &said)
	con.sayWait("users", 2, 110*time.Second)
	con.sayWait("users", 2, time.Second-1)
	con.advise("claims audit", whatToDo{})
	assert.Equal(t, "users: 2 suspected, looked at again in 1m50s\n", said.String())
	con.advise("projections audit", whatToDo{emptied: true, parked: true, unreadable: true})
	for _, todo := range []string{"--repair-emptied", "leftfold parked list", "docs/operations.md#log-hole"} {
		assert.Contains(t, said.String(), todo)
	}
}

// A projection without its folds here could not be audited.
func TestEveryProjectionHasItsFolds(t *testing.T) {
	t.Parallel()
	shapes := app.Shapes()
	for _, p := range (topology.Names{}).Projections() {
		assert.NotEmpty(t, shapes[p.Name], p.Name)
		delete(shapes, p.Name)
	}
	assert.Empty(t, shapes)
}
