package service_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
)

func TestAskReportsWhetherTheProcessIsReady(t *testing.T) {
	ready := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !ready {
			http.Error(w, "EventLog is away", http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	addr := strings.TrimPrefix(server.URL, "http://")
	_, port, _ := strings.Cut(addr, ":")
	for _, set := range []string{addr, ":" + port, "0.0.0.0:" + port} {
		t.Setenv("ADMIN_ADDR", set)
		require.NoError(t, service.Ask(t.Context(), "/readyz"), set)
	}
	ready = false
	require.ErrorContains(t, service.Ask(t.Context(), "/readyz"), "503 Service Unavailable: EventLog is away")
	server.Close()
	require.ErrorContains(t, service.Ask(t.Context(), "/readyz"), "connection refused")
	t.Setenv("ADMIN_ADDR", "nowhere")
	require.ErrorContains(t, service.Ask(t.Context(), "/readyz"), "address nowhere")
}
