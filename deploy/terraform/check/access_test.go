package check_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// seldom is, by service that is no projector, the rights that the scenario does not use, and when they are needed.
var seldom = map[string]map[string]string{ //nolint:gochecknoglobals // read only
	"command-api": {"dynamodb:DeleteItem table/snapshots": "a snapshot proves wrong: dynamostore.Snapshots.Delete"},
	"streamer": {
		"dynamodb:Scan table/EventLog":                 "the table's stream has trimmed unread records: hop.Hop.Republish",
		"dynamodb:DeleteItem table/leases of streamer": "a shard is gone: shards.DynamoDBLeases",
	},
	topology.Processor: {
		"dynamodb:GetItem table/snapshots":                       "the stream of a process is long: process.Manager",
		"dynamodb:PutItem table/snapshots":                       "the stream of a process is long: process.Manager",
		"dynamodb:DeleteItem table/snapshots":                    "a snapshot proves wrong: dynamostore.Snapshots.Delete",
		"sqs:ChangeMessageVisibility queue/IamProcessQueue.fifo": "handling takes long, fails or is released: fifoqueue.Consumer",
	},
	"broker": {
		"dynamodb:Scan table/EventLog":               "the stream has trimmed unread records: hop.Hop.Republish",
		"dynamodb:DeleteItem table/leases of broker": "a shard is gone: shards.DynamoDBLeases",
	},
}

const rebuilt = "the projection has been rebuilt: generation.Model"

// seldomBy is seldom for any service.
func seldomBy(names topology.Names, service string) map[string]string {
	for _, p := range names.Projections() {
		if p.Service == service {
			rights := map[string]string{
				"sqs:ChangeMessageVisibility queue/" + p.Queue: "handling takes long, fails or is released: fifoqueue.Consumer",
			}
			for _, action := range []string{"DescribeTable", "GetItem", "BatchGetItem", "Scan", "PutItem", "DeleteItem", "ConditionCheckItem"} {
				rights["dynamodb:"+action+" table/"+p.Table+"-g*"] = rebuilt
			}
			rights["dynamodb:Scan table/"+p.Table+"-g*/index/*"] = rebuilt
			if service == "projector-role" || service == "projector-audit" {
				rights["dynamodb:Query table/"+p.Table+"-g*"] = rebuilt
			}
			return rights
		}
	}
	return seldom[service]
}

// services is the task role of each service.
type services map[string]*role

func taskRoles(t *testing.T, mode string) services {
	t.Helper()
	roles := services{}
	m := data(t, map[string]cty.Value{"stream_mode": cty.StringVal(mode)})
	for service, statements := range m.Outputs["access"].AsValueMap() {
		roles[service] = newRole(statements)
	}
	require.ElementsMatch(t, append(processes.ServiceNames(), topology.Console), slices.Collect(maps.Keys(roles)))
	delete(roles, topology.Console) // TestTheConsoleNeedsTheseRightsAndNoOthers
	return roles
}

// guard puts a service under its role from its start.
func (s services) guard(p *service.Platform) {
	name := p.Instance[:strings.LastIndex(p.Instance, "-")]
	if client, ok := p.AWS.HTTPClient.(*http.Client); ok { // systemtest's
		p.AWS.HTTPClient = &http.Client{Transport: guarded{s[name], client.Transport}}
	}
}

// TestServicesNeedTheseRightsAndNoOthers runs every service under the role that Terraform gives it, which refuses what IAM would
// refuse, through a scenario that uses every operation of every address.
func TestServicesNeedTheseRightsAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"polling", "fanout"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				roles := taskRoles(t, mode)
				s := systemtest.New(t, map[string]string{
					"SNAPSHOT_EVERY": "2", "STREAM_MODE": mode, "COMMAND_CACHE": "0", "AUDIT_INTERVAL": "1m", "AUDIT_SAMPLE": "1",
				}, roles.guard)
				defer func() { // also when a refused call has failed a step of the scenario
					for name, r := range roles {
						r.assertEnough(t, name)
					}
				}()
				play := &scenario{t: t, s: s}
				play.run()
				play.operate()
				play.verify()
				for name, r := range roles {
					r.assertNoMore(t, name, seldomBy(s.Names, name))
				}
			})
		})
	}
}

// commandsOnAWS lists the commands of the program leftfold, and for which of them Terraform knows rights.
var commandsOnAWS = map[string]string{ //nolint:gochecknoglobals // read only
	"claims audit": "operators", "scopes audit": "operators", "projections audit": "operators", "leases": "operators",
	"set-aside list": "operators", "set-aside release": "operators",
	"archive verify": "operators", "restore": "operators", "archive write": "none: Firehose does its work",
	"events journey": "operators", "events show": "operators", "events tail": "operators",
	"processes list": "operators", "processes show": "operators", "processes retry": "operators", "processes cancel": "operators",
	"processes catch-up": "none: it asks the services",
	"parked list":        "none: it asks the services", "parked show": "none: it asks the services",
	"parked redrive": "none: it asks the services", "projections catch-up": "none: it asks the services",
	"projections rebuild-stream": "none: it asks the services",
	"projections list":           "operators", "projections rebuild": "operators", "projections switch": "operators",
	"projections rollback": "operators", "projections retire": "operators",
	"provision": "none: Terraform makes what it would make",
	"config":    "none: it makes no call", "version": "none: it makes no call",
	"audit": "none of its own: those of claims audit, scopes audit and projections audit", "capacity": "none: it makes no call",
	"completion": "none: it makes no call", "help": "none: it makes no call",
	"run": "none: its own AWS, and with --from what restore reads", "demo": "none: its own AWS", "services": "none: their own AWS",
	"issuer": "none: it makes no call", "aws snapshot save": "none: its own AWS", "aws snapshot load": "none: it makes no call",
	"new aggregate": "none: it makes no call",
}

// TestCommandsNeedTheseRightsAndNoOthers runs the commands for operators under the rights that Terraform states for them.
func TestCommandsNeedTheseRightsAndNoOthers(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "leftfold")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
	build.Dir = "../../../services/leftfold" // its own module, whose go.sum has what it needs without go.work, too
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	var known []string
	for name := range commandsOnAWS {
		known = append(known, name)
	}
	require.ElementsMatch(t, known, commands(t, program, nil), "every command is known here with the rights it needs")

	s := systemtest.New(t, nil)
	operators := data(t, nil).Outputs["operators"].AsValueMap()
	play := &scenario{t: t, s: s}
	play.run()
	runOn := func(s *systemtest.System) func(operator *role, code int, args ...string) {
		return func(operator *role, code int, args ...string) {
			endpoint := serveUnder(t, operator, s)
			cmd := exec.CommandContext(t.Context(), program, args...)
			cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x")
			out, _ := cmd.CombinedOutput()
			assert.Equal(t, code, cmd.ProcessState.ExitCode(), "%s: %s", args, out)
		}
	}
	run := runOn(s)
	claim := func(email string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"constraint": &types.AttributeValueMemberS{Value: "org/iam/user#email:" + email}}
	}
	missing := claim("d@example.com")
	_, err = s.DB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("set-validations"), Key: missing})
	require.NoError(t, err)
	orphan := claim("orphan@example.com")
	orphan["stream"] = &types.AttributeValueMemberS{Value: "org/iam/user/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"}
	_, err = s.DB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("set-validations"), Item: orphan})
	require.NoError(t, err)
	stream := map[string]types.AttributeValue{"stream": &types.AttributeValueMemberS{Value: "org/iam/user/a b"}}
	stream["version"] = &types.AttributeValueMemberN{Value: "1"}
	_, err = s.DB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &s.Names.EventLog, Item: stream})
	require.NoError(t, err)
	list := setaside.NewList(s.DB, s.Names.SetAside, time.Now)
	require.NoError(t, list.Keep(t.Context(), hop.Place{Operation: "publish", Stream: "org/iam/user/a b", Version: "1"}, errors.New("why")))
	// Two users that are right, of whom the first is not parked: every projection has rows of users, as it has not of all streams.
	var harmed, registered eventsourcing.Record
	for event, err := range dynamostore.NewStore(s.DB, dynamostore.Config{}).All(t.Context(), 1) {
		switch {
		case err != nil:
		case harmed.ID == "" && event.Name == "org/iam/user/registered" && event.Stream != play.ill["users"]:
			harmed = event
			harmRows(t, s, event.Stream)
			require.NoError(t, list.Keep(t.Context(), hop.Place{
				Operation: "publish", Stream: event.Stream.String(), Version: fmt.Sprint(event.Version),
			}, errors.New("why")))
		case event.Name == "org/iam/user/registered" && event.Stream != harmed.Stream:
			registered = event
		}
	}
	for command, run := range map[string]func(*role){
		"projections list": func(operator *role) { run(operator, 0, "projections", "list") },
		"claims audit": func(operator *role) {
			run(operator, 1, "claims", "audit")
			run(operator, 1, "claims", "audit", "--repair", "--repair-emptied") // the scenario's unreadable stream remains
		},
		"scopes audit": func(operator *role) {
			uncounted := systemtest.New(t, nil)
			loseScope(t, uncounted)
			run := runOn(uncounted)
			run(operator, 1, "scopes", "audit")
			run(operator, 0, "scopes", "audit", "--repair")
		},
		"projections audit": func(operator *role) {
			run(operator, 1, "projections", "audit", "--settle", "1ms")
			run(operator, 1, "projections", "audit", "--settle", "1ms", "--repair", "--repair-emptied")
		},
		"set-aside list": func(operator *role) { run(operator, 1, "set-aside", "list") },
		"set-aside release": func(operator *role) {
			run(operator, 1, "set-aside", "release", "--all") // that with a space stays
		},
		"events journey": func(operator *role) {
			run(operator, 0, "events", "journey", registered.Stream.String(), "--version", "1")
			run(operator, 2, "events", "journey", "of-no-event", "--scan")
		},
		"events show": func(operator *role) { run(operator, 0, "events", "show", registered.Stream.String()) },
		"events tail": func(operator *role) {
			body, err := envelope.Encode(registered)
			require.NoError(t, err)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				run(operator, 0, "events", "tail", "--count", "1")
			}()
			for tailing := true; tailing; { // when it has begun is not known
				_, err = kinesis.NewFromConfig(s.AWS.Config()).PutRecord(t.Context(), &kinesis.PutRecordInput{
					StreamName: &s.Names.Stream, PartitionKey: aws.String("k"), Data: body,
				})
				require.NoError(t, err)
				select {
				case <-ended:
					tailing = false
				case <-time.After(100 * time.Millisecond):
				}
			}
		},
		"leases": func(operator *role) { run(operator, 0, "leases") },
		"processes list": func(operator *role) {
			keepProcess(t, s, "parked")
			run(operator, 1, "processes", "list")
		},
		"processes show": func(operator *role) {
			keepProcess(t, s, "shown")
			run(operator, 0, "processes", "show", "grants", "shown")
		},
		"processes retry": func(operator *role) {
			keepProcess(t, s, "retried")
			run(operator, 0, "processes", "retry", "grants", "retried")
			run(operator, 0, "processes", "retry", "grants", "--all")
		},
		"processes cancel": func(operator *role) {
			keepProcess(t, s, "cancelled")
			run(operator, 0, "processes", "cancel", "grants", "cancelled", "--reason", "a test")
		},
		"archive verify": func(operator *role) {
			run(operator, 1, "archive", "verify", "--archive", t.TempDir(), "--delay", "0s", "--repair") // as above
		},
		"restore": func(operator *role) {
			lost := systemtest.New(t, nil)
			folder, recovered := lose(t, lost)
			run := runOn(lost)
			run(operator, 0, "restore", "--from-table", recovered, "--dry-run")
			run(operator, 0, "restore", "--archive", folder)
		},
	} {
		operator := newRole(operators[command])
		run(operator)
		operator.assertEnough(t, command)
		operator.assertNoMore(t, command, seldomByOperators(s.Names, command))
	}
	var moving sync.WaitGroup // each step waits for the processes that read and feed
	steps := []string{"rebuild", "switch", "rollback", "retire"}
	stepping := map[string]*role{}
	for _, step := range steps {
		stepping[step] = newRole(operators["projections "+step])
	}
	for _, p := range s.Names.Projections() {
		keepAsTerraformDoes(t, s, p.Table)
		moving.Go(func() {
			for _, step := range steps {
				run(stepping[step], 0, "projections", step, p.Name)
			}
		})
	}
	moving.Wait()
	behind := map[string]string{"dynamodb:Query table/EventLog": "the other generation is behind: generation.Operator"}
	for _, p := range s.Names.Projections() {
		for _, action := range []string{"Scan", "GetItem", "BatchGetItem", "PutItem", "DeleteItem", "ConditionCheckItem"} {
			for _, table := range []string{p.Table, p.Table + "-g*"} {
				behind["dynamodb:"+action+" table/"+table] = "the switch is to that generation, or from it: generation.Operator"
			}
		}
	}
	filling := map[string]string{}
	for _, p := range s.Names.Projections() {
		filling["dynamodb:DeleteItem table/"+p.Table+"-g*"] = "events come while their stream is filled: generation.Operator"
	}
	for step, seldom := range map[string]map[string]string{"rebuild": filling, "switch": behind, "rollback": behind, "retire": nil} {
		stepping[step].assertEnough(t, step)
		stepping[step].assertNoMore(t, step, seldom)
	}
}

// seldomByOperators are rights of a command that are not used here.
func seldomByOperators(names topology.Names, command string) map[string]string {
	ofRows := map[string][]string{
		"projections audit": {"Scan", "GetItem", "BatchGetItem", "PutItem", "DeleteItem", "ConditionCheckItem"},
		"events journey":    {"GetItem"},
	}[command]
	if len(ofRows) == 0 {
		return inS3[command]
	}
	rebuilt := map[string]string{}
	for _, p := range names.Projections() {
		for _, action := range ofRows {
			rebuilt["dynamodb:"+action+" table/"+p.Table+"-g*"] = "the projection has been rebuilt"
		}
	}
	return rebuilt
}

// keepAsTerraformDoes gives a table what provision does not and Terraform does.
func keepAsTerraformDoes(t *testing.T, s *systemtest.System, table string) {
	t.Helper()
	updated, err := s.DB.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: &table, DeletionProtectionEnabled: aws.Bool(true)})
	require.NoError(t, err)
	_, err = s.DB.TagResource(t.Context(), &dynamodb.TagResourceInput{
		ResourceArn: updated.TableDescription.TableArn, Tags: []types.Tag{{Key: aws.String("project"), Value: aws.String("leftfold")}},
	})
	require.NoError(t, err)
	_, err = s.DB.UpdateContinuousBackups(t.Context(), &dynamodb.UpdateContinuousBackupsInput{
		TableName: &table, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
	})
	require.NoError(t, err)
}

// keepProcess puts a process into the log and the table of timers. It is long and parked, and has a timer that is due in the far future.
func keepProcess(t *testing.T, s *systemtest.System, id string) {
	t.Helper()
	stream := eventsourcing.StreamID{Category: "org/iam/process/grants", ID: id}
	log := dynamostore.NewStore(s.DB, dynamostore.Config{})
	head := eventsourcing.Version(0)
	add := func(name, data string) {
		head++
		require.NoError(t, log.Append(t.Context(), eventsourcing.Commit{
			Stream: stream, Expected: head - 1, Records: []eventsourcing.Record{{
				ID: fmt.Sprint(id, head), Stream: stream, Version: head, Name: stream.Category + "/" + name, Schema: 1,
				Data: []byte(data), RecordedAt: time.UnixMilli(1),
			}},
		}))
	}
	add("timerSet", `{"name":"r","due":"2199-01-01T00:00:00Z"}`)
	for range 100 { // so many that a snapshot is looked for
		add("retried", `{}`)
	}
	add("parked", `{"reason":"a test","at":"2026-11-27T17:00:00Z"}`)
	listed := timers.Timer{Stream: stream, Name: "parked", Due: timers.Never(), Version: head}
	_, err := s.DB.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: &s.Names.Timers, Item: (timers.Table{}).Set(listed).Put.Item,
	})
	require.NoError(t, err)
}

// harmRows deletes the stream's own row in each read model, and plants a row that the stream does not derive.
func harmRows(t *testing.T, s *systemtest.System, stream eventsourcing.StreamID) {
	t.Helper()
	text := func(v string) types.AttributeValue { return &types.AttributeValueMemberS{Value: v} }
	for _, p := range s.Names.Projections() {
		_, err := s.DB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &p.Table, Key: map[string]types.AttributeValue{
			"id": text(stream.ID), "row": text(row(stream)),
		}})
		require.NoError(t, err)
		_, err = s.DB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &p.Table, Item: map[string]types.AttributeValue{
			"id": text(stream.ID), "row": text("planted"), "stream": text(stream.String()),
		}})
		require.NoError(t, err)
	}
}

// bucket is the archive's in the account that arns gives.
const bucket = "leftfold-archive-123456789012-eu-central-1"

// inS3 is, by command, the rights that are not used where the archive is a folder.
var inS3 = map[string]map[string]string{ //nolint:gochecknoglobals // read only
	"archive verify": {
		"s3:ListBucket " + bucket: "it reads: archive.Bucket", "s3:GetObject " + bucket + "/events/*": "it reads: archive.Bucket",
		"s3:PutObject " + bucket + "/events/*": "it repairs: archive.Bucket",
	},
	"restore": {"s3:ListBucket " + bucket: "it reads: archive.Bucket", "s3:GetObject " + bucket + "/events/*": "it reads: archive.Bucket"},
}

// lose makes a system with an archive of its log and a table as point in time recovery makes it, then loses an event from
// the middle of a stream and a reserved value, and leaves one that nobody holds.
func lose(t *testing.T, s *systemtest.System) (folder, recovered string) {
	t.Helper()
	ctx := t.Context()
	const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	for _, r := range []systemtest.Request{
		{Method: http.MethodPost, Path: "/users", Body: map[string]any{"id": id, "email": "dan@example.com"}},
		{Method: http.MethodPut, Path: "/users/" + id + "/email", Body: map[string]any{"email": "d@example.com"}},
		{Method: http.MethodPut, Path: "/users/" + id + "/disable"},
	} {
		a, err := s.Do(ctx, r)
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, a.Status)
	}
	loseScope(t, s)
	folder = t.TempDir()
	_, err := archive.Verify(ctx, archive.VerifyConfig{Storage: archive.Folder(folder), EventLog: s.EventLog, Now: time.Now, Repair: true})
	require.NoError(t, err)
	recovered = s.Names.EventLog + "-recovered"
	_, err = s.DB.CreateTable(ctx, dynamostore.Tables{Events: recovered}.CreateTableInputs()[0])
	require.NoError(t, err)
	items, err := s.Items(ctx, s.Names.EventLog)
	require.NoError(t, err)
	for _, item := range items {
		_, err := s.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: &recovered, Item: item})
		require.NoError(t, err)
	}
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	held := map[string]types.AttributeValue{"constraint": text("org/iam/user#email:d@example.com")}
	event := map[string]types.AttributeValue{"stream": text("org/iam/user/" + id), "version": &types.AttributeValueMemberN{Value: "2"}}
	for table, key := range map[string]map[string]types.AttributeValue{s.Names.SetValidations: held, s.Names.EventLog: event} {
		_, err := s.DB.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &table, Key: key})
		require.NoError(t, err)
	}
	orphan := map[string]types.AttributeValue{
		"constraint": text("org/iam/user#email:orphan@example.com"), "stream": text("org/iam/user/" + id),
	}
	_, err = s.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.Names.SetValidations, Item: orphan})
	require.NoError(t, err)
	return folder, recovered
}

// loseScope makes a role and deletes what is counted of its members.
func loseScope(t *testing.T, s *systemtest.System) {
	t.Helper()
	const id = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
	a, err := s.Do(t.Context(), systemtest.Request{
		Method: http.MethodPost, Path: "/roles", Body: map[string]any{"id": id, "name": "auditor"},
	})
	require.NoError(t, err)
	require.Equal(t, http.StatusAccepted, a.Status)
	_, err = s.DB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &s.Names.Scopes, Key: map[string]types.AttributeValue{
		"scope": &types.AttributeValueMemberS{Value: "org/iam/role/" + id + "#members"},
	}})
	require.NoError(t, err)
}

// commands lists the commands below a command of the program that have none below them.
func commands(t *testing.T, program string, above []string) (out []string) {
	t.Helper()
	list, err := exec.CommandContext(t.Context(), program, slices.Concat([]string{"__complete"}, above, []string{""})...).Output()
	require.NoError(t, err)
	names := regexp.MustCompile(`(?m)^(\w[\w-]*)\t`).FindAllStringSubmatch(string(list), -1)
	if len(names) == 0 || len(above) == 1 && (above[0] == "completion" || above[0] == "help") {
		return []string{strings.Join(above, " ")}
	}
	for _, name := range names {
		out = append(out, commands(t, program, append(slices.Clone(above), name[1]))...)
	}
	return out
}

// serveUnder returns an endpoint of the system's AWS where everyone has the role.
func serveUnder(t *testing.T, r *role, s *systemtest.System) (endpoint string) {
	t.Helper()
	proxy := &httputil.ReverseProxy{
		Transport: guarded{r, s.AWS.Transport()},
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: p.In.Host}) },
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}
