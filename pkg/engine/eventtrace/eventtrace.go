// Package eventtrace connects the spans of an event in all processes. The event's metadata carry a W3C traceparent, from
// the request that caused the event to everything that other processes do with it later.
package eventtrace

import (
	"context"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracer returns the tracer of a package of this project. If provider is nil, it makes no spans.
func Tracer(provider trace.TracerProvider, pkg string) trace.Tracer {
	if provider == nil {
		return noop.Tracer{}
	}
	return provider.Tracer("github.com/leftfold/leftfold/" + pkg)
}

// Start starts a span below the one of ctx. The caller ends it; see End.
func Start(ctx context.Context, tracer trace.Tracer, name string) (context.Context, trace.Span) {
	if _, off := tracer.(noop.Tracer); off {
		return ctx, trace.SpanFromContext(ctx)
	}
	return tracer.Start(ctx, name)
}

// Traceparent returns the span of ctx as text, or "" if there is none.
// https://www.w3.org/TR/trace-context/#traceparent-header
func Traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + (sc.TraceFlags() & trace.FlagsSampled).String()
}

// Parse is the inverse of Traceparent. A text that is not a traceparent of version 00, such as "", gives an invalid
// SpanContext.
func Parse(traceparent string) trace.SpanContext {
	const length = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(traceparent) != length || traceparent[:3] != "00-" || traceparent[35] != '-' || traceparent[52] != '-' {
		return trace.SpanContext{}
	}
	traceID, traceErr := trace.TraceIDFromHex(traceparent[3:35])
	spanID, spanErr := trace.SpanIDFromHex(traceparent[36:52])
	flags, flagsErr := strconv.ParseUint(traceparent[53:], 16, 8)
	if traceErr != nil || spanErr != nil || flagsErr != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags), Remote: true,
	})
}

// maxLinks is how many links of a span the OpenTelemetry SDK keeps by default.
const maxLinks = 128

// StartBatch starts a span for a batch of events, given each event's traceparent. If all valid ones are of one trace, the
// span continues that trace, below the first of them; otherwise it starts a new trace. It is linked to the spans of all
// events except its parent, sampled ones first, at most 128. The caller ends it; see End.
func StartBatch[E any](
	ctx context.Context, tracer trace.Tracer, name string, kind trace.SpanKind, batch []E, traceparent func(E) string,
) (context.Context, trace.Span) {
	if _, off := tracer.(noop.Tracer); off {
		return ctx, trace.SpanFromContext(ctx)
	}
	causes := distinct(batch, traceparent)
	options := []trace.SpanStartOption{
		trace.WithSpanKind(kind), trace.WithAttributes(attribute.Int("messaging.batch.message_count", len(batch))),
	}
	if len(causes) > 0 && !slices.ContainsFunc(causes, func(c trace.SpanContext) bool { return c.TraceID() != causes[0].TraceID() }) {
		ctx = trace.ContextWithRemoteSpanContext(ctx, causes[0])
		causes = causes[1:]
	} else {
		options = append(options, trace.WithNewRoot())
	}
	slices.SortStableFunc(causes, func(a, b trace.SpanContext) int { // true before false
		return int(b.TraceFlags()&trace.FlagsSampled) - int(a.TraceFlags()&trace.FlagsSampled)
	})
	for _, c := range causes[:min(len(causes), maxLinks)] {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: c}))
	}
	return tracer.Start(ctx, name, options...)
}

// distinct returns the valid traceparents of a batch without repetitions, in order.
func distinct[E any](batch []E, traceparent func(E) string) (causes []trace.SpanContext) {
	seen := map[string]bool{}
	for _, event := range batch {
		text := traceparent(event)
		if seen[text] {
			continue
		}
		seen[text] = true
		if c := Parse(text); c.IsValid() {
			causes = append(causes, c)
		}
	}
	return causes
}

// Link links the span of ctx to the span of an event.
func Link(ctx context.Context, traceparent string) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	if c := Parse(traceparent); c.IsValid() {
		span.AddLink(trace.Link{SpanContext: c})
	}
}

// End ends a span and sets its status by err. The text of err is left out: it belongs into the log, where the trace ID
// finds it.
func End(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// LatencyBuckets are fine enough to read a p50 and a p99 between half a millisecond and a minute.
func LatencyBuckets() []float64 { return prometheus.ExponentialBucketsRange(0.0005, 60, 40) }

// Observe adds a value to a histogram and, if its trace is sampled, sets the trace as exemplar.
func Observe(o prometheus.Observer, value float64, of trace.SpanContext) {
	if e, ok := o.(prometheus.ExemplarObserver); ok && of.IsSampled() {
		e.ObserveWithExemplar(value, prometheus.Labels{"trace_id": of.TraceID().String()})
		return
	}
	o.Observe(value)
}
