// Package telemetry sets up what a process reports: structured logs with the correlation of their request, a metrics
// registry, and traces.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"
)

// Log keys used in more than one place.
const (
	KeyService       = "service"
	KeyCorrelationID = "correlation_id"
	KeyCausationID   = "causation_id"
	KeyError         = "error"
	KeyTraceID       = "trace_id"
	KeySpanID        = "span_id"
)

// Correlation connects everything that one request caused.
type Correlation struct {
	CorrelationID string
	CausationID   string // "" where the request itself is the cause
}

type correlationKey struct{}

// WithCorrelation returns a context whose logs carry c.
func WithCorrelation(ctx context.Context, c Correlation) context.Context {
	return context.WithValue(ctx, correlationKey{}, c)
}

// CorrelationOf returns the Correlation that ctx carries, or the zero one.
func CorrelationOf(ctx context.Context) Correlation {
	c, _ := ctx.Value(correlationKey{}).(Correlation)
	return c
}

// NewLogger returns a logger that writes to w in a format, "json" or "text".
func NewLogger(w io.Writer, level slog.Level, format string) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "json":
		return slog.New(handler{slog.NewJSONHandler(w, options)}), nil
	case "text":
		return slog.New(handler{slog.NewTextHandler(w, options)}), nil
	default:
		return nil, fmt.Errorf("log format %q: want json or text", format)
	}
}

// handler adds the context's correlation and span to each record.
type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	c := CorrelationOf(ctx)
	if c.CorrelationID != "" {
		r.AddAttrs(slog.String(KeyCorrelationID, c.CorrelationID))
	}
	if c.CausationID != "" {
		r.AddAttrs(slog.String(KeyCausationID, c.CausationID))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String(KeyTraceID, sc.TraceID().String()), slog.String(KeySpanID, sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }

// NewRegistry returns a registry that already reports the Go runtime, the process and its build.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
