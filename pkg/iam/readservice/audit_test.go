package readservice_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

type audit struct {
	Projection, State                                               string
	Requested, Repair                                               bool
	StartedAt, EndedAt                                              *time.Time
	Streams, Folded, Rows, Parked, Differences, Repaired, Undecided int
	Findings                                                        []string
}

func TestAuditsRunFromTimeToTimeAndShowWhatTheyFind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		run := func(ctx context.Context, c projectionaudit.Config) (projectionaudit.Result, error) {
			runs++
			assert.InDelta(t, 0.25, c.Sample, 0)
			assert.False(t, c.Repair, "a repair is an operator's decision")
			for range 100 {
				drawn := c.Rand()
				assert.True(t, drawn >= 0 && drawn < 1, drawn)
			}
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
				return projectionaudit.Result{}, context.Cause(ctx)
			}
			result := projectionaudit.Result{Streams: 10, Folded: 3, Rows: 20}
			c.OnPage(result)
			if runs == 2 {
				return result, errors.New("no log")
			}
			result.Rows, result.Parked, result.Differences = 25, 1, 30
			c.OnFinding(projectionaudit.Finding{Kind: projectionaudit.Parked, Stream: "thing/p", Version: 1, Head: 2})
			for range 30 {
				c.OnFinding(projectionaudit.Finding{Kind: projectionaudit.Stale, Stream: "thing/a", Version: 3, Head: 5})
			}
			c.OnPage(result)
			return result, nil
		}
		registry := prometheus.NewRegistry()
		audits := readservice.NewAudits("things", readservice.AuditConfig{Interval: 24 * time.Hour, Sample: 0.25}, run, service.Platform{
			Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
			Jitter: func(limit time.Duration) time.Duration { return limit },
		})
		router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
		audits.Register(httpapi.NewAPI(router))
		shown := func() (out audit) {
			t.Helper()
			res := answer(t, router, http.MethodGet, "/projections/things/audit", &out)
			require.Equal(t, http.StatusOK, res.Code)
			return out
		}
		metric := func(name string) float64 {
			t.Helper()
			families, err := registry.Gather()
			require.NoError(t, err)
			sum := 0.0
			for _, f := range families {
				if f.GetName() == name {
					for _, m := range f.GetMetric() {
						sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
					}
				}
			}
			return sum
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		began := time.Now().UTC().Round(0)
		go func() { ended <- audits.Run(ctx) }()

		assert.Equal(t, audit{Projection: "things", State: "never", Findings: []string{}}, shown())
		time.Sleep(time.Hour + time.Second) // the first one does not wait for a day
		first := began.Add(time.Hour)
		assert.Equal(t, audit{Projection: "things", State: "running", StartedAt: &first, Findings: []string{}}, shown())
		time.Sleep(time.Minute)
		got, over := shown(), first.Add(time.Minute)
		require.Len(t, got.Findings, 20)
		assert.Equal(t, "parked: thing/p is at version 1; the log is at version 2", got.Findings[0])
		assert.Equal(t, "stale: thing/a is at version 3; the log is at version 5", got.Findings[1])
		got.Findings = nil
		assert.Equal(t, audit{
			Projection: "things", State: "done", StartedAt: &first, EndedAt: &over, Streams: 10, Folded: 3, Rows: 25, Parked: 1, Differences: 30,
		}, got)
		assert.InDelta(t, 10, metric("projection_audit_streams_total"), 0)
		assert.InDelta(t, 25, metric("projection_audit_rows_total"), 0)
		assert.InDelta(t, 30, metric("projection_audit_differences_total"), 0, "a parked aggregate is none")
		count, err := testutil.GatherAndCount(registry, "projection_audit_differences_total")
		require.NoError(t, err)
		assert.Len(t, projectionaudit.Kinds(), count, "each kind begins at zero")

		time.Sleep(24*time.Hour + time.Minute)
		assert.Equal(t, "failed", shown().State)
		assert.InDelta(t, (24*time.Hour + time.Minute).Seconds(), metric("projection_audit_age_seconds"), 10)
		assert.Zero(t, metric("projection_audit_late"))
		time.Sleep(24*time.Hour + time.Minute)
		assert.Equal(t, "done", shown().State)

		stop()
		require.NoError(t, <-ended)
		time.Sleep(72*time.Hour + time.Minute)
		assert.InDelta(t, 1, metric("projection_audit_late"), 0)
	})
}

// TestAnAuditIsMadeOnRequest of every aggregate, also where none is made by itself. One at a time is under way.
func TestAnAuditIsMadeOnRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked []bool
		audits := readservice.NewAudits("things", readservice.AuditConfig{Sample: 0.1}, func(
			ctx context.Context, c projectionaudit.Config,
		) (projectionaudit.Result, error) {
			asked = append(asked, c.Repair)
			assert.InDelta(t, 1, c.Sample, 0)
			return projectionaudit.Result{Streams: 10, Differences: 2, Repaired: map[bool]int{true: 2}[c.Repair]}, retry.Sleep(ctx, time.Minute)
		}, service.Platform{Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
		router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
		audits.Register(httpapi.NewAPI(router))
		ask := func(method, query string, status int) (out audit) {
			t.Helper()
			res := answer(t, router, method, "/projections/things/audit"+query, &out)
			require.Equal(t, status, res.Code)
			return out
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- audits.Run(ctx) }()

		begun := ask(http.MethodPost, "", http.StatusAccepted)
		assert.Equal(t, "running", begun.State)
		assert.True(t, begun.Requested)
		time.Sleep(time.Second)
		assert.Equal(t, begun, ask(http.MethodPost, "?repair=true", http.StatusAccepted), "that one is under way")
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, "done", ask(http.MethodGet, "", http.StatusOK).State)
		assert.True(t, ask(http.MethodPost, "?repair=true", http.StatusAccepted).Repair)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, 2, ask(http.MethodGet, "", http.StatusOK).Repaired)
		stop()
		require.NoError(t, <-ended)
		assert.Equal(t, []bool{false, true}, asked)
	})
}

func TestAuditsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		audits := readservice.NewAudits("things", readservice.AuditConfig{Sample: 1}, nil, service.Platform{
			Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: registry,
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- audits.Run(ctx) }()
		time.Sleep(1000 * time.Hour)
		problems, err := testutil.GatherAndLint(registry)
		require.NoError(t, err)
		assert.Empty(t, problems)
		stop()
		require.NoError(t, <-ended)
	})
}

func TestAnAuditsConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]readservice.AuditConfig{
		"AUDIT_INTERVAL=1s: want at least 1m, or 0s": {Interval: time.Second, Sample: 1},
		"AUDIT_SAMPLE=0: want more than 0":           {},
		"AUDIT_SAMPLE=1.5: want more than 0":         {Interval: time.Minute, Sample: 1.5},
	} {
		require.ErrorContains(t, c.Validate(), want)
	}
	require.NoError(t, (&readservice.AuditConfig{Sample: 0.1}).Validate())
}
