package eventtrace_test

import (
	"context"
	"fmt"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
)

// A trace follows an event from the command that caused it into another process.
func Example() {
	tracer := eventtrace.Tracer(sdktrace.NewTracerProvider(), "pkg/example")

	// in the process that appends the event
	ctx, command := eventtrace.Start(context.Background(), tracer, "open door")
	traceparent := eventtrace.Traceparent(ctx) // stored in the event's metadata
	eventtrace.End(command, nil)

	// in the process that handles a batch of events
	batch := []string{traceparent}
	_, work := eventtrace.StartBatch(context.Background(), tracer, "project", trace.SpanKindConsumer, batch,
		func(event string) string { return event })
	eventtrace.End(work, nil)

	fmt.Println(work.SpanContext().TraceID() == command.SpanContext().TraceID())
	// Output: true
}
