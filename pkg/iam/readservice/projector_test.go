package readservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// model keeps what it receives; it applies at most `most` records, then fails with err.
type model struct {
	got         []eventsourcing.Record
	correlation telemetry.Correlation
	calls, most int
	err         error
}

func (m *model) Apply(ctx context.Context, records []eventsourcing.Record) (int, error) {
	m.calls++
	m.correlation = telemetry.CorrelationOf(ctx)
	m.got = append(m.got, records...)
	if m.err != nil {
		return m.most, m.err
	}
	return len(records), nil
}

const group = "test/thing/x"

func record(stream string, v eventsourcing.Version) eventsourcing.Record {
	id, err := eventsourcing.ParseStreamID(stream)
	if err != nil {
		panic(err)
	}
	return eventsourcing.Record{
		ID: fmt.Sprintf("%s#%d", stream, v), Stream: id, Version: v, Name: "test/thing/happened", Schema: 1,
		Data: json.RawMessage(`{}`), RecordedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Metadata: eventsourcing.Metadata{CorrelationID: fmt.Sprintf("request-%d", v), CausationID: fmt.Sprintf("command-%d", v)},
	}
}

func message(t *testing.T, r eventsourcing.Record) fifoqueue.Message {
	t.Helper()
	body, err := envelope.Encode(r)
	require.NoError(t, err)
	return fifoqueue.Message{Group: r.Stream.String(), Body: body}
}

func TestHandlerAppliesTheMessagesOfAGroup(t *testing.T) {
	t.Parallel()
	m := &model{}
	one, two := record(group, 1), record(group, 2)
	handle := readservice.Handler(m, noop.Tracer{}, "project", unseen)
	done, err := handle(t.Context(), group, []fifoqueue.Message{message(t, one), message(t, two)})
	require.NoError(t, err)
	assert.Equal(t, 2, done)
	assert.Equal(t, []eventsourcing.Record{one, two}, m.got)
	assert.Equal(t, 1, m.calls, "a run is applied at once")
	assert.Equal(t, telemetry.Correlation{CorrelationID: "request-2", CausationID: "command-2"}, m.correlation)
}

func TestHandlerRejectsInvalidMessagesAndOtherStreams(t *testing.T) {
	t.Parallel()
	garbage := fifoqueue.Message{Group: group, Body: []byte(`{`)}
	other := message(t, record("test/thing/y", 1))
	one, two, three := message(t, record(group, 1)), message(t, record(group, 2)), message(t, record(group, 3))
	for name, tt := range map[string]struct {
		messages []fifoqueue.Message
		done     int
	}{
		"garbage first":             {[]fifoqueue.Message{garbage, one}, 0},
		"garbage in the middle":     {[]fifoqueue.Message{one, two, garbage, three}, 2},
		"garbage last":              {[]fifoqueue.Message{one, garbage}, 1},
		"another stream's":          {[]fifoqueue.Message{one, other, two}, 1},
		"nothing but what is wrong": {[]fifoqueue.Message{other, garbage}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := &model{}
			done, err := readservice.Handler(m, noop.Tracer{}, "project", unseen)(t.Context(), group, tt.messages)
			require.ErrorIs(t, err, fifoqueue.ErrRejected)
			assert.Equal(t, tt.done, done, "the index of the one to reject")
			assert.Len(t, m.got, tt.done, "those before it are applied")
		})
	}
}

func TestHandlerReturnsFailuresWithoutRejecting(t *testing.T) {
	t.Parallel()
	away := errors.New("throttled")
	m := &model{most: 1, err: away}
	done, err := readservice.Handler(m, noop.Tracer{}, "project", unseen)(t.Context(), group, []fifoqueue.Message{
		message(t, record(group, 1)), message(t, record(group, 2)), {Group: group, Body: []byte(`{`)},
	})
	require.ErrorIs(t, err, away)
	require.NotErrorIs(t, err, fifoqueue.ErrRejected, "the second is to be tried again, not rejected")
	assert.Equal(t, 1, done)
}

type happened struct{}

func (happened) EventName() string { return "test/thing/happened" }

type row struct {
	Times int `dynamodbav:"times"`
}

func source() projection.Source {
	codec := eventsourcing.NewCodec[eventsourcing.Event](happened{})
	return projection.NewSource(projection.Spec[row, eventsourcing.Event]{
		Category: "test/thing", Row: "thing", Codec: codec,
		Fold: func(r row, _ eventsourcing.Event, _ eventsourcing.Record) row { return row{r.Times + 1} },
	})
}

var names = defaults()

func defaults() (n topology.Names) {
	if err := service.LoadConfig(service.Fixed(nil), &n); err != nil {
		panic(err)
	}
	return n
}

// TestServiceProjectsMessagesToRows sends three messages and reads the row that they make.
func TestServiceProjectsMessagesToRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{})
		require.NoError(t, provision.Run(t.Context(), server.Config(), provision.Config{Names: names}))
		queues := sqs.NewFromConfig(server.Config())
		reader := make(chan readservice.Reader, 1)
		app, err := readservice.New(t.Context(), readservice.Config{
			Name: "things", EventLog: names.EventLog, Table: names.Users, Queue: names.UserQueue,
			Shapes: []generation.Shape{{Number: 1, Sources: []projection.Source{source()}}}, Generations: names.Generations,
			Routes: func(_ huma.API, r readservice.Reader, _ history.Log) { reader <- r },
		}, platform(server))
		require.NoError(t, err)
		for _, c := range app.Checks {
			require.NoError(t, c.Probe(t.Context()), c.Name)
		}
		app.Routes(httpapi.NewAPI(httpapi.NewRouter(slog.New(slog.DiscardHandler))))

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- app.Parts[0].Run(ctx) }()
		url, err := fifoqueue.QueueURL(t.Context(), queues, names.UserQueue)
		require.NoError(t, err)
		var out []fifoqueue.Outgoing
		for v := range eventsourcing.Version(3) {
			out = append(out, fifoqueue.Outgoing{
				Group: group, DeduplicationID: fmt.Sprint(v), Body: message(t, record(group, v+1)).Body,
			})
		}
		require.NoError(t, fifoqueue.NewPublisher(queues, url, retry.Backoff{}).Publish(t.Context(), out))
		var got row
		found, err := (<-reader).Await(t.Context(), "x", "thing", 3, time.Minute, &got)
		require.NoError(t, err)
		assert.True(t, found)
		assert.Equal(t, row{3}, got)
		stop()
		require.NoError(t, <-ended)
		server.Close()
	})
}

func TestAMissingQueueIsNamed(t *testing.T) {
	t.Parallel()
	server := localaws.New(localaws.Options{})
	defer server.Close()
	config := readservice.Config{
		Name: "things", EventLog: "log", Table: "things", Queue: "q.fifo", Generations: "generations",
		Shapes: []generation.Shape{{Number: 1, Sources: []projection.Source{source()}}},
	}
	_, err := readservice.New(t.Context(), config, platform(server))
	require.ErrorContains(t, err, "queue q.fifo")
	_, err = sqs.NewFromConfig(server.Config()).CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: &config.Queue, Attributes: fifoqueue.DeadLetterAttributes(),
	})
	require.NoError(t, err)
	_, err = readservice.New(t.Context(), config, platform(server))
	require.ErrorContains(t, err, "queue q-dlq.fifo")
}

func unseen(fifoqueue.Message, eventsourcing.Record) {}

func platform(server *localaws.Server) service.Platform {
	return service.Platform{
		AWS: server.Config(), Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Now: time.Now, Instance: "test",
	}
}
