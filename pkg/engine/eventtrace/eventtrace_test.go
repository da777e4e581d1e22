package eventtrace_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
)

// traceparent returns that of the nth span of a trace.
func traceparent(traceID rune, n int, flags string) string {
	return fmt.Sprintf("00-%s-%016x-%s", strings.Repeat(string(traceID), 32), n, flags)
}

func same(s string) string { return s }

// start returns the ended span of a batch.
func start(t *testing.T, batch ...string) sdktrace.ReadOnlySpan {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	ctx, span := eventtrace.StartBatch(t.Context(), eventtrace.Tracer(provider, "pkg/x"), "work", trace.SpanKindConsumer, batch, same)
	assert.Equal(t, span.SpanContext(), trace.SpanContextFromContext(ctx))
	eventtrace.End(span, nil)
	require.Len(t, recorder.Ended(), 1)
	return recorder.Ended()[0]
}

func links(s sdktrace.ReadOnlySpan) (out []string) {
	for _, l := range s.Links() {
		out = append(out, eventtrace.Traceparent(trace.ContextWithSpanContext(context.Background(), l.SpanContext)))
	}
	return out
}

func TestABatchOfOneTraceContinuesIt(t *testing.T) {
	t.Parallel()
	one, two := traceparent('a', 1, "01"), traceparent('a', 2, "01")
	span := start(t, one, one, "", two)
	assert.Equal(t, eventtrace.Parse(one), span.Parent())
	assert.True(t, span.Parent().IsRemote())
	assert.Equal(t, strings.Repeat("a", 32), span.SpanContext().TraceID().String())
	assert.Equal(t, []string{two}, links(span), "the parent is no link")
	assert.Equal(t, trace.SpanKindConsumer, span.SpanKind())
	assert.Equal(t, "github.com/leftfold/leftfold/pkg/x", span.InstrumentationScope().Name)
}

func TestABatchOfSeveralTracesIsLinkedToThem(t *testing.T) {
	t.Parallel()
	one, two, other := traceparent('a', 1, "00"), traceparent('b', 2, "01"), traceparent('c', 3, "01")
	span := start(t, one, two, other, two)
	assert.False(t, span.Parent().IsValid())
	assert.NotContains(t, []string{one, two, other}, span.SpanContext().TraceID().String())
	assert.Equal(t, []string{two, other, one}, links(span), "sampled ones first")

	var many []string
	for i := range 1_000 {
		many = append(many, traceparent(rune('a'+i%2), i+1, "01"))
	}
	assert.Len(t, start(t, many...).Links(), 128)
}

func TestABatchWithoutTraceStartsOne(t *testing.T) {
	t.Parallel()
	for _, batch := range [][]string{nil, {""}, {"no traceparent"}, {traceparent('0', 1, "01")}} {
		span := start(t, batch...)
		assert.False(t, span.Parent().IsValid())
		assert.Empty(t, span.Links())
	}
}

func TestParseIsTheInverseOfTraceparent(t *testing.T) {
	t.Parallel()
	assert.Empty(t, eventtrace.Traceparent(t.Context()))
	for _, text := range []string{traceparent('a', 1, "00"), traceparent('f', 9, "01")} {
		assert.Equal(t, text, eventtrace.Traceparent(trace.ContextWithRemoteSpanContext(t.Context(), eventtrace.Parse(text))))
	}
	for _, text := range []string{
		"", "x", traceparent('0', 1, "01"), traceparent('a', 0, "01"), "ff" + traceparent('a', 1, "01")[2:],
		strings.ToUpper(traceparent('a', 1, "01")), traceparent('a', 1, "01") + "x", traceparent('a', 1, ""),
	} {
		assert.False(t, eventtrace.Parse(text).IsValid(), "%q", text)
	}
}

func TestWithoutProviderNothingIsAllocated(t *testing.T) { // counts allocations: not in parallel
	tracer := eventtrace.Tracer(nil, "pkg/x")
	assert.Equal(t, noop.Tracer{}, tracer)
	batch := []string{traceparent('a', 1, "01"), traceparent('b', 1, "01")}
	ctx, failure := t.Context(), errors.New("x")
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		ctx, span := eventtrace.StartBatch(ctx, tracer, "work", trace.SpanKindConsumer, batch, same)
		ctx, span2 := eventtrace.Start(ctx, tracer, "work")
		eventtrace.End(span2, nil)
		eventtrace.Link(ctx, batch[0])
		_ = eventtrace.Traceparent(ctx)
		_ = eventtrace.Parse("")
		eventtrace.End(span, failure)
	}))
}

func TestAFailedSpanHasNoErrorText(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tracer := eventtrace.Tracer(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)), "pkg/x")
	ctx, span := eventtrace.StartBatch(t.Context(), tracer, "work", trace.SpanKindProducer, []string{""}, same)
	eventtrace.Link(ctx, traceparent('a', 1, "01"))
	eventtrace.Link(ctx, "nothing")
	eventtrace.End(span, errors.New("dan@example.com"))
	ended := recorder.Ended()[0]
	assert.Equal(t, sdktrace.Status{Code: codes.Error}, ended.Status())
	assert.Empty(t, ended.Events())
	assert.Equal(t, []string{traceparent('a', 1, "01")}, links(ended))
}

func TestAnExemplarNamesASampledTrace(t *testing.T) {
	t.Parallel()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "x", Buckets: []float64{1, 2}})
	eventtrace.Observe(h, 0.5, eventtrace.Parse(traceparent('a', 1, "01")))
	eventtrace.Observe(h, 1.5, eventtrace.Parse(traceparent('b', 1, "00")))
	eventtrace.Observe(h, 1.5, trace.SpanContext{})
	var m dto.Metric
	require.NoError(t, h.Write(&m))
	assert.EqualValues(t, 3, m.GetHistogram().GetSampleCount())
	first, second := m.GetHistogram().GetBucket()[0], m.GetHistogram().GetBucket()[1]
	require.Len(t, first.GetExemplar().GetLabel(), 1)
	assert.Equal(t, "trace_id", first.GetExemplar().GetLabel()[0].GetName())
	assert.Equal(t, strings.Repeat("a", 32), first.GetExemplar().GetLabel()[0].GetValue())
	assert.Nil(t, second.GetExemplar(), "neither is sampled")
}

func TestLatencyBucketsSeparateMillisecondsFromSeconds(t *testing.T) {
	t.Parallel()
	buckets := eventtrace.LatencyBuckets()
	assert.IsIncreasing(t, buckets)
	assert.InDelta(t, 0.0005, buckets[0], 1e-9)
	assert.InDelta(t, 60, buckets[len(buckets)-1], 1e-6)
	for i := range buckets[1:] {
		assert.Less(t, buckets[i+1]/buckets[i], 1.4, "a quantile is known to within this factor")
	}
}
