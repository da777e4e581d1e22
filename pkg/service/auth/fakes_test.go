package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/danielgtaylor/huma/v2"
	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerURL = "https://id.example.com/tenant"
	audience  = "https://api.example.com"
)

// Keys take long to generate: all tests share these.
var (
	rsaKey   = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	otherRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	thirdRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	shortRSA = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P256()) })
	longEC   = sync.OnceValue(func() *ecdsa.PrivateKey { return newEC(elliptic.P384()) })
	edKey    = sync.OnceValue(func() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) })
)

func newRSA(bits int) *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return k
}

func newEC(c elliptic.Curve) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
}

// published is the JWK of a key's public half.
func published(kid string, key crypto.Signer) map[string]any {
	jwk, err := jwkset.NewJWKFromKey(key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid, USE: jwkset.UseSig}})
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(jwk.Marshal())
	if err != nil {
		panic(err)
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

func with(object map[string]any, more map[string]any) map[string]any {
	out := maps.Clone(object)
	for name, value := range more {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// issuer is an issuer in memory; clients reach it as an http.RoundTripper.
type issuer struct {
	mu       sync.Mutex
	document map[string]any
	keys     any // the JWKS, or a text to answer with
	away     bool
	slow     time.Duration
	fetches  int // of keys
}

func newIssuer(keys ...map[string]any) *issuer {
	return &issuer{
		document: map[string]any{"issuer": issuerURL, "jwks_uri": issuerURL + "/keys"},
		keys:     map[string]any{"keys": keys},
	}
}

// set changes the issuer.
func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) fetched() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	away, slow, body := i.away, i.slow, any(nil)
	switch r.URL.String() {
	case issuerURL + "/.well-known/openid-configuration":
		body = i.document
	case issuerURL + "/keys":
		body = i.keys
		i.fetches++
	}
	i.mu.Unlock()
	if slow > 0 {
		select {
		case <-time.After(slow):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if away {
		return nil, io.ErrUnexpectedEOF
	}
	answer := httptest.NewRecorder()
	switch b := body.(type) {
	case nil:
		answer.WriteHeader(http.StatusNotFound)
	case string:
		_, _ = answer.WriteString(b)
	default:
		if err := json.NewEncoder(answer).Encode(b); err != nil {
			return nil, err
		}
	}
	return answer.Result(), nil
}

// config is the configuration of an API behind the issuer.
func config() auth.Config {
	return auth.Config{
		Environment: "production", Mode: "oidc", Issuer: issuerURL, Audience: audience,
		Algorithms: []string{"RS256", "ES256"}, Leeway: 30 * time.Second, Refresh: 5 * time.Minute, MaxToken: 8 << 10, SubjectClaim: "sub",
	}
}

// api is an API that a Guard protects, with its metrics and its log.
type api struct {
	http.Handler
	guard    *auth.Guard
	doc      *huma.OpenAPI
	registry *prometheus.Registry
	logs     *strings.Builder
}

type addition struct {
	Body struct {
		Name string `json:"name" minLength:"3"`
	}
}

type identity struct {
	Body struct {
		Subject string   `json:"subject"`
		Scopes  []string `json:"scopes"`
	}
}

// newAPI serves GET and POST /things and some more until the test ends.
func newAPI(t testing.TB, c auth.Config, i http.RoundTripper) *api {
	t.Helper()
	return newAPIAt(t, c, i, time.Now)
}

func newAPIAt(t testing.TB, c auth.Config, i http.RoundTripper, now func() time.Time) *api {
	t.Helper()
	a := &api{registry: prometheus.NewRegistry(), logs: &strings.Builder{}}
	log := slog.New(slog.NewTextHandler(a.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	a.guard, err = auth.NewGuard(c, auth.Options{
		Now: now, Logger: log, Metrics: a.registry, HTTP: &http.Client{Transport: i},
		Jitter: func(d time.Duration) time.Duration { return d },
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- a.guard.Run(t.Context()) }()
	t.Cleanup(func() { require.NoError(t, <-ended) })
	router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
	served := httpapi.NewAPI(router)
	a.guard.Protect(served)
	a.doc, a.Handler = served.OpenAPI(), router
	whoami := func(ctx context.Context, _ *struct{}) (*identity, error) {
		out := &identity{}
		out.Body.Subject, out.Body.Scopes = auth.Of(ctx).Subject, auth.Of(ctx).Scopes
		return out, nil
	}
	for _, op := range []huma.Operation{
		{OperationID: "list", Method: http.MethodGet, Path: "/things", Security: auth.Scopes("things:read")},
		{OperationID: "public", Method: http.MethodGet, Path: "/public", Security: auth.Public()},
		{OperationID: "undeclared", Method: http.MethodGet, Path: "/undeclared"},
		{OperationID: "either", Method: http.MethodGet, Path: "/either", Security: append(auth.Scopes("admin"), auth.Scopes("things:read")...)},
		{OperationID: "more", Method: http.MethodGet, Path: "/more", Security: []map[string][]string{{"oidc": {"things:read"}, "mutualTLS": {}}}},
	} {
		huma.Register(served, op, whoami)
	}
	huma.Register(served, huma.Operation{
		OperationID: "add", Method: http.MethodPost, Path: "/things", Security: auth.Scopes("things:write", "things:read"),
	}, func(ctx context.Context, _ *addition) (*identity, error) { return whoami(ctx, nil) })
	return a
}

// inBubble runs a test of an API on virtual time, its issuer's keys fetched.
func inBubble(t *testing.T, c auth.Config, i *issuer, test func(*testing.T, *api)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := newAPI(t, c, i)
		synctest.Wait()
		test(t, a)
	})
}

// get requests /things with these Authorization headers.
func (a *api) get(authorization ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/things", nil)
	r.Header["Authorization"] = authorization
	return a.do(r)
}

func (a *api) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w
}

// counted returns the number of requests with that outcome.
func (a *api) counted(outcome string) int {
	families, err := a.registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() != "auth_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if m.GetLabel()[0].GetValue() == outcome {
				return int(m.GetCounter().GetValue())
			}
		}
	}
	return 0
}

// claims are valid claims and more; a nil value removes a claim.
func claims(more map[string]any) map[string]any {
	now := time.Now()
	return with(map[string]any{
		"iss": issuerURL, "aud": audience, "sub": "dan", "scope": "things:read other:scope",
		"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
	}, more)
}

// header is a valid header and more; a nil value removes a member.
func header(alg, kid string, more map[string]any) map[string]any {
	return with(map[string]any{"alg": alg, "typ": "at+jwt", "kid": kid}, more)
}

// sign makes a token of a header and claims, as JSON texts or values. The key signs by alg, whatever the header says.
func sign(alg string, key any, header, claims any) string {
	unsigned := segment(header) + "." + segment(claims)
	signature, err := jwt.GetSigningMethod(alg).Sign(unsigned, key)
	if err != nil {
		panic(err)
	}
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func segment(v any) string {
	text, ok := v.(string)
	if !ok {
		encoded, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		text = string(encoded)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// good is a token that is accepted, if the issuer has published the key as "r".
func good(more map[string]any) string {
	return sign("RS256", rsaKey(), header("RS256", "r", nil), claims(more))
}

// sized is a good token of at most that many bytes, and of at least one less.
func sized(most int) string {
	empty := len(good(map[string]any{"x": ""}))
	for padding := (most-empty)*3/4 + 2; ; padding-- {
		if t := good(map[string]any{"x": strings.Repeat("x", padding)}); len(t) <= most {
			return t
		}
	}
}

func verify(alg, text string, signature []byte, key any) error {
	return jwt.GetSigningMethod(alg).Verify(text, signature, key)
}

// parts are a token's signed text and its signature.
func parts(t testing.TB, token string) (text string, signature []byte) {
	t.Helper()
	dot := strings.LastIndex(token, ".")
	signature, err := base64.RawURLEncoding.DecodeString(token[dot+1:])
	require.NoError(t, err)
	return token[:dot], signature
}
