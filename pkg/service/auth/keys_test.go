package auth_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ready returns the result of the guard's check.
func (a *api) ready(t *testing.T) error {
	t.Helper()
	checks := a.guard.Checks()
	require.Len(t, checks, 1)
	return checks[0].Probe(t.Context())
}

func byOther(kid string) string {
	return "Bearer " + sign("RS256", otherRSA(), header("RS256", kid, nil), claims(nil))
}

func TestRequestsAreUnavailableUntilKeysAreFetched(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	i.away = true
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		for range 2 {
			got := a.get("Bearer " + good(nil))
			assert.Equal(t, http.StatusServiceUnavailable, got.Code)
			assert.Equal(t, "5", got.Header().Get("Retry-After"))
			assert.Contains(t, got.Body.String(), `"code":"unavailable"`)
			require.ErrorContains(t, a.ready(t), "unexpected EOF")
			time.Sleep(time.Hour) // virtual
		}
		assert.Equal(t, 2, a.counted("no_keys"))
		assert.Equal(t, http.StatusUnauthorized, a.get().Code, "a missing token is reported even without keys")
		assert.Contains(t, a.logs.String(), "level=WARN")

		i.set(func(i *issuer) { i.away = false })
		time.Sleep(30 * time.Second) // the longest pause
		synctest.Wait()
		require.NoError(t, a.ready(t))
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
	})
}

func TestAStartDoesNotWaitForTheIssuer(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	i.slow = 2 * time.Second // for each of two requests
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		require.ErrorContains(t, a.ready(t), "being fetched")
		assert.Equal(t, http.StatusServiceUnavailable, a.get("Bearer "+good(nil)).Code)
		time.Sleep(4 * time.Second)
		synctest.Wait()
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
	})
}

func TestAFetchFromAHangingIssuerTimesOut(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	i.slow = time.Hour
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.ErrorContains(t, a.ready(t), "deadline exceeded")
	})
}

func TestAnUnknownKeyIsFetchedAtOnce(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		time.Sleep(10 * time.Second)
		i.set(func(i *issuer) {
			i.keys = map[string]any{"keys": []any{published("r", rsaKey()), published("new", otherRSA())}}
		})
		assert.Equal(t, http.StatusOK, a.get(byOther("new")).Code)
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
		assert.Equal(t, 2, i.fetched())
	})
}

func TestAWithdrawnKeyIsValidUntilTheNextRefresh(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()), published("old", otherRSA()))
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		i.set(func(i *issuer) { i.keys = map[string]any{"keys": []any{published("r", rsaKey())}} })
		assert.Equal(t, http.StatusOK, a.get(byOther("old")).Code)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		assert.Equal(t, http.StatusUnauthorized, a.get(byOther("old")).Code)
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)

		i.set(func(i *issuer) { i.keys = map[string]any{"keys": []any{}} })
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		assert.Equal(t, http.StatusUnauthorized, a.get("Bearer "+good(nil)).Code, "all of them may be withdrawn")
		require.ErrorContains(t, a.ready(t), "no key for ES256 or RS256")
	})
}

func TestFetchesOfUnknownKeysAreLimited(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		for second := range 100 {
			for n := range 10 {
				assert.Equal(t, http.StatusUnauthorized, a.get(byOther(fmt.Sprintf("%d-%d", second, n))).Code)
			}
			time.Sleep(time.Second)
		}
		assert.InDelta(t, 11, i.fetched(), 1, "one at the start and one each ten seconds")
	})
}

func TestConcurrentRequestsShareOneFetch(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		time.Sleep(10 * time.Second)
		i.set(func(i *issuer) {
			i.slow = time.Second
			i.keys = map[string]any{"keys": []any{published("new", otherRSA())}}
		})
		before := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { assert.Equal(t, http.StatusOK, a.get(byOther("new")).Code) })
		}
		wg.Wait()
		assert.Equal(t, 2*time.Second, time.Since(before), "discovery and keys")
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, 2, i.fetched())
	})
}

func TestKeysAreValidForADayWithoutTheIssuer(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		i.set(func(i *issuer) { i.away = true })
		time.Sleep(23 * time.Hour)
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
		assert.Equal(t, http.StatusUnauthorized, a.get(byOther("new")).Code)
		require.NoError(t, a.ready(t))
		time.Sleep(2 * time.Hour)
		assert.Equal(t, http.StatusServiceUnavailable, a.get("Bearer "+good(nil)).Code)
		require.Error(t, a.ready(t))
	})
}

func TestAnInvalidIssuerIsRejected(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		change func(*issuer)
		want   string
	}{
		"another name":          {func(i *issuer) { i.document["issuer"] = "https://evil.example.com" }, "it says that it is https://evil.example.com"},
		"with a slash":          {func(i *issuer) { i.document["issuer"] = issuerURL + "/" }, "it says that it is"},
		"no name":               {func(i *issuer) { delete(i.document, "issuer") }, "it says that it is"},
		"keys without TLS":      {func(i *issuer) { i.document["jwks_uri"] = "http://id.example.com/tenant/keys" }, "want an https URL"},
		"keys in a file":        {func(i *issuer) { i.document["jwks_uri"] = "file:///etc/passwd" }, "want an https URL"},
		"no URL of keys":        {func(i *issuer) { delete(i.document, "jwks_uri") }, "want an https URL"},
		"keys not found":        {func(i *issuer) { i.document["jwks_uri"] = issuerURL + "/nothing" }, "404 Not Found"},
		"keys no JSON":          {func(i *issuer) { i.keys = "<html>" }, "decode " + issuerURL + "/keys"},
		"keys of another shape": {func(i *issuer) { i.keys = `{"key":[]}` }, "there are no keys in the answer"},
		"keys without end":      {func(i *issuer) { i.keys = `{"x":"` + strings.Repeat("x", 2<<20) + `","keys":[]}` }, "decode"},
		"only unusable keys": {
			func(i *issuer) { i.keys = map[string]any{"keys": []any{published("r", shortRSA())}} },
			"it has no key for ES256 or RS256",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(published("r", rsaKey()))
			try.change(i)
			inBubble(t, config(), i, func(t *testing.T, a *api) {
				require.ErrorContains(t, a.ready(t), try.want)
				assert.NotEqual(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
			})
		})
	}
}

func TestAMalformedKeyCostsThatKeyOnly(t *testing.T) {
	t.Parallel()
	odd := map[string]any{
		"of a type that none knows":  map[string]any{"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"},
		"symmetric":                  map[string]any{"kty": "oct", "kid": "s", "k": "c2VjcmV0"},
		"EC without y":               map[string]any{"kty": "EC", "crv": "P-256", "kid": "e", "x": "AAAA"},
		"of a curve that none knows": map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AAAA", "y": "AAAA"},
		"padded base64":              with(published("p", thirdRSA()), map[string]any{"n": "AQAB=="}),
		"x5c is no certificate":      with(published("p", thirdRSA()), map[string]any{"x5c": []any{"AAAA"}}),
		"of another use":             with(published("p", thirdRSA()), map[string]any{"use": "tls"}),
		"text":                       "oops", "number": 7, "true": true, "null": nil, "array": []any{}, "empty": map[string]any{},
	}
	for _, member := range []string{
		"kty", "use", "key_ops", "alg", "kid", "x5u", "x5c", "x5t", "x5t#S256", "crv", "x", "y", "k",
		"n", "e", "d", "p", "q", "dp", "dq", "qi", "oth",
	} {
		for _, value := range []any{7, true, "x", []any{7}, []any{"x"}, map[string]any{}} {
			odd[fmt.Sprintf("%s is %v, a %[2]T", member, value)] = with(published("p", thirdRSA()), map[string]any{member: value})
		}
	}
	for name, key := range odd {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer()
			i.keys = map[string]any{"keys": []any{key, published("r", rsaKey())}}
			inBubble(t, config(), i, func(t *testing.T, a *api) {
				assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code, "beside it from the start")
				i.set(func(i *issuer) { i.keys = map[string]any{"keys": []any{published("new", otherRSA()), key}} })
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				assert.Equal(t, http.StatusOK, a.get(byOther("new")).Code, "rotated to, with the odd one beside it")
			})
		})
	}
}

func TestTheKeysURLIsConfigurable(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	i.document = nil
	c := config()
	c.JWKSURL = issuerURL + "/keys"
	inBubble(t, c, i, func(t *testing.T, a *api) {
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
	})
}

func TestAnInvalidAnswerRemovesNoKey(t *testing.T) {
	t.Parallel()
	i := newIssuer(published("r", rsaKey()))
	inBubble(t, config(), i, func(t *testing.T, a *api) {
		i.set(func(i *issuer) { i.keys = `{}` })
		time.Sleep(10 * time.Minute)
		assert.Equal(t, http.StatusOK, a.get("Bearer "+good(nil)).Code)
		i.set(func(i *issuer) { i.keys = map[string]any{"keys": []any{published("new", otherRSA())}} })
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Equal(t, http.StatusOK, a.get(byOther("new")).Code, "the issuer is queried again soon")
	})
}
