package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/pkg/waittest"
)

func get(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	res := httptest.NewRecorder()
	h.ServeHTTP(res, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1"+path, nil))
	return res
}

// taken returns an address that is in use.
func taken(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func TestAllAddressesInUseAreNamedAndNoneStaysOpen(t *testing.T) {
	t.Parallel()
	used := taken(t)
	parts, addrs, err := service.Listen(t.Context(), quiet(), service.Endpoint{Variable: "FREE_ADDR", Addr: "127.0.0.1:0"},
		service.Endpoint{Variable: "API_ADDR", Addr: used}, service.Endpoint{Variable: "AWS_ADDR", Addr: "nowhere"})
	require.ErrorContains(t, err, "API_ADDR="+used+": another program (lsof -i :")
	require.ErrorContains(t, err, "address already in use")
	require.ErrorContains(t, err, "AWS_ADDR=nowhere: want a host and a port up to 65535, such as 127.0.0.1:8080 (")
	assert.NotContains(t, err.Error(), "FREE_ADDR")
	assert.Empty(t, parts)
	assert.Empty(t, addrs)
}

func TestAddressesAreReleasedWhenListeningFails(t *testing.T) { // not in parallel: other tests take ports too
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := l.Addr().String()
	require.NoError(t, l.Close())

	_, _, err = service.Listen(t.Context(), quiet(), service.Endpoint{Variable: "ADMIN_ADDR", Addr: free},
		service.Endpoint{Variable: "API_ADDR", Addr: taken(t)})
	require.ErrorContains(t, err, "API_ADDR=")
	assert.NotContains(t, err.Error(), "ADMIN_ADDR")
	l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", free)
	require.NoError(t, err, "it was released")
	require.NoError(t, l.Close())
}

func TestEndpointsServeAtTheirAddresses(t *testing.T) {
	t.Parallel()
	text := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, s+" over "+r.Proto) })
	}
	parts, addrs, err := service.Listen(t.Context(), quiet(),
		service.Endpoint{Name: "admin", Addr: "127.0.0.1:0", Handler: text("the admin")},
		service.Endpoint{Name: "aws", Addr: "127.0.0.1:0", Handler: text("the aws"), UnencryptedHTTP2: true})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- service.RunParts(ctx, quiet(), time.Minute, parts...) }()
	http1, http2 := &http.Transport{DisableKeepAlives: true}, &http.Transport{Protocols: new(http.Protocols)}
	http2.Protocols.SetUnencryptedHTTP2(true)
	for _, call := range []struct {
		name      string
		transport *http.Transport
		want      string
	}{{"admin", http1, "the admin over HTTP/1.1"}, {"aws", http1, "the aws over HTTP/1.1"}, {"aws", http2, "the aws over HTTP/2.0"}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addrs[call.name], nil)
		require.NoError(t, err)
		res, err := call.transport.RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, call.want, string(body))
	}
	stop() // an idle HTTP/2 connection does not delay it
	require.NoError(t, <-ended)
}

func TestAdminServesLivenessReadinessAndMetrics(t *testing.T) {
	t.Parallel()
	p, registry, err := service.NewPlatform(service.Config{LogFormat: "json"}, io.Discard)
	require.NoError(t, err)
	p = p.For("broker")
	now := time.Now()
	for range 2 { // the first one was an hour ago
		now = now.Add(time.Hour)
		defer p.Loops.Register(progress.NewLoop("handler of users", time.Minute, func() time.Time { return now }))()
	}
	cfg := service.Config{Admin: service.AdminConfig{Addr: "here:1"}}
	failing := func(text string) func(context.Context) error {
		return func(context.Context) error { return errors.New(text) }
	}
	endpoints, err := service.Endpoints(cfg, p, registry, service.App{
		First:  []health.Check{{Name: "lease round", Probe: failing("none yet")}},
		Checks: []health.Check{{Name: "EventLog", Probe: failing("gone")}},
	})
	require.NoError(t, err)
	require.Len(t, endpoints, 1, "an app without routes has no API")
	admin := endpoints[0]
	assert.Equal(t, "here:1", admin.Addr)
	assert.Equal(t, "ADMIN_ADDR", admin.Variable)
	live := get(t, admin.Handler, "/healthz")
	assert.Equal(t, http.StatusServiceUnavailable, live.Code)
	assert.Contains(t, live.Body.String(), "handler of users: no turn for 1h0m0s")
	ready := get(t, admin.Handler, "/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, ready.Code)
	assert.JSONEq(t, `{"status":"not ready","waiting":{"lease round":"none yet"},"dependencies":{"EventLog":"away: gone"}}`,
		ready.Body.String())
	assert.Regexp(t, `leftfold_loop_age_seconds\{loop="handler of users",service="broker"\} 3600`,
		get(t, admin.Handler, "/metrics").Body.String(), "of two loops with one name, the older")
	assert.Contains(t, get(t, admin.Handler, "/").Body.String(), `admin</title>`)
	assert.Equal(t, http.StatusNotFound, get(t, admin.Handler, "/nothing").Code)
}

func TestRoutesAreServedAtTheAPIsAddress(t *testing.T) {
	t.Parallel()
	type nothing struct{}
	routes := func(api huma.API) {
		httpapi.Register(api, quiet(), huma.Operation{OperationID: "ping", Method: http.MethodGet, Path: "/ping"},
			func(context.Context, *nothing) (*nothing, error) { return &nothing{}, nil })
	}
	endpoints, err := service.Endpoints(service.Config{}, platform(), prometheus.NewRegistry(),
		service.App{Routes: routes, API: service.API{Addr: "here:2", Auth: auth.Config{Environment: auth.Local, Mode: "none"}}})
	require.NoError(t, err)
	require.Len(t, endpoints, 2)
	api := endpoints[1]
	assert.Equal(t, []string{"api", "API_ADDR", "here:2"}, []string{api.Name, api.Variable, api.Addr})
	assert.Equal(t, http.StatusNoContent, get(t, api.Handler, "/ping").Code)
	assert.Equal(t, http.StatusNotFound, get(t, api.Handler, "/metrics").Code, "those are the admin's")
}

// platform has what an API needs.
func platform() service.Platform {
	return service.Platform{Logger: quiet(), Metrics: prometheus.NewRegistry(), Now: time.Now}
}

func TestAnAPIWithoutKeysIsNotReady(t *testing.T) {
	t.Parallel()
	endpoints, err := service.Endpoints(service.Config{}, platform(), prometheus.NewRegistry(), service.App{
		Checks: []health.Check{{Name: "EventLog", Probe: func(context.Context) error { return nil }}},
		Routes: func(huma.API) {},
		API: service.API{Auth: auth.Config{
			Environment: auth.Local, Mode: "oidc", Issuer: "http://127.0.0.1:1", Audience: "leftfold", // an unused port
			Algorithms: []string{"RS256"}, Refresh: time.Minute, MaxToken: 8 << 10, SubjectClaim: "sub",
		}},
	})
	require.NoError(t, err)
	ready := get(t, endpoints[0].Handler, "/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, ready.Code)
	assert.Contains(t, ready.Body.String(), `"issuer of tokens":"its keys are being fetched"`)
	assert.Contains(t, ready.Body.String(), `"EventLog":"ok"`)
}

func TestEachServiceHasItsOwnLogsAndMetrics(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	whole, registry, err := service.NewPlatform(service.Config{LogLevel: slog.LevelInfo, LogFormat: "json"}, &logs)
	require.NoError(t, err)
	for _, name := range []string{"broker", "streamer"} { // the second would panic if they shared metrics
		p := whole.For(name)
		seen := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total"})
		p.Metrics.MustRegister(seen)
		seen.Inc()
		assert.Len(t, p.AWS.APIOptions, 2, "its calls have deadlines and are counted")

		logs.Reset()
		p.Logger.Info("hello")
		var line map[string]any
		require.NoError(t, json.Unmarshal(logs.Bytes(), &line))
		assert.Equal(t, name, line[telemetry.KeyService])
	}
	assert.Empty(t, whole.AWS.APIOptions)
	services := map[string]float64{}
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "leftfold_test_total" {
			for _, m := range f.GetMetric() {
				services[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
				assert.Equal(t, "service", m.GetLabel()[0].GetName())
			}
		}
	}
	assert.Equal(t, map[string]float64{"broker": 1, "streamer": 1}, services)
}

func TestEachPlatformHasItsOwnInstance(t *testing.T) {
	t.Parallel()
	config := service.Config{LogFormat: "text"}
	a, _, err := service.NewPlatform(config, io.Discard)
	require.NoError(t, err)
	b, _, err := service.NewPlatform(config, io.Discard)
	require.NoError(t, err)
	assert.NotEmpty(t, a.Instance)
	assert.NotEqual(t, a.Instance, b.Instance, "leases must distinguish replicas on one host")
	_, _, err = service.NewPlatform(service.Config{LogFormat: "xml"}, io.Discard)
	require.ErrorContains(t, err, `"xml"`)
}

func TestProcessConfigReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	err := (&service.Config{LogFormat: "xml"}).Validate()
	require.ErrorContains(t, err, "LOG_FORMAT")
	require.ErrorContains(t, err, "STOP_TIMEOUT")
	require.NoError(t, (&service.Config{LogFormat: "json", StopTimeout: 1}).Validate())
}

func TestAPortInUseSaysWhoProbablyHasIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		who     string
	}{
		"a page":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<title>A &amp; B</title>")) }, `"A & B"`},
		"an AWS":   {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Amzn-Requestid", "1") }, "an embedded AWS"},
		"a server": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Server", "nginx") }, `"nginx"`},
		"silence":  {func(http.ResponseWriter, *http.Request) {}, "another program (lsof"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			addr := server.Listener.Addr().String()
			var err error
			waittest.Until(t, "an answer to who has the port", func() (any, bool) { // a busy machine may take longer than Listen waits
				_, _, err = service.Listen(t.Context(), quiet(), service.Endpoint{Variable: "API_ADDR", Addr: addr})
				return err, err == nil || strings.Contains(err.Error(), tt.who)
			})
			require.ErrorContains(t, err, "API_ADDR="+addr+": "+tt.who)
			require.ErrorContains(t, err, "set another address, such as API_ADDR=127.0.0.1:")
		})
	}
}
