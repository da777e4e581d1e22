package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// operated is a running system that the environment's variables name.
type operated struct {
	*app.System

	t *testing.T
}

// operate starts one. The test cannot be in parallel to others: it sets the environment.
func operate(t *testing.T) (o operated, stop func()) {
	t.Helper()
	system := start(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- system.Run(ctx) }()
	outside := httptest.NewServer(system.AWS) // it closes connections that were made and not used, unlike the system's own
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": outside.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		"ADMIN_ADDR": system.AdminAddr,
	} {
		t.Setenv(name, value)
	}
	return operated{system, t}, func() {
		outside.Close()
		cancel()
		require.NoError(t, <-ended)
	}
}

// run runs a command to its end.
func (o operated) run(args ...string) (code int, out, failure string) {
	o.t.Helper()
	var results bytes.Buffer
	code, _, failure = o.runTo(o.t.Context(), &results, args...)
	return code, results.String(), failure
}

// runTo runs a command whose results go to out, and returns what else it says.
func (o operated) runTo(ctx context.Context, out io.Writer, args ...string) (code int, said, failure string) {
	o.t.Helper()
	var logs bytes.Buffer
	root := newRoot(out, &logs) //nolint:contextcheck // ExecuteContext passes it
	root.SetArgs(args)
	if err := root.ExecuteContext(ctx); err != nil {
		coded, ok := errors.AsType[outcome](err)
		require.True(o.t, ok, "%v", err)
		code, failure = coded.ExitCode(), err.Error()
	}
	return code, logs.String(), failure
}

// says runs a command that has no results, and returns what it says in their place.
func (o operated) says(want int, args ...string) string {
	o.t.Helper()
	var out bytes.Buffer
	code, said, failure := o.runTo(o.t.Context(), &out, args...)
	assert.Equal(o.t, want, code, "%v: %s", args, failure)
	assert.Empty(o.t, out.String(), args)
	return said + failure
}

// objects runs a command and returns what it prints as JSON.
func (o operated) objects(code int, args ...string) (all []map[string]any) {
	o.t.Helper()
	got, out, failure := o.run(append(args, "--output", "json")...)
	require.Equal(o.t, code, got, "%s %s", out, failure)
	for line := range strings.Lines(out) {
		var object map[string]any
		require.NoError(o.t, json.Unmarshal([]byte(line), &object), line)
		all = append(all, object)
	}
	return all
}

const somebody = "org/iam/user/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"

// log puts an event of somebody into the log; the name's fact is the last part of an event's name.
func (o operated) log(version, fact, data string) {
	o.t.Helper()
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	number := func(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
	_, err := dynamodb.NewFromConfig(o.AWS.Config()).PutItem(o.t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String("EventLog"), Item: map[string]types.AttributeValue{
			"stream": text(somebody), "version": number(version), "id": text("event-" + version), "name": text("org/iam/user/" + fact),
			"schema": number("1"), "data": text(data), "recorded_at": text("2026-01-02T03:04:05.000Z"),
		},
	})
	require.NoError(o.t, err)
}

// visible waits until the API shows somebody.
func (o operated) visible() {
	o.t.Helper()
	at := "http://" + o.APIAddr + "/users/" + strings.TrimPrefix(somebody, "org/iam/user/") + "?min_version=1"
	waittest.Until(o.t, "somebody", func() (any, bool) {
		res, err := http.Get(at)
		return nil, err == nil && res.Body.Close() == nil && res.StatusCode == http.StatusOK
	})
}

func TestParkedAggregatesAreListedShownAndRedriven(t *testing.T) {
	o, stop := operate(t)
	code, out, _ := o.run("parked", "list")
	assert.Zero(t, code)
	assert.Empty(t, out)

	o.log("1", "registered", `{"email":"dan@example.com"}`)
	o.visible()
	o.log("2", "teleported", `{}`)
	waittest.Until(t, "all projections have parked it", func() (any, bool) {
		_, out, _ = o.run("parked", "list")
		return out, strings.Count(out, "\n") == 5
	})
	assert.Regexp(t, `(?m)^PROJECTION +STREAM +VERSION +WAITING +PARKED AT +EVENT$`, out)
	assert.Regexp(t, `(?m)^users +`+somebody+` +2 +1 +\S+ +org/iam/user/teleported$`, out)
	of := o.objects(differs, "parked", "list", "--projection", "roles")
	require.Len(t, of, 1)
	assert.Equal(t, []any{"roles", somebody, 2.0}, []any{of[0]["projection"], of[0]["stream"], of[0]["version"]})

	code, out, _ = o.run("parked", "show", somebody)
	assert.Equal(t, differs, code)
	assert.Contains(t, out, somebody+" in roles is parked since ")
	assert.Contains(t, out, "unknown event: org/iam/user/teleported")
	code, out, _ = o.run("parked", "show", "org/iam/user/another")
	assert.Zero(t, code)
	assert.Empty(t, out)

	code, out, _ = o.run("parked", "redrive", "--all", "--dry-run")
	assert.Zero(t, code)
	assert.Contains(t, out, "would apply 1 event of "+somebody+" in users: POST http://"+o.AdminAddr+"/projections/users/parked/"+somebody+"/redrive\n")
	code, out, _ = o.run("parked", "redrive", "--all")
	assert.Equal(t, differs, code)
	assert.Contains(t, out, somebody+" in users: 409 still_parked: ")
	assert.Len(t, o.objects(differs, "parked", "list"), 4, "neither changed anything")

	o.log("2", "disabled", `{}`)
	code, out, _ = o.run("parked", "redrive", somebody)
	assert.Zero(t, code)
	assert.Equal(t, somebody+" in users: applied up to version 2\n"+somebody+" in roles: applied up to version 2\n"+
		somebody+" in audit-trail: applied up to version 2\n"+somebody+" in processes: applied up to version 2\n", out)
	code, _, _ = o.run("parked", "list")
	assert.Zero(t, code)
	stop()
}

func TestAProjectionCatchesUpAndWritesRowsAnew(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"dan@example.com"}`)
	o.visible()
	code, out, failure := o.run("projections", "catch-up", "users", "--dry-run")
	assert.Zero(t, code, failure)
	assert.Contains(t, out, "POST http://"+o.AdminAddr+"/projections/users/catch-up")
	code, out, failure = o.run("projections", "catch-up", "users")
	assert.Zero(t, code, failure)
	assert.Equal(t, "users: done; 1 event compared, 0 behind, 0 applied, 0 parked, 0 holes\n", out)
	code, out, failure = o.run("processes", "catch-up", "--dry-run")
	assert.Zero(t, code, failure)
	assert.Contains(t, out, "POST http://"+o.AdminAddr+"/projections/processes/catch-up")
	code, out, failure = o.run("processes", "catch-up")
	assert.Zero(t, code, failure)
	assert.Equal(t, "processes: done; 1 event compared, 0 behind, 0 applied, 0 parked, 0 holes\n", out)

	code, out, failure = o.run("projections", "rebuild-stream", "roles", somebody)
	assert.Zero(t, code, failure)
	assert.Equal(t, somebody+" in roles: applied up to version 1\n", out)
	code, out, _ = o.run("projections", "rebuild-stream", "users", "org/iam/user/nobody")
	assert.Equal(t, differs, code)
	assert.Contains(t, out, "404 not_found")
	stop()
}

func TestLeasesSayWhoReadsWhichShard(t *testing.T) {
	o, stop := operate(t)
	var all []map[string]any
	waittest.Until(t, "every open shard has a reader", func() (any, bool) {
		code, out, _ := o.run("leases")
		return out, code == 0 && strings.Contains(out, "broker") && strings.Contains(out, "streamer")
	})
	all = o.objects(0, "leases")
	states := map[any]int{}
	for _, l := range all {
		states[l["state"]]++
		assert.Contains(t, consumers(), l["consumer"])
	}
	assert.GreaterOrEqual(t, states["open"], 2)
	assert.Equal(t, 2, states["reader"])
	stop()
}

// A mistake, or nothing to ask, ends with exit code 2 and says what to do.
func TestWhatAnOperatorCannotGetIsExplained(t *testing.T) {
	for name, value := range map[string]string{
		"ADMIN_ADDR": "127.0.0.1:1", "AWS_REGION": "", "AWS_DEFAULT_REGION": "", "AWS_CONFIG_FILE": "/dev/null",
	} {
		t.Setenv(name, value)
	}
	o := operated{nil, t}
	for line, want := range map[string]string{
		"parked list":                            "no admin address answers (asked http://127.0.0.1:1, http://127.0.0.1:2, ",
		"parked list --admin http://127.0.0.1:1": "name those of your services by --admin or ADMIN_URLS, or start make run",
		"parked list --admin 127.0.0.1":          "want URLs such as http://127.0.0.1:9090",
		"parked list --projection user":          `there is no projection "user"; there are: users roles audit-trail`,
		"parked list --output yaml":              "want table or json",
		"parked redrive":                         "want --all, or streams",
		"parked show":                            "takes a stream, such as",
		"projections catch-up":                   "takes the name of a projection",
		"projections rebuild-stream users x":     "stream is not category/id",
		"leases":                                 "make run prints the variables",
		"leases now":                             `unknown arguments "now"`,
	} {
		code, out, failure := o.run(strings.Fields(line)...)
		assert.Equal(t, trouble, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, failure, want, line)
	}
}

// fullDisk takes nothing.
type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestResultsThatCannotBeWrittenAreTrouble(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"dan@example.com"}`)
	o.visible()
	waittest.Until(t, "a lease", func() (any, bool) {
		_, out, _ := o.run("leases")
		return out, out != ""
	})
	for _, line := range []string{
		"leases", "projections list", "projections list --output json", "capacity", "events show " + somebody, "claims audit",
		"projections catch-up users", "projections rebuild users --dry-run",
	} {
		code, _, failure := o.runTo(t.Context(), fullDisk{}, strings.Fields(line)...)
		assert.Equal(t, trouble, code, line)
		assert.Contains(t, failure, "write the results: no space left on device", line)
	}
	stop()
}

func TestACommandThatASignalEndsSaysWhatBecomesOfItsWork(t *testing.T) {
	o, stop := operate(t)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("ARCHIVE", t.TempDir())
	for line, want := range map[string]string{
		"audit":                      beginsAnew,
		"claims audit":               beginsAnew,
		"projections audit":          beginsAnew,
		"archive verify":             beginsAnew,
		"events journey x --scan":    beginsAnew,
		"leases":                     beginsAnew,
		"parked list":                beginsAnew,
		"restore":                    continues,
		"projections rebuild users":  continues,
		"projections catch-up users": "stopped; the service goes on",
		"processes catch-up":         "stopped; the service goes on",
	} {
		code, _, failure := o.runTo(stopped, io.Discard, strings.Fields(line)...)
		assert.Equal(t, trouble, code, line)
		assert.Contains(t, failure, want, line)
		assert.NotContains(t, failure, "canceled", line)
		assert.Contains(t, failure, ": leftfold "+strings.TrimSuffix(line, " --scan"), line)
	}
	stop()
}

func TestACommandThatFindsNothingSaysSo(t *testing.T) {
	o, stop := operate(t)
	for line, want := range map[string]string{
		"parked list":                  "no aggregate is parked\n",
		"parked redrive --all":         "no aggregate is parked\n",
		"parked show " + somebody:      somebody + " is not parked\n",
		"set-aside list":               "nothing is set aside\n",
		"set-aside list --output json": "nothing is set aside\n",
		"set-aside release --all":      "nothing is set aside\n",
	} {
		assert.Equal(t, want, o.says(0, strings.Fields(line)...), line)
	}

	db := dynamodb.NewFromConfig(o.AWS.Config())
	leases, err := db.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("leases")})
	require.NoError(t, err)
	_, err = db.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("no-leases"), KeySchema: leases.Table.KeySchema, AttributeDefinitions: leases.Table.AttributeDefinitions,
		BillingMode: types.BillingModePayPerRequest,
	})
	require.NoError(t, err)
	t.Setenv("TABLE_LEASES", "no-leases")
	assert.Contains(t, o.says(differs, "leases"), "table no-leases has no leases")

	assert.Contains(t, o.says(trouble, "parked", "show", "nonsense"), "stream is not category/id")
	stop()
}

// TestWhatIsNamedAndDoesNotExistIsNoSuccess: of every command that takes the name of something. To ask whether it is parked is another
// matter: that none has parked it is the answer.
func TestWhatIsNamedAndDoesNotExistIsNoSuccess(t *testing.T) {
	o, stop := operate(t)
	defer stop()
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"set-aside release nope":                       {differs, "nope is not set aside\n"},
		"set-aside release nope --dry-run":             {differs, "nope is not set aside\n"},
		"set-aside release nope nothing":               {differs, "nope is not set aside\nnothing is not set aside\n"},
		"parked redrive " + somebody:                   {differs, somebody + " is not parked\n"},
		"events show " + somebody:                      {differs, "the log has no event of " + somebody + "\n"},
		"events show " + somebody + "#9":               {differs, "the log has no version 9 of " + somebody + "\n"},
		"events journey " + somebody:                   {trouble, "the log has no event of " + somebody},
		"parked list --projection nope":                {trouble, `there is no projection "nope"`},
		"parked show --projection nope " + somebody:    {trouble, `there is no projection "nope"`},
		"parked redrive --projection nope --all":       {trouble, `there is no projection "nope"`},
		"projections audit nope":                       {trouble, `there is no projection "nope"`},
		"projections catch-up nope":                    {trouble, `there is no projection "nope"`},
		"projections rebuild-stream nope " + somebody:  {trouble, `there is no projection "nope"`},
		"projections rebuild nope":                     {trouble, `there is no projection "nope"`},
		"projections switch nope":                      {trouble, `there is no projection "nope"`},
		"projections rollback nope":                    {trouble, `there is no projection "nope"`},
		"projections retire nope":                      {trouble, `there is no projection "nope"`},
		"restore --dry-run --from-table nope":          {trouble, "ResourceNotFoundException"},
		"restore --dry-run --archive /nonexistent/dir": {trouble, "/nonexistent/dir"},
		"archive verify --archive /nonexistent/dir":    {trouble, "/nonexistent/dir"},
	} {
		assert.Contains(t, o.says(want.code, strings.Fields(line)...), want.text, line)
	}
}

func TestAllAuditsRunInTurn(t *testing.T) {
	o, stop := operate(t)
	o.log("1", "registered", `{"email":"dan@example.com"}`)
	o.visible()
	all := o.objects(differs, "audit")
	audits := map[any]bool{}
	for _, object := range all {
		audits[object["audit"]] = true
	}
	assert.Equal(t, map[any]bool{"claims": true, "scopes": true, "projections": true}, audits)
	assert.Equal(t, "missing", all[0]["kind"], "the test put the event into the log alone, without its claim")
	stop()
}
