package e2e_test

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// traced is a system whose spans are recorded.
type traced struct {
	api
	tracing    *telemetry.Tracing
	kept       keptSpans
	registries *[]prometheus.Gatherer // of every life of every service
}

// keptSpans is an exporter that keeps its spans at its shutdown.
type keptSpans struct{ *tracetest.InMemoryExporter }

func (keptSpans) Shutdown(context.Context) error { return nil }

func newTraced(t *testing.T, env map[string]string, with ...func(*service.Platform)) traced {
	t.Helper()
	kept := keptSpans{tracetest.NewInMemoryExporter()}
	tracing, err := telemetry.NewTracing(telemetry.TracingConfig{}, telemetry.TracingOptions{
		Exporter: kept, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { tracing.Shutdown(context.WithoutCancel(t.Context())) })
	var mu sync.Mutex
	var registries []prometheus.Gatherer
	sys := systemtest.New(t, env, append(with, func(p *service.Platform) {
		p.Tracing = tracing
		if registry, ok := p.Metrics.(prometheus.Gatherer); assert.True(t, ok) {
			mu.Lock()
			defer mu.Unlock()
			registries = append(registries, registry)
		}
	})...)
	return traced{api{sys, t}, tracing, kept, &registries}
}

// spans stops everything and returns what was recorded.
func (a traced) spans() tracetest.SpanStubs {
	a.t.Helper()
	for _, s := range a.Services() {
		require.NoError(a.t, s.Stop())
	}
	a.tracing.Shutdown(a.t.Context())
	return a.kept.GetSpans()
}

// in sends a request as part of a client's trace.
func (a traced) in(trace traceID, method, path string, body any) systemtest.Receipt {
	a.t.Helper()
	answer, err := a.Do(a.t.Context(), systemtest.Request{
		Method: method, Path: path, Body: body, Header: http.Header{"Traceparent": {"00-" + string(trace) + "-00000000000000c1-01"}},
	})
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusAccepted, answer.Status, "%s", answer.Body)
	receipt, err := systemtest.Decode[systemtest.Receipt](answer)
	require.NoError(a.t, err)
	return receipt
}

type traceID string

func traceNumber(n int) traceID { return traceID(fmt.Sprintf("%032x", n)) }

func attributesOf(s tracetest.SpanStub) map[string]string {
	out := map[string]string{}
	for _, kv := range s.Attributes {
		out[string(kv.Key)] = kv.Value.String()
	}
	return out
}

func serviceOf(s tracetest.SpanStub) string {
	for _, kv := range s.Resource.Attributes() {
		if kv.Key == "service.name" {
			return kv.Value.AsString()
		}
	}
	return ""
}

// tree formats a trace, children indented, in the order of services and names; repeated spans appear once.
func tree(spans tracetest.SpanStubs, id traceID) string {
	children := map[trace.SpanID][]tracetest.SpanStub{}
	known := map[trace.SpanID]bool{}
	for _, s := range spans {
		known[s.SpanContext.SpanID()] = true
	}
	for _, s := range spans {
		if s.SpanContext.TraceID().String() != string(id) {
			continue
		}
		parent := s.Parent.SpanID()
		if !known[parent] {
			parent = trace.SpanID{} // the client's
		}
		children[parent] = append(children[parent], s)
	}
	order := slices.Concat(processes.ServiceNames())
	var draw func(parent trace.SpanID, indent string) []string
	draw = func(parent trace.SpanID, indent string) (lines []string) {
		below := children[parent]
		slices.SortStableFunc(below, func(a, b tracetest.SpanStub) int {
			return cmp.Or(cmp.Compare(slices.Index(order, serviceOf(a)), slices.Index(order, serviceOf(b))), a.StartTime.Compare(b.StartTime))
		})
		for _, s := range below {
			lines = append(lines, indent+serviceOf(s)+": "+s.Name)
			lines = append(lines, draw(s.SpanContext.SpanID(), indent+"  ")...)
		}
		return lines
	}
	return strings.Join(draw(trace.SpanID{}, ""), "\n")
}

// find returns the span of that name in a trace; "" means any trace.
func find(t *testing.T, spans tracetest.SpanStubs, id traceID, name string) tracetest.SpanStub {
	t.Helper()
	i := slices.IndexFunc(spans, func(s tracetest.SpanStub) bool {
		return s.Name == name && (id == "" || s.SpanContext.TraceID().String() == string(id))
	})
	require.GreaterOrEqual(t, i, 0, "no span %q in trace %s:\n%s", name, id, tree(spans, id))
	return spans[i]
}

func linked(s tracetest.SpanStub) (out []traceID) {
	for _, l := range s.Links {
		out = append(out, traceID(l.SpanContext.TraceID().String()))
	}
	slices.Sort(out)
	return out
}

// TestOneTraceFromTheRequestToBothReadModels follows a single command: everything it causes is one trace.
func TestOneTraceFromTheRequestToBothReadModels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTraced(t, nil)
		id := traceNumber(1)
		user := a.in(id, http.MethodPost, "/users", object{"email": "dan@example.com"}).ID
		userAt(a.api, user, 1)
		userInRoles(a.api, user, 1)
		records, err := a.Records(t.Context())
		require.NoError(t, err)
		spans := a.spans()

		assert.Equal(t, strings.TrimSpace(`
command-api: POST /users
  command-api: registerUser
    command-api: DynamoDB.TransactWriteItems
    streamer: publish
      streamer: Kinesis.PutRecords
    broker: route
      broker: SQS.SendMessageBatch
    broker: route
      broker: SQS.SendMessageBatch
    broker: route
      broker: SQS.SendMessageBatch
    broker: route
      broker: SQS.SendMessageBatch
    processor: project processes
      processor: DynamoDB.GetItem
      processor: DynamoDB.Query
      processor: DynamoDB.PutItem
    projector-user: project users
      projector-user: DynamoDB.PutItem
    projector-role: project roles
      projector-role: DynamoDB.PutItem
    projector-audit: project audit-trail
      projector-audit: DynamoDB.TransactWriteItems`), tree(spans, id))

		request, command := find(t, spans, id, "POST /users"), find(t, spans, id, "registerUser")
		assert.Equal(t, "00000000000000c1", request.Parent.SpanID().String(), "the client's span")
		assert.Equal(t, map[string]string{
			"http.request.method": "POST", "http.route": "/users", "http.response.status_code": "202",
		}, attributesOf(request))
		assert.Equal(t, "accepted", attributesOf(command)["leftfold.outcome"])
		for _, recs := range records {
			for _, r := range recs {
				assert.Equal(t, fmt.Sprintf("00-%s-%s-01", id, command.SpanContext.SpanID()), r.Metadata.Traceparent)
			}
		}
		for name, kind := range map[string]trace.SpanKind{
			"POST /users": trace.SpanKindServer, "registerUser": trace.SpanKindInternal, "publish": trace.SpanKindProducer,
			"route": trace.SpanKindProducer, "project users": trace.SpanKindConsumer, "project roles": trace.SpanKindConsumer,
			"project audit-trail": trace.SpanKindConsumer,
			"DynamoDB.PutItem":    trace.SpanKindClient,
		} {
			assert.Equal(t, kind, find(t, spans, id, name).SpanKind, name)
		}
		assert.Equal(t, []string{
			"leftfold_command_seconds", "leftfold_http_request_seconds", "leftfold_project_seconds projection=audit-trail",
			"leftfold_project_seconds projection=processes", "leftfold_project_seconds projection=roles",
			"leftfold_project_seconds projection=users", "leftfold_publish_seconds", "leftfold_route_seconds",
		}, a.exemplars(id))
		text, err := os.ReadFile(observability)
		require.NoError(t, err)
		if !strings.Contains(string(text), "```\n"+tree(spans, id)+"\n```") {
			t.Errorf("%s shows another tree", observability)
		}
		for _, s := range spans {
			assert.Equal(t, codes.Unset, s.Status.Code, s.Name)
			if s.SpanContext.TraceID().String() != string(id) {
				assert.Equal(t, "GET /users/{id}", requestOf(spans, s).Name, "polls and leases make no traces")
			}
		}
	})
}

// exemplars returns the histograms with an exemplar of the trace.
func (a traced) exemplars(id traceID) (out []string) {
	for _, r := range *a.registries {
		families, err := r.Gather()
		require.NoError(a.t, err)
		for _, f := range families {
			for _, m := range f.GetMetric() {
				for _, b := range m.GetHistogram().GetBucket() {
					labels := b.GetExemplar().GetLabel()
					if len(labels) != 1 || labels[0].GetName() != "trace_id" || labels[0].GetValue() != string(id) {
						continue
					}
					name := f.GetName()
					for _, l := range m.GetLabel() {
						if l.GetName() == "projection" {
							name += " projection=" + l.GetValue()
						}
					}
					out = append(out, name)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

func requestOf(spans tracetest.SpanStubs, s tracetest.SpanStub) tracetest.SpanStub {
	for s.Parent.IsValid() && !s.Parent.IsRemote() {
		i := slices.IndexFunc(spans, func(p tracetest.SpanStub) bool { return p.SpanContext.SpanID() == s.Parent.SpanID() })
		s = spans[i]
	}
	return s
}

// TestBatchesAreLinkedToTheTracesInThem has events of several traces in one batch, of which Kinesis refuses some at first.
func TestBatchesAreLinkedToTheTracesInThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTraced(t, nil)
		require.NoError(t, a.Streamer.Stop())
		var users []string
		var ids []traceID
		for i := range 6 {
			ids = append(ids, traceNumber(i+1))
			users = append(users, a.in(ids[i], http.MethodPost, "/users", object{"email": fmt.Sprintf("user%d@example.com", i)}).ID)
		}
		require.NoError(t, a.AWS.SetFaults(localaws.Faults{Faults: []localaws.Fault{
			{Kind: localaws.FaultPartial, Operation: "Kinesis.PutRecords", Probability: 1, Limit: 1},
		}}))
		require.NoError(t, a.Streamer.Start(t.Context()))
		for _, id := range users {
			userAt(a.api, id, 1)
			userInRoles(a.api, id, 1)
		}
		spans := a.spans()

		published := map[traceID]bool{}
		for _, s := range spans {
			if s.Name != "publish" || len(s.Links) == 0 {
				continue
			}
			assert.False(t, s.Parent.IsValid(), "a batch of several traces begins one of its own")
			own := traceID(s.SpanContext.TraceID().String())
			assert.NotContains(t, ids, own)
			assert.Equal(t, strconv.Itoa(len(s.Links)), attributesOf(s)["messaging.batch.message_count"])
			assert.GreaterOrEqual(t, strings.Count(tree(spans, own), "streamer: Kinesis.PutRecords"), 1)
			for _, l := range s.Links {
				id := traceID(l.SpanContext.TraceID().String())
				published[id] = true
				assert.Equal(t, find(t, spans, id, "registerUser").SpanContext.SpanID(), l.SpanContext.SpanID(),
					"the span under which the event was appended")
			}
		}
		assert.NotEmpty(t, published, "no batch had events of two traces")
		assert.NotZero(t, a.AWS.FaultReport().Faults[0].Strikes["Kinesis.PutRecords"])
		for _, id := range ids { // each message group has one user, so that its trace continues alone
			for _, name := range []string{"project users", "project roles"} {
				projected := find(t, spans, id, name)
				assert.Equal(t, find(t, spans, id, "registerUser").SpanContext.SpanID(), projected.Parent.SpanID())
				assert.Contains(t, tree(spans, id), name+"\n")
			}
			if !published[id] {
				find(t, spans, id, "publish")
			}
		}
		split := 0
		for _, s := range spans {
			if s.Name == "Kinesis.PutRecords" {
				split++
			}
		}
		assert.Greater(t, split, 1, "what was refused is sent again")
	})
}

// TestAHealedEventIsLinkedToItsTrace loses a message, so that its event is read from the log on behalf of the next.
func TestAHealedEventIsLinkedToItsTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTraced(t, map[string]string{"COMMAND_CACHE": "0"})
		user := a.in(traceNumber(1), http.MethodPost, "/users", object{"email": "dan@example.com"}).ID
		userAt(a.api, user, 1)
		require.NoError(t, a.ProjectorUser.Stop())
		a.in(traceNumber(2), http.MethodPut, "/users/"+user, object{"firstName": "Dan", "lastName": "Lee"})
		userInRoles(a.api, user, 2)
		a.in(traceNumber(3), http.MethodPut, "/users/"+user+"/disable", nil)
		userInRoles(a.api, user, 3)
		a.lose("IamUserQueue.fifo", user, 2)
		require.NoError(t, a.ProjectorUser.Start(t.Context()))
		a.in(traceNumber(4), http.MethodPut, "/users/"+user+"/enable", nil)
		userAt(a.api, user, 4)
		spans := a.spans()

		projected := find(t, spans, traceNumber(4), "project users")
		assert.Equal(t, find(t, spans, traceNumber(4), "enableUser").SpanContext.SpanID(), projected.Parent.SpanID())
		assert.Equal(t, []traceID{traceNumber(2), traceNumber(3)}, linked(projected), "the events it healed")
		assert.Contains(t, tree(spans, traceNumber(4)), strings.Trim(`
    projector-user: project users
      projector-user: DynamoDB.GetItem
      projector-user: DynamoDB.GetItem
      projector-user: DynamoDB.Query
      projector-user: DynamoDB.PutItem`, "\n"), "one write of all three")
		for _, id := range []traceID{traceNumber(2), traceNumber(3)} {
			assert.NotContains(t, tree(spans, id), "project users")
			find(t, spans, id, "project roles")
		}
	})
}

// lose deletes n of a user's messages from a queue.
func (a api) lose(queue, userID string, n int) {
	a.t.Helper()
	client := sqs.NewFromConfig(a.AWS.Config())
	url, err := client.GetQueueUrl(a.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(queue)})
	require.NoError(a.t, err)
	deadline, cancel := context.WithTimeout(a.t.Context(), 10*time.Second)
	defer cancel()
	for n > 0 {
		out, err := client.ReceiveMessage(deadline, &sqs.ReceiveMessageInput{
			QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 1,
		})
		require.NoError(a.t, err)
		for _, m := range out.Messages {
			if !strings.Contains(aws.ToString(m.Body), userID) {
				continue // it becomes visible again
			}
			_, err := client.DeleteMessageBatch(deadline, &sqs.DeleteMessageBatchInput{
				QueueUrl: url.QueueUrl, Entries: []sqstypes.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: m.ReceiptHandle}},
			})
			require.NoError(a.t, err)
			n--
		}
	}
}
