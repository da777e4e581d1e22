package telemetry

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
)

// Requests serves a router and makes a span and a measurement of every request, by its route's pattern. They contain nothing
// else of it, because paths, queries and addresses are personal data. A valid traceparent is propagated, as far as p
// reads it, even when tracing is off: the events' metadata keep it.
func Requests(
	router chi.Router, traces trace.TracerProvider, p propagation.TextMapPropagator, reg prometheus.Registerer, now func() time.Time,
) http.Handler {
	tracer := eventtrace.Tracer(traces, "pkg/service/telemetry")
	_, off := tracer.(noop.Tracer)
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "http_request_seconds", Help: "Time from a request's headers to its answer, by the route's pattern; not of streams of events.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route", "status"})
	reg.MustRegister(seconds)
	contexts := sync.Pool{New: func() any { return chi.NewRouteContext() }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method, started := Method(r), now()
		ctx := r.Context()
		if _, ok := r.Header["Traceparent"]; ok {
			ctx = p.Extract(ctx, propagation.HeaderCarrier(r.Header))
		}
		span := trace.SpanFromContext(ctx)
		if !off {
			ctx, span = tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindServer))
		}
		answer := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		routes := contexts.Get().(*chi.Context) //nolint:errcheck,forcetypeassert // as New makes them
		routes.Reset()
		routes.Routes = router // which then makes none of its own
		defer func() {         // also when a handler panics to abort the connection
			route, status := routes.RoutePattern(), answer.Status()
			if !isStream(answer) {
				eventtrace.Observe(seconds.WithLabelValues(method, route, strconv.Itoa(status)), now().Sub(started).Seconds(), span.SpanContext())
			}
			if !off {
				describe(span, method, route, status)
				span.End()
			}
			contexts.Put(routes)
		}()
		router.ServeHTTP(answer, r.WithContext(context.WithValue(ctx, chi.RouteCtxKey, routes)))
	})
}

// isStream reports whether the answer is a stream of server-sent events, whose length says nothing of how fast it was given.
func isStream(answer http.ResponseWriter) bool {
	return strings.HasPrefix(answer.Header().Get("Content-Type"), "text/event-stream")
}

// describe follows https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-server
func describe(span trace.Span, method, route string, status int) {
	if !span.IsRecording() {
		return
	}
	if route != "" {
		span.SetName(method + " " + route)
		span.SetAttributes(attribute.String("http.route", route))
	}
	span.SetAttributes(attribute.String("http.request.method", method), attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

// Method is a request's, or "_OTHER": an untrusted client may send any text.
func Method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return r.Method
	default:
		return "_OTHER"
	}
}
