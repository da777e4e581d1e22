package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTracingIsOffByDefault(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]telemetry.TracingConfig{
		"nothing set":      {},
		"none":             {Exporter: "none", Endpoint: "http://127.0.0.1:4318"},
		"disabled":         {Exporter: "otlp", Disabled: true},
		"disabled, either": {Endpoint: "http://127.0.0.1:4318", Disabled: true},
	} {
		tracing, err := telemetry.NewTracing(cfg, telemetry.TracingOptions{})
		require.NoError(t, err, name)
		assert.Equal(t, noop.NewTracerProvider(), tracing.For("broker"), name)
		tracing.Shutdown(t.Context())
	}
	var none *telemetry.Tracing
	assert.Equal(t, noop.NewTracerProvider(), none.For("broker"))
	assert.NotNil(t, none.Propagator())
	none.Shutdown(t.Context())
}

func TestInvalidTracingVariablesAreAllReported(t *testing.T) {
	t.Parallel()
	cfg := telemetry.TracingConfig{
		Exporter: "zipkin", Endpoint: "collector:4318", TracesEndpoint: "http://", Protocol: "grpc", TracesProtocol: "http/json",
		Sampler: "sometimes", Propagators: "tracecontext,b3", ResourceAttributes: "a=b,nonsense",
	}
	err := cfg.Validate()
	for _, want := range []string{
		"OTEL_TRACES_EXPORTER=zipkin: want otlp, console or none",
		"OTEL_EXPORTER_OTLP_ENDPOINT: want a URL such as http://127.0.0.1:4318",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: want a URL",
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc: want http/protobuf",
		"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json: want http/protobuf",
		"OTEL_TRACES_SAMPLER=sometimes: want always_on, always_off or traceidratio",
		"OTEL_PROPAGATORS=tracecontext,b3: want tracecontext, baggage or none",
		"OTEL_RESOURCE_ATTRIBUTES=a=b,nonsense: want key=value",
	} {
		require.ErrorContains(t, err, want)
	}
	_, err = telemetry.NewTracing(cfg, telemetry.TracingOptions{})
	require.Error(t, err)
	for _, ratio := range []string{"x", "-0.1", "1.1", "NaN"} {
		cfg := telemetry.TracingConfig{Sampler: "parentbased_traceidratio", SamplerArg: ratio}
		require.ErrorContains(t, cfg.Validate(), "OTEL_TRACES_SAMPLER_ARG="+ratio+": want a ratio from 0 to 1")
	}
}

// record lets a tracing make spans and returns what it exports.
func record(t *testing.T, cfg telemetry.TracingConfig, work func(*telemetry.Tracing)) tracetest.SpanStubs {
	t.Helper()
	out := &kept{InMemoryExporter: tracetest.NewInMemoryExporter()}
	tracing, err := telemetry.NewTracing(cfg, telemetry.TracingOptions{
		Exporter: out, Instance: "host-1", Version: "v1", Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	work(tracing)
	tracing.Shutdown(t.Context())
	return out.GetSpans()
}

// kept is an exporter that keeps its spans after its shutdown.
type kept struct{ *tracetest.InMemoryExporter }

func (kept) Shutdown(context.Context) error { return nil }

func span(t *testing.T, p trace.TracerProvider, parent string) {
	t.Helper()
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), eventtrace.Parse(parent))
	_, s := p.Tracer("test").Start(ctx, "work")
	s.End()
}

func TestSpansNameTheirService(t *testing.T) {
	t.Parallel()
	both := func(tracing *telemetry.Tracing) {
		span(t, tracing.For("streamer"), "")
		span(t, tracing.For("broker"), "")
	}
	attributes := func(s tracetest.SpanStub) map[string]string {
		out := map[string]string{}
		for _, kv := range s.Resource.Attributes() {
			out[string(kv.Key)] = kv.Value.String()
		}
		return out
	}
	cfg := telemetry.TracingConfig{ResourceAttributes: "deployment.environment.name=pre%20prod, service.version=v2"}
	spans := record(t, cfg, both)
	require.Len(t, spans, 2)
	first := attributes(spans[0])
	assert.Equal(t, "streamer", first["service.name"])
	assert.Equal(t, "broker", attributes(spans[1])["service.name"])
	assert.Equal(t, "host-1", first["service.instance.id"])
	assert.Equal(t, "pre prod", first["deployment.environment.name"])
	assert.Equal(t, "v2", first["service.version"], "the operator's word counts")
	assert.Equal(t, "go", first["telemetry.sdk.language"])

	cfg.ServiceName = "iam"
	for _, s := range record(t, cfg, both) {
		assert.Equal(t, "iam", attributes(s)["service.name"])
	}
}

func TestEachSamplerSamplesAsSpecified(t *testing.T) {
	t.Parallel()
	const sampled = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-01"
	const unsampled = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-00"
	for sampler, want := range map[string][3]bool{ // of a root, below a sampled parent, below an unsampled one
		"":                         {true, true, false},
		"always_on":                {true, true, true},
		"always_off":               {false, false, false},
		"traceidratio":             {true, true, true},
		"parentbased_always_on":    {true, true, false},
		"parentbased_always_off":   {false, true, false},
		"parentbased_traceidratio": {true, true, false},
	} {
		for i, parent := range []string{"", sampled, unsampled} {
			spans := record(t, telemetry.TracingConfig{Sampler: sampler}, func(tracing *telemetry.Tracing) { span(t, tracing.For("x"), parent) })
			assert.Equal(t, want[i], len(spans) == 1, "%s, parent %q", sampler, parent)
		}
	}
	none := telemetry.TracingConfig{Sampler: "traceidratio", SamplerArg: "0"}
	assert.Empty(t, record(t, none, func(tracing *telemetry.Tracing) { span(t, tracing.For("x"), "") }))
}

func TestABatchIsSampledIfOneOfItsEventsIs(t *testing.T) {
	t.Parallel()
	sampled := trace.Link{SpanContext: eventtrace.Parse("00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-01")}
	unsampled := trace.Link{SpanContext: eventtrace.Parse("00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-0000000000000001-00")}
	for _, tt := range []struct {
		sampler string
		links   []trace.Link
		want    bool
	}{
		{"parentbased_always_off", []trace.Link{unsampled, sampled}, true},
		{"parentbased_always_on", []trace.Link{unsampled}, false},
		{"always_off", []trace.Link{sampled}, false},
		{"always_on", []trace.Link{unsampled}, true},
	} {
		spans := record(t, telemetry.TracingConfig{Sampler: tt.sampler}, func(tracing *telemetry.Tracing) {
			_, s := tracing.For("x").Tracer("test").Start(t.Context(), "batch", trace.WithLinks(tt.links...))
			s.End()
		})
		assert.Equal(t, tt.want, len(spans) == 1, "%s, %d links", tt.sampler, len(tt.links))
	}
}

func TestTracesGoToACollector(t *testing.T) {
	t.Parallel()
	type request struct {
		path string
		body []byte
	}
	requests := make(chan request, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // a short one does not decode
		requests <- request{r.URL.Path, body}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer server.Close()
	for path, cfg := range map[string]telemetry.TracingConfig{
		"/v1/traces":      {Endpoint: server.URL},
		"/base/v1/traces": {Endpoint: server.URL + "/base/", Exporter: "otlp"},
		"/mine":           {Endpoint: "http://192.0.2.1", TracesEndpoint: server.URL + "/mine"},
		"/":               {TracesEndpoint: server.URL},
	} {
		tracing, err := telemetry.NewTracing(cfg, telemetry.TracingOptions{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		span(t, tracing.For("broker"), "")
		tracing.Shutdown(t.Context())
		got := <-requests
		assert.Equal(t, path, got.path)
		var sent otlp.ExportTraceServiceRequest
		require.NoError(t, proto.Unmarshal(got.body, &sent))
		assert.Equal(t, "work", sent.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName())
	}
}

func TestTracesGoToTheConsole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tracing, err := telemetry.NewTracing(telemetry.TracingConfig{Exporter: "console"}, telemetry.TracingOptions{
		Console: &out, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	span(t, tracing.For("broker"), "")
	tracing.Shutdown(t.Context())
	assert.Contains(t, out.String(), `"Name":"work"`)
}

// away is a collector that cannot be reached.
type away struct{ shutdown error }

func (away) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New("no route")
}
func (a away) Shutdown(context.Context) error { return a.shutdown }

func TestTracesThatCannotBeSentAreLogged(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, slog.LevelInfo, "text")
	require.NoError(t, err)
	tracing, err := telemetry.NewTracing(telemetry.TracingConfig{}, telemetry.TracingOptions{Exporter: away{errors.New("gone")}, Logger: log})
	require.NoError(t, err)
	span(t, tracing.For("broker"), "")
	tracing.Shutdown(t.Context())
	assert.Contains(t, out.String(), `msg="traces lost" spans=1 error="no route"`)
	assert.Contains(t, out.String(), `msg="traces lost" error=gone`)
}

func TestEachPropagatorReadsItsHeaders(t *testing.T) {
	t.Parallel()
	header := http.Header{"Traceparent": {"00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-01"}}
	for names, want := range map[string]bool{"": true, "tracecontext": true, "tracecontext, baggage": true, "baggage": false, "none": false} {
		tracing, err := telemetry.NewTracing(telemetry.TracingConfig{Propagators: names}, telemetry.TracingOptions{})
		require.NoError(t, err)
		ctx := tracing.Propagator().Extract(t.Context(), headers(header))
		assert.Equal(t, want, trace.SpanContextFromContext(ctx).IsValid(), names)
	}
}

type headers http.Header

func (h headers) Get(key string) string { return http.Header(h).Get(key) }
func (headers) Set(string, string)      {}
func (h headers) Keys() []string        { return []string{"Traceparent"} }

func TestLogLinesCarryTheSpanOfTheirContext(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, slog.LevelInfo, "text")
	require.NoError(t, err)
	sc := eventtrace.Parse("00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-01")
	log.InfoContext(trace.ContextWithRemoteSpanContext(t.Context(), sc), "done")
	assert.Contains(t, out.String(), "trace_id="+strings.Repeat("a", 32)+" span_id=0000000000000001")
}
