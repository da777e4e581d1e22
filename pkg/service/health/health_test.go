package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/health"
)

func get(t *testing.T, h http.Handler) (int, map[string]any) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	var body map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body))
	return rec.Code, body
}

func TestLivenessIgnoresDependencies(t *testing.T) {
	t.Parallel()
	status, body := get(t, health.Live())
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "live", body["status"])
}

func TestReadinessNamesUnavailableDependencies(t *testing.T) {
	t.Parallel()
	checks := []health.Check{
		{Name: "EventLog", Probe: func(context.Context) error { return nil }},
		{Name: "IamUserQueue", Probe: func(context.Context) error { return errors.New("no route") }},
	}
	status, body := get(t, health.Ready(checks))
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, map[string]any{"EventLog": "ok", "IamUserQueue": "away: no route"}, body["dependencies"])

	status, body = get(t, health.Ready(checks[:1]))
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "ready", body["status"])
}

func TestAHangingDependencyIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		status, _ := get(t, health.Ready([]health.Check{{Name: "slow", Probe: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}}))
		assert.Equal(t, http.StatusServiceUnavailable, status)
	})
}
