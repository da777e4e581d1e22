package service_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func TestAPIIsServedAsConfigured(t *testing.T) {
	t.Parallel()
	var api service.API
	require.NoError(t, service.LoadConfig(env(map[string]string{
		"ENVIRONMENT": "local", "AUTH_MODE": "none", "CORS_ORIGINS": "https://a.example.com,https://b.example.com",
		"RATE_LIMIT": "0.5", "RATE_BURST": "1", "TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1/32", "HTTP_MAX_HEADER": "2048",
	}), &api))
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32")}, api.HTTP.TrustedProxies)

	type nothing struct{}
	app := service.App{API: api, Routes: func(api huma.API) {
		httpapi.Register(api, quiet(), huma.Operation{OperationID: "ping", Method: http.MethodGet, Path: "/ping"},
			func(context.Context, *nothing) (*nothing, error) { return &nothing{}, nil })
	}}
	h, _, err := app.Handler(service.Platform{
		Logger: quiet(), Metrics: prometheus.NewRegistry(), Now: func() time.Time { return time.Unix(0, 0) },
	})
	require.NoError(t, err)
	ping := func(client, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/ping", nil) // from 192.0.2.1
		r.Header.Set("X-Forwarded-For", client)
		r.Header.Set("Origin", origin)
		out := httptest.NewRecorder()
		h.ServeHTTP(out, r)
		return out
	}
	first := ping("198.51.100.1", "https://b.example.com")
	assert.Equal(t, http.StatusNoContent, first.Code)
	assert.Equal(t, "https://b.example.com", first.Header().Get("Access-Control-Allow-Origin"))
	again := ping("198.51.100.1", "https://b.example.com")
	assert.Equal(t, http.StatusTooManyRequests, again.Code)
	assert.Equal(t, "2", again.Header().Get("Retry-After"))
	assert.Equal(t, "https://b.example.com", again.Header().Get("Access-Control-Allow-Origin"), "a page may read why")
	assert.Equal(t, http.StatusNoContent, ping("198.51.100.2", "").Code)

	assert.Contains(t, get(t, h, "/openapi.json").Body.String(), `"/ping"`)
	assert.Equal(t, http.StatusOK, get(t, h, "/docs").Code)
	assert.Equal(t, http.StatusOK, get(t, h, "/problems/busy").Code)
}

func TestInvalidAPIVariablesAreReported(t *testing.T) {
	t.Parallel()
	var api service.API
	err := service.LoadConfig(env(map[string]string{"TRUSTED_PROXIES": "10.0.0.1", "RATE_LIMIT": "many"}), &api)
	require.ErrorContains(t, err, "TRUSTED_PROXIES=10.0.0.1: ")
	require.ErrorContains(t, err, "RATE_LIMIT=many: ")
	err = service.LoadConfig(env(map[string]string{"TLS_KEY_FILE": "x", "CORS_ORIGINS": "example.com"}), &api)
	require.ErrorContains(t, err, "TLS_CERT_FILE, TLS_KEY_FILE: want both or none")
	require.ErrorContains(t, err, "CORS_ORIGINS: example.com")
}

// TestTwoTypesOfOneNameAreAnError and no panic: their services may each be right.
func TestTwoTypesOfOneNameAreAnError(t *testing.T) {
	t.Parallel()
	one := func(api huma.API) {
		type Member struct{ Name string }
		type answer struct{ Body Member }
		huma.Get(api, "/one", func(context.Context, *struct{}) (*answer, error) { return nil, nil }) //nolint:nilnil // never called
	}
	other := func(api huma.API) {
		type Member struct{ Age int }
		type answer struct{ Body Member }
		huma.Get(api, "/other", func(context.Context, *struct{}) (*answer, error) { return nil, nil }) //nolint:nilnil // never called
	}
	var api service.API
	require.NoError(t, service.LoadConfig(env(map[string]string{"ENVIRONMENT": "local", "AUTH_MODE": "none"}), &api))
	both := service.App{API: api, Routes: func(api huma.API) { one(api); other(api) }}
	_, _, err := both.Handler(service.Platform{Logger: quiet(), Metrics: prometheus.NewRegistry(), Now: time.Now})
	require.ErrorContains(t, err, "the name of each type in it must be its own")
	require.ErrorContains(t, err, "Member")
}

func TestIssuerKeysAreFetchedByAPart(t *testing.T) {
	t.Parallel()
	fetched := make(chan struct{})
	first := sync.OnceFunc(func() { close(fetched) }) // it is asked again and again
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.NotFound(w, nil)
		first()
	}))
	defer issuer.Close()
	var cfg service.Config
	var api service.API
	require.NoError(t, service.LoadConfig(env(map[string]string{
		"ENVIRONMENT": "local", "OIDC_ISSUER": issuer.URL, "OIDC_AUDIENCE": "leftfold", "ADMIN_ADDR": "127.0.0.1:0", "API_ADDR": "127.0.0.1:0",
	}), &cfg, &api))
	registry := prometheus.NewRegistry()
	p := service.Platform{Logger: quiet(), Metrics: registry, Now: time.Now}
	endpoints, err := service.Endpoints(cfg, p, registry, service.App{API: api, Routes: func(huma.API) {}})
	require.NoError(t, err)
	parts, _, err := service.Listen(t.Context(), quiet(), endpoints...)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.RunParts(ctx, quiet(), time.Minute, parts...) }()
	<-fetched
	stop()
	require.NoError(t, <-ended)
}
