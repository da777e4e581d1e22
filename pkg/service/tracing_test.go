package service_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// slow is a collector that answers late.
type slow struct {
	takes time.Duration
	sent  *int
}

func (s slow) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	select {
	case <-time.After(s.takes): // virtual
		*s.sent += len(spans)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (slow) Shutdown(context.Context) error { return nil }

func TestBufferedTracesAreSentAtTheStop(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		work, takes, want time.Duration
		sent              int
	}{
		"in time":               {4 * time.Second, 5 * time.Second, 9 * time.Second, 1},
		"as long as there is":   {4 * time.Second, time.Minute, 10 * time.Second, 0},
		"with no time left":     {20 * time.Second, time.Minute, 10 * time.Second, 0},
		"a part ends by itself": {-1, 5 * time.Second, 5 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				tracing, err := telemetry.NewTracing(telemetry.TracingConfig{},
					telemetry.TracingOptions{Exporter: slow{tt.takes, &sent}, Logger: quiet()})
				require.NoError(t, err)
				platform := service.Platform{Logger: slog.New(slog.DiscardHandler), Tracing: tracing}
				ctx, stop := context.WithCancel(t.Context())
				started := time.Now()
				part := service.Part{Name: "work", Run: func(ctx context.Context) error {
					_, span := tracing.For("x").Tracer("test").Start(ctx, "work")
					span.End()
					if tt.work >= 0 {
						stop()
						time.Sleep(tt.work)
					}
					return nil
				}}
				err = platform.Run(ctx, 10*time.Second, part)
				assert.Equal(t, tt.work > 10*time.Second, err != nil, "%v", err)
				assert.Equal(t, tt.want, time.Since(started))
				time.Sleep(time.Hour) // lets the slow part end inside the bubble
				assert.Equal(t, tt.sent, sent)
				stop()
			})
		})
	}
}

func TestMetricsAreServedAsTextAndOpenMetrics(t *testing.T) {
	t.Parallel()
	platform, registry, err := service.NewPlatform(service.Config{LogFormat: "json"}, io.Discard)
	require.NoError(t, err)
	endpoints, err := service.Endpoints(service.Config{}, platform, registry, service.App{})
	require.NoError(t, err)
	for accept, want := range map[string]string{"": "text/plain", "application/openmetrics-text": "application/openmetrics-text"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		endpoints[0].Handler.ServeHTTP(w, r)
		assert.Contains(t, w.Header().Get("Content-Type"), want)
	}
}

func TestAnInvalidTracingVariableFailsTheStart(t *testing.T) {
	t.Parallel()
	var cfg service.Config
	err := service.LoadConfig(service.Fixed(map[string]string{"OTEL_TRACES_SAMPLER": "jaeger_remote", "OTEL_SDK_DISABLED": "maybe"}), &cfg)
	require.ErrorContains(t, err, "OTEL_SDK_DISABLED=maybe")
	cfg.Tracing = telemetry.TracingConfig{Sampler: "jaeger_remote"}
	_, _, err = service.NewPlatform(service.Config{LogFormat: "json", Tracing: cfg.Tracing}, io.Discard)
	require.ErrorContains(t, err, "OTEL_TRACES_SAMPLER=jaeger_remote: want always_on")
}
