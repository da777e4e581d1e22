package check_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/setaside"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// patience bounds waiting for what usually takes milliseconds, however busy the machine.
const patience = 2 * time.Minute

// scenario uses every operation of the services.
type scenario struct {
	t    *testing.T
	s    *systemtest.System
	sent []string                          // service, method and path of each request
	ill  map[string]eventsourcing.StreamID // by projection: an aggregate with an unknown event, which parks it
}

// send sends a request to an API, a command twice, and returns the ID in the receipt.
func (p *scenario) send(status int, method, path string, body any) string {
	p.t.Helper()
	in := systemtest.Request{Method: method, Path: path, Body: body, Header: http.Header{"Idempotency-Key": {uuid.NewString()}}}
	r, err := http.NewRequestWithContext(p.t.Context(), method, path, http.NoBody)
	require.NoError(p.t, err)
	p.sent = append(p.sent, topology.ServiceFor(r.Method, r.URL.Path)+" "+method+" "+r.URL.Path)
	var a systemtest.Answer
	waittest.Until(p.t, path, func() (any, bool) { // a read waits for a version for 10 s, which may be too little on a busy machine
		a, err = p.s.Do(p.t.Context(), in)
		require.NoError(p.t, err)
		return a.Status, a.Status != http.StatusPreconditionFailed || status == http.StatusPreconditionFailed
	})
	require.Equal(p.t, status, a.Status, "%s %s: %s", method, path, a.Body)
	if method == http.MethodGet || status >= 300 {
		return ""
	}
	again, err := p.s.Do(p.t.Context(), in)
	require.NoError(p.t, err)
	require.Equal(p.t, a.Body, again.Body, "the same key gives the same answer")
	receipt, err := systemtest.Decode[systemtest.Receipt](a)
	require.NoError(p.t, err)
	return receipt.ID
}

// try sends a command as a dry run.
func (p *scenario) try(path string, body any) {
	p.t.Helper()
	a, err := p.s.Do(p.t.Context(), systemtest.Request{Method: http.MethodPut, Path: path + "?dry_run=true", Body: body})
	require.NoError(p.t, err)
	require.Equal(p.t, http.StatusOK, a.Status, "%s", a.Body)
}

// run sends every command and read, refused ones too, and appends unknown events.
func (p *scenario) run() {
	t, s, send := p.t, p.s, p.send
	t.Helper()
	type object map[string]any
	dan := send(202, http.MethodPost, "/users", object{"email": "dan@example.com"})
	role := send(202, http.MethodPost, "/roles", object{"name": "auditor"})
	for range 3 {
		send(202, http.MethodPut, "/users/"+dan+"/disable", nil)
		send(202, http.MethodPut, "/users/"+dan+"/enable", nil)
	}
	send(202, http.MethodPut, "/users/"+dan, object{"firstName": "Dan", "lastName": "Lee"})
	p.try("/users/"+dan+"/email", object{"email": "d@example.com"})
	send(202, http.MethodPut, "/users/"+dan+"/email", object{"email": "d@example.com"})
	send(409, http.MethodPost, "/users", object{"email": "d@example.com"})
	send(202, http.MethodPost, "/users/"+dan+"/roles", object{"roleId": role})
	var seen struct{ projection.Fence }
	_, err := s.Roles().Await(t.Context(), dan, "user", 10, patience, &seen) // it has a member
	require.NoError(t, err)
	send(200, http.MethodGet, "/users/"+dan+"?min_version=10&wait=10s", nil)
	send(200, http.MethodGet, "/users", nil)
	send(200, http.MethodGet, "/roles/"+role+"?min_version=1&wait=10s", nil)
	send(202, http.MethodPut, "/roles/"+role, object{"name": "examiner"})
	send(202, http.MethodDelete, "/users/"+dan+"/roles/"+role, nil)
	send(200, http.MethodGet, "/users/"+dan+"?min_version=11&wait=10s", nil)
	send(202, http.MethodPut, "/roles/"+role+"/disable", nil)
	send(202, http.MethodPut, "/roles/"+role+"/enable", nil)
	send(200, http.MethodGet, "/roles/"+role+"?min_version=4&wait=10s", nil)
	p.rules(dan, role)
	for _, path := range []string{
		"/users", "/users?contains=email:d", "/users?email=d@example.com", "/roles", "/roles/" + role + "/users",
		"/users/" + dan + "/events", "/users/" + dan + "?as_of=1", "/roles/" + role + "/events", "/roles/" + role + "?as_of=1",
		"/events?actor=anonymous",
	} {
		send(200, http.MethodGet, path, nil)
	}
	_, err = s.Roles().Await(t.Context(), dan, "user", 11, patience, &seen)
	require.NoError(t, err)
	_, err = s.Users().Await(t.Context(), role, "role", 4, patience, &seen)
	require.NoError(t, err)

	ill := eventsourcing.StreamID{Category: user.Category, ID: send(202, http.MethodPost, "/users", object{"email": "ill@example.com"})}
	p.teleport(ill, 2)
	p.ill = map[string]eventsourcing.StreamID{"users": ill, "roles": ill, "audit-trail": ill}
	for _, of := range s.Names.Projections() {
		if p.ill[of.Name].ID == "" { // an aggregate that was added: its operations as documented
			for _, r := range s.Examples(t, of.Collection) {
				status := 202
				if r.Method == http.MethodGet {
					status = 200
					if strings.Count(r.Path, "/") == 2 {
						r.Path += "?min_version=1&wait=10s"
					}
				}
				send(status, r.Method, r.Path, r.Body)
			}
			p.ill[of.Name] = eventsourcing.StreamID{Category: of.Categories[0], ID: uuid.NewString()}
			p.teleport(p.ill[of.Name], 1)
		}
		var parked projection.Parked
		head := map[bool]eventsourcing.Version{true: 2, false: 1}[p.ill[of.Name] == ill]
		model := projection.Reader{DB: s.DB, Table: of.Table}
		_, err := model.Await(t.Context(), p.ill[of.Name].ID, "parked#"+row(p.ill[of.Name]), head, patience, &parked)
		require.NoError(t, err)
	}
}

// rules gives roles rules, grants ends, and retires a role, of which the API refuses what only a process may ask for.
func (p *scenario) rules(id, role string) {
	p.t.Helper()
	type object map[string]any
	user := "/users/" + id
	end := object{"until": time.Now().Add(time.Hour)}
	other := p.send(202, http.MethodPost, "/roles", object{"name": "operator", "maxMembers": 2})
	for _, granted := range []string{role, other} { // the user is a holder of both, so to disable it reads two scopes
		p.send(202, http.MethodPost, user+"/roles", object{"roleId": granted})
	}
	p.send(202, http.MethodPut, "/roles/"+role+"/rules", object{"essential": true, "maxMembers": 0})
	p.send(409, http.MethodPut, user+"/disable", nil)
	p.send(202, http.MethodPut, user+"/roles/"+other, end)
	p.send(409, http.MethodPut, user+"/roles/"+other+"/expire", end)
	p.send(202, http.MethodDelete, user+"/roles/"+other, nil)
	for _, what := range []string{"/cancel", "/complete"} {
		p.send(409, http.MethodPut, "/roles/"+other+"/retire"+what, nil)
	}
	p.send(202, http.MethodPut, "/roles/"+other+"/retire", nil)
	waittest.Until(p.t, "the role is retired", func() (any, bool) {
		a, err := p.s.Do(p.t.Context(), systemtest.Request{Method: http.MethodGet, Path: "/roles/" + other + "/retirement"})
		require.NoError(p.t, err)
		return a.Status, strings.Contains(string(a.Body), `"state":"done"`)
	})
	p.send(200, http.MethodGet, "/roles/"+other+"/retirement", nil)
}

// row is the name of a stream's own row in a projection.
func row(stream eventsourcing.StreamID) string { return path.Base(stream.Category) }

// teleport appends an unknown event.
func (p *scenario) teleport(stream eventsourcing.StreamID, version eventsourcing.Version) {
	p.t.Helper()
	require.NoError(p.t, p.s.EventLog.Append(p.t.Context(), eventsourcing.Commit{
		Stream: stream, Expected: version - 1, Records: []eventsourcing.Record{{
			ID: uuid.NewString(), Stream: stream, Version: version, Name: stream.Category + "/teleported", Schema: 1, Data: []byte(`{}`),
			RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
		}},
	}))
}

// heal makes the unknown event one that the build knows, as another build would: it has the name of another event of its category.
func (p *scenario) heal(stream eventsourcing.StreamID) {
	p.t.Helper()
	version, name := "1", ""
	for record, err := range p.s.EventLog.All(p.t.Context(), 1) {
		require.NoError(p.t, err)
		switch {
		case record.Stream == stream:
			version = fmt.Sprint(max(record.Version, 1))
		case record.Stream.Category == stream.Category && record.Version > 1 && (name == "" || record.Name < name):
			name = record.Name
		}
	}
	_, err := p.s.DB.UpdateItem(p.t.Context(), &dynamodb.UpdateItemInput{
		TableName: &p.s.Names.EventLog, UpdateExpression: aws.String("SET #n = :n"),
		Key: map[string]types.AttributeValue{
			"stream": &types.AttributeValueMemberS{Value: stream.String()}, "version": &types.AttributeValueMemberN{Value: version},
		},
		ExpressionAttributeNames:  map[string]string{"#n": "name"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":n": &types.AttributeValueMemberS{Value: name}},
	})
	require.NoError(p.t, err)
}

// admin sends a request to the admin address of a service and returns the answer.
func (p *scenario) admin(status int, service *systemtest.Service, method, path string) []byte {
	p.t.Helper()
	operation, _, _ := strings.Cut(path, "?")
	p.sent = append(p.sent, service.Name+" "+method+" "+operation)
	answer := service.Admin(httptest.NewRequestWithContext(p.t.Context(), method, path, http.NoBody))
	body, err := io.ReadAll(answer.Body)
	require.NoError(p.t, err)
	require.NoError(p.t, answer.Body.Close())
	require.Equal(p.t, status, answer.StatusCode, "%s %s %s: %s", service.Name, method, path, body)
	return body
}

// operate does what an operator does: it asks for health, redrives the parked aggregate, in vain and then with success, and lets
// each projection catch up with an aggregate that it has lost. It also sends each projector a message that it cannot decode.
func (p *scenario) operate() {
	t, s := p.t, p.s
	t.Helper()
	for _, service := range s.Services() {
		p.admin(200, service, http.MethodGet, "/readyz")
		p.admin(200, service, http.MethodGet, "/journey?event=any")
	}
	projectors := s.Projectors()
	redrive := func(status int, i int) {
		of := s.Names.Projections()[i]
		p.admin(200, projectors[i], http.MethodGet, "/projections/"+of.Name+"/parked")
		p.admin(status, projectors[i], http.MethodPost, "/projections/"+of.Name+"/parked/"+p.ill[of.Name].String()+"/redrive")
	}
	for i := range projectors {
		redrive(409, i)
	}
	for _, stream := range p.ill {
		p.heal(stream)
	}
	for i, of := range s.Names.Projections() {
		service, ill := projectors[i], p.ill[of.Name]
		redrive(200, i)
		p.admin(200, service, http.MethodPost, "/projections/"+of.Name+"/streams/"+ill.String()+"/rebuild")
		for _, category := range of.Categories {
			none := category + "/" + uuid.NewString()
			p.admin(404, service, http.MethodPost, "/projections/"+of.Name+"/streams/"+none+"/rebuild")
			p.admin(404, service, http.MethodPost, "/projections/"+of.Name+"/parked/"+none+"/redrive")
		}
		_, err := s.DB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &of.Table, Key: map[string]types.AttributeValue{
			"id": &types.AttributeValueMemberS{Value: ill.ID}, "row": &types.AttributeValueMemberS{Value: row(ill)},
		}})
		require.NoError(t, err)
		p.admin(200, service, http.MethodGet, "/projections/"+of.Name+"/generations")
		p.admin(409, service, http.MethodPost, "/projections/"+of.Name+"/generations/switch")
		p.admin(200, service, http.MethodGet, "/projections/"+of.Name+"/generations/step")
		p.admin(202, service, http.MethodPost, "/projections/"+of.Name+"/audit")
		require.Contains(t, p.catchUp(service, of.Name), `"behind":1,`)
		p.sendUndecodable(of.Queue)
	}
	heard := s.Names.Processes()
	p.admin(200, s.Processor, http.MethodGet, "/projections/"+heard.Name+"/parked")
	for _, category := range heard.Categories {
		p.admin(404, s.Processor, http.MethodPost, "/projections/"+heard.Name+"/parked/"+category+"/"+uuid.NewString()+"/redrive")
	}
	p.catchUp(s.Processor, heard.Name)
	p.sendUndecodable(heard.Queue)
	p.setAside()
	for i, of := range s.Names.Projections() {
		path := "/projections/" + of.Name + "/audit"
		for range 20 { // half minutes: an audit that suspects something looks again after two minutes
			if strings.Contains(string(p.admin(200, projectors[i], http.MethodGet, path)), `"state":"done"`) {
				break
			}
			time.Sleep(30 * time.Second)
		}
		require.Contains(t, string(p.admin(200, projectors[i], http.MethodGet, path)), `"state":"done"`)
	}
}

// catchUp has a service catch up with the log, and returns its answer.
func (p *scenario) catchUp(of *systemtest.Service, name string) string {
	p.t.Helper()
	path := "/projections/" + name + "/catch-up"
	p.admin(202, of, http.MethodPost, path)
	var state string
	waittest.Until(p.t, path, func() (any, bool) {
		state = string(p.admin(200, of, http.MethodGet, path))
		return state, !strings.Contains(state, `"running"`)
	})
	require.Contains(p.t, state, `"state":"done"`)
	return state
}

// setAside puts an item into the log that is no event, and a record into Kinesis, and waits until both are set aside.
func (p *scenario) setAside() {
	p.t.Helper()
	_, err := p.s.DB.PutItem(p.t.Context(), &dynamodb.PutItemInput{
		TableName: &p.s.Names.EventLog, Item: map[string]types.AttributeValue{
			"stream": &types.AttributeValueMemberS{Value: "org/iam/user/a b"}, "version": &types.AttributeValueMemberN{Value: "0"},
		},
	})
	require.NoError(p.t, err)
	_, err = kinesis.NewFromConfig(p.s.AWS.Config()).PutRecord(p.t.Context(), &kinesis.PutRecordInput{
		StreamName: &p.s.Names.Stream, PartitionKey: aws.String("k"), Data: []byte("{"),
	})
	require.NoError(p.t, err)
	list := setaside.NewList(p.s.DB, p.s.Names.SetAside, time.Now)
	waittest.Until(p.t, "two entries of what was set aside", func() (any, bool) {
		n := 0
		for _, err := range list.All(p.t.Context()) {
			require.NoError(p.t, err)
			n++
		}
		return n, n == 2
	})
}

// sendUndecodable sends a message that cannot be decoded, and waits for it in the dead-letter queue.
func (p *scenario) sendUndecodable(queue string) {
	p.t.Helper()
	client := sqs.NewFromConfig(p.s.AWS.Config())
	url, err := client.GetQueueUrl(p.t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	require.NoError(p.t, err)
	_, err = client.SendMessage(p.t.Context(), &sqs.SendMessageInput{
		QueueUrl: url.QueueUrl, MessageBody: aws.String("{"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
	})
	require.NoError(p.t, err)
	dead, err := client.GetQueueUrl(p.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(topology.DeadLetters(queue))})
	require.NoError(p.t, err)
	got, err := client.ReceiveMessage(p.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: dead.QueueUrl, WaitTimeSeconds: 10})
	require.NoError(p.t, err)
	require.Len(p.t, got.Messages, 1)
}

// verify fails the test for each operation, of any address of any service, that the scenario has not used.
func (p *scenario) verify() {
	p.t.Helper()
	declared := 0
	verify := func(service *systemtest.Service, text []byte) {
		var document struct {
			Paths map[string]map[string]json.RawMessage `json:"paths"`
		}
		require.NoError(p.t, json.Unmarshal(text, &document))
		for path, methods := range document.Paths {
			for method := range methods {
				declared++
				pattern := regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "[^/]+")
				used := regexp.MustCompile("^" + service.Name + " " + strings.ToUpper(method) + " " + pattern + "$")
				assert.True(p.t, slices.ContainsFunc(p.sent, used.MatchString), "the scenario uses %s", used)
			}
		}
	}
	for _, service := range p.s.Services() {
		verify(service, p.admin(200, service, http.MethodGet, "/openapi.json"))
		if service == p.s.Streamer || service == p.s.Broker { // they have no API
			continue
		}
		api := systemtest.Client{HTTP: &http.Client{Transport: service}, Base: "http://leftfold.test"}
		answer, err := api.Do(p.t.Context(), systemtest.Request{Method: http.MethodGet, Path: "/openapi.json"})
		require.NoError(p.t, err)
		verify(service, answer.Body)
	}
	assert.Greater(p.t, declared, 20)
}
