package service_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// sender sends a request with these headers.
type sender func(method, url string, header http.Header) *httptest.ResponseRecorder

// admin serves an admin address with an operation that counts its requests.
func admin(t *testing.T, c service.AdminConfig) (serve sender, count *int) {
	t.Helper()
	count = new(int)
	type nothing struct{}
	endpoints, err := service.Endpoints(service.Config{Admin: c}, platform(), prometheus.NewRegistry(), service.App{
		Admin: func(api huma.API) {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
				httpapi.Register(api, quiet(), huma.Operation{OperationID: strings.ToLower(method), Method: method, Path: "/operation"},
					func(context.Context, *nothing) (*nothing, error) { *count++; return &nothing{}, nil })
			}
		},
	})
	require.NoError(t, err)
	return func(method, url string, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, url, http.NoBody)
		maps.Copy(r.Header, header)
		w := httptest.NewRecorder()
		endpoints[0].Handler.ServeHTTP(w, r)
		return w
	}, count
}

// public is what every admin address answers to everyone.
var public = []string{"/healthz", "/readyz", "/metrics"} //nolint:gochecknoglobals // read only

func TestAdminAddressRefusesWhatAPageMaySend(t *testing.T) {
	t.Parallel()
	serve, count := admin(t, service.AdminConfig{Hosts: []string{"Projector-User", "ops.example.com"}})
	for _, host := range []string{
		"127.0.0.1", "127.0.0.1:9090", "10.1.2.3:80", "[::1]", "[::1]:9090", "[fe80::1%25eth0]:9090", "localhost", "LocalHost:9090",
		"projector-user:9090", "OPS.example.com",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			*count = 0
			answer := serve(method, "http://"+host+"/operation", nil)
			assert.Equal(t, http.StatusNoContent, answer.Code, "%s %s: %s", method, host, answer.Body)
			assert.Equal(t, 1, *count)
		}
		same := http.Header{"Origin": {"http://" + host}, "Sec-Fetch-Site": {"same-origin"}}
		assert.Equal(t, http.StatusNoContent, serve(http.MethodPost, "http://"+host+"/operation", same).Code, "its own pages, %s", host)
	}
	*count = 0
	for _, host := range []string{
		"evil.example.com", "evil.example.com:9090", "example.com", "localhost.evil.com", "localhost.", "127.0.0.1.nip.io", "xops.example.com",
		"ops.example.com.evil.com", "2130706433", "0x7f000001", "127.1",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
			for _, path := range []string{"/operation", "/openapi.json", "/docs", "/nothing", "/healthz/x"} {
				answer := serve(method, "http://"+host+path, nil)
				assert.Equal(t, http.StatusForbidden, answer.Code, "%s %s%s", method, host, path)
				assert.Contains(t, answer.Body.String(), `"code":"forbidden"`)
			}
		}
		for _, path := range public {
			assert.Equal(t, http.StatusOK, serve(http.MethodGet, "http://"+host+path, nil).Code, "load balancers call by any name")
		}
	}
	for name, header := range map[string]http.Header{
		"another site":                    {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example.com"}},
		"another site, without Origin":    {"Sec-Fetch-Site": {"cross-site"}},
		"a sister site":                   {"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://127.0.0.1:8080"}},
		"an old browser":                  {"Origin": {"https://evil.example.com"}},
		"a sandboxed page":                {"Origin": {"null"}},
		"another port, in an old browser": {"Origin": {"http://127.0.0.1:8080"}},
	} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
			answer := serve(method, "http://127.0.0.1:9090/operation", header)
			assert.Equal(t, http.StatusForbidden, answer.Code, "%s from %s", method, name)
			assert.Contains(t, answer.Body.String(), `"code":"forbidden"`)
		}
	}
	assert.Zero(t, *count, "nothing that was refused was done")
}

func TestAdminTokenIsRequiredWhereOneIsConfigured(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdefghijkl"
	serve, count := admin(t, service.AdminConfig{Token: token})
	for _, authorization := range [][]string{
		nil,
		{""},
		{"Bearer"},
		{"Bearer "},
		{token},
		{"Basic " + token},
		{"Bearer " + token + "m"},
		{"Bearer " + token[1:]},
		{"Bearer  " + token},
		{"Bearer " + token, "Bearer " + token},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			answer := serve(method, "http://127.0.0.1/operation", http.Header{"Authorization": authorization})
			assert.Equal(t, http.StatusUnauthorized, answer.Code, "%q", authorization)
			assert.Contains(t, answer.Header().Get("WWW-Authenticate"), "Bearer")
			assert.NotContains(t, answer.Body.String(), token)
		}
	}
	assert.Zero(t, *count)
	assert.Equal(t, http.StatusUnauthorized, serve(http.MethodGet, "http://127.0.0.1/openapi.json", nil).Code)
	with := http.Header{"Authorization": {"bearer " + token}}
	assert.Equal(t, http.StatusNoContent, serve(http.MethodPost, "http://127.0.0.1/operation", with).Code)
	assert.Equal(t, http.StatusForbidden, serve(http.MethodPost, "http://evil.example.com/operation", with).Code, "the token is not enough")
	with.Set("Origin", "https://evil.example.com")
	assert.Equal(t, http.StatusForbidden, serve(http.MethodPost, "http://127.0.0.1/operation", with).Code, "the token is not enough")
	for _, path := range public {
		assert.Equal(t, http.StatusOK, serve(http.MethodGet, "http://127.0.0.1"+path, nil).Code)
	}
}

func TestAdminConfigReportsItsMistakes(t *testing.T) {
	t.Parallel()
	err := service.LoadConfig(service.Fixed(map[string]string{"ADMIN_HOSTS": "ok.example.com,http://x", "ADMIN_TOKEN": "short"}), new(service.Config))
	require.ErrorContains(t, err, "ADMIN_HOSTS=ok.example.com,http://x: want names without scheme, port or *")
	require.ErrorContains(t, err, "ADMIN_TOKEN: want at least 22 visible ASCII characters")
	assert.NotContains(t, err.Error(), "short", "a secret is not shown")
	for _, hosts := range []string{"host:9090", "*", "*.example.com"} {
		require.ErrorContains(t, service.LoadConfig(service.Fixed(map[string]string{"ADMIN_HOSTS": hosts}), new(service.Config)), "ADMIN_HOSTS")
	}
}
