package login_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/devissuer"
	"github.com/leftfold/leftfold/pkg/service/auth/login"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuerURL = "http://issuer.test"
	pagesURL  = "http://pages.test"
	life      = time.Hour // of a token
	oneKey    = "one key of at least 32 characters"
	otherKey  = "another key of at least 32 characters"
)

// world is an issuer, pages behind a Login, and a browser that reaches both.
type world struct {
	t       *testing.T
	guard   *auth.Guard
	issuer  http.Handler
	away    atomic.Bool // the issuer
	asked   atomic.Int64
	pages   http.Handler
	posted  int
	logs    strings.Builder
	metrics *prometheus.Registry
	Browser *http.Client
}

func config() login.Config {
	return login.Config{
		PeopleConfig: auth.PeopleConfig{ClientID: "console", Scopes: []string{"console:read", "users:read"}, OpenID: []string{"openid"}},
		Keys:         []string{oneKey},
	}
}

// inWorld runs a test on virtual time.
func inWorld(t *testing.T, c login.Config, test func(*testing.T, *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer, err := devissuer.New(devissuer.Config{Environment: auth.Local, URL: issuerURL, Audience: "leftfold", TokenLife: life}, time.Now)
		require.NoError(t, err)
		w := &world{t: t, issuer: issuer}
		w.guard, err = auth.NewGuard(auth.Config{
			Environment: auth.Local, Mode: "oidc", Issuer: issuerURL, Audience: "leftfold",
			Algorithms: []string{"RS256"}, Refresh: time.Minute, MaxToken: 15 << 10, SubjectClaim: "sub",
		}, auth.Options{
			Now: time.Now, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), HTTP: &http.Client{Transport: w},
		})
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- w.guard.Run(t.Context()) }()
		t.Cleanup(func() { require.NoError(t, <-ended) })
		synctest.Wait()
		w.pages = w.serve(c, pagesURL)
		jar, err := cookiejar.New(nil)
		require.NoError(t, err)
		w.Browser = &http.Client{Transport: w, Jar: jar}
		test(t, w)
	})
}

type carried struct{}

// serve returns pages that say who reads them.
func (w *world) serve(c login.Config, at string) http.Handler {
	w.metrics = prometheus.NewRegistry()
	l, err := login.New(c, w.guard, login.Options{
		Metrics: w.metrics,
		URL:     func() string { return at }, Prefix: "/console", Now: time.Now, Logger: slog.New(slog.NewTextHandler(&w.logs, nil)),
		Carry: func(ctx context.Context, token string) context.Context {
			return context.WithValue(ctx, carried{}, token)
		},
		Show: func(w http.ResponseWriter, _ *http.Request, status int, n login.Notice) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintln(w, n.Title, n.Text, n.Links)
		},
	})
	require.NoError(w.t, err)
	r := chi.NewRouter()
	r.Route("/console", func(r chi.Router) {
		l.Routes(r)
		show := func(answer http.ResponseWriter, r *http.Request) {
			token, _ := r.Context().Value(carried{}).(string)
			who, _, err := w.guard.Identify(r.Context(), token)
			_, _ = fmt.Fprintln(answer, "read by", auth.Of(r.Context()).Subject, auth.Of(r.Context()).Scopes, who.Subject, err)
			if r.Method == http.MethodPost {
				w.posted++
			}
		}
		r.With(l.Require).Get("/*", show)
		r.With(l.Require).Get("/", show)
		r.With(l.Require).Post("/*", show)
	})
	return r
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	h := w.pages
	if strings.HasPrefix(issuerURL, r.URL.Scheme+"://"+r.URL.Host) {
		if h = w.issuer; w.away.Load() {
			return nil, io.ErrUnexpectedEOF
		}
		if r.URL.Path == "/token" {
			w.asked.Add(1)
		}
	}
	got := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	h.ServeHTTP(got, in)
	res := got.Result()
	res.Request = r
	return res, nil
}

// answer is what the browser has got, for the last request that it sent.
type answer struct {
	StatusCode int
	Header     http.Header
	Request    *http.Request
}

// send sends a request of the browser, which follows redirects.
func (w *world) send(method, at string, form url.Values, headers ...string) (answer, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, at, strings.NewReader(form.Encode()))
	require.NoError(w.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := w.Browser.Do(r)
	require.NoError(w.t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	require.NoError(w.t, res.Body.Close())
	return answer{res.StatusCode, res.Header, res.Request}, string(text)
}

var input = regexp.MustCompile(`name="(\w+)"[^>]* value="([^"]*)"`)

// form returns what the issuer's page would send.
func (w *world) form(to string) url.Values {
	w.t.Helper()
	res, page := w.send(http.MethodGet, pagesURL+"/console/login?to="+url.QueryEscape(to), nil)
	require.Equal(w.t, http.StatusOK, res.StatusCode, page)
	require.Equal(w.t, "issuer.test", res.Request.URL.Host)
	form := url.Values{}
	for _, field := range input.FindAllStringSubmatch(page, -1) {
		form.Add(field[1], html.UnescapeString(field[2]))
	}
	form.Del("refuse")
	return form
}

func (w *world) signIn(to string) (answer, string) {
	w.t.Helper()
	return w.send(http.MethodPost, issuerURL+"/authorize", w.form(to))
}

// A reader who is not signed in is led to the issuer and back to the page that was asked for, and what it does is in the reader's name.
func TestASignInLeadsBackToThePage(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		res, text := w.send(http.MethodGet, pagesURL+"/console/streams/a?actor=ann&day=1", nil)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
		assert.Contains(t, text, "Sign in")
		_, in, _ := strings.Cut(res.Header.Get("Refresh"), "url=")
		at, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, "/console/login", at.Path)
		res, text = w.signIn(at.Query().Get("to"))
		assert.Equal(t, pagesURL+"/console/streams/a?actor=ann&day=1", res.Request.URL.String())
		assert.Equal(t, "read by dan [console:read users:read] dan <nil>\n", text)
		_, text = w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Contains(t, text, "read by dan")
	})
}

// What a person does not grant, the pages do not have.
func TestASessionHasTheScopesOfItsToken(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		form := w.form("/console")
		form["grant"] = []string{"users:read"}
		_, text := w.send(http.MethodPost, issuerURL+"/authorize", form)
		assert.Contains(t, text, "read by dan [users:read]")
	})
}

func TestASignInLeadsToNoOtherSite(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		for _, to := range []string{
			"", "https://evil.example", "//evil.example/console", `/\evil.example`, "/console/../users", "/consoles", "/console//../../x",
			"javascript:alert(1)", "/console/login", "/console/callback?code=1", "/console/logout", "%zz", "/console/" + strings.Repeat("x", 3000),
		} {
			res, _ := w.signIn(to)
			assert.Equal(t, pagesURL+"/console", res.Request.URL.String(), to)
		}
		res, _ := w.signIn("https://evil.example/console/streams") // a path of the pages
		assert.Equal(t, pagesURL+"/console/streams", res.Request.URL.String())
	})
}

// A code counts only in the browser that began the sign-in, once, and with the nonce of the attempt.
func TestASignInIsOfOneBrowserAndOnce(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		var callback string
		w.Browser.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if r.URL.Path == "/console/callback" {
				callback = r.URL.String()
				return http.ErrUseLastResponse
			}
			return nil
		}
		refused := func(status int, text, why string) {
			t.Helper()
			res, body := w.send(http.MethodGet, callback, nil)
			assert.Equal(t, status, res.StatusCode, why)
			assert.Contains(t, body, text, why)
		}
		own := w.Browser.Jar
		w.signIn("/console")
		w.Browser.Jar, _ = cookiejar.New(nil)
		refused(http.StatusBadRequest, "not known", "another browser")
		w.Browser.Jar = own
		began := callback
		callback = strings.Replace(callback, "state=", "state=AAAAAAAA", 1)
		refused(http.StatusBadRequest, "not known", "another state")
		state := regexp.MustCompile(`state=(.{8})`)
		callback = state.ReplaceAllString(began, "state=${1}A")
		refused(http.StatusBadRequest, "not known", "another state with the same cookie")
		w.signIn("/console")
		began = callback
		callback = began
		res, _ := w.send(http.MethodGet, callback, nil)
		assert.Equal(t, "/console", res.Request.URL.Path)
		refused(http.StatusBadRequest, "not known", "a second time")

		form := w.form("/console")
		form.Set("nonce", "of another attempt")
		w.send(http.MethodPost, issuerURL+"/authorize", form)
		refused(http.StatusBadGateway, "You are not signed in", "another nonce")
		assert.Contains(t, w.logs.String(), "ID token is not accepted: bad_claims")

		form = w.form("/console")
		form.Set("code_challenge", "of another attempt")
		w.send(http.MethodPost, issuerURL+"/authorize", form)
		refused(http.StatusBadGateway, "You are not signed in", "another verifier")

		w.signIn("/console")
		at, err := url.Parse(callback)
		require.NoError(t, err)
		kept := w.Browser.Jar.Cookies(at)
		time.Sleep(11 * time.Minute) // virtual
		refused(http.StatusBadRequest, "not known", "too late")
		late := httptest.NewRequestWithContext(t.Context(), http.MethodGet, callback, http.NoBody)
		for _, cookie := range kept { // by a browser that does not forget
			late.AddCookie(cookie)
		}
		answer := httptest.NewRecorder()
		w.pages.ServeHTTP(answer, late)
		assert.Contains(t, answer.Body.String(), "not known")
	})
}

func TestSignInsAreCounted(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		w.signIn("/console")
		w.signIn("/console")
		form := w.form("/console")
		form.Set("refuse", "yes")
		w.send(http.MethodPost, issuerURL+"/authorize", form)
		form = w.form("/console")
		form.Set("nonce", "of another attempt")
		w.send(http.MethodPost, issuerURL+"/authorize", form)
		w.send(http.MethodGet, pagesURL+"/console/callback?state=unknown&code=1", nil)
		w.away.Store(true)
		w.send(http.MethodGet, pagesURL+"/console/login", nil)
		assert.NoError(t, testutil.GatherAndCompare(w.metrics, strings.NewReader(`
# HELP sign_ins_total Sign-ins by what came of them: signed_in, refused by the issuer, unknown to this browser, failed, no_issuer.
# TYPE sign_ins_total counter
sign_ins_total{outcome="failed"} 1
sign_ins_total{outcome="no_issuer"} 1
sign_ins_total{outcome="refused"} 1
sign_ins_total{outcome="signed_in"} 2
sign_ins_total{outcome="unknown"} 1
`)))
	})
}

func TestWhatTheIssuerRefusesIsSaid(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		form := w.form("/console")
		form.Set("refuse", "yes")
		res, text := w.send(http.MethodPost, issuerURL+"/authorize", form)
		assert.Equal(t, http.StatusForbidden, res.StatusCode)
		assert.Contains(t, text, "access_denied")
		w.away.Store(true)
		res, text = w.send(http.MethodGet, pagesURL+"/console/login", nil)
		assert.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
		assert.Contains(t, text, "does not answer")
	})
}

// A form of somebody whose session has ended does nothing and says so, and a part of a page leads the page as a whole to the issuer.
func TestNothingIsDoneWithoutASession(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		res, text := w.send(http.MethodPost, pagesURL+"/console/act", nil)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
		assert.Empty(t, res.Header.Get("Refresh"))
		assert.Contains(t, text, "Nothing was done")
		assert.Zero(t, w.posted)
		res, _ = w.send(http.MethodGet, pagesURL+"/console/found", nil, "Hx-Request", "true", "Hx-Current-Url", pagesURL+"/console/page?a=b")
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
		assert.Equal(t, "/console/login?to=%2Fconsole%2Fpage%3Fa%3Db", res.Header.Get("Hx-Redirect"))
		w.signIn("/console")
		w.send(http.MethodPost, pagesURL+"/console/act", nil)
		assert.Equal(t, 1, w.posted)
	})
}

func TestASessionEndsWithItsToken(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		w.signIn("/console")
		time.Sleep(life - time.Second)
		res, _ := w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Equal(t, http.StatusOK, res.StatusCode)
		time.Sleep(time.Second)
		res, _ = w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
	})
}

func lasting() login.Config {
	c := config()
	c.OpenID = append(c.OpenID, "offline_access")
	return c
}

// However many requests come with an access token that ends, its refresh token is used once: an issuer may take a second use for a theft.
func TestASessionGoesOnWithOneUseOfEachRefreshToken(t *testing.T) {
	inWorld(t, lasting(), func(t *testing.T, w *world) {
		w.signIn("/console")
		for range 3 {
			time.Sleep(life - 30*time.Second)
			before := w.asked.Load()
			old := w.cookies()
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console", http.NoBody)
					r.Header.Set("Cookie", old)
					answer := httptest.NewRecorder()
					w.pages.ServeHTTP(answer, r)
					assert.Equal(t, http.StatusOK, answer.Code)
				})
			}
			all.Wait()
			res, _ := w.send(http.MethodGet, pagesURL+"/console", nil)
			assert.Equal(t, http.StatusOK, res.StatusCode)
			assert.Equal(t, before+1, w.asked.Load())
		}
		time.Sleep(life + time.Minute) // nobody reads meanwhile
		_, text := w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Contains(t, text, "read by dan")
	})
}

// While the issuer is away, a session lasts as long as its token.
func TestASessionOutlastsAnIssuerThatIsAway(t *testing.T) {
	inWorld(t, lasting(), func(t *testing.T, w *world) {
		w.signIn("/console")
		time.Sleep(life - 30*time.Second)
		w.away.Store(true)
		res, _ := w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Equal(t, http.StatusOK, res.StatusCode)
		assert.Contains(t, w.logs.String(), "session could not be continued")
		w.away.Store(false)
		time.Sleep(time.Minute)
		res, _ = w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Equal(t, http.StatusOK, res.StatusCode, "it is asked again")
	})
}

func TestASignOutEndsTheSession(t *testing.T) {
	inWorld(t, lasting(), func(t *testing.T, w *world) {
		w.signIn("/console")
		res, text := w.send(http.MethodPost, pagesURL+"/console/logout", nil)
		assert.Equal(t, "/console/signed-out", res.Request.URL.Path)
		assert.Contains(t, text, issuerURL+"/end-session?client_id=console&post_logout_redirect_uri="+
			url.QueryEscape(pagesURL+"/console/signed-out"))
		assert.Empty(t, w.cookies())
		res, _ = w.send(http.MethodGet, pagesURL+"/console", nil)
		assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
	})
}

// cookies is what the browser sends to the pages.
func (w *world) cookies() string {
	at, err := url.Parse(pagesURL + "/console")
	require.NoError(w.t, err)
	var all []string
	for _, c := range w.Browser.Jar.Cookies(at) {
		all = append(all, c.Name+"="+c.Value)
	}
	return strings.Join(all, "; ")
}

// Keys are replaced without ending a session: the former one opens for as long as it is named.
func TestASessionOutlivesAChangeOfKeys(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		w.signIn("/console")
		for keys, want := range map[string]int{oneKey: 200, otherKey + "," + oneKey: 200, otherKey: 401} {
			c := config()
			c.Keys = strings.Split(keys, ",")
			w.pages = w.serve(c, pagesURL)
			res, _ := w.send(http.MethodGet, pagesURL+"/console", nil)
			assert.Equal(t, want, res.StatusCode, keys)
		}
	})
}

// A browser can neither change nor exchange what it keeps.
func TestACookieThatWasChangedIsNoSession(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		w.signIn("/console")
		name, value, _ := strings.Cut(w.cookies(), "=")
		for _, changed := range []string{value[:len(value)-1], value + "A", "A" + value[1:], "", "!", strings.ToUpper(value)} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console", http.NoBody)
			r.Header.Set("Cookie", name+"="+changed)
			answer := httptest.NewRecorder()
			w.pages.ServeHTTP(answer, r)
			assert.Equal(t, http.StatusUnauthorized, answer.Code, changed)
		}
		begun := httptest.NewRecorder()
		w.pages.ServeHTTP(begun, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/login", http.NoBody))
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console", http.NoBody)
		r.Header.Set("Cookie", name+"="+begun.Result().Cookies()[0].Value)
		answer := httptest.NewRecorder()
		w.pages.ServeHTTP(answer, r)
		assert.Equal(t, http.StatusUnauthorized, answer.Code, "an attempt is no session")
	})
}

// Large tokens are kept in several cookies, of which a smaller session leaves none; tokens that fit into no request are refused.
func TestTokensAreKeptInPieces(t *testing.T) {
	c := config()
	for i := range 450 {
		c.Scopes = append(c.Scopes, fmt.Sprintf("scope-%03d:read", i))
	}
	inWorld(t, c, func(t *testing.T, w *world) {
		all := w.form("/console")
		res, text := w.send(http.MethodPost, issuerURL+"/authorize", all)
		assert.Equal(t, http.StatusBadGateway, res.StatusCode)
		assert.Contains(t, text, "You are not signed in")
		assert.Contains(t, w.logs.String(), "too large for a session")
		pieces := func(scopes int) int {
			form := w.form("/console")
			form["grant"] = form["grant"][:scopes]
			_, text := w.send(http.MethodPost, issuerURL+"/authorize", form)
			assert.Equal(t, scopes, strings.Count(text, ":read"))
			return strings.Count(w.cookies(), "leftfold-session-")
		}
		assert.Equal(t, []int{1, 2, 1}, []int{pieces(10), pieces(150), pieces(10)})
	})
}

// By https a cookie is for https alone, never for scripts, and sent to no page that another site has put around a form.
func TestCookiesAreOutOfReach(t *testing.T) {
	inWorld(t, config(), func(t *testing.T, w *world) {
		for at, secure := range map[string]bool{pagesURL: false, "https://pages.test": true} {
			answer := httptest.NewRecorder()
			w.serve(config(), at).ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/console/login", http.NoBody))
			cookies := answer.Result().Cookies()
			require.Len(t, cookies, 1)
			assert.Equal(t, secure, cookies[0].Secure)
			assert.Equal(t, secure, strings.HasPrefix(cookies[0].Name, "__Secure-"))
			assert.True(t, cookies[0].HttpOnly)
			assert.Equal(t, http.SameSiteLaxMode, cookies[0].SameSite)
			assert.Equal(t, "/console/callback", cookies[0].Path)
			assert.Less(t, len(cookies[0].Raw), 4096)
		}
	})
}

func TestEveryMistakeOfASignInsConfigurationIsReported(t *testing.T) {
	t.Parallel()
	production := &auth.Config{Mode: "oidc", Environment: "production"}
	err := (&login.Config{URL: "http://console.example.com", Keys: []string{"short"}}).ValidateFor(production)
	for _, want := range []string{"LOGIN_CLIENT_ID", "LOGIN_OPENID_SCOPES", "SESSION_KEYS: want at least 32", "LOGIN_URL=http:"} {
		require.ErrorContains(t, err, want)
	}
	none := &login.Config{}
	require.ErrorContains(t, none.ValidateFor(production), "SESSION_KEYS: AUTH_MODE=oidc needs one")
	require.NoError(t, none.ValidateFor(&auth.Config{Mode: "none"}))
	good := config()
	for _, at := range []string{"", "https://console.example.com"} {
		good.URL = at
		require.NoError(t, good.ValidateFor(production))
	}
}
