// Package devissuer is an OpenID Connect issuer for developers and tests. It issues every token to everyone, and so it
// refuses to start unless ENVIRONMENT=local.
package devissuer

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/service/auth"
)

// Config says where the issuer is and what its tokens say.
type Config struct {
	_           struct{}      `group:"Issuer"`
	Environment string        `envconfig:"ENVIRONMENT" default:"production" desc:"where this runs; only local allows what is unsafe"`
	Addr        string        `envconfig:"ISSUER_ADDR" default:"127.0.0.1:9000" desc:"address of the development issuer, which plain HTTP reaches"`
	URL         string        `envconfig:"ISSUER_URL" desc:"name of the development issuer: the OIDC_ISSUER of those who accept its tokens; by default http:// and ISSUER_ADDR"`
	Public      string        `envconfig:"ISSUER_PUBLIC_URL" desc:"address by which browsers reach the development issuer, if not ISSUER_URL"`
	Audience    string        `envconfig:"ISSUER_AUDIENCE" default:"leftfold" desc:"aud of the development issuer's tokens, if the request names none"`
	TokenLife   time.Duration `envconfig:"ISSUER_TOKEN_LIFE" default:"1h" desc:"how long the development issuer's tokens are valid, if the request does not say; at most 24h"`
}

const maxTokenLife = 24 * time.Hour

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	if c.Environment != auth.Local {
		errs = append(errs, fmt.Errorf("the development issuer gives every token to everyone: only where ENVIRONMENT=%s, and it is %s",
			auth.Local, c.Environment))
	}
	if host, port, err := net.SplitHostPort(c.Addr); err == nil && c.URL == "" {
		c.URL = "http://" + net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)
	}
	for variable, text := range map[string]string{"ISSUER_URL": c.URL, "ISSUER_PUBLIC_URL": cmp.Or(c.Public, c.URL)} {
		if u, err := url.Parse(text); err != nil || u.Host == "" {
			errs = append(errs, fmt.Errorf("%s=%s: want a URL", variable, text))
		}
	}
	if c.TokenLife <= 0 || c.TokenLife > maxTokenLife {
		errs = append(errs, fmt.Errorf("ISSUER_TOKEN_LIFE=%s: want up to %s", c.TokenLife, maxTokenLife))
	}
	return errors.Join(errs...)
}

// Issuer makes tokens, signed with keys that live as long as it does. It is an http.Handler of its discovery, its keys,
// POST /token, and a page where people say who they are. Safe for concurrent use.
type Issuer struct {
	*http.ServeMux

	config Config
	now    func() time.Time

	mu     sync.Mutex
	keys   []key // the newest last
	grants map[string]grant
}

type key struct {
	id      string
	method  jwt.SigningMethod
	private crypto.Signer
}

// published is how many keys the issuer publishes: the one that signs, and the one before it, whose tokens may still be
// valid.
const published = 2

// New returns an issuer with a first key.
func New(c Config, now func() time.Time) (*Issuer, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	i := &Issuer{ServeMux: http.NewServeMux(), config: c, now: now, grants: map[string]grant{}}
	i.HandleFunc("GET /.well-known/openid-configuration", i.serveDiscovery)
	i.HandleFunc("GET /jwks.json", i.serveKeys)
	i.HandleFunc("POST /token", i.serveToken)
	i.HandleFunc("GET /authorize", i.servePage)
	i.HandleFunc("POST /authorize", i.serveChoice)
	i.HandleFunc("GET /end-session", i.serveEnd)
	i.HandleFunc("POST /rotate", i.serveRotate)
	return i, i.Rotate("RS256")
}

// Rotate makes a new key for an algorithm, RS256 or ES256, and signs with it from now on. Its predecessor stays
// published; an older one does not.
func (i *Issuer) Rotate(alg string) error {
	k := key{id: uuid.NewString(), method: jwt.GetSigningMethod(alg)}
	var err error
	switch alg {
	case "RS256":
		k.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		k.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return fmt.Errorf("algorithm %q: want RS256 or ES256", alg)
	}
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
	i.keys = slices.Delete(i.keys, 0, max(0, len(i.keys)-published))
	return nil
}

// Token is an access token for a subject with these scopes. The further claims replace what it would say, or are added.
func (i *Issuer) Token(subject, scope string, further map[string]any) (string, error) {
	now := i.now()
	claims := jwt.MapClaims{
		"iss": i.config.URL, "aud": i.config.Audience, "sub": subject, "client_id": subject, "scope": scope, "jti": uuid.NewString(),
		"iat": now.Unix(), "exp": now.Add(i.config.TokenLife).Unix(),
	}
	maps.Copy(claims, further)
	return i.sign("at+jwt", claims)
}

func (i *Issuer) sign(kind string, claims jwt.MapClaims) (string, error) {
	i.mu.Lock()
	k := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	token := jwt.NewWithClaims(k.method, claims)
	token.Header["kid"], token.Header["typ"] = k.id, kind
	return token.SignedString(k.private)
}

func (i *Issuer) serveDiscovery(w http.ResponseWriter, _ *http.Request) {
	public := cmp.Or(i.config.Public, i.config.URL)
	answer(w, http.StatusOK, map[string]any{
		"issuer": i.config.URL, "jwks_uri": i.config.URL + "/jwks.json", "token_endpoint": i.config.URL + "/token",
		"authorization_endpoint": public + "/authorize", "end_session_endpoint": public + "/end-session",
		"grant_types_supported":    []string{"client_credentials", "authorization_code", "refresh_token"},
		"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"},
		"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
	})
}

func (i *Issuer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	keys := slices.Clone(i.keys)
	i.mu.Unlock()
	set := jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{}}
	for _, k := range keys {
		jwk, err := jwkset.NewJWKFromKey(k.private.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
			ALG: jwkset.ALG(k.method.Alg()), KID: k.id, USE: jwkset.UseSig,
		}})
		if err != nil {
			refuse(w, http.StatusInternalServerError, "server_error", err)
			return
		}
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	answer(w, http.StatusOK, set)
}

// serveToken takes no credentials from anyone.
func (i *Issuer) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", err)
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "", "client_credentials":
		i.serveClient(w, r)
	case "authorization_code", "refresh_token":
		i.servePerson(w, r)
	default:
		refuse(w, http.StatusBadRequest, "unsupported_grant_type",
			errors.New("want client_credentials, authorization_code or refresh_token"))
	}
}

// serveClient is https://www.rfc-editor.org/rfc/rfc6749#section-4.4
func (i *Issuer) serveClient(w http.ResponseWriter, r *http.Request) {
	basic, _, _ := r.BasicAuth()
	subject := cmp.Or(r.PostForm.Get("client_id"), basic)
	if subject == "" {
		refuse(w, http.StatusBadRequest, "invalid_request", errors.New("say who you are, with client_id"))
		return
	}
	life := i.config.TokenLife
	if text := r.PostForm.Get("expires_in"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 || seconds > int(maxTokenLife/time.Second) {
			refuse(w, http.StatusBadRequest, "invalid_request", fmt.Errorf("expires_in=%q: want seconds, up to %s", text, maxTokenLife))
			return
		}
		life = time.Duration(seconds) * time.Second
	}
	further := map[string]any{"exp": i.now().Add(life).Unix()}
	if audience := r.PostForm["audience"]; len(audience) > 0 {
		further["aud"] = audience
	}
	scope := r.PostForm.Get("scope")
	token, err := i.Token(subject, scope, further)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "server_error", err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "expires_in": int(life / time.Second), "scope": scope,
	})
}

func (i *Issuer) serveRotate(w http.ResponseWriter, r *http.Request) {
	if err := i.Rotate(cmp.Or(r.URL.Query().Get("alg"), "RS256")); err != nil {
		refuse(w, http.StatusBadRequest, "invalid_request", err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func refuse(w http.ResponseWriter, status int, code string, err error) {
	answer(w, status, map[string]string{"error": code, "error_description": err.Error()})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
