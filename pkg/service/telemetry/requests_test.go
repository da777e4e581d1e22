package telemetry_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

const incoming = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-0000000000000001-01"

func router() chi.Router {
	r := chi.NewRouter()
	r.Get("/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, chi.URLParam(r, "id")+" "+eventtrace.Traceparent(r.Context()))
	})
	r.Post("/users/{id}/roles", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	r.Get("/abort", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	return r
}

func request(t *testing.T, h http.Handler, method, path, traceparent string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.String()
}

func attributesOf(s sdktrace.ReadOnlySpan) map[string]string {
	out := map[string]string{}
	for _, kv := range s.Attributes() {
		out[string(kv.Key)] = kv.Value.String()
	}
	return out
}

func TestARequestIsASpanNamedByItsRoute(t *testing.T) {
	t.Parallel()
	recorder, registry := tracetest.NewSpanRecorder(), prometheus.NewRegistry()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	h := telemetry.Requests(router(), provider, propagation.TraceContext{}, registry, time.Now)
	answer := request(t, h, http.MethodGet, "/users/dan?contains=email:dan@example.com", incoming)
	request(t, h, http.MethodPost, "/users/dan/roles", "00-00000000000000000000000000000000-0000000000000001-01")
	request(t, h, "DAN", "/dan@example.com", "")
	request(t, h, http.MethodGet, "/dan@example.com", "")
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { request(t, h, http.MethodGet, "/abort", "") })

	spans := recorder.Ended()
	require.Len(t, spans, 5)
	for i, want := range []struct {
		name, route, status string
		code                codes.Code
	}{
		{"GET /users/{id}", "/users/{id}", "200", codes.Unset},
		{"POST /users/{id}/roles", "/users/{id}/roles", "503", codes.Error},
		{"_OTHER", "", "405", codes.Unset},
		{"GET", "", "404", codes.Unset},
		{"GET /abort", "/abort", "0", codes.Unset},
	} {
		got := spans[i]
		assert.Equal(t, want.name, got.Name())
		assert.Equal(t, want.route, attributesOf(got)["http.route"])
		assert.Equal(t, want.status, attributesOf(got)["http.response.status_code"])
		assert.Equal(t, want.code, got.Status().Code)
		assert.Equal(t, trace.SpanKindServer, got.SpanKind())
		assert.NotContains(t, fmt.Sprint(got.Attributes()), "dan")
	}
	assert.Equal(t, eventtrace.Parse(incoming), spans[0].Parent())
	assert.True(t, strings.HasPrefix(answer, "dan 00-"+strings.Repeat("a", 32)+"-"+spans[0].SpanContext().SpanID().String()), answer)
	assert.False(t, spans[1].Parent().IsValid(), "what is no traceparent is passed over")

	page := openMetrics(t, registry)
	assert.Contains(t, page, `http_request_seconds_count{method="POST",route="/users/{id}/roles",status="503"} 1`)
	assert.Contains(t, page, `# {trace_id="`+strings.Repeat("a", 32)+`"}`)
}

// A stream of events lasts as long as somebody looks: it is a span, and no slow request.
func TestAStreamOfEventsIsNoSlowRequest(t *testing.T) {
	t.Parallel()
	recorder, registry := tracetest.NewSpanRecorder(), prometheus.NewRegistry()
	r := chi.NewRouter()
	r.Get("/live", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte("data: 1\n\n"))
	})
	r.Get("/page", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	h := telemetry.Requests(r, provider, propagation.TraceContext{}, registry, time.Now)
	for _, path := range []string{"/live", "/page"} {
		request(t, h, http.MethodGet, path, "")
	}
	page := openMetrics(t, registry)
	assert.Contains(t, page, `http_request_seconds_count{method="GET",route="/page",status="200"} 1`)
	assert.NotContains(t, page, "/live")
	assert.Len(t, recorder.Ended(), 2)
}

func openMetrics(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", "application/openmetrics-text")
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
	return w.Body.String()
}

func TestATraceparentIsPassedOnWithoutTracing(t *testing.T) {
	t.Parallel()
	var off *telemetry.Tracing
	h := telemetry.Requests(router(), off.For("x"), off.Propagator(), prometheus.NewRegistry(), time.Now)
	assert.Equal(t, "dan "+incoming, request(t, h, http.MethodGet, "/users/dan", incoming))
	assert.Equal(t, "dan ", request(t, h, http.MethodGet, "/users/dan", ""))
	assert.Equal(t, "dan ", request(t, h, http.MethodGet, "/users/dan", "nonsense"))
}

func TestDisabledTracingAddsNothingToARequest(t *testing.T) { // counts allocations: not in parallel
	var off *telemetry.Tracing
	bare := router()
	measured := telemetry.Requests(bare, off.For("x"), off.Propagator(), prometheus.NewRegistry(), time.Now)
	allocations := func(h http.Handler) float64 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/users/dan/roles", http.NoBody)
		w := httptest.NewRecorder()
		return testing.AllocsPerRun(1_000, func() { h.ServeHTTP(w, r) })
	}
	assert.InDelta(t, allocations(bare), allocations(measured), 3, "the writer that knows the status, and that as text: for the measurement")
}

// BenchmarkRequest compares a router alone with one that is measured, and traced.
func BenchmarkRequest(b *testing.B) {
	bare := chi.NewRouter()
	bare.Get("/users/{id}", func(http.ResponseWriter, *http.Request) {})
	on := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	var off *telemetry.Tracing
	for name, h := range map[string]http.Handler{
		"bare": bare,
		"off":  telemetry.Requests(bare, off.For("x"), off.Propagator(), prometheus.NewRegistry(), time.Now),
		"on":   telemetry.Requests(bare, on, off.Propagator(), prometheus.NewRegistry(), time.Now),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/users/dan", http.NoBody)
			w := httptest.NewRecorder()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}
