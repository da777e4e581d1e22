package e2e_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// discarding drops the benchmark's spans: the benchmark measures creating them.
type discarding struct{}

func (discarding) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discarding) Shutdown(context.Context) error                             { return nil }

// setting is a way to send and take a command.
type setting struct {
	name   string
	sys    *systemtest.System
	header func() http.Header
	effort effort
}

// BenchmarkOverhead registers users in turn plainly and with an Idempotency-Key, with a token, traced; ratios are of the
// plain rate. A registration is a transaction anyway; the key is one more item in it. Only command-api runs.
func BenchmarkOverhead(b *testing.B) {
	plain := func() http.Header { return nil }
	key := func() http.Header { return http.Header{"Idempotency-Key": {newID()}} }
	issuer, withTokens := startIssuer(b)
	bearer := tokenFor(b, issuer, "bench", "users:write")
	token := func() http.Header { return bearer }
	hundredth := telemetry.TracingConfig{Sampler: "parentbased_traceidratio", SamplerArg: "0.01"}
	settings := []*setting{
		{name: "plain", sys: commandAPIOnly(b, nil, nil), header: plain},
		{name: "key", sys: commandAPIOnly(b, nil, nil), header: key},
		{name: "token", sys: commandAPIOnly(b, withTokens, nil), header: token},
		{name: "hundredth-traced", sys: commandAPIOnly(b, nil, &hundredth), header: plain},
		{name: "traced", sys: commandAPIOnly(b, nil, &telemetry.TracingConfig{}), header: plain},
		{name: "all", sys: commandAPIOnly(b, withTokens, &telemetry.TracingConfig{}), header: func() http.Header {
			h := key()
			maps.Copy(h, bearer)
			return h
		}},
	}
	for _, s := range settings { // a token is accepted once the issuer's keys are fetched
		require.Eventually(b, func() bool { return s.register(b.Context(), "first@example.com") == nil }, 30*time.Second, 10*time.Millisecond)
	}
	writes := 0
	for range b.N * benchRounds {
		for _, s := range settings {
			s.effort.add(together(b, func(i int) error {
				return s.register(b.Context(), fmt.Sprintf("user%d@example.com", writes+i))
			}))
		}
		writes += perRound
	}
	b.ReportMetric(0, "ns/op")
	for _, s := range settings {
		b.ReportMetric(settings[0].effort.took.Seconds()/s.effort.took.Seconds(), s.name+"-ratio")
		b.ReportMetric(float64(s.effort.allocations)/float64(writes), s.name+"-allocs/command")
	}
}

func commandAPIOnly(b *testing.B, env map[string]string, traced *telemetry.TracingConfig) *systemtest.System {
	b.Helper()
	var tracing *telemetry.Tracing
	if traced != nil {
		var err error
		tracing, err = telemetry.NewTracing(*traced, telemetry.TracingOptions{Exporter: discarding{}, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(b, err)
		b.Cleanup(func() { tracing.Shutdown(context.Background()) })
	}
	sys := systemtest.New(b, env, func(p *service.Platform) { p.Tracing = tracing })
	return onlyCommandAPI(b, sys)
}

// onlyCommandAPI stops all services of a system but one.
func onlyCommandAPI(b *testing.B, sys *systemtest.System) *systemtest.System {
	b.Helper()
	for _, s := range sys.Services()[1:] {
		require.NoError(b, s.Stop())
	}
	return sys
}

func (s *setting) register(ctx context.Context, email string) error {
	r := post("/users", object{"email": email})
	r.Header = s.header()
	answer, err := s.sys.Do(ctx, r)
	if err == nil && answer.Status != http.StatusAccepted {
		err = fmt.Errorf("%d %s", answer.Status, answer.Body)
	}
	return err
}
