package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/docs/eventdocs/eventdocstest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// store writes an event of a user into the log, in its first shape, as another build would have, bypassing the services.
func store(a api, userID string, version eventsourcing.Version, name, data string, facts ...eventsourcing.Enrichment) eventsourcing.Record {
	a.t.Helper()
	r := eventsourcing.Record{
		ID: newID(), Stream: eventsourcing.StreamID{Category: user.Category, ID: userID}, Version: version,
		Name: name, Schema: 1, Data: json.RawMessage(data), Enrichment: facts,
		RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
	require.NoError(a.t, a.EventLog.Append(a.t.Context(), eventsourcing.Commit{
		Stream: r.Stream, Expected: version - 1, Records: []eventsourcing.Record{r},
	}))
	return r
}

// TestEventsOfEarlierBuildsAreServed: events with a retired name or an earlier shape are folded and projected without a gap.
func TestEventsOfEarlierBuildsAreServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		roleID := a.accept(http.MethodPost, "/roles", object{"name": "auditor"}).ID
		id := a.accept(http.MethodPost, "/users", object{"email": "zoe@example.com"}).ID
		names := func(first, last string) object { return object{"firstName": first, "lastName": last} }

		store(a, id, 2, "org/iam/user/renamed", `{"name":{"first":"Zoë","last":"O'Hara"}}`)
		shown := userAt(a, id, 2)
		assert.Equal(t, []string{"Zoë", "O'Hara"}, []string{shown.FirstName, shown.LastName})
		assert.Equal(t, uint64(2), a.accept(http.MethodPut, "/users/"+id, names("Zoë", "O'Hara")).Version, "it has these names")

		a.accept(http.MethodPost, "/users/"+id+"/roles", object{"roleId": roleID})
		store(a, id, 4, "org/iam/user/updated", `{"addedLater":[1.10],"name":{"first":"Ann","last":"Lee","middle":"x"}}`)
		shown = userAt(a, id, 4)
		assert.Equal(t, []string{"Ann", "Lee"}, []string{shown.FirstName, shown.LastName})
		userInRoles(a, id, 4)
		members := roleAt(a, roleID, 1).Users
		require.Len(t, members, 1)
		assert.Equal(t, []string{"Ann", "Lee"}, []string{members[0].FirstName, members[0].LastName})

		assert.Equal(t, uint64(5), a.accept(http.MethodPut, "/users/"+id, names("Zoë", "O'Hara")).Version)
		assert.Equal(t, "Zoë", userAt(a, id, 5).FirstName)
		_, err := a.Audit(t.Context())
		require.NoError(t, err)
		for _, s := range a.Projectors() {
			assert.Zero(t, sum(t, s, "leftfold_projection_parked_total"), s.Name)
		}
	})
}

// TestPayloadsTravelByteForByte: unknown payloads reach the queues as they are in the log, with the same white space and notation of
// numbers.
func TestPayloadsTravelByteForByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		require.NoError(t, a.ProjectorUser.Stop()) // so that messages stay in its queue
		const data = `{ "name": {"last":"O", "first":"Zo\u00eb <&>", "first2": null},` +
			"\n\t" + `"big": 12345678901234567890.10, "exp": 1.0E+2, "b": 1, "a": [ {} ], "b": 2, "fox": "🦊" }`
		fact := eventsourcing.Enrichment{Aggregate: role.Category, ID: "r1", Data: json.RawMessage(`{ "n": 1.00, "name": "x" }`)}
		id := newID()
		store(a, id, 1, "org/iam/user/registered", fmt.Sprintf(`{"userId":%q,"email":"zoe@example.com"}`, id))
		written := store(a, id, 2, "org/iam/user/updated", data, fact)

		received := receive(a, a.Names.UserQueue, 2)
		body := []byte(*received[1].Body)
		var travelled struct {
			Data       json.RawMessage
			Enrichment []struct{ Data json.RawMessage }
		}
		require.NoError(t, json.Unmarshal(body, &travelled))
		assert.Equal(t, data, string(travelled.Data), "byte for byte") //nolint:testifylint // stricter than JSONEq
		require.Len(t, travelled.Enrichment, 1)
		assert.Equal(t, string(fact.Data), string(travelled.Enrichment[0].Data))
		got, err := envelope.Decode(body)
		require.NoError(t, err)
		assert.Equal(t, written, got)
		assert.True(t, slices.ContainsFunc(kinesisBodies(a), func(b []byte) bool { return bytes.Equal(b, body) }), "Kinesis has the same bytes")
		assert.Equal(t, []string{"org.iam.user.updated.v1"}, messageOf(t, messages(t), body))

		// A newer streamer may write more into the envelope; the broker forwards it unchanged.
		more := bytes.Replace(body, []byte(`"version":2`), []byte(`"version":3, "specVersion": 2.0`), 1)
		_, err = kinesis.NewFromConfig(a.AWS.Config()).PutRecord(t.Context(), &kinesis.PutRecordInput{
			StreamName: &a.Names.Stream, PartitionKey: aws.String(written.Stream.String()), Data: more,
		})
		require.NoError(t, err)
		assert.Equal(t, string(more), *receive(a, a.Names.UserQueue, 1)[0].Body)
	})
}

// receive receives n messages of one group from a queue, in order.
func receive(a api, queue string, n int) (out []sqstypes.Message) {
	a.t.Helper()
	client := sqs.NewFromConfig(a.AWS.Config())
	url, err := client.GetQueueUrl(a.t.Context(), &sqs.GetQueueUrlInput{QueueName: &queue})
	require.NoError(a.t, err)
	for len(out) < n {
		batch, err := client.ReceiveMessage(a.t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
			MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll},
		})
		require.NoError(a.t, err)
		require.NotEmpty(a.t, batch.Messages, "%s has %d messages, want %d", queue, len(out), n)
		for _, m := range batch.Messages {
			_, err := client.DeleteMessage(a.t.Context(), &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: m.ReceiptHandle})
			require.NoError(a.t, err)
		}
		out = append(out, batch.Messages...)
	}
	require.Len(a.t, out, n)
	return out
}

func kinesisBodies(a api) (out [][]byte) {
	for _, r := range kinesisRecords(a.t, a.System) {
		out = append(out, r.Data)
	}
	return out
}

func messages(t *testing.T) eventdocstest.Messages {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "asyncapi.yaml"))
	require.NoError(t, err)
	m, err := eventdocstest.NewMessages(text)
	require.NoError(t, err)
	return m
}

func messageOf(t *testing.T, m eventdocstest.Messages, body []byte) []string {
	t.Helper()
	names, err := m.Match(body)
	require.NoError(t, err)
	return names
}

// TestMessagesMatchTheAsyncAPIDocument sends every command, the last two by the processes, and checks each envelope, its enrichment and its
// keys against docs/asyncapi.yaml.
func TestMessagesMatchTheAsyncAPIDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		require.NoError(t, a.ProjectorUser.Stop())
		roleID := a.accept(http.MethodPost, "/roles", object{"name": "auditor"}).ID
		id := a.accept(http.MethodPost, "/users", object{"email": "zoe@example.com"}).ID
		at, now := "/users/"+id+"/roles/"+roleID, time.Now()
		send := func(requests ...systemtest.Request) {
			for _, r := range requests {
				a.accept(r.Method, r.Path, r.Body)
			}
		}
		send(
			systemtest.Request{Method: http.MethodPut, Path: "/users/" + id, Body: object{"firstName": "Zoë", "lastName": "O"}},
			systemtest.Request{Method: http.MethodPut, Path: "/users/" + id + "/email", Body: object{"email": "ann@example.com"}},
			systemtest.Request{Method: http.MethodPost, Path: "/users/" + id + "/roles", Body: object{"roleId": roleID}},
			systemtest.Request{Method: http.MethodPut, Path: "/users/" + id + "/disable"},
			systemtest.Request{Method: http.MethodPut, Path: "/users/" + id + "/enable"},
			systemtest.Request{Method: http.MethodPut, Path: at, Body: object{"until": now.Add(time.Hour)}},
			systemtest.Request{Method: http.MethodDelete, Path: at},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID, Body: object{"name": "inspector"}},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/disable"},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/enable"},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/rules", Body: object{"essential": false, "maxMembers": 9}},
			systemtest.Request{
				Method: http.MethodPost, Path: "/users/" + id + "/roles", Body: object{"roleId": roleID, "until": now.Add(time.Minute)},
			},
		)
		time.Sleep(2 * time.Minute) // the grant ends
		send(
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/retire"},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/retire/cancel"},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/enable"},
			systemtest.Request{Method: http.MethodPost, Path: "/users/" + id + "/roles", Body: object{"roleId": roleID}},
			systemtest.Request{Method: http.MethodPut, Path: "/roles/" + roleID + "/retire"},
		)
		time.Sleep(2 * time.Minute) // nobody holds the role any more
		described, left := messages(t), map[string]bool{}
		for _, m := range receive(a, a.Names.UserQueue, 22) {
			r, err := envelope.Decode([]byte(*m.Body))
			require.NoError(t, err)
			name := fmt.Sprintf("%s.v%d", strings.ReplaceAll(r.Name, "/", "."), r.Schema)
			left[r.Name] = true
			assert.Equal(t, []string{name}, messageOf(t, described, []byte(*m.Body)))
			assert.Equal(t, r.Stream.String(), m.Attributes["MessageGroupId"])
			assert.Equal(t, fmt.Sprintf("%s#%d", r.Stream, r.Version), m.Attributes["MessageDeduplicationId"])
			if r.Name == (user.RoleAdded{}).EventName() || r.Name == (user.RoleGranted{}).EventName() {
				want := `{"name":"inspector"}`
				if r.Version == 4 { // before it was renamed
					want = `{"name":"auditor"}`
				}
				require.Len(t, r.Enrichment, 1)
				assert.JSONEq(t, want, string(r.Enrichment[0].Data))
			}
		}
		for _, k := range slices.Concat(user.NewCodec().Known(), role.NewCodec().Known()) {
			assert.Equal(t, !k.Retired, left[k.Name], k.Name)
		}
		for _, r := range kinesisRecords(t, a.System) {
			assert.Len(t, messageOf(t, described, r.Data), 1, "%s", r.Data)
			e, err := envelope.Decode(r.Data)
			require.NoError(t, err)
			left[e.Name] = true
			assert.Equal(t, e.Stream.String(), aws.ToString(r.PartitionKey))
		}
		for category, names := range map[string][]string{
			grants.Category: {
				"awaited", "dropped", "timerSet", "timerCancelled", "timerFired", "commandsAsked", "commandAnswered",
			},
			retirement.Category: {"begun", "stopped", "revoked", "finished", "commandsAsked", "commandAnswered"},
		} {
			for _, name := range names {
				assert.True(t, left[category+"/"+name], "%s/%s", category, name)
			}
		}
	})
}
