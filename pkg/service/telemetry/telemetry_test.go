package telemetry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// line logs with what ctx carries and returns the line's attributes.
func line(t *testing.T, c telemetry.Correlation, derive func(*slog.Logger) *slog.Logger) map[string]any {
	t.Helper()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, slog.LevelInfo, "json")
	require.NoError(t, err)
	derive(log).InfoContext(telemetry.WithCorrelation(t.Context(), c), "done", slog.String("operation", "test"))
	var attrs map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &attrs))
	return attrs
}

func TestLogLinesCarryTheCorrelationOfTheirContext(t *testing.T) {
	t.Parallel()
	same := func(l *slog.Logger) *slog.Logger { return l }
	attrs := line(t, telemetry.Correlation{CorrelationID: "request-1", CausationID: "command-1"}, same)
	assert.Equal(t, "request-1", attrs["correlation_id"])
	assert.Equal(t, "command-1", attrs["causation_id"])
	assert.Equal(t, "test", attrs["operation"])

	attrs = line(t, telemetry.Correlation{CorrelationID: "request-1"}, same)
	assert.Equal(t, "request-1", attrs["correlation_id"])
	assert.NotContains(t, attrs, "causation_id", "the request itself is the cause")

	attrs = line(t, telemetry.Correlation{}, same)
	assert.NotContains(t, attrs, "correlation_id")
}

func TestDerivedLoggersKeepTheCorrelation(t *testing.T) {
	t.Parallel()
	c := telemetry.Correlation{CorrelationID: "request-1"}
	attrs := line(t, c, func(l *slog.Logger) *slog.Logger { return l.With(slog.String("service", "broker")) })
	assert.Equal(t, "request-1", attrs["correlation_id"])
	assert.Equal(t, "broker", attrs["service"])

	attrs = line(t, c, func(l *slog.Logger) *slog.Logger { return l.WithGroup("g") })
	assert.Equal(t, map[string]any{"correlation_id": "request-1", "operation": "test"}, attrs["g"])
}

func TestAContextWithoutCorrelationHasAnEmptyOne(t *testing.T) {
	t.Parallel()
	assert.Equal(t, telemetry.Correlation{}, telemetry.CorrelationOf(t.Context()))
}

func TestLoggerHonoursLevelAndFormat(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := telemetry.NewLogger(&out, slog.LevelWarn, "text")
	require.NoError(t, err)
	log.Info("quiet")
	assert.Empty(t, out.String())
	log.Warn("loud")
	assert.Contains(t, out.String(), "level=WARN msg=loud")

	_, err = telemetry.NewLogger(io.Discard, slog.LevelInfo, "xml")
	require.EqualError(t, err, `log format "xml": want json or text`)
}

func TestRegistryReportsTheProcess(t *testing.T) {
	t.Parallel()
	families, err := telemetry.NewRegistry().Gather()
	require.NoError(t, err)
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	assert.Subset(t, names, []string{"go_goroutines", "go_build_info"})
}
