package auth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func TestValidTokensAreAccepted(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]func() string{
		"RS256":                        func() string { return good(nil) },
		"ES256":                        func() string { return sign("ES256", ecKey(), header("ES256", "e", nil), claims(nil)) },
		"its audience among others":    func() string { return good(map[string]any{"aud": []string{"x", audience}}) },
		"expired within the leeway":    func() string { return good(map[string]any{"exp": at(-29 * time.Second)}) },
		"not yet valid, within leeway": func() string { return good(map[string]any{"nbf": at(30 * time.Second)}) },
		"issued slightly later":        func() string { return good(map[string]any{"iat": at(30 * time.Second)}) },
		"without the time of issue":    func() string { return good(map[string]any{"iat": nil}) },
		"with parts of seconds":        func() string { return good(map[string]any{"exp": float64(time.Now().Unix()) + 60.75}) },
		"valid since 1970":             func() string { return good(map[string]any{"nbf": 0}) },
		"of the longest subject":       func() string { return good(map[string]any{"sub": strings.Repeat("d", 255)}) },
		"the largest":                  func() string { return sized(8 << 10) },
		"of type JWT":                  typed("JWT"),
		"of type jwt":                  typed("jwt"),
		"of type application/AT+JWT":   typed("application/AT+JWT"),
		"of no type":                   typed(nil),
		"without a kid where one key is": func() string {
			return sign("ES256", ecKey(), header("ES256", "e", map[string]any{"kid": nil}), claims(nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, config(), issuerWithOddKeys(), func(t *testing.T, a *api) {
				for _, prefix := range []string{"Bearer ", "bearer ", "BEARER   "} {
					got := a.get(prefix + token())
					assert.Equal(t, http.StatusOK, got.Code, got.Body)
				}
				assert.Equal(t, 3, a.counted("ok"))
			})
		})
	}
}

func typed(typ any) func() string {
	return func() string {
		return sign("RS256", rsaKey(), header("RS256", "r", map[string]any{"typ": typ}), claims(nil))
	}
}

func TestScopesAreReadInEveryFormThatIssuersUse(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		prefix string
		claims map[string]any
		want   []string
	}{
		"a text":              {"", map[string]any{"scope": " a  b "}, []string{"a", "b"}},
		"an array":            {"", map[string]any{"scope": []string{"a", "b"}}, []string{"a", "b"}},
		"scp, an array":       {"", map[string]any{"scope": nil, "scp": []string{"a", "b"}}, []string{"a", "b"}},
		"scp, a text":         {"", map[string]any{"scope": nil, "scp": "a b"}, []string{"a", "b"}},
		"scope before scp":    {"", map[string]any{"scope": "a", "scp": "b"}, []string{"a"}},
		"no scope, not scp's": {"", map[string]any{"scope": "", "scp": "b"}, nil},
		"none":                {"", map[string]any{"scope": nil}, nil},
		"only our own":        {"leftfold/", map[string]any{"scope": "leftfold/a other/b c"}, []string{"a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config()
			c.ScopePrefix = try.prefix
			inBubble(t, c, newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
				// The answer shows the scopes only to a subject that may list.
				more := with(try.claims, nil)
				for _, claim := range []string{"scope", "scp"} {
					switch s := more[claim].(type) {
					case string:
						if s != "" {
							more[claim] = s + " " + try.prefix + "things:read"
						}
					case []string:
						more[claim] = append(s, try.prefix+"things:read")
					}
				}
				got := a.get("Bearer " + good(more))
				if try.want == nil {
					assert.Equal(t, http.StatusForbidden, got.Code)
					return
				}
				var out struct{ Scopes []string }
				require.NoError(t, json.Unmarshal(got.Body.Bytes(), &out), got.Body)
				assert.Equal(t, append(try.want, "things:read"), out.Scopes)
			})
		})
	}
}

func TestTheSubjectsClaimIsConfigurable(t *testing.T) {
	t.Parallel()
	c := config()
	c.SubjectClaim = "oid"
	inBubble(t, c, newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
		assert.Contains(t, a.get("Bearer "+good(map[string]any{"oid": "00-11"})).Body.String(), `"subject":"00-11"`)
		assert.Equal(t, http.StatusUnauthorized, a.get("Bearer "+good(nil)).Code)
	})
}

func TestTokensExpireByTheGivenClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAPIAt(t, config(), newIssuer(published("r", rsaKey())), func() time.Time { return time.Now().Add(-time.Hour) })
		synctest.Wait()
		assert.Equal(t, http.StatusUnauthorized, a.get("Bearer "+good(nil)).Code)
		assert.Equal(t, 1, a.counted("not_yet_valid"))
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(map[string]any{"iat": nil, "exp": at(-time.Minute)})).Code)
	})
}

func TestTheLongestTokenIsConfigurable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token := sized(2000)
		for longest, want := range map[int]int{len(token): http.StatusOK, len(token) - 1: http.StatusUnauthorized} {
			c := config()
			c.MaxToken = longest
			a := newAPI(t, c, newIssuer(published("r", rsaKey())))
			synctest.Wait()
			assert.Equal(t, want, a.get("Bearer "+token).Code)
		}
	})
}

func TestOperationsRequireTheirScopes(t *testing.T) {
	t.Parallel()
	inBubble(t, config(), newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
		try := func(method, path, scope string) *httptest.ResponseRecorder {
			r := httptest.NewRequest(method, path, strings.NewReader(`{"name":"abc"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+good(map[string]any{"scope": scope}))
			return a.do(r)
		}
		assert.Equal(t, http.StatusOK, try("GET", "/things", "things:read").Code)
		assert.Equal(t, http.StatusOK, try("POST", "/things", "things:read things:write").Code)
		for _, few := range []string{"", "things:write", "things", "things:rea", "things:reads", "*", "THINGS:READ"} {
			got := try("GET", "/things", few)
			assert.Equal(t, http.StatusForbidden, got.Code, few)
			assert.Equal(t, `Bearer realm="leftfold", error="insufficient_scope", scope="things:read"`, got.Header().Get("WWW-Authenticate"))
			var p httpapi.Problem
			require.NoError(t, json.Unmarshal(got.Body.Bytes(), &p))
			assert.Equal(t, httpapi.CodeForbidden, p.Code)
		}
		got := try("POST", "/things", "things:read")
		assert.Equal(t, http.StatusForbidden, got.Code, "it needs both")
		assert.Contains(t, got.Header().Get("WWW-Authenticate"), `scope="things:write things:read"`)
		assert.Equal(t, 8, a.counted("forbidden"))

		assert.Equal(t, http.StatusForbidden, try("GET", "/undeclared", "things:read").Code, "no declaration, no access")
		assert.Equal(t, http.StatusOK, try("GET", "/either", "things:read").Code)
		assert.Equal(t, http.StatusOK, try("GET", "/either", "admin").Code)
		assert.Equal(t, http.StatusForbidden, try("GET", "/either", "things:write").Code)
		assert.Equal(t, http.StatusForbidden, try("GET", "/more", "things:read").Code, "it requires mutual TLS too")
		got = a.do(httptest.NewRequest(http.MethodGet, "/public", nil))
		assert.Equal(t, http.StatusOK, got.Code)
		assert.Contains(t, got.Body.String(), `"subject":"anonymous"`)
	})
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestABodyIsNotReadBeforeTheTokenIsAccepted(t *testing.T) {
	t.Parallel()
	inBubble(t, config(), newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
		r := httptest.NewRequest(http.MethodPost, "/things", unread{t})
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Expect", "100-continue") // of others it is read, and forgotten, after the answer is made
		assert.Equal(t, http.StatusUnauthorized, a.do(r).Code)
		r = httptest.NewRequest(http.MethodPost, "/things", unread{t})
		r.Header.Set("Expect", "100-continue")
		r.Header.Set("Authorization", "Bearer "+good(nil))
		assert.Equal(t, http.StatusForbidden, a.do(r).Code)
		r = httptest.NewRequest(http.MethodPost, "/things", strings.NewReader(`{}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+good(map[string]any{"scope": "things:read things:write"}))
		assert.Equal(t, http.StatusUnprocessableEntity, a.do(r).Code)
	})
}

func TestNoPartOfATokenIsLogged(t *testing.T) {
	t.Parallel()
	inBubble(t, config(), newIssuer(published("r", rsaKey())), func(t *testing.T, a *api) {
		a.get("Bearer " + good(map[string]any{"sub": "marked@example.com"}))
		a.get("Bearer " + good(map[string]any{"sub": "marked@example.com", "scope": "marked:scope"}))
		a.get("Bearer " + good(map[string]any{"sub": "marked@example.com", "exp": 1}))
		assert.Contains(t, a.logs.String(), "outcome=expired")
		assert.NotContains(t, a.logs.String(), "marked")
		families, err := a.registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			assert.NotContains(t, f.String(), "marked")
		}
	})
}

func TestTheOpenAPIDocumentDeclaresTheIssuer(t *testing.T) {
	t.Parallel()
	inBubble(t, config(), newIssuer(), func(t *testing.T, a *api) {
		text, err := json.Marshal(a.doc.Components.SecuritySchemes)
		require.NoError(t, err)
		assert.JSONEq(t, `{"oidc":{"type":"openIdConnect","openIdConnectUrl":"`+issuerURL+`/.well-known/openid-configuration",
			"description":"an access token of `+issuerURL+`, as Authorization: Bearer"}}`, string(text))
		assert.Equal(t, []map[string][]string{{"oidc": {"things:write", "things:read"}}}, a.doc.Paths["/things"].Post.Security)
	})
}

func TestWithModeNoneEveryRequestIsAnonymous(t *testing.T) {
	t.Parallel()
	a := newAPI(t, auth.Config{Mode: "none", Environment: auth.Local}, newIssuer())
	assert.JSONEq(t, `{"subject":"anonymous","scopes":null}`, a.get("Bearer x").Body.String())
	assert.Empty(t, a.guard.Checks())
	assert.Equal(t, "bearer", a.doc.Components.SecuritySchemes["oidc"].Scheme)
}

func TestOfReturnsThePrincipalOfAContext(t *testing.T) {
	t.Parallel()
	assert.Equal(t, auth.Principal{Subject: auth.Anonymous}, auth.Of(t.Context()))
	dan := auth.Principal{Subject: "dan", Scopes: []string{"a"}}
	assert.Equal(t, dan, auth.Of(auth.With(t.Context(), dan)))
}

func TestInvalidConfigFailsTheStart(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		change func(*auth.Config)
		want   string
	}{
		"as it should be":    {func(*auth.Config) {}, ""},
		"open in production": {func(c *auth.Config) { c.Mode = "none" }, "AUTH_MODE=none: only where ENVIRONMENT=local, and it is production"},
		"open in none":       {func(c *auth.Config) { c.Mode, c.Environment = "none", "" }, "AUTH_MODE=none: only where ENVIRONMENT=local"},
		"open in LOCAL":      {func(c *auth.Config) { c.Mode, c.Environment = "none", "LOCAL" }, "AUTH_MODE=none: only where ENVIRONMENT=local"},
		"open in local": {func(c *auth.Config) {
			*c = auth.Config{Mode: "none", Environment: "local"}
		}, ""},
		"of no mode":                  {func(c *auth.Config) { *c = auth.Config{} }, "AUTH_MODE=: want oidc or none"},
		"of another mode":             {func(c *auth.Config) { c.Mode = "off" }, "AUTH_MODE=off: want oidc or none"},
		"without an issuer":           {func(c *auth.Config) { c.Issuer = "" }, "OIDC_ISSUER: AUTH_MODE=oidc needs it"},
		"issuer without TLS":          {func(c *auth.Config) { c.Issuer = "http://id.example.com" }, "OIDC_ISSUER=http://id.example.com: want https"},
		"issuer without TLS in local": {func(c *auth.Config) { c.Issuer, c.Environment = "http://127.0.0.1:9000", "local" }, ""},
		"issuer by another way": {
			func(c *auth.Config) { c.Issuer, c.Environment = "file:///etc/keys", "local" }, "OIDC_ISSUER=file:///etc/keys: want",
		},
		"issuer no URL":          {func(c *auth.Config) { c.Issuer = "id.example.com" }, "OIDC_ISSUER=id.example.com: want a URL"},
		"issuer with a query":    {func(c *auth.Config) { c.Issuer += "?a=b" }, "OIDC_ISSUER"},
		"issuer with a password": {func(c *auth.Config) { c.Issuer = "https://a:b@id.example.com" }, "OIDC_ISSUER"},
		"without an audience":    {func(c *auth.Config) { c.Audience = "" }, "OIDC_AUDIENCE: AUTH_MODE=oidc needs it"},
		"keys without TLS":       {func(c *auth.Config) { c.JWKSURL = "http://id.example.com/keys" }, "OIDC_JWKS_URL=http://id.example.com/keys: want https"},
		"no algorithm":           {func(c *auth.Config) { c.Algorithms = nil }, "OIDC_ALGORITHMS: want at least one"},
		"none": {
			func(c *auth.Config) { c.Algorithms = []string{"RS256", "none"} },
			"OIDC_ALGORITHMS=RS256,none: none is not a signature by a private key",
		},
		"HS256":             {func(c *auth.Config) { c.Algorithms = []string{"HS256"} }, "OIDC_ALGORITHMS=HS256: HS256 is not"},
		"unknown algorithm": {func(c *auth.Config) { c.Algorithms = []string{"rs256"} }, "OIDC_ALGORITHMS=rs256: rs256 is not"},
		"all algorithms": {func(c *auth.Config) {
			c.Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
		}, ""},
		"leeway below none":     {func(c *auth.Config) { c.Leeway = -1 }, "OIDC_LEEWAY=-1ns: want 0s to 5m0s"},
		"leeway of an hour":     {func(c *auth.Config) { c.Leeway = time.Hour }, "OIDC_LEEWAY=1h0m0s"},
		"no refresh":            {func(c *auth.Config) { c.Refresh = 0 }, "OIDC_REFRESH=0s: want 1s to 1h0m0s"},
		"hardly ever a refresh": {func(c *auth.Config) { c.Refresh = 2 * time.Hour }, "OIDC_REFRESH=2h0m0s"},
		"tokens too short":      {func(c *auth.Config) { c.MaxToken = 10 }, "OIDC_MAX_TOKEN=10: want 1024 to 15360"},
		"tokens too long":       {func(c *auth.Config) { c.MaxToken = 1 << 20 }, "OIDC_MAX_TOKEN=1048576"},
		"no subject":            {func(c *auth.Config) { c.SubjectClaim = "" }, "OIDC_SUBJECT_CLAIM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config()
			try.change(&c)
			err := c.Validate()
			if try.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, try.want)
			_, err = auth.NewGuard(c, auth.Options{Metrics: prometheus.NewRegistry()})
			require.ErrorContains(t, err, try.want, "nothing starts")
		})
	}
	err := (&auth.Config{Mode: "oidc"}).Validate()
	for _, variable := range []string{"OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_ALGORITHMS", "OIDC_REFRESH", "OIDC_MAX_TOKEN"} {
		require.ErrorContains(t, err, variable, "all at once")
	}
}
