package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// send sends a request with headers, given as name, value, name, value.
func send(t *testing.T, h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "from" {
			r.RemoteAddr = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	out := httptest.NewRecorder()
	h.ServeHTTP(out, r)
	return out
}

type caller struct {
	User string `header:"X-User"`
}

// newPublic serves GET /greet as c says. X-User names the subject; "bad" is refused.
func newPublic(t *testing.T, c httpapi.Config, now func() time.Time) http.Handler {
	t.Helper()
	type subject struct{}
	r := httpapi.NewRouter(quiet(), c.Front()...)
	api := httpapi.NewAPI(r)
	c.LimitRate(api, now, func(api huma.API) {
		api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
			if ctx.Header("X-User") == "bad" {
				_ = huma.WriteErr(api, ctx, http.StatusUnauthorized, "")
				return
			}
			next(huma.WithValue(ctx, subject{}, ctx.Header("X-User")))
		})
	}, func(ctx context.Context) string { s, _ := ctx.Value(subject{}).(string); return s })
	httpapi.Register(api, quiet(), huma.Operation{OperationID: "greet", Method: http.MethodGet, Path: "/greet"},
		func(context.Context, *caller) (*greeting, error) { return &greeting{}, nil })
	require.NoError(t, httpapi.Publish(r, api, product()))
	return r
}

func TestEveryAnswerHasSecurityHeaders(t *testing.T) {
	t.Parallel()
	h := newPublic(t, httpapi.Config{}, nil)
	for target, status := range map[string]int{
		"/greet": 200, "/nothing": 404, "/greet?x=1": 422, "/openapi.json": 200, "/docs": 200, "/docs/swagger-ui.css": 200,
		"/problems": 200, "/problems/busy": 200, "/problems/none": 404, "https://x/greet": 200,
	} {
		out := send(t, h, http.MethodGet, target)
		assert.Equal(t, status, out.Code, target)
		header := out.Header()
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"), target)
		assert.Equal(t, "no-referrer", header.Get("Referrer-Policy"), target)
		assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'", target)
		assert.Contains(t, header.Get("Content-Security-Policy"), "frame-ancestors 'none'", target)
		assert.NotContains(t, header.Get("Content-Security-Policy"), "script-src 'unsafe", target)
		assert.Equal(t, strings.HasPrefix(target, "https:"), header.Get("Strict-Transport-Security") != "", "%s: over TLS alone", target)
		assert.Equal(t, !strings.HasSuffix(target, ".css"), header.Get("Cache-Control") == "no-store", target)
	}
}

func TestOnlyConfiguredOriginsMayCall(t *testing.T) {
	t.Parallel()
	const ours, theirs = "https://admin.example.com", "https://evil.example.com"
	h := newPublic(t, httpapi.Config{CORSOrigins: []string{ours}}, nil)
	preflight := func(h http.Handler, origin string) http.Header {
		return send(t, h, http.MethodOptions, "/greet", "Origin", origin, "X-User", "bad",
			"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,if-match,idempotency-key").Header()
	}
	allowed := preflight(h, ours)
	assert.Equal(t, ours, allowed.Get("Access-Control-Allow-Origin"), "before authentication")
	assert.Equal(t, "PUT", allowed.Get("Access-Control-Allow-Methods"))
	assert.Equal(t, "Authorization, If-Match, Idempotency-Key", allowed.Get("Access-Control-Allow-Headers"))
	assert.Empty(t, allowed.Get("Access-Control-Allow-Credentials"), "tokens are no cookies")
	assert.Empty(t, preflight(h, theirs).Get("Access-Control-Allow-Origin"))

	plain := send(t, h, http.MethodGet, "/greet", "Origin", ours).Header()
	assert.Equal(t, ours, plain.Get("Access-Control-Allow-Origin"))
	assert.Contains(t, plain.Get("Access-Control-Expose-Headers"), "Etag")
	assert.Contains(t, plain.Get("Access-Control-Expose-Headers"), "Retry-After")
	assert.Contains(t, plain.Values("Vary"), "Origin")
	assert.Empty(t, send(t, h, http.MethodGet, "/greet", "Origin", theirs).Header().Get("Access-Control-Allow-Origin"))

	none := newPublic(t, httpapi.Config{}, nil)
	assert.Empty(t, preflight(none, ours).Get("Access-Control-Allow-Origin"))
	assert.Equal(t, "GET, HEAD, OPTIONS", preflight(none, ours).Get("Allow"))
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(newPublic(t, httpapi.Config{}, nil))
	t.Cleanup(s.Close)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, s.URL+"/greet", nil)
	require.NoError(t, err)
	res, err := s.Client().Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusOK, res.StatusCode)
	assert.Equal(t, "application/json", res.Header.Get("Content-Type"))
	assert.Empty(t, body)
}

func TestHeadersThatAreTooLargeAreRefused(t *testing.T) {
	t.Parallel()
	h := newPublic(t, httpapi.Config{MaxHeader: 2000}, nil)
	assert.Equal(t, http.StatusOK, send(t, h, http.MethodGet, "/greet", "A", strings.Repeat("a", 1900)).Code)
	for name, out := range map[string]*httptest.ResponseRecorder{
		"one":         send(t, h, http.MethodGet, "/greet", "A", strings.Repeat("a", 2000)),
		"two":         send(t, h, http.MethodGet, "/greet", "A", strings.Repeat("a", 1000), "A", strings.Repeat("a", 1000)),
		"the address": send(t, h, http.MethodGet, "/greet?"+strings.Repeat("a", 2000)),
	} {
		assert.Equal(t, http.StatusRequestHeaderFieldsTooLarge, out.Code, name)
		assert.Contains(t, out.Body.String(), `"code":"header_too_large"`, name)
	}
}

func TestRequestsOverTheLimitInFlightAreRefused(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}), make(chan struct{})
	r := httpapi.NewRouter(quiet(), httpapi.Config{MaxInFlight: 1}.Front()...)
	r.Get("/", func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-finish })
	done := make(chan struct{})
	go func() { defer close(done); send(t, r, http.MethodGet, "/") }()
	<-arrived
	out := send(t, r, http.MethodGet, "/")
	assert.Equal(t, http.StatusServiceUnavailable, out.Code)
	assert.Equal(t, "1", out.Header().Get("Retry-After"))
	close(finish)
	<-done
	go func() { <-arrived }()
	assert.Equal(t, http.StatusOK, send(t, r, http.MethodGet, "/").Code, "the place is free again")
}

// limited allows 2 requests at once and one more every 10 s.
func limited() httpapi.Config {
	return httpapi.Config{RateLimit: 0.1, RateBurst: 2, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}
}

func TestEachClientHasItsOwnRateLimit(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	h := newPublic(t, limited(), func() time.Time { return now })
	status := func(headers ...string) int { return send(t, h, http.MethodGet, "/greet", headers...).Code }
	for range 2 {
		assert.Equal(t, http.StatusOK, status("X-User", "ann"))
	}
	out := send(t, h, http.MethodGet, "/greet", "X-User", "ann")
	assert.Equal(t, http.StatusTooManyRequests, out.Code)
	assert.Equal(t, "10", out.Header().Get("Retry-After"))
	assert.Equal(t, "application/problem+json", out.Header().Get("Content-Type"))
	assert.Contains(t, out.Body.String(), `"code":"too_many_requests"`)
	assert.Equal(t, http.StatusOK, status("X-User", "dan"), "at the same address")
	assert.Equal(t, http.StatusOK, status(), "no subject at the same address")

	now = now.Add(9 * time.Second)
	out = send(t, h, http.MethodGet, "/greet", "X-User", "ann")
	assert.Equal(t, http.StatusTooManyRequests, out.Code)
	assert.Equal(t, "1", out.Header().Get("Retry-After"))
	now = now.Add(time.Second)
	assert.Equal(t, http.StatusOK, status("X-User", "ann"), "as Retry-After said")
	assert.Equal(t, http.StatusTooManyRequests, status("X-User", "ann"))
	assert.Equal(t, http.StatusOK, send(t, h, http.MethodGet, "/docs", "X-User", "ann").Code, "what explains the API is not counted")
}

func TestAClientIsTheLastUntrustedAddress(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ first, second []string }{
		"the peer, whatever its port": {[]string{"from", "192.0.2.1:1"}, []string{"from", "192.0.2.1:2"}},
		"the peer, if it is no trusted proxy": {
			[]string{"from", "192.0.2.1:1", "X-Forwarded-For", "198.51.100.1"}, []string{"from", "192.0.2.1:1", "X-Forwarded-For", "198.51.100.2"},
		},
		"what a trusted proxy says": {
			[]string{"from", "10.0.0.1:1", "X-Forwarded-For", "192.0.2.1"}, []string{"from", "10.0.0.2:1", "X-Forwarded-For", "192.0.2.1"},
		},
		"the last that is not trusted": {
			[]string{"from", "10.0.0.1:1", "X-Forwarded-For", "198.51.100.1, 192.0.2.1, 10.9.9.9"},
			[]string{"from", "10.0.0.2:1", "X-Forwarded-For", "198.51.100.2", "X-Forwarded-For", "192.0.2.1"},
		},
		"the proxy, if what it says makes no sense": {
			[]string{"from", "10.0.0.1:1", "X-Forwarded-For", "x"}, []string{"from", "10.0.0.1:1", "X-Forwarded-For", "y"},
		},
		"a network of IPv6":              {[]string{"from", "[2001:db8::1]:1"}, []string{"from", "[2001:db8::ffff:2]:1"}},
		"an IPv4 address mapped to IPv6": {[]string{"from", "[::ffff:192.0.2.1]:1"}, []string{"from", "192.0.2.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newPublic(t, limited(), func() time.Time { return time.Unix(0, 0) })
			for range 2 {
				assert.Equal(t, http.StatusOK, send(t, h, http.MethodGet, "/greet", tt.first...).Code)
			}
			assert.Equal(t, http.StatusTooManyRequests, send(t, h, http.MethodGet, "/greet", tt.second...).Code)
			assert.Equal(t, http.StatusOK, send(t, h, http.MethodGet, "/greet", "from", "203.0.113.9:1").Code, "another client")
			assert.Equal(t, http.StatusOK, send(t, h, http.MethodGet, "/greet", "from", "[2001:db8:0:1::1]:1").Code, "another client")
		})
	}
}

func TestRequestsWithInvalidTokensAreLimited(t *testing.T) {
	t.Parallel()
	now := time.Unix(0, 0)
	h := newPublic(t, limited(), func() time.Time { return now })
	for range 2 {
		assert.Equal(t, http.StatusUnauthorized, send(t, h, http.MethodGet, "/greet", "X-User", "bad").Code)
	}
	out := send(t, h, http.MethodGet, "/greet", "X-User", "bad")
	assert.Equal(t, http.StatusTooManyRequests, out.Code, "without verifying the token")
	assert.Equal(t, "10", out.Header().Get("Retry-After"))
	other := send(t, h, http.MethodGet, "/greet", "X-User", "bad", "from", "203.0.113.9:1")
	assert.Equal(t, http.StatusUnauthorized, other.Code, "another address")
	now = now.Add(10 * time.Second)
	assert.Equal(t, http.StatusUnauthorized, send(t, h, http.MethodGet, "/greet", "X-User", "bad").Code)
}

func TestRatesAreNotLimitedByDefault(t *testing.T) {
	t.Parallel()
	h := newPublic(t, httpapi.Config{}, nil)
	for range 1000 {
		require.Equal(t, http.StatusOK, send(t, h, http.MethodGet, "/greet").Code)
	}
}

func TestConfigReportsAllMistakesAtOnce(t *testing.T) {
	t.Parallel()
	err := (&httpapi.Config{
		TLSCertFile: "cert.pem", CORSOrigins: []string{"*", "https://ok.example.com:8443", "example.com", "https://example.com/"},
		RateLimit: 1, MaxInFlight: -1, MaxHeader: 1,
	}).Validate()
	for _, want := range []string{
		"TLS_CERT_FILE, TLS_KEY_FILE: want both", "CORS_ORIGINS: example.com is", "CORS_ORIGINS: https://example.com/ is",
		"RATE_BURST=0", "MAX_IN_FLIGHT=-1", "HTTP_MAX_HEADER=1", "HTTP_HEADER_TIMEOUT=0s",
		"HTTP_READ_TIMEOUT=0s", "HTTP_WRITE_TIMEOUT=0s", "HTTP_IDLE_TIMEOUT=0s",
	} {
		require.ErrorContains(t, err, want)
	}
	assert.NotContains(t, err.Error(), "ok.example.com")
	assert.NotContains(t, err.Error(), "CORS_ORIGINS: *")
	require.ErrorContains(t, (&httpapi.Config{RateLimit: -1}).Validate(), "RATE_LIMIT=-1")
}

func TestAClientWaitsWithFewRequestsAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := httpapi.Config{RateLimit: 1000, RateBurst: 3}
		r := httpapi.NewRouter(quiet())
		api := httpapi.NewAPI(r)
		type reader struct{}
		c.LimitRate(api, time.Now, func(api huma.API) {
			api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) {
				next(huma.WithValue(ctx, reader{}, ctx.Header("X-User")))
			})
		}, func(ctx context.Context) string { s, _ := ctx.Value(reader{}).(string); return s })
		httpapi.Register(api, quiet(), huma.Operation{OperationID: "get", Method: http.MethodGet, Path: "/"},
			func(_ context.Context, in *struct{ httpapi.Reading }) (*struct{}, error) {
				time.Sleep(in.Wait.Duration()) // virtual
				return &struct{}{}, nil
			})
		codes := make(chan int, 9)
		for range 9 {
			go func() { codes <- send(t, r, http.MethodGet, "/?wait=10s", "X-User", "ann").Code }()
			time.Sleep(time.Millisecond)
		}
		for range 6 {
			assert.Equal(t, http.StatusTooManyRequests, <-codes)
		}
		assert.Equal(t, http.StatusNoContent, send(t, r, http.MethodGet, "/", "X-User", "ann").Code, "one that does not wait")
		assert.Equal(t, http.StatusNoContent, send(t, r, http.MethodGet, "/?wait=1s", "X-User", "dan").Code, "another client")
		for range 3 {
			assert.Equal(t, http.StatusNoContent, <-codes)
		}
		assert.Equal(t, http.StatusNoContent, send(t, r, http.MethodGet, "/?wait=1s", "X-User", "ann").Code, "they have ended")
	})
}

func TestAURLIsThatOfAServerOfHTTP(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"http://127.0.0.1:8080", "https://api.example.com/v1", "http://user:secret@host"} {
		u, err := httpapi.ParseURL(text)
		require.NoError(t, err, text)
		assert.Equal(t, text, u.String())
	}
	for _, text := range []string{"", "host:8080", "//host", "http:///path", "ftp://host", "http://user:secret@host:x"} {
		_, err := httpapi.ParseURL(text)
		require.Error(t, err, text)
		assert.NotContains(t, err.Error(), "secret")
	}
}
