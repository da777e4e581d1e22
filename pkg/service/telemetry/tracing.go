package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// TracingConfig has OpenTelemetry's own variables for traces. What is not here (headers, certificates, timeouts,
// compression, the batches' and spans' limits) its SDK reads by itself:
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
type TracingConfig struct {
	_                  struct{} `group:"Traces"`
	Disabled           bool     `envconfig:"OTEL_SDK_DISABLED" default:"false" desc:"true: no traces, whatever else is set"`
	Exporter           string   `envconfig:"OTEL_TRACES_EXPORTER" desc:"where traces go: otlp, console (standard output) or none; unset: otlp if an endpoint is set, else none"`
	Endpoint           string   `envconfig:"OTEL_EXPORTER_OTLP_ENDPOINT" secret:"true" desc:"URL of an OpenTelemetry collector that takes OTLP over HTTP, such as http://127.0.0.1:4318; /v1/traces is added"`
	TracesEndpoint     string   `envconfig:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" secret:"true" desc:"the whole URL for traces, instead"`
	Protocol           string   `envconfig:"OTEL_EXPORTER_OTLP_PROTOCOL" default:"http/protobuf" desc:"http/protobuf is the only one built in"`
	TracesProtocol     string   `envconfig:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" desc:"as OTEL_EXPORTER_OTLP_PROTOCOL, for traces"`
	ServiceName        string   `envconfig:"OTEL_SERVICE_NAME" desc:"service.name of all traces; unset: the service's own"`
	ResourceAttributes string   `envconfig:"OTEL_RESOURCE_ATTRIBUTES" desc:"attributes of all traces, such as deployment.environment.name=prod,k8s.pod.name=x"`
	Sampler            string   `envconfig:"OTEL_TRACES_SAMPLER" desc:"always_on, always_off, traceidratio, or one of these with parentbased_ before it"`
	SamplerArg         string   `envconfig:"OTEL_TRACES_SAMPLER_ARG" desc:"the ratio of traceidratio, 0 to 1; unset: 1"`
	Propagators        string   `envconfig:"OTEL_PROPAGATORS" desc:"tracecontext: a request's traceparent is continued; baggage: accepted, never propagated; none: each request begins a trace of its own"`
}

// SetDefaults sets OpenTelemetry's own defaults. LoadConfig and NewTracing call it.
func (c *TracingConfig) SetDefaults() {
	c.Sampler = cmp.Or(c.Sampler, "parentbased_always_on")
	c.Propagators = cmp.Or(c.Propagators, "tracecontext,baggage")
}

// Validate is called by service.LoadConfig.
func (c *TracingConfig) Validate() error {
	_, samplerErr := c.sampler()
	_, attributesErr := c.attributes()
	_, propagatorErr := c.propagator()
	errs := []error{samplerErr, attributesErr, propagatorErr}
	switch c.Exporter {
	case "", "otlp", "console", "none":
	default:
		errs = append(errs, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: want otlp, console or none", c.Exporter))
	}
	for name, endpoint := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": c.Endpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": c.TracesEndpoint,
	} {
		u, err := url.Parse(endpoint)
		if endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			errs = append(errs, fmt.Errorf("%s: want a URL such as http://127.0.0.1:4318", name)) // it may hold a password
		}
	}
	for name, protocol := range map[string]string{
		"OTEL_EXPORTER_OTLP_PROTOCOL": c.Protocol, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": c.TracesProtocol,
	} {
		if protocol != "" && protocol != "http/protobuf" {
			errs = append(errs, fmt.Errorf("%s=%s: want http/protobuf, which collectors take at port 4318", name, protocol))
		}
	}
	return errors.Join(errs...)
}

// exporter returns nil where there are to be no traces.
func (c *TracingConfig) exporter(console io.Writer) (sdktrace.SpanExporter, error) {
	switch {
	case c.Disabled:
		return nil, nil
	case c.Exporter == "console":
		return stdouttrace.New(stdouttrace.WithWriter(console))
	case c.Exporter == "otlp", c.Exporter == "" && cmp.Or(c.Endpoint, c.TracesEndpoint) != "":
		return &collector{Exporter: otlptracehttp.NewUnstarted(otlptracehttp.WithEndpointURL(c.tracesURL()))}, nil
	default:
		return nil, nil
	}
}

// collector starts with the first export, which has a context for it.
type collector struct {
	*otlptrace.Exporter
	start    sync.Once
	startErr error
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	c.start.Do(func() { c.startErr = c.Start(ctx) })
	if c.startErr != nil {
		return c.startErr
	}
	return c.Exporter.ExportSpans(ctx, spans)
}

// tracesURL is as the specification has it: https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp
func (c *TracingConfig) tracesURL() string {
	if c.TracesEndpoint != "" {
		return c.TracesEndpoint
	}
	return strings.TrimSuffix(cmp.Or(c.Endpoint, "http://localhost:4318"), "/") + "/v1/traces"
}

func (c *TracingConfig) sampler() (s sdktrace.Sampler, _ error) {
	name, parentBased := strings.CutPrefix(c.Sampler, "parentbased_")
	switch name {
	case "always_on":
		s = sdktrace.AlwaysSample()
	case "always_off":
		s = sdktrace.NeverSample()
	case "traceidratio":
		ratio := 1.0
		if c.SamplerArg != "" {
			var err error
			if ratio, err = strconv.ParseFloat(c.SamplerArg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
				return nil, fmt.Errorf("OTEL_TRACES_SAMPLER_ARG=%s: want a ratio from 0 to 1", c.SamplerArg)
			}
		}
		s = sdktrace.TraceIDRatioBased(ratio)
	default:
		return nil, fmt.Errorf(
			"OTEL_TRACES_SAMPLER=%s: want always_on, always_off or traceidratio, with or without parentbased_ before it", c.Sampler)
	}
	if parentBased {
		s = linkBased{sdktrace.ParentBased(s)}
	}
	return s, nil
}

func (c *TracingConfig) attributes() (attrs []attribute.KeyValue, err error) {
	for pair := range strings.SplitSeq(c.ResourceAttributes, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || key == "" || err != nil {
			return nil, fmt.Errorf(
				"OTEL_RESOURCE_ATTRIBUTES=%s: want key=value,key=value with other characters percent-encoded", c.ResourceAttributes)
		}
		attrs = append(attrs, attribute.String(key, value))
	}
	return attrs, nil
}

func (c *TracingConfig) propagator() (propagation.TextMapPropagator, error) {
	var list []propagation.TextMapPropagator
	for name := range strings.SplitSeq(c.Propagators, ",") {
		switch strings.TrimSpace(name) {
		case "tracecontext":
			list = append(list, propagation.TraceContext{})
		case "baggage", "none", "":
		default:
			return nil, fmt.Errorf("OTEL_PROPAGATORS=%s: want tracecontext, baggage or none", c.Propagators)
		}
	}
	return propagation.NewCompositeTextMapPropagator(list...), nil
}

// Tracing makes the tracer providers of a process, one for each service in it. They share one way out.
type Tracing struct {
	propagator propagation.TextMapPropagator
	processor  sdktrace.SpanProcessor // nil: off
	sampler    sdktrace.Sampler
	service    string // instead of the services' own names
	attributes []attribute.KeyValue
	log        *slog.Logger
}

// TracingOptions are what a program adds to TracingConfig.
type TracingOptions struct {
	// Exporter is used instead of what the variables say. Defaults to theirs.
	Exporter sdktrace.SpanExporter
	// Console is where the console exporter writes.
	Console io.Writer
	// Instance and Version tell this process from others.
	Instance, Version string
	// Logger receives a warning about traces that cannot be sent.
	Logger *slog.Logger
}

// NewTracing returns a Tracing as configured; Shutdown ends it. It is off unless there is an exporter.
func NewTracing(c TracingConfig, o TracingOptions) (*Tracing, error) {
	c.SetDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	t := &Tracing{service: c.ServiceName, log: o.Logger}
	t.propagator, _ = c.propagator() // Validate saw it, and those below
	t.sampler, _ = c.sampler()
	attributes, _ := c.attributes()
	exporter, err := c.exporter(o.Console)
	if err != nil {
		return nil, fmt.Errorf("set traces up: %w", err)
	}
	if o.Exporter != nil {
		exporter = o.Exporter
	}
	if exporter == nil {
		return t, nil
	}
	t.processor = sdktrace.NewBatchSpanProcessor(reporting{exporter, o.Logger})
	t.attributes = append([]attribute.KeyValue{
		attribute.String("service.instance.id", o.Instance), attribute.String("service.version", o.Version),
		attribute.String("telemetry.sdk.name", "opentelemetry"), attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.version", sdk.Version()),
	}, attributes...)
	return t, nil
}

// For returns the provider of one service: its spans bear its name. Where tracing is off, it costs nothing.
func (t *Tracing) For(service string) trace.TracerProvider {
	if t == nil || t.processor == nil {
		return noop.NewTracerProvider()
	}
	attributes := append([]attribute.KeyValue{attribute.String("service.name", service)}, t.attributes...) // later ones win
	if t.service != "" {
		attributes = append(attributes, attribute.String("service.name", t.service))
	}
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(t.processor), sdktrace.WithSampler(t.sampler),
		sdktrace.WithResource(resource.NewSchemaless(attributes...)))
}

// Propagator reads the trace that a request belongs to, also where tracing is off.
func (t *Tracing) Propagator() propagation.TextMapPropagator {
	if t == nil {
		return propagation.TraceContext{}
	}
	return t.propagator
}

// Shutdown sends what is left until ctx ends. Traces that are lost are logged: they are no reason for a stop to fail.
func (t *Tracing) Shutdown(ctx context.Context) {
	if t == nil || t.processor == nil {
		return
	}
	if err := t.processor.Shutdown(ctx); err != nil {
		t.log.WarnContext(ctx, "traces lost", slog.Any(KeyError, err))
	}
}

// reporting logs what its exporter cannot send. The SDK would call a handler that is the same for the whole program.
type reporting struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

func (r reporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := r.SpanExporter.ExportSpans(ctx, spans); err != nil {
		r.log.WarnContext(ctx, "traces lost", slog.Int("spans", len(spans)), slog.Any(KeyError, err))
	}
	return nil
}

// linkBased extends a parent-based sampler to what has no parent but links: a batch is sampled if one of its events is.
type linkBased struct{ sdktrace.Sampler }

func (s linkBased) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	if len(p.Links) == 0 || trace.SpanContextFromContext(p.ParentContext).IsValid() {
		return s.Sampler.ShouldSample(p)
	}
	for _, link := range p.Links {
		if link.SpanContext.IsSampled() {
			return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample}
		}
	}
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}
