package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/waittest"
)

// FuzzAuthorization sends any header: only the scheme, spaces and the valid token are accepted; the answer to others is 401 and
// a problem.
func FuzzAuthorization(f *testing.F) {
	i := newIssuer(published("r", rsaKey()))
	a := newAPI(f, config(), i)
	a.await(f)
	token := good(map[string]any{"exp": time.Now().Add(time.Hour).Unix()})
	allowed := regexp.MustCompile(`^(?i:bearer) +` + regexp.QuoteMeta(token) + ` *$`)
	const here = "TOKEN" // is replaced by the valid token
	for _, seed := range []string{
		"Bearer TOKEN", "bearer  TOKEN ", "BEARER\tTOKEN", "Bearer", "", "Bearer TOKEN TOKEN", "Basic TOKEN", "TOKEN", "Bearer TOKEN.",
		"Bearer eyJhbGciOiJub25lIn0.e30.", "Bearer ..", "Bearer e30.e30.e30", "Bearer \x00",
		"Bearer TOKEN,Bearer TOKEN", "Bearer e30.W10.", "Bearer=TOKEN",
	} {
		f.Add(seed, "")
		f.Add(seed, seed)
	}
	placeholder := regexp.MustCompile(here)
	f.Fuzz(func(t *testing.T, first, second string) {
		headers := []string{placeholder.ReplaceAllLiteralString(first, token)}
		if second != "" {
			headers = append(headers, placeholder.ReplaceAllLiteralString(second, token))
		}
		got := a.get(headers...)
		if len(headers) == 1 && allowed.MatchString(headers[0]) {
			require.Equal(t, http.StatusOK, got.Code, got.Body)
			return
		}
		require.Equal(t, http.StatusUnauthorized, got.Code)
		require.NotEmpty(t, got.Header().Get("WWW-Authenticate"))
		var p httpapi.Problem
		require.NoError(t, json.Unmarshal(got.Body.Bytes(), &p))
	})
}

// FuzzClaims signs any claims: an accepted token has a subject and has not expired.
func FuzzClaims(f *testing.F) {
	a := newAPI(f, config(), newIssuer(published("e", ecKey())))
	a.await(f)
	seed, err := json.Marshal(claims(map[string]any{"exp": time.Now().Add(time.Hour).Unix()}))
	require.NoError(f, err)
	for _, s := range []string{
		string(seed), `{}`, `null`, `[]`, `{"exp":1e300}`,
		`{"sub":"a","sub":"b"}`, `{"aud":[1]}`, `{"scp":{}}`, "\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := a.get("Bearer " + sign("ES256", ecKey(), header("ES256", "e", nil), text))
		var shown struct {
			Subject string
			Scopes  []string
		}
		switch got.Code {
		case http.StatusUnauthorized, http.StatusForbidden:
			return
		case http.StatusOK:
			require.NoError(t, json.Unmarshal(got.Body.Bytes(), &shown))
		default:
			t.Fatalf("answered %d", got.Code)
		}
		var said map[string]any // exact names; of repeated ones the last, but those are refused
		require.NoError(t, json.Unmarshal([]byte(text), &said))
		require.Equal(t, shown.Subject, said["sub"])
		require.True(t, httpapi.VisibleASCII(shown.Subject, 255))
		require.NotEqual(t, auth.Anonymous, shown.Subject)
		require.Contains(t, shown.Scopes, "things:read")
		require.Equal(t, issuerURL, said["iss"])
		exp, ok := said["exp"].(float64)
		require.True(t, ok)
		require.Greater(t, int64(exp), time.Now().Add(-31*time.Second).Unix())
	})
}

// BenchmarkGuard is what a token costs a request; over-the-bare-signature is how much more than checking its signature.
func BenchmarkGuard(b *testing.B) {
	i := newIssuer(published("r", rsaKey()), published("e", ecKey()))
	a := newAPI(b, config(), i)
	a.await(b)
	life := map[string]any{"exp": time.Now().Add(time.Hour).Unix()}
	for _, alg := range []struct {
		name, token string
		verify      func(text string, signature []byte) error
	}{
		{"RS256", good(life), func(text string, s []byte) error { return verify("RS256", text, s, rsaKey().Public()) }},
		{
			"ES256", sign("ES256", ecKey(), header("ES256", "e", nil), claims(life)),
			func(text string, s []byte) error { return verify("ES256", text, s, ecKey().Public()) },
		},
	} {
		request := httptest.NewRequest(http.MethodGet, "/things", nil)
		request.Header.Set("Authorization", "Bearer "+alg.token)
		public := httptest.NewRequest(http.MethodGet, "/public", nil)
		b.Run(alg.name, func(b *testing.B) {
			b.ReportAllocs()
			text, signature := parts(b, alg.token)
			var bare, with, without time.Duration
			for b.Loop() {
				bare += took(func() { require.NoError(b, alg.verify(text, signature)) })
				with += took(func() { require.Equal(b, http.StatusOK, a.do(request).Code) })
				without += took(func() { require.Equal(b, http.StatusOK, a.do(public).Code) })
			}
			n := float64(b.N)
			b.ReportMetric(float64(bare.Nanoseconds())/n, "ns/bare-signature")
			b.ReportMetric(float64((with-without).Nanoseconds())/n, "ns/token")
			b.ReportMetric(float64(with-without)/float64(bare), "x-bare-signature")
		})
	}
}

func took(f func()) time.Duration {
	started := time.Now()
	f()
	return time.Since(started)
}

// await waits for the keys in real time.
func (a *api) await(t testing.TB) {
	t.Helper()
	waittest.Until(t, "the issuer's keys", func() (any, bool) { return nil, a.guard.Checks()[0].Probe(t.Context()) == nil })
}
