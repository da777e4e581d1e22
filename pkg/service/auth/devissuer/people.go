package devissuer

import (
	"cmp"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

//go:embed sign-in.html
var signIn string

var page = template.Must(template.New("sign-in").Parse(signIn)) //nolint:gochecknoglobals // read only

// grant is what a person has chosen, by the code or the refresh token for which a client gets it once.
type grant struct {
	client, redirect, challenge string
	nonce, subject, scope       string
	lasting                     bool // with a refresh token
	endsAt                      time.Time
}

// Lifetimes of codes and refresh tokens.
const (
	codeLife    = time.Minute
	refreshLife = 24 * time.Hour
)

// ofOpenID are scopes that are not the API's.
var ofOpenID = []string{"openid", "offline_access"} //nolint:gochecknoglobals // read only

// servePage asks people who they are: https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest
func (i *Issuer) servePage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if err := check(query); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", err)
		return
	}
	scopes := slices.DeleteFunc(strings.Fields(query.Get("scope")), func(s string) bool { return slices.Contains(ofOpenID, s) })
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = page.Execute(w, struct { // the browser may have gone
		Client string
		Scopes []string
		Asked  map[string][]string
	}{query.Get("client_id"), scopes, query})
}

// check reports what is wrong with a request of a client to have a person sign in.
func check(query url.Values) error {
	at, err := url.Parse(query.Get("redirect_uri"))
	switch {
	case query.Get("response_type") != "code":
		return errors.New("response_type: want code")
	case query.Get("client_id") == "":
		return errors.New("client_id: want one")
	case err != nil || at.Host == "":
		return fmt.Errorf("redirect_uri=%q: want a URL", query.Get("redirect_uri"))
	case query.Get("code_challenge_method") != "S256" || query.Get("code_challenge") == "":
		return errors.New("code_challenge: want one, by S256")
	}
	return nil
}

// serveChoice sends the browser back with a code: https://openid.net/specs/openid-connect-core-1_0.html#AuthResponse
func (i *Issuer) serveChoice(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := errors.Join(r.ParseForm(), check(r.PostForm)); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", err)
		return
	}
	form := r.PostForm
	back, _ := url.Parse(form.Get("redirect_uri")) // as check has
	answer := back.Query()
	answer.Set("state", form.Get("state"))
	if form.Get("subject") == "" || form.Has("refuse") {
		answer.Set("error", "access_denied")
	} else {
		answer.Set("code", i.keep(grant{
			client: form.Get("client_id"), redirect: form.Get("redirect_uri"), challenge: form.Get("code_challenge"), nonce: form.Get("nonce"),
			subject: form.Get("subject"), scope: strings.Join(form["grant"], " "),
			lasting: slices.Contains(strings.Fields(form.Get("scope")), "offline_access"), endsAt: i.now().Add(codeLife),
		}))
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther) //nolint:gosec // it knows no clients: anyone may ask
}

// keep returns what the grant is given for.
func (i *Issuer) keep(g grant) (code string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	maps.DeleteFunc(i.grants, func(_ string, g grant) bool { return now.After(g.endsAt) })
	code = rand.Text()
	i.grants[code] = g
	return code
}

// take returns the grant of a code or a refresh token, once.
func (i *Issuer) take(code string) (g grant, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	g, ok = i.grants[code]
	delete(i.grants, code)
	return g, ok && i.now().Before(g.endsAt)
}

// servePerson gives the tokens of a person: https://www.rfc-editor.org/rfc/rfc6749#section-4.1.3 and section-6
func (i *Issuer) servePerson(w http.ResponseWriter, r *http.Request) {
	form := r.PostForm
	var g grant
	var ok bool
	if form.Get("grant_type") == "authorization_code" {
		g, ok = i.take(form.Get("code"))
		ok = ok && g.redirect == form.Get("redirect_uri") && g.challenge == oauth2.S256ChallengeFromVerifier(form.Get("code_verifier"))
	} else {
		g, ok = i.take(form.Get("refresh_token"))
		ok = ok && g.challenge == "" // else it is a code
	}
	basic, _, _ := r.BasicAuth()
	if !ok || g.client != cmp.Or(basic, form.Get("client_id")) {
		refuse(w, http.StatusBadRequest, "invalid_grant", errors.New("no such code or refresh token of this client"))
		return
	}
	access, err1 := i.Token(g.subject, g.scope, map[string]any{"client_id": g.client})
	now := i.now()
	identity, err2 := i.sign("JWT", jwt.MapClaims{
		"iss": i.config.URL, "aud": g.client, "sub": g.subject, "nonce": g.nonce, "iat": now.Unix(), "exp": now.Add(i.config.TokenLife).Unix(),
	})
	if err := errors.Join(err1, err2); err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", err)
		return
	}
	tokens := map[string]any{
		"access_token": access, "id_token": identity, "token_type": "Bearer", "expires_in": int(i.config.TokenLife / time.Second),
		"scope": g.scope,
	}
	if g.lasting {
		g.challenge, g.endsAt = "", now.Add(refreshLife)
		tokens["refresh_token"] = i.keep(g)
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, tokens)
}

// serveEnd has nobody to forget: https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout
func (i *Issuer) serveEnd(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(r.URL.Query().Get("post_logout_redirect_uri"))
	if err != nil || back.Host == "" {
		refuse(w, http.StatusBadRequest, "invalid_request", errors.New("post_logout_redirect_uri: want a URL"))
		return
	}
	http.Redirect(w, r, back.String(), http.StatusSeeOther) //nolint:gosec // as above
}
