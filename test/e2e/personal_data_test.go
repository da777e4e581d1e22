package e2e_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// mark is a piece of personal data that is recognisable in every encoding.
type mark string

func newMark() mark {
	b := []byte("zq")
	for range 10 {
		b = append(b, byte('a'+rand.IntN(26)))
	}
	return mark(b)
}

func (m mark) email() string { return string(m) + "@example.com" }
func (m mark) name() string  { return strings.ToUpper(string(m[:1])) + string(m[1:]) }

// in returns where a text contains the mark: plain or in any case, percent-encoded, escaped as in JSON, in hex, or in base64 of
// any alignment.
func (m mark) in(text string) (where []string) {
	plain := strings.ToLower(unescaped(text))
	for _, form := range []string{string(m), hex.EncodeToString([]byte(m)), hex.EncodeToString([]byte(strings.ToUpper(string(m))))} {
		where = append(where, around(plain, form)...)
	}
	for _, dressed := range []string{string(m), strings.ToUpper(string(m)), m.name()} {
		for shift := range 3 {
			encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), dressed...))
			first := []int{0, 2, 3}[shift]                              // what the bytes before it are part of
			last := len(encoded) - []int{0, 1, 1}[(shift+len(m))%3]     // what the bytes after it are part of
			where = append(where, around(text, encoded[first:last])...) // letters only, so that it is the same in URLs
		}
	}
	return where
}

var (
	percent = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
	escape  = regexp.MustCompile(`\\u[0-9a-fA-F]{4}`)
)

func unescaped(text string) string {
	text = percent.ReplaceAllStringFunc(text, func(s string) string {
		plain, _ := url.PathUnescape(s) // the pattern is what it takes
		return plain
	})
	return escape.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.ParseUint(s[2:], 16, 16) // as above
		return string(rune(n))
	})
}

func around(text, form string) (where []string) {
	for i := strings.Index(text, form); i >= 0 && len(where) < 100; {
		where = append(where, text[max(0, i-200):min(len(text), i+len(form)+80)])
		next := strings.Index(text[i+1:], form)
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return where
}

func TestMarkedDataIsFoundInEveryEncoding(t *testing.T) {
	t.Parallel()
	m := newMark()
	full := ""
	for _, r := range m {
		full += fmt.Sprintf(`\u%04x`, r)
	}
	for _, text := range []string{
		string(m), strings.ToUpper(string(m)), m.email(), url.QueryEscape("ä" + m.email()),
		"%" + hex.EncodeToString([]byte(m[:1])) + string(m[1:]),
		full, strings.ToUpper(hex.EncodeToString([]byte(m))),
	} {
		assert.NotEmpty(t, m.in("before "+text+" after"), text)
	}
	for before := range 4 {
		for after := range 4 {
			text := strings.Repeat("x", before) + m.name() + strings.Repeat("y", after)
			assert.NotEmpty(t, m.in(base64.StdEncoding.EncodeToString([]byte(text))), text)
			assert.NotEmpty(t, m.in(base64.RawURLEncoding.EncodeToString([]byte(text))), text)
		}
	}
	assert.Empty(t, m.in(string(newMark())))
	assert.Empty(t, m.in(base64.StdEncoding.EncodeToString([]byte(newMark().email()))))
}

// emitted is everything that a system reports to its operators, and to untrusted clients in error answers.
type emitted struct {
	traced

	mu       sync.Mutex
	logs     strings.Builder
	problems strings.Builder
}

func (e *emitted) Write(line []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.logs.Write(line)
}

func newEmitted(t *testing.T, env map[string]string) *emitted {
	t.Helper()
	e := &emitted{}
	log, err := telemetry.NewLogger(e, slog.LevelDebug, "json")
	require.NoError(t, err)
	e.traced = newTraced(t, env, func(p *service.Platform) {
		p.Logger, p.AWS.RetryMaxAttempts = log, 1 // so that the services see the faults
	})
	return e
}

// try sends a request and keeps the answer if it is an error.
func (e *emitted) try(r systemtest.Request) systemtest.Answer {
	e.t.Helper()
	answer, err := e.Do(e.t.Context(), r)
	if err != nil {
		return systemtest.Answer{} // the service was killed
	}
	if answer.Status >= 400 {
		_, _ = fmt.Fprintf(&e.problems, "%d %s %v\n", answer.Status, answer.Body, answer.Header)
	}
	return answer
}

// must is try for a request that must be answered with status.
func (e *emitted) must(status int, r systemtest.Request) {
	e.t.Helper()
	answer := e.try(r)
	require.Equal(e.t, status, answer.Status, "%s %s: %s", r.Method, r.Path, answer.Body)
}

// all stops the system and returns what it emitted, by kind.
func (e *emitted) all() map[string]string {
	e.t.Helper()
	var spans, metrics strings.Builder
	for _, s := range e.spans() {
		_, _ = fmt.Fprintf(&spans, "%s %v %v %v %v %v\n", s.Name, s.Attributes, s.Events, s.Links, s.Status, s.Resource)
	}
	for _, registry := range *e.registries {
		families, err := registry.Gather()
		require.NoError(e.t, err)
		for _, f := range families {
			_, err := expfmt.MetricFamilyToOpenMetrics(&metrics, f)
			require.NoError(e.t, err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return map[string]string{"logs": e.logs.String(), "spans": spans.String(), "metrics": metrics.String(), "errors": e.problems.String()}
}

// TestNoPersonalDataIsEmitted uses the system with marks for every name and e-mail address, through refusals, crashes, faults of
// AWS, and events and messages that cannot be read; then it searches for the marks in everything that was emitted.
func TestNoPersonalDataIsEmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMark()
		e := newEmitted(t, quick())
		dan, role := e.scenario(m)
		e.mistakes(m, dan, role)
		e.unreadable(m, dan)
		e.crashes(m)
		e.heal(m)
		e.faults(m)

		output := e.all()
		for kind, least := range map[string]string{ // the scenario happened
			"logs": "aggregate parked", "spans": "project users", "metrics": "leftfold_projection_parked", "errors": "email_taken",
		} {
			if !strings.Contains(output[kind], least) {
				t.Errorf("no %q in %s", least, kind)
			}
		}
		for _, line := range []string{
			"record set aside", `"operation":"publish"`, `"operation":"route"`, "message rejected", "gap healed", "request failed",
		} {
			if !strings.Contains(output["logs"], line) {
				t.Errorf("no log line has %q", line)
			}
		}
		for kind, text := range output {
			for _, where := range m.in(text) {
				assert.Fail(t, "personal data in "+kind, "%s", where)
			}
		}
	})
}

// scenario sends every command and provokes every refusal of the domain.
func (e *emitted) scenario(m mark) (dan, role string) {
	e.t.Helper()
	dan, role = newID(), newID()
	keyed := func(r systemtest.Request) systemtest.Request {
		r.Header = http.Header{"Idempotency-Key": {"key-" + m.email()}}
		return r
	}
	e.must(202, keyed(post("/users", object{"id": dan, "email": m.email()})))
	e.must(202, keyed(post("/users", object{"id": dan, "email": m.email()})))
	e.must(422, keyed(post("/users", object{"email": "x" + m.email()})))
	eve := e.accept(http.MethodPost, "/users", object{"email": "eve-" + m.email()}).ID
	e.must(202, post("/roles", object{"id": role, "name": string(m)}))
	e.must(202, put("/users/"+dan, object{"firstName": m.name(), "lastName": "Ö-" + m.name()}))
	e.must(202, post("/users/"+dan+"/roles", object{"roleId": role}))
	e.must(202, put("/users/"+dan+"/email", object{"email": "new-" + m.email()}))
	e.must(202, put("/roles/"+role, object{"name": string(m) + "-s"}))
	e.must(409, post("/users", object{"id": dan, "email": "other-" + m.email()}))
	e.must(409, post("/users", object{"email": strings.ToUpper("new-" + m.email())}))
	e.must(409, put("/users/"+eve+"/email", object{"email": "new-" + m.email()}))
	e.must(409, post("/roles", object{"name": strings.ToUpper(string(m) + "-s")}))
	e.must(404, put("/users/"+newID()+"/email", object{"email": "none-" + m.email()}))
	for _, of := range []string{"/roles/" + role, "/users/" + eve} {
		e.must(202, put(of+"/disable", nil))
		e.must(409, put(of+"/disable", nil))
		e.must(202, put(of+"/enable", nil))
	}
	e.must(202, systemtest.Request{Method: http.MethodDelete, Path: "/users/" + dan + "/roles/" + role})
	assert.Equal(e.t, m.name(), userAt(e.api, dan, 5).FirstName)
	roleAt(e.api, role, 4)
	for _, path := range []string{
		"/users?contains=email:" + string(m), "/users?contains=firstName:" + m.name(), "/roles?contains=name:" + string(m),
	} {
		e.must(200, systemtest.Request{Method: http.MethodGet, Path: path})
	}
	return dan, role
}

// mistakes sends personal data in every wrong place of a request.
func (e *emitted) mistakes(m mark, dan, role string) {
	e.t.Helper()
	for _, body := range []any{
		object{"email": string(m)},
		object{"email": m.email() + "@x"},
		object{"email": m.email() + strings.Repeat("x", 300)},
		object{"email": []string{m.email()}},
		object{"email": object{string(m): 1}},
		object{m.email(): m.email(), "email": m.email()},
		object{"id": string(m), "email": m.email()},
		`{"email":"` + m.email(), `{"email":"` + m.email() + `","email":"` + m.email() + `"}`,
		`"` + m.email() + `"`, m.email(), "{\"email\":\"" + m.email() + "\xff\"}", `{"` + string(m) + `":1e999}`,
	} {
		e.try(post("/users", body))
		e.try(put("/users/"+dan+"/email", body))
	}
	for _, name := range []any{m.name() + "1", m.name() + strings.Repeat("x", 60), 7, []string{m.name()}, m.name() + "\x00"} {
		e.must(422, put("/users/"+dan, object{"firstName": name, "lastName": name}))
		e.must(422, post("/roles", object{"name": name}))
		e.must(422, put("/roles/"+role, object{"name": name}))
	}
	e.must(422, post("/users/"+dan+"/roles", object{"roleId": m.email()}))
	in := url.PathEscape(m.email())
	for _, method := range []string{
		http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPost, http.MethodOptions, strings.ToUpper(string(m)),
	} {
		for _, path := range []string{
			"/" + in, "/users/" + in, "/users/" + in + "/email", "/users/" + dan + "/roles/" + in, "/roles/" + in, "/roles/" + in + "/users",
			"/users/" + dan + "?as_of=" + in, "/users/" + dan + "/events?cursor=" + in, "/users?email=" + in,
			"/users?contains=" + in, "/users?contains=" + string(m) + ":" + in, "/users?cursor=" + in, "/users?limit=" + in, "/users?" + in + "=1",
			"/users/" + dan + "?min_version=" + in, "/users/" + dan + "?wait=" + in, "/roles?contains=" + in,
		} {
			e.try(systemtest.Request{Method: method, Path: path})
		}
	}
	for _, h := range []http.Header{
		{"If-Match": {m.email()}},
		{"If-Match": {`"` + m.email() + `"`}},
		{"Idempotency-Key": {m.email() + " " + m.name()}},
		{"Traceparent": {m.email()}},
		{"Tracestate": {"a=" + string(m)}, "Traceparent": {"00-" + string(traceNumber(9)) + "-00000000000000c1-01"}},
		{"Baggage": {"email=" + in}},
		{"Accept": {m.email()}},
		{"User-Agent": {m.email()}},
		{"Authorization": {"Bearer " + m.email()}},
		{"Cookie": {"email=" + m.email()}},
		{"Forwarded": {"for=" + m.email()}},
		{"X-Forwarded-For": {m.email()}},
		{"Origin": {"https://" + m.email()}},
		{"Content-Type": {"application/" + string(m)}},
	} {
		r := put("/users/"+dan, object{"firstName": m.name(), "lastName": m.name()})
		r.Header, r.ContentType = h, h.Get("Content-Type")
		e.try(r)
		e.try(systemtest.Request{Method: http.MethodGet, Path: "/users/" + dan, Header: h})
	}
}

// unreadable puts invalid events into the log, Kinesis and a queue, and an event into the log that no projection can apply.
func (e *emitted) unreadable(m mark, dan string) {
	e.t.Helper()
	ctx := e.t.Context()
	for i, event := range [][2]string{
		{"org/iam/user/teleported", `{"to":"` + m.email() + `"}`},
		{"org/iam/user/updated", `["` + m.name() + `"]`},
		{"org/iam/user/emailChanged", `"` + m.email() + `"`},
		{"org/iam/user/emailChanged", `{"email":["` + m.email() + `"]}`},
	} {
		stream := eventsourcing.StreamID{Category: user.Category, ID: newID()}
		rec := eventsourcing.Record{
			ID: newID(), Stream: stream, Version: 1, Name: "org/iam/user/registered", Schema: 1,
			RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
			Data:       json.RawMessage(`{"email":"` + strconv.Itoa(i) + m.email() + `"}`),
		}
		bad := rec
		bad.ID, bad.Version, bad.Name, bad.Data = newID(), 2, event[0], json.RawMessage(event[1])
		require.NoError(e.t, e.EventLog.Append(ctx, eventsourcing.Commit{Stream: stream, Records: []eventsourcing.Record{rec, bad}}))
		var row struct{ Reason string }
		_, err := e.Users().Await(ctx, stream.ID, "parked#user", 2, 20*time.Second, &row)
		require.NoError(e.t, err, event[0])
	}

	valid := `{"id":"1","stream":"org/iam/user/` + dan + `","version":99,"name":"org/iam/user/updated","schema":1,` +
		`"data":{"firstName":"` + m.name() + `"},"recordedAt":"2026-01-02T03:04:05Z"}`
	texts := []string{
		m.email(), `{"` + m.email() + `"`, `{"id":"` + m.email() + `"}`, `"` + m.email() + `"`, `[{"email":"` + m.email() + `"}]`,
	}
	for _, f := range []string{"stream", "version", "name", "schema", "recordedAt", "metadata", "enrichment"} {
		var fields map[string]any
		require.NoError(e.t, json.Unmarshal([]byte(valid), &fields))
		for _, value := range []any{m.email(), "/" + m.email(), m.email() + "/", object{string(m): m.email()}, []any{m.email(), 1}} {
			fields[f] = value
			text, err := json.Marshal(fields)
			require.NoError(e.t, err)
			texts = append(texts, string(text))
		}
	}
	k, q := kinesis.NewFromConfig(e.AWS.Config()), sqs.NewFromConfig(e.AWS.Config())
	queue, err := q.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("IamUserQueue.fifo")})
	require.NoError(e.t, err)
	for i, text := range texts {
		_, err := k.PutRecord(ctx, &kinesis.PutRecordInput{
			StreamName: aws.String(e.Names.Stream), PartitionKey: aws.String(m.email()), Data: []byte(text),
		})
		require.NoError(e.t, err)
		_, err = q.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: queue.QueueUrl, MessageBody: aws.String(text),
			MessageGroupId: aws.String("other"), MessageDeduplicationId: aws.String(strconv.Itoa(i)),
		})
		require.NoError(e.t, err)
	}
	text := func(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
	userStream, one := text("org/iam/user/"+dan), &types.AttributeValueMemberN{Value: "1"}
	for i, item := range []map[string]types.AttributeValue{
		{"stream": text(m.email())},
		{"stream": userStream, "id": text("1"), "name": text(m.email()), "schema": text(m.email())},
		{"stream": userStream, "id": text("1"), "name": text("x"), "schema": one, "data": text(m.email())},
		{"stream": userStream, "id": text("1"), "name": text("x"), "schema": one, "data": text("{}"), "recorded_at": text(m.email())},
		{"stream": userStream, "id": text("1"), "name": text("x"), "schema": one, "data": text("{}"), "metadata": text(m.email())},
		{"stream": userStream, string(m): text("1")},
	} {
		item["version"] = &types.AttributeValueMemberN{Value: strconv.Itoa(1_000 + i)}
		_, err := e.DB.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(e.Names.EventLog), Item: item})
		require.NoError(e.t, err)
	}
	assert.Eventually(e.t, func() bool {
		return sum(e.t, e.Broker, "leftfold_route_undecodable_total") >= 30 && sum(e.t, e.Streamer, "leftfold_publish_undecodable_total") >= 6 &&
			sum(e.t, e.ProjectorUser, "leftfold_fifoqueue_rejected_total") >= 30
	}, 20*time.Second, 10*time.Millisecond)
}

// crashes kills every service during its work.
func (e *emitted) crashes(m mark) {
	e.t.Helper()
	for s, operation := range map[*systemtest.Service]string{
		e.CommandAPI: "TransactWriteItems", e.Streamer: "PutRecords", e.Broker: "SendMessageBatch",
		e.ProjectorUser: "PutItem", e.ProjectorRole: "DeleteMessageBatch", e.ProjectorAudit: "TransactWriteItems",
	} {
		killed := s.KillAfter(operation)
		e.try(post("/users", object{"email": newID() + m.email()}))
		<-killed
		require.NoError(e.t, s.Start(e.t.Context()))
	}
}

// heal loses a message of each queue, so that the next one reveals a gap.
func (e *emitted) heal(m mark) {
	e.t.Helper()
	id := newID()
	e.must(202, post("/users", object{"id": id, "email": "heal-" + m.email()}))
	userAt(e.api, id, 1)
	userInRoles(e.api, id, 1)
	require.NoError(e.t, e.ProjectorUser.Stop())
	e.must(202, put("/users/"+id, object{"firstName": m.name(), "lastName": m.name()}))
	userInRoles(e.api, id, 2)
	e.lose("IamUserQueue.fifo", id, 1)
	require.NoError(e.t, e.ProjectorUser.Start(e.t.Context()))
	e.must(202, put("/users/"+id+"/disable", nil))
	assert.Equal(e.t, m.name(), userAt(e.api, id, 3).LastName)
}

// faults injects every fault of AWS until each has occurred.
func (e *emitted) faults(m mark) {
	e.t.Helper()
	kinds := []localaws.FaultKind{
		localaws.FaultFail, localaws.FaultThrottle, localaws.FaultLoseAnswer, localaws.FaultPartial, localaws.FaultTransactionConflict,
		localaws.FaultRedeliver, localaws.FaultDuplicate, localaws.FaultExpireIterator,
	}
	for _, kind := range kinds {
		fault := localaws.Fault{Kind: kind, Operation: "*", Probability: 1, Limit: 4}
		require.NoError(e.t, e.AWS.SetFaults(localaws.Faults{Faults: []localaws.Fault{fault}}))
		strikes := func() (n int64) {
			for _, of := range e.AWS.FaultReport().Faults[0].Strikes {
				n += of
			}
			return n
		}
		for i := 0; i < 8 || strikes() < 4; i++ {
			e.try(post("/users", object{"email": fmt.Sprintf("%s-%d-%s", kind, i, m.email())}))
			e.try(systemtest.Request{Method: http.MethodGet, Path: "/users?contains=email:" + m.email()})
			time.Sleep(10 * time.Millisecond) // virtual: the readers poll
			require.Less(e.t, i, 10_000, "%s never occurred", kind)
		}
	}
	require.NoError(e.t, e.AWS.SetFaults(localaws.Faults{}))
	last := newID()
	e.must(202, post("/users", object{"id": last, "email": "last-" + m.email()}))
	userAt(e.api, last, 1)
	userInRoles(e.api, last, 1)
}
