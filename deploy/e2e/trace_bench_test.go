package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/leftfold/leftfold/deploy/e2e/systemtest"
	"github.com/leftfold/leftfold/pkg/process"
	"github.com/leftfold/leftfold/pkg/telemetry"
)

// nowhere is where the benchmark's spans go: what is measured is the making of them.
type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                             { return nil }

// BenchmarkTracing registers users in turn with tracing off, on for one command in a hundred, and on for each; ratios
// are of the rate to that with tracing off. Only command-api runs.
func BenchmarkTracing(b *testing.B) {
	type variant struct {
		name   string
		sys    *systemtest.System
		effort effort
	}
	var variants []*variant
	for _, v := range []struct {
		name string
		cfg  *telemetry.TracingConfig
	}{
		{"off", nil},
		{"hundredth", &telemetry.TracingConfig{Sampler: "parentbased_traceidratio", SamplerArg: "0.01"}},
		{"all", &telemetry.TracingConfig{}},
	} {
		var tracing *telemetry.Tracing
		if v.cfg != nil {
			var err error
			tracing, err = telemetry.NewTracing(*v.cfg, telemetry.TracingOptions{Exporter: nowhere{}, Log: slog.New(slog.DiscardHandler)})
			require.NoError(b, err)
			b.Cleanup(func() { tracing.Shutdown(context.Background()) })
		}
		sys := systemtest.New(b, map[string]string{"RATE_LIMIT": "0"}, func(p *process.Platform) { p.Tracing = tracing })
		for _, s := range sys.Services()[1:] {
			require.NoError(b, s.Stop())
		}
		variants = append(variants, &variant{name: v.name, sys: sys})
	}
	writes := 0
	for range b.N * benchRounds {
		for _, v := range variants {
			v.effort.add(together(b, func(i int) error {
				answer, err := v.sys.Do(b.Context(), post("/users", object{"email": fmt.Sprintf("user%d@example.com", writes+i)}))
				if err == nil && answer.Status != 202 {
					err = fmt.Errorf("%d %s", answer.Status, answer.Body)
				}
				return err
			}))
		}
		writes += perRound
	}
	b.ReportMetric(0, "ns/op")
	for _, v := range variants {
		b.ReportMetric(variants[0].effort.took.Seconds()/v.effort.took.Seconds(), v.name+"-ratio")
		b.ReportMetric(float64(v.effort.allocations)/float64(writes), v.name+"-allocs/command")
	}
}
