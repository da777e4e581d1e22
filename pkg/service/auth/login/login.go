// Package login signs people in to pages of this server by the issuer of the API's tokens: OpenID Connect's code flow with PKCE. Their
// tokens are the session. The browser keeps it, encrypted, so that no server has to; it ends with its tokens.
package login

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/oauth2"

	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Config is the configuration of sign-ins.
type Config struct {
	auth.PeopleConfig
	_    struct{} `group:"Sign-in"`
	URL  string   `envconfig:"LOGIN_URL" desc:"address by which browsers reach the console, such as https://api.example.com, and to which the issuer sends them back, at /console/callback; if not API_URL"`
	Keys []string `envconfig:"SESSION_KEYS" secret:"true" desc:"what encrypts sessions of the console: 32 characters or more, after a comma the former one"`
}

// minKey is the least length of a key.
const minKey = 32

// ValidateFor reports what is wrong with the configuration for an API that accepts the tokens of c.
func (l *Config) ValidateFor(c *auth.Config) error {
	if c.Mode == "none" {
		return nil
	}
	errs := []error{l.PeopleConfig.ValidateFor(c)}
	if len(l.Keys) == 0 {
		errs = append(errs, errors.New("SESSION_KEYS: AUTH_MODE=oidc needs one"))
	}
	for _, key := range l.Keys {
		if len(key) < minKey {
			errs = append(errs, fmt.Errorf("SESSION_KEYS: want at least %d characters each", minKey))
			break
		}
	}
	if at, err := httpapi.ParseURL(l.URL); l.URL != "" && (err != nil || at.Path != "" || at.RawQuery != "" ||
		at.Scheme != "https" && c.Environment != auth.Local) {
		errs = append(errs, fmt.Errorf("LOGIN_URL=%s: want the https address of a host, such as https://api.example.com", l.URL))
	}
	return errors.Join(errs...)
}

// Notice is what a page says to somebody who is not signed in.
type Notice struct {
	Title, Text string
	Links       []Link
}

// Link is where a notice leads.
type Link struct{ Address, Name string }

// Options are what a Login needs beside its Config.
type Options struct {
	// URL is where browsers reach the pages: a scheme and a host.
	URL func() string
	// Prefix is the path of all pages, such as "/console".
	Prefix string
	// Show answers with a page that shows the notice.
	Show func(w http.ResponseWriter, r *http.Request, status int, n Notice)
	// Carry returns a context for what is done in a person's name with their token.
	Carry   func(ctx context.Context, token string) context.Context
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	Now     func() time.Time
}

// Login signs people in. Safe for concurrent use.
type Login struct {
	Options

	people *auth.People
	guard  *auth.Guard
	sealer sealer
	// signIns counts them by what came of them.
	signIns *prometheus.CounterVec

	mu        sync.Mutex
	refreshed map[[sha256.Size]byte]*refresh
}

// New returns a Login whose tokens the guard verifies.
func New(c Config, guard *auth.Guard, o Options) (*Login, error) {
	sealer, err := newSealer(c.Keys)
	l := &Login{
		Options: o, people: auth.NewPeople(c.PeopleConfig, guard), guard: guard, sealer: sealer,
		refreshed: map[[sha256.Size]byte]*refresh{},
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "sign_ins_total",
			Help: "Sign-ins by what came of them: signed_in, refused by the issuer, unknown to this browser, failed, no_issuer.",
		}, []string{"outcome"}),
	}
	o.Metrics.MustRegister(l.signIns)
	return l, err
}

// What comes of a sign-in.
const (
	signedIn = "signed_in"
	refused  = "refused"
	unknown  = "unknown"
	failed   = "failed"
	noIssuer = "no_issuer"
)

// The pages of a sign-in, after the Prefix. They are for everyone.
const (
	beginPath    = "/login"
	callbackPath = "/callback"
	endPath      = "/logout"
	endedPath    = "/signed-out"
)

// Routes adds the pages of a sign-in to a router that begins at Prefix.
func (l *Login) Routes(r chi.Router) {
	r.Get(beginPath, l.begin)
	r.Get(callbackPath, l.callback)
	r.Post(endPath, l.end)
	r.Get(endedPath, l.ended)
}

// soon is how long before its end an access token is replaced. It is still valid where that fails.
const soon = time.Minute

// Require passes a request on in the name of who is signed in, and has the others sign in.
func (l *Login) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := l.session(r)
		if !ok {
			l.askIn(w, r)
			return
		}
		who, endsAt, err := l.guard.Identify(r.Context(), s.Access)
		if errors.Is(err, auth.ErrNoKeys) {
			l.away(w, r)
			return
		}
		if s.Refresh != "" && (err != nil || endsAt.Sub(l.Now()) < soon) {
			tokens, ended := l.goOn(w, r, s.Refresh)
			if ended == nil {
				s.Access, who, err = tokens.Access, tokens.Who, nil
			} else {
				l.Logger.WarnContext(r.Context(), "session could not be continued", slog.Any(telemetry.KeyError, ended))
			}
		}
		if err != nil {
			l.askIn(w, r)
			return
		}
		next.ServeHTTP(w, r.WithContext(l.Carry(auth.With(r.Context(), who), s.Access)))
	})
}

// goOn continues a session with new tokens.
func (l *Login) goOn(w http.ResponseWriter, r *http.Request, token string) (auth.Tokens, error) {
	tokens, err := l.refresh(r.Context(), token)
	if err == nil {
		err = l.keep(w, session{tokens.Access, tokens.Refresh})
	}
	return tokens, err
}

// askIn has somebody sign in. A page leads there by itself; it does not redirect, because a page's policy (form-action) would forbid that
// after a form. What a form asked for is not done, and said so.
func (l *Login) askIn(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		l.Show(w, r, http.StatusUnauthorized, Notice{
			"Your session has ended", "Nothing was done. Sign in and send it again.", []Link{{l.begins(l.Prefix), "Sign in"}},
		})
		return
	}
	if r.Header.Get("Hx-Request") != "" { // a part of a page: the page as a whole goes there
		w.Header().Set("Hx-Redirect", l.begins(r.Header.Get("Hx-Current-Url")))
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	in := l.begins(r.URL.RequestURI())
	w.Header().Set("Refresh", "0; url="+in)
	l.Show(w, r, http.StatusUnauthorized, Notice{"Sign in", "This page is for people who are signed in.", []Link{{in, "Sign in"}}})
}

// begins is the address where a sign-in begins that leads to another one.
func (l *Login) begins(to string) string {
	return l.Prefix + beginPath + "?to=" + url.QueryEscape(l.inside(to))
}

// longestReturn bounds the address that a sign-in returns to, for it is kept in a cookie.
const longestReturn = 2000

// inside returns the path and query of an address of the pages, and their first one in place of any other.
func (l *Login) inside(address string) string {
	u, err := url.Parse(address)
	if err != nil || len(address) > longestReturn {
		return l.Prefix
	}
	clean := path.Clean("/" + u.Path)
	for _, own := range []string{beginPath, callbackPath, endPath, endedPath} {
		if clean == l.Prefix+own {
			return l.Prefix
		}
	}
	if clean != l.Prefix && !strings.HasPrefix(clean, l.Prefix+"/") {
		return l.Prefix
	}
	return (&url.URL{Path: clean, RawQuery: u.RawQuery}).String()
}

// attempt is a sign-in that has begun, as the browser keeps it.
type attempt struct {
	auth.Attempt

	To     string    `json:"to"`
	EndsAt time.Time `json:"ends"`
}

// patience is how long a sign-in may take.
const patience = 10 * time.Minute

// attemptName is the cookie of an attempt. Several may be under way at once, in several tabs.
func (l *Login) attemptName(state string) string {
	return l.name("login-") + state[:min(len(state), 8)]
}

// begin sends the browser to the issuer.
func (l *Login) begin(w http.ResponseWriter, r *http.Request) {
	a := attempt{
		Attempt: auth.Attempt{
			State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: l.URL() + l.Prefix + callbackPath,
		},
		To: l.inside(r.URL.Query().Get("to")), EndsAt: l.Now().Add(patience),
	}
	address, err := l.people.Address(r.Context(), a.Attempt)
	var sealed string
	if err == nil {
		sealed, err = l.sealer.seal("login", a)
	}
	if err != nil {
		l.signIns.WithLabelValues(noIssuer).Inc()
		l.Logger.ErrorContext(r.Context(), "sign-in could not begin", slog.Any(telemetry.KeyError, err))
		l.away(w, r)
		return
	}
	http.SetCookie(w, l.cookie(l.attemptName(a.State), l.Prefix+callbackPath, sealed, patience))
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// callback is where the issuer sends the browser back to: https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse
func (l *Login) callback(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	again := []Link{{l.begins(l.Prefix), "Sign in"}}
	a, ok := l.attempted(w, r, query.Get("state"))
	if !ok {
		l.signIns.WithLabelValues(unknown).Inc()
		l.Show(w, r, http.StatusBadRequest, Notice{
			"This sign-in is not known", "It was not begun in this browser, or long ago, or it is complete.", again,
		})
		return
	}
	if code := query.Get("error"); code != "" {
		l.signIns.WithLabelValues(refused).Inc()
		text := "The issuer refuses it."
		if httpapi.VisibleASCII(code, maxError) {
			text = "The issuer refuses it: " + code + "."
		}
		l.Show(w, r, http.StatusForbidden, Notice{"You are not signed in", text, again})
		return
	}
	tokens, err := l.people.Exchange(r.Context(), a.Attempt, query.Get("code"))
	if err == nil {
		err = l.keep(w, session{tokens.Access, tokens.Refresh})
	}
	if err != nil {
		l.signIns.WithLabelValues(failed).Inc()
		l.Logger.ErrorContext(r.Context(), "sign-in failed", slog.Any(telemetry.KeyError, err))
		l.Show(w, r, http.StatusBadGateway, Notice{
			"You are not signed in", "What the issuer answered cannot be used. The log of this server has the reason.", again,
		})
		return
	}
	l.signIns.WithLabelValues(signedIn).Inc()
	http.Redirect(w, r, a.To, http.StatusSeeOther)
}

// maxError bounds an issuer's code of an error that is shown.
const maxError = 64

// attempted returns the sign-in that the browser has begun with that state, once.
func (l *Login) attempted(w http.ResponseWriter, r *http.Request, state string) (a attempt, ok bool) {
	name := l.attemptName(state)
	kept, err := r.Cookie(name)
	if err != nil {
		return a, false
	}
	http.SetCookie(w, l.cookie(name, l.Prefix+callbackPath, "", -time.Second))
	ok = l.sealer.open("login", kept.Value, &a) && a.State == state && l.Now().Before(a.EndsAt)
	return a, ok
}

// end ends the session of this browser. Its tokens remain valid until they end.
func (l *Login) end(w http.ResponseWriter, r *http.Request) {
	l.drop(w)
	http.Redirect(w, r, l.Prefix+endedPath, http.StatusSeeOther)
}

func (l *Login) ended(w http.ResponseWriter, r *http.Request) {
	n := Notice{"You are signed out", "The issuer may still know you.", []Link{{l.begins(l.Prefix), "Sign in again"}}}
	if address := l.people.SignOut(r.Context(), l.URL()+l.Prefix+endedPath); address != "" {
		n.Links = append(n.Links, Link{address, "Sign out of the issuer, too"})
	}
	l.Show(w, r, http.StatusOK, n)
}

func (l *Login) away(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", "5")
	l.Show(w, r, http.StatusServiceUnavailable, Notice{
		"Nobody can sign in right now", "The issuer of tokens does not answer. Try again later.", []Link{{l.begins(l.Prefix), "Try again"}},
	})
}

// refresh is one use of a refresh token.
type refresh struct {
	begun  time.Time
	tokens func() (auth.Tokens, error)
}

// refresh uses a refresh token once, however many requests of a browser come with it before the browser has the next one.
func (l *Login) refresh(ctx context.Context, token string) (auth.Tokens, error) {
	key := sha256.Sum256([]byte(token))
	l.mu.Lock()
	now := l.Now()
	maps.DeleteFunc(l.refreshed, func(_ [sha256.Size]byte, r *refresh) bool { return now.Sub(r.begun) > soon })
	one := l.refreshed[key]
	if one == nil {
		ctx := context.WithoutCancel(ctx) // the others wait for it, too
		one = &refresh{now, sync.OnceValues(func() (auth.Tokens, error) { return l.people.Refresh(ctx, token) })}
		l.refreshed[key] = one
	}
	l.mu.Unlock()
	tokens, err := one.tokens()
	if err != nil && !errors.Is(err, auth.ErrNotSignedIn) { // it may not have reached the issuer
		l.mu.Lock()
		if l.refreshed[key] == one {
			delete(l.refreshed, key)
		}
		l.mu.Unlock()
	}
	return tokens, err
}
