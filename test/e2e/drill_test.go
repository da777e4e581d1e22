package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/archive"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// disaster is what is lost, and the steps of docs/operations.md that make it good.
type disaster struct {
	name string
	// before happens while all is well, in addition to events of which the archive has all.
	before func(*drill)
	// lost is deleted: tables, queues, the stream or the archive, by name.
	lost []string
	// steps are done one after the other: "stop" or "start" services, "delete" and "purge" by name, or a command. "!" is before a
	// command that finds something that a later step makes good.
	steps []string
	// after waits for what the audits do not see.
	after func(*drill)
	// events are how many accepted ones are lost for good.
	events int
}

const (
	theArchive    = "archive"
	theStream     = "event-source"
	allButCommand = "streamer broker projector-user projector-role projector-audit"
	allConsumers  = "projector-user projector-role projector-audit processor"
	allQueues     = "IamUserQueue.fifo IamRoleQueue.fifo IamAuditQueue.fifo IamProcessQueue.fifo"
)

// restoring is the log's restore once nothing writes to it any more: from, and in between what it needs besides.
func restoring(from string, between ...string) []string {
	return slices.Concat(
		[]string{"stop " + allButCommand, "delete snapshots", "leftfold provision", "leftfold restore" + from + " --dry-run"},
		between,
		[]string{
			"start " + allButCommand, "leftfold projections catch-up users", "leftfold projections catch-up roles",
			"leftfold projections catch-up audit-trail", "leftfold archive verify --delay 0s --repair", "leftfold claims audit",
			"start command-api processor", "leftfold processes catch-up",
		})
}

// disasters are those of docs/operations.md, in its order.
func disasters() []disaster {
	const (
		provision    = "leftfold provision"
		catchUpUsers = "leftfold projections catch-up users"
		catchUpRoles = "leftfold projections catch-up roles"
		catchUpTrail = "leftfold projections catch-up audit-trail"
		catchUpHeard = "leftfold processes catch-up"
	)
	anew := func(lost string, then ...string) disaster {
		return disaster{name: lost, lost: []string{lost}, steps: append([]string{provision}, then...)}
	}
	unarchived := func(d *drill) {
		d.stopArchiver()
		d.send(lostEvents)
		d.visible()
	}
	return []disaster{
		{
			name: "the log", lost: []string{"EventLog"},
			steps: append([]string{"stop command-api processor"}, restoring("", "leftfold restore")...),
		},
		{
			name: "the log, by point in time recovery", before: (*drill).recover, lost: []string{"EventLog"},
			steps: append([]string{"stop command-api processor"}, // the values of later events are still reserved
				restoring(" --from-table "+recovered, "!leftfold restore --from-table "+recovered, "leftfold restore")...),
		},
		{
			name: "the log, and the archive's last hour", before: unarchived, lost: []string{"EventLog"},
			steps: append([]string{"stop command-api processor", "leftfold archive write"}, restoring("", "leftfold restore")...),
		},
		{
			name: "the log, the stream, and the archive's last hour", before: unarchived, lost: []string{"EventLog", theStream},
			events: lostEvents,
			steps: append([]string{"stop command-api processor"}, restoring("",
				"!leftfold restore", "leftfold claims audit --repair --repair-emptied",
				"delete projection-user projection-roles projection-audit process-fences commands", "purge "+allQueues, provision)...),
		},
		{
			name: "set-validations", lost: []string{"set-validations"},
			steps: []string{"stop command-api", provision, "leftfold claims audit --repair", "start command-api"},
		},
		{
			name: "scopes", before: func(d *drill) { d.grant(nil) }, lost: []string{"scopes"},
			steps: []string{"stop command-api", provision, "leftfold scopes audit --repair", "start command-api"},
		},
		{
			name: "timers", before: (*drill).grantForSeconds, lost: []string{"timers"},
			steps: []string{provision, "leftfold processes retry grants --all", "leftfold processes retry retirement --all"},
			after: (*drill).expired,
		},
		{
			name: "process-fences", before: (*drill).retireAndCancel, lost: []string{"process-fences"},
			steps: []string{provision, catchUpHeard}, after: (*drill).retiredOnce,
		},
		anew("commands"), anew("snapshots"), anew("leases"), anew("projection-generations"),
		anew("set-aside", catchUpUsers, catchUpRoles, catchUpTrail, catchUpHeard),
		anew("projection-user", catchUpUsers), anew("projection-roles", catchUpRoles), anew("projection-audit", catchUpTrail),
		anew("IamUserQueue.fifo"), anew("IamRoleQueue.fifo"), anew("IamAuditQueue.fifo"), anew("IamProcessQueue.fifo"), anew(theStream),
		{
			name: "what the queues hold", before: (*drill).fillQueues,
			steps: []string{"start " + allConsumers, catchUpUsers, catchUpRoles, catchUpTrail, catchUpHeard}, after: (*drill).expired,
		},
		{name: "the archive", lost: []string{theArchive}, steps: []string{"leftfold archive verify --delay 0s --repair"}},
	}
}

const (
	lostEvents = 7
	recovered  = "EventLog-recovered"
)

// TestEachDisasterIsMadeGood loses each table, queue and stream, and parts of the archive, and does what docs/operations.md says, with
// the commands as they are. Then the system is the fold of its log again, and accepts commands, and no event is lost but those that
// the page says are. LEFTFOLD_DRILL is how many events there are; it prints how long each took.
func TestEachDisasterIsMadeGood(t *testing.T) {
	dir := programs(t)
	size, isDrill := os.LookupEnv("LEFTFOLD_DRILL")
	events, err := strconv.Atoi(cmp.Or(size, "30"))
	require.NoError(t, err)
	page, err := os.ReadFile(filepath.Join(root, "docs", "operations.md"))
	require.NoError(t, err)
	var mu sync.Mutex
	report := map[string]string{}
	t.Run("lost", func(t *testing.T) {
		for _, each := range disasters() {
			t.Run(each.name, func(t *testing.T) {
				t.Parallel()
				for _, step := range each.steps {
					words := strings.Fields(strings.TrimPrefix(step, "!"))
					if words[0] == "leftfold" {
						assert.Contains(t, string(page), "leftfold "+words[1], "docs/operations.md has every command")
					}
				}
				if testing.Short() && !isDrill {
					t.Skip("make drill and make test-race carry the steps out, with processes and in real time")
				}
				took, lost := newDrill(t, dir).play(each, events)
				assert.Equal(t, each.events, lost, "events lost")
				mu.Lock()
				defer mu.Unlock()
				report[each.name] = fmt.Sprintf("%s\t%.1f s\t%d\t%s", each.name, took.Seconds(), lost, strings.Join(each.steps, "; "))
			})
		}
	})
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LOST\tRTO\tEVENTS LOST\tSTEPS")
	for _, each := range disasters() {
		if row, ok := report[each.name]; ok {
			_, _ = fmt.Fprintln(w, strings.ReplaceAll(row, "!", ""))
		}
	}
	require.NoError(t, w.Flush())
	t.Logf("with %d events:\n%s", events, table.String())
}

// drill is a system, its archive and the operator's commands.
type drill struct {
	*systemtest.System

	t        *testing.T
	program  string
	env      []string
	archive  string
	temp     string
	archiver func() // stops it; nil: it does not run

	users    []string
	role     string
	holders  []eventsourcing.StreamID // of that role
	sent     int
	accepted map[string]bool // commands, by correlation ID
}

func newDrill(t *testing.T, dir string) *drill {
	t.Helper()
	env := map[string]string{"LEASE_DURATION": "1s"} // a busy machine may lose one; it takes it again
	d := &drill{
		t: t, System: systemtest.New(t, env), program: filepath.Join(dir, "leftfold"), archive: t.TempDir(), temp: t.TempDir(),
		accepted: map[string]bool{},
	}
	outside := httptest.NewServer(d.AWS)
	t.Cleanup(outside.Close)
	var admins []string
	for _, p := range append(d.Projectors(), d.Processor) {
		admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			res := p.Admin(r)
			defer func() { _ = res.Body.Close() }() // httptest's
			maps.Copy(w.Header(), res.Header)
			w.WriteHeader(res.StatusCode)
			_, _ = io.Copy(w, res.Body)
		}))
		t.Cleanup(admin.Close)
		admins = append(admins, admin.URL)
	}
	d.env = []string{
		"AWS_ENDPOINT_URL=" + outside.URL, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "HOME=" + os.DevNull,
		"AWS_EC2_METADATA_DISABLED=true", "LOG_LEVEL=error", "ADMIN_ADDR=127.0.0.1:0", "ADMIN_URLS=" + strings.Join(admins, ","),
		"ARCHIVE=" + d.archive, "ARCHIVE_EVERY=50ms", "LEASE_DURATION=1s", "TMPDIR=" + d.temp,
	}
	d.startArchiver()
	return d
}

// play loses what is to be lost, does the steps, and returns how long they took and how many accepted events are gone.
func (d *drill) play(what disaster, events int) (took time.Duration, lost int) {
	d.t.Helper()
	d.send(events)
	d.archived()
	users := d.users
	if what.before != nil {
		what.before(d)
	}
	began := time.Now()
	for _, name := range what.lost {
		d.delete(name)
	}
	d.send(3) // some may be refused
	for _, step := range what.steps {
		d.do(step)
	}
	if what.after != nil {
		what.after(d)
	}
	_, err := d.Audit(d.t.Context())
	require.NoError(d.t, err)
	took = time.Since(began)

	before := len(d.accepted)
	d.users = users // later ones may be lost
	d.send(3)
	assert.Len(d.t, d.accepted, before+3, "commands are accepted again")
	_, err = d.Audit(d.t.Context())
	require.NoError(d.t, err)
	if d.archiver == nil {
		d.startArchiver()
	}
	d.archived()
	d.stopArchiver()
	logged, err := d.Records(d.t.Context())
	require.NoError(d.t, err)
	for correlation := range d.accepted {
		if len(logged[correlation]) == 0 {
			lost++
		}
	}
	return took, lost
}

// send sends commands, of which some concern former users.
func (d *drill) send(n int) {
	d.t.Helper()
	for range n {
		d.sent++
		r := systemtest.Request{
			Method: http.MethodPost, Path: "/users", Correlation: fmt.Sprintf("drill-%d", d.sent),
			Body: object{"email": fmt.Sprintf("user-%d@example.com", d.sent)},
		}
		if len(d.users) > 0 && d.sent%3 == 0 {
			r.Method, r.Path = http.MethodPut, "/users/"+d.users[d.sent%len(d.users)]+"/email"
		}
		answer, err := d.Do(d.t.Context(), r)
		if err != nil || answer.Status != http.StatusAccepted {
			continue
		}
		d.accepted[r.Correlation] = true
		if r.Method == http.MethodPost {
			receipt, err := systemtest.Decode[systemtest.Receipt](answer)
			require.NoError(d.t, err)
			d.users = append(d.users, receipt.ID)
		}
	}
}

// accept sends a command, which must be accepted.
func (d *drill) accept(method, path string, body object) systemtest.Receipt {
	d.t.Helper()
	d.sent++
	correlation := fmt.Sprintf("drill-%d", d.sent)
	r := systemtest.Request{Method: method, Path: path, Correlation: correlation}
	if body != nil {
		r.Body = body
	}
	answer, err := d.Do(d.t.Context(), r)
	require.NoError(d.t, err)
	require.Equal(d.t, http.StatusAccepted, answer.Status, "%s", answer.Body)
	d.accepted[correlation] = true
	receipt, err := systemtest.Decode[systemtest.Receipt](answer)
	require.NoError(d.t, err)
	return receipt
}

// grant grants a role to some users, until a time if there is one.
func (d *drill) grant(until *time.Time) {
	d.t.Helper()
	d.role = d.accept(http.MethodPost, "/roles", object{"name": "auditor"}).ID
	for _, id := range d.users[:3] {
		body := object{"roleId": d.role}
		if until != nil {
			body["until"] = until.UTC().Format(time.RFC3339)
		}
		d.accept(http.MethodPost, "/users/"+id+"/roles", body)
		d.holders = append(d.holders, eventsourcing.StreamID{Category: "org/iam/user", ID: id})
	}
}

// retirement is the stream of the role's process.
func (d *drill) retirement() eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "org/iam/process/retirement", ID: d.role}
}

// retireAndCancel requests the retirement of a role and cancels it, before the processor hears of either.
func (d *drill) retireAndCancel() {
	d.t.Helper()
	d.grant(nil)
	d.do("stop processor")
	d.accept(http.MethodPut, "/roles/"+d.role+"/retire", nil)
	d.accept(http.MethodPut, "/roles/"+d.role+"/retire/cancel", nil)
	d.do("start processor")
	d.logged(d.retirement(), "org/iam/process/retirement/stopped")
}

// retiredOnce checks that the request was not heard again, and that its role was taken from nobody.
func (d *drill) retiredOnce() {
	d.t.Helper()
	count := func(stream eventsourcing.StreamID, name string) (n int) {
		for r, err := range d.EventLog.Read(d.t.Context(), stream, 0) {
			require.NoError(d.t, err)
			if r.Name == name {
				n++
			}
		}
		return n
	}
	assert.Equal(d.t, 1, count(d.retirement(), "org/iam/process/retirement/begun"))
	for _, user := range d.holders {
		assert.Zero(d.t, count(user, "org/iam/user/roleRemoved"))
	}
}

// grantForSeconds grants a role for some seconds, and waits until the ends are awaited.
func (d *drill) grantForSeconds() {
	d.t.Helper()
	d.grantUntilSoon()
	for _, user := range d.holders {
		d.logged(eventsourcing.StreamID{Category: "org/iam/process/grants", ID: user.ID}, "org/iam/process/grants/timerSet")
	}
}

func (d *drill) grantUntilSoon() {
	d.t.Helper()
	until := time.Now().Add(5 * time.Second)
	d.grant(&until)
}

// expired waits until the grants have ended.
func (d *drill) expired() {
	d.t.Helper()
	for _, user := range d.holders {
		d.logged(user, "org/iam/user/roleExpired")
	}
}

// logged waits until a stream has an event of that name.
func (d *drill) logged(stream eventsourcing.StreamID, name string) {
	d.t.Helper()
	waittest.Until(d.t, name, func() (any, bool) {
		for r, err := range d.EventLog.Read(d.t.Context(), stream, 0) {
			require.NoError(d.t, err)
			if r.Name == name {
				return nil, true
			}
		}
		return nil, false
	})
}

// visible waits until the read models show everything.
func (d *drill) visible() {
	d.t.Helper()
	_, err := d.Audit(d.t.Context())
	require.NoError(d.t, err)
}

// archived waits until the archive has the whole log.
func (d *drill) archived() {
	d.t.Helper()
	waittest.Until(d.t, "the archive", func() (any, bool) {
		r, err := archive.Verify(d.t.Context(), archive.VerifyConfig{
			Storage: archive.Folder(d.archive), EventLog: d.EventLog, Now: time.Now, TempDir: d.temp,
		})
		if errors.Is(err, archive.ErrNone) {
			return err, false
		}
		require.NoError(d.t, err)
		return r, r.Findings+r.Young == 0
	})
}

// recover copies the log's table, as point in time recovery does, and then adds to the log.
func (d *drill) recover() {
	ctx := d.t.Context()
	_, err := d.DB.CreateTable(ctx, dynamostore.Tables{Events: recovered}.CreateTableInputs()[0])
	require.NoError(d.t, err)
	items, err := d.Items(ctx, d.Names.EventLog)
	require.NoError(d.t, err)
	for _, item := range items {
		_, err := d.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(recovered), Item: item})
		require.NoError(d.t, err)
	}
	d.send(lostEvents)
	d.archived()
}

// fillQueues has the queues hold events, among them grants that end soon, and loses them.
func (d *drill) fillQueues() {
	d.do("stop " + allConsumers)
	d.send(lostEvents)
	d.grantUntilSoon()
	d.archived() // so the broker may have them, too
	q := sqs.NewFromConfig(d.AWS.Config())
	for _, p := range d.Names.Consumers() {
		url, err := q.GetQueueUrl(d.t.Context(), &sqs.GetQueueUrlInput{QueueName: &p.Queue})
		require.NoError(d.t, err)
		waittest.Until(d.t, "messages in "+p.Queue, func() (any, bool) {
			out, err := q.GetQueueAttributes(d.t.Context(), &sqs.GetQueueAttributesInput{
				QueueUrl: url.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameApproximateNumberOfMessages},
			})
			if err != nil {
				return err, false
			}
			n, err := strconv.Atoi(out.Attributes[string(sqstypes.QueueAttributeNameApproximateNumberOfMessages)])
			return n, err == nil && n >= lostEvents // a stopped consumer may have left some
		})
	}
	d.do("purge " + allQueues)
}

// do does a step.
func (d *drill) do(step string) {
	d.t.Helper()
	command, found := strings.CutPrefix(step, "!")
	words := strings.Fields(command)
	switch words[0] {
	case "leftfold":
		if command == "leftfold archive write" {
			d.writeRest()
			return
		}
		if words[1] == "provision" { // a queue cannot be made anew within a minute
			waittest.Until(d.t, "what is made anew", func() (any, bool) {
				code, _ := d.run("provision")
				return nil, code == 0
			})
			return
		}
		code, out := d.run(words[1:]...)
		want := 0
		if found {
			want = 1
		}
		require.Equal(d.t, want, code, "%s: %s", command, out)
	case "stop", "start":
		for _, name := range words[1:] {
			for _, s := range d.Services() {
				if s.Name != name {
					continue
				}
				if words[0] == "stop" {
					require.NoError(d.t, s.Stop())
				} else {
					require.NoError(d.t, s.Start(d.t.Context()))
				}
			}
		}
	case "delete":
		for _, name := range words[1:] {
			d.delete(name)
		}
	case "purge":
		q := sqs.NewFromConfig(d.AWS.Config())
		for _, name := range words[1:] {
			url, err := q.GetQueueUrl(d.t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
			require.NoError(d.t, err)
			_, err = q.PurgeQueue(d.t.Context(), &sqs.PurgeQueueInput{QueueUrl: url.QueueUrl})
			require.NoError(d.t, err)
		}
	default:
		require.FailNow(d.t, "unknown step", step)
	}
}

func (d *drill) delete(name string) {
	d.t.Helper()
	ctx := d.t.Context()
	switch {
	case name == theArchive:
		require.NoError(d.t, os.RemoveAll(filepath.Join(d.archive, "events")))
	case name == theStream:
		_, err := kinesis.NewFromConfig(d.AWS.Config()).DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name})
		require.NoError(d.t, err)
	case strings.HasSuffix(name, ".fifo"):
		q := sqs.NewFromConfig(d.AWS.Config())
		url, err := q.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		require.NoError(d.t, err)
		_, err = q.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: url.QueueUrl})
		require.NoError(d.t, err)
	default:
		_, err := d.DB.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name})
		require.NoError(d.t, err)
	}
}

// run runs a command of leftfold to its end.
func (d *drill) run(args ...string) (code int, out string) {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), d.program, args...)
	cmd.Env = d.env
	text, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(text)
}

func (d *drill) startArchiver() {
	d.t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(d.t.Context()))
	cmd := exec.CommandContext(ctx, d.program, "archive", "write")
	cmd.Env, cmd.Cancel = d.env, func() error { return cmd.Process.Signal(os.Interrupt) }
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(d.t, cmd.Start())
	d.archiver = sync.OnceFunc(func() {
		stop()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) {
			d.t.Logf("archive write: %v\n%s", err, out.String())
		}
	})
	d.t.Cleanup(d.archiver)
}

func (d *drill) stopArchiver() {
	if d.archiver != nil {
		d.archiver()
		d.archiver = nil
	}
}

// writeRest runs the archive's writer until it has read all of the stream that is logged.
func (d *drill) writeRest() {
	d.t.Helper()
	d.startArchiver()
	began := time.Now()
	waittest.Until(d.t, "a position of the archive's writer behind the stop of command-api", func() (any, bool) {
		_, out := d.run("leases", "--output", "json")
		var shards, read int
		for line := range strings.Lines(out) {
			var l struct {
				Consumer, State string
				ReadTo          time.Time
			}
			if json.Unmarshal([]byte(line), &l) != nil || l.Consumer != theArchive || l.State != "open" {
				continue
			}
			shards++
			if l.ReadTo.After(began) {
				read++
			}
		}
		return out, shards > 0 && read == shards
	})
	d.stopArchiver()
}
