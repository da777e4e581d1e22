package devissuer_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerURL = "http://issuer.test:9000"
	refresh   = time.Minute
)

func config() devissuer.Config {
	return devissuer.Config{
		Environment: auth.Local, Addr: "127.0.0.1:0", URL: issuerURL, Audience: "leftfold", TokenLife: time.Hour,
	}
}

func newIssuer(t *testing.T) *devissuer.Issuer {
	t.Helper()
	i, err := devissuer.New(config(), time.Now)
	require.NoError(t, err)
	return i
}

func do(h http.Handler, method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// inProcess reaches a handler without a network.
type inProcess struct{ http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	return w.Result(), nil
}

// whoami is an API that accepts tokens of the issuer.
func whoami(t *testing.T, i http.Handler) http.Handler {
	t.Helper()
	guard, err := auth.NewGuard(auth.Config{
		Environment: auth.Local, Mode: "oidc", Issuer: issuerURL, Audience: "leftfold",
		Algorithms: []string{"RS256", "ES256"}, Refresh: refresh, MaxToken: 8 << 10, SubjectClaim: "sub",
	}, auth.Options{
		Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), HTTP: &http.Client{Transport: inProcess{i}},
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- guard.Run(t.Context()) }()
	t.Cleanup(func() { require.NoError(t, <-ended) })
	synctest.Wait()
	require.NoError(t, guard.Checks()[0].Probe(t.Context()))
	router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
	api := httpapi.NewAPI(router)
	guard.Protect(api)
	type identity struct{ Body auth.Principal }
	huma.Register(api, huma.Operation{OperationID: "whoami", Method: http.MethodGet, Path: "/", Security: auth.Scopes()},
		func(ctx context.Context, _ *struct{}) (*identity, error) { return &identity{auth.Of(ctx)}, nil })
	return router
}

type answer struct {
	Token     string `json:"access_token"`
	Type      string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
	Scope     string `json:"scope"`
	Error     string `json:"error"`
}

func ask(t *testing.T, i http.Handler, form string) (int, answer) {
	t.Helper()
	res := do(i, http.MethodPost, "/token", form)
	var out answer
	require.NoError(t, json.Unmarshal(res.Body.Bytes(), &out))
	return res.Code, out
}

func TestTheIssuerRequiresTheLocalEnvironment(t *testing.T) {
	t.Parallel()
	for _, environment := range []string{"", "production", "staging", "LOCAL", "local "} {
		c := config()
		c.Environment = environment
		_, err := devissuer.New(c, time.Now)
		require.ErrorContains(t, err, "only where ENVIRONMENT=local, and it is "+environment)
	}
	err := (&devissuer.Config{URL: "here"}).Validate()
	for _, want := range []string{"ENVIRONMENT", "ISSUER_URL=here", "ISSUER_TOKEN_LIFE=0s"} {
		require.ErrorContains(t, err, want, "all at once")
	}
}

// Its name follows from its address, unless it is given.
func TestTheIssuerIsNamedByItsAddress(t *testing.T) {
	t.Parallel()
	for addr, name := range map[string]string{
		"127.0.0.1:9001": "http://127.0.0.1:9001", ":9001": "http://127.0.0.1:9001", "[::1]:9001": "http://[::1]:9001",
	} {
		c := config()
		c.Addr, c.URL = addr, ""
		require.NoError(t, c.Validate())
		assert.Equal(t, name, c.URL)
	}
}

func TestTokensOutliveOneRotationOfKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		api := whoami(t, i)
		status := func(token string) int {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			api.ServeHTTP(w, r)
			return w.Code
		}
		code, first := ask(t, i, "grant_type=client_credentials&client_id=dan&scope=a+b")
		require.Equal(t, http.StatusOK, code)
		assert.Equal(t, answer{Token: first.Token, Type: "Bearer", ExpiresIn: 3600, Scope: "a b"}, first)
		assert.Equal(t, http.StatusOK, status(first.Token))

		require.Equal(t, http.StatusNoContent, do(i, http.MethodPost, "/rotate?alg=ES256", "").Code)
		_, second := ask(t, i, "client_id=dan")
		time.Sleep(refresh) // virtual
		synctest.Wait()
		assert.Equal(t, http.StatusOK, status(second.Token))
		assert.Equal(t, http.StatusOK, status(first.Token), "its key is published still")
		require.Equal(t, http.StatusNoContent, do(i, http.MethodPost, "/rotate", "").Code)
		time.Sleep(refresh)
		synctest.Wait()
		assert.Equal(t, http.StatusUnauthorized, status(first.Token))
		assert.Equal(t, http.StatusOK, status(second.Token))
		assert.Equal(t, http.StatusBadRequest, do(i, http.MethodPost, "/rotate?alg=HS256", "").Code)
	})
}

func TestATokenHasTheRequestedClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	claims := func(token string) map[string]any {
		parts := strings.Split(token, ".")
		require.Len(t, parts, 3)
		return decode(t, parts[1])
	}
	_, got := ask(t, i, url.Values{"client_id": {"dan"}, "audience": {"x", "y"}, "expires_in": {"60"}}.Encode())
	c := claims(got.Token)
	assert.Equal(t, []any{"x", "y"}, c["aud"])
	assert.InDelta(t, 60, number(t, c["exp"])-number(t, c["iat"]), 1)
	assert.Equal(t, 60, got.ExpiresIn)

	token, err := i.Token("eve", "a", map[string]any{"sub": "mallory", "x": 1})
	require.NoError(t, err)
	assert.Equal(t, "mallory", claims(token)["sub"])
	assert.Equal(t, issuerURL, claims(token)["iss"])

	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader("grant_type=client_credentials"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("a-client", "any secret")
	w := httptest.NewRecorder()
	i.ServeHTTP(w, r)
	var out answer
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	assert.Equal(t, "a-client", claims(out.Token)["sub"])
}

func TestInvalidTokenRequestsAreRefused(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for form, want := range map[string]string{
		"grant_type=password&client_id=dan":            "unsupported_grant_type",
		"scope=a":                                      "invalid_request",
		"client_id=dan&expires_in=soon":                "invalid_request",
		"client_id=dan&expires_in=0":                   "invalid_request",
		"client_id=dan&expires_in=86401":               "invalid_request",
		"client_id=%zz":                                "invalid_request",
		"client_id=dan&expires_in=9223372036854775807": "invalid_request",
		"client_id=" + strings.Repeat("x", 65<<10):     "invalid_request",
	} {
		code, got := ask(t, i, form)
		assert.Equal(t, http.StatusBadRequest, code, form)
		assert.Equal(t, want, got.Error, form)
	}
	assert.Equal(t, http.StatusMethodNotAllowed, do(i, http.MethodGet, "/token", "").Code)
}

func TestNoPrivateKeyIsPublished(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	require.NoError(t, i.Rotate("ES256"))
	var set struct{ Keys []map[string]any }
	require.NoError(t, json.Unmarshal(do(i, http.MethodGet, "/jwks.json", "").Body.Bytes(), &set))
	require.Len(t, set.Keys, 2)
	for _, k := range set.Keys {
		assert.NotEmpty(t, k["kid"])
		for _, secret := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			assert.NotContains(t, k, secret)
		}
	}
}

func decode(t *testing.T, segment string) map[string]any {
	t.Helper()
	text, err := base64.RawURLEncoding.DecodeString(segment)
	require.NoError(t, err)
	var out map[string]any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

func number(t *testing.T, v any) float64 {
	t.Helper()
	n, ok := v.(float64)
	require.True(t, ok)
	return n
}
