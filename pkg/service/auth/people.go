package auth

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

// PeopleConfig is the client as which people get tokens in a browser: https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth
type PeopleConfig struct {
	_        struct{} `group:"Sign-in"`
	ClientID string   `envconfig:"LOGIN_CLIENT_ID" desc:"client of the issuer as which people sign in to the console; needed there with AUTH_MODE=oidc"`
	Secret   string   `envconfig:"LOGIN_CLIENT_SECRET" secret:"true" desc:"secret of LOGIN_CLIENT_ID; empty: the issuer knows it as a public client"`
	Scopes   []string `envconfig:"LOGIN_SCOPES" desc:"scopes that a sign-in asks for, without OIDC_SCOPE_PREFIX, with commas; empty: all that the console can use"`
	OpenID   []string `envconfig:"LOGIN_OPENID_SCOPES" default:"openid,offline_access" desc:"scopes of OpenID Connect that a sign-in asks for; with offline_access most issuers let a session go on when its first token ends"`
}

// ValidateFor reports what is wrong with the client for an API that accepts the tokens of c.
func (p *PeopleConfig) ValidateFor(c *Config) error {
	var errs []error
	if c.Mode != "none" && p.ClientID == "" {
		errs = append(errs, errors.New("LOGIN_CLIENT_ID: AUTH_MODE=oidc needs it"))
	}
	if c.Mode != "none" && !slices.Contains(p.OpenID, "openid") {
		errs = append(errs, errors.New("LOGIN_OPENID_SCOPES: want openid among them"))
	}
	return errors.Join(errs...)
}

// ErrNoKeys means that no token can be verified right now.
var ErrNoKeys error = noKeys

// ErrNotSignedIn means that the issuer refuses a sign-in or its continuation.
var ErrNotSignedIn = errors.New("the issuer gives no tokens for this sign-in")

// Identify returns whom an access token identifies, and when it ends. The error says in a word why it is not accepted.
func (g *Guard) Identify(ctx context.Context, token string) (who Principal, endsAt time.Time, err error) {
	return g.tokens.identify(ctx, token)
}

// People gets tokens for people. Safe for concurrent use.
type People struct {
	config PeopleConfig
	guard  *Guard
	id     *jwt.Parser
}

// NewPeople returns People whose tokens the guard accepts. The guard must require tokens.
func NewPeople(c PeopleConfig, guard *Guard) *People {
	return &People{config: c, guard: guard, id: guard.config.parser(guard.keys.now, c.ClientID)}
}

// Tokens are a person's.
type Tokens struct {
	Access string
	// Refresh gets others once; empty: the issuer gives none.
	Refresh string
	Who     Principal
}

// Attempt is one sign-in. Its secrets are new for each, and kept where only the browser that began it has them.
type Attempt struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"` // of https://www.rfc-editor.org/rfc/rfc7636
	// Redirect is where the issuer sends the browser back to.
	Redirect string `json:"redirect"`
}

// Address is where the issuer asks the person who they are.
func (p *People) Address(ctx context.Context, a Attempt) (string, error) {
	ctx, cancel := p.reaching(ctx)
	defer cancel()
	client, err := p.client(ctx, a.Redirect)
	if err != nil {
		return "", err
	}
	return client.AuthCodeURL(a.State, oauth2.S256ChallengeOption(a.Verifier), oauth2.SetAuthURLParam("nonce", a.Nonce),
		oauth2.SetAuthURLParam("audience", p.guard.config.Audience)), nil // some issuers want it, the others ignore it
}

// Exchange returns the tokens that the issuer gives for the code of an attempt.
func (p *People) Exchange(ctx context.Context, a Attempt, code string) (Tokens, error) {
	ctx, cancel := p.reaching(ctx)
	defer cancel()
	client, err := p.client(ctx, a.Redirect)
	if err != nil {
		return Tokens{}, err
	}
	answer, err := client.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return Tokens{}, unanswered(err, ErrNotSignedIn)
	}
	identity, _ := answer.Extra("id_token").(string)
	if err := p.verify(ctx, identity, a.Nonce); err != nil {
		return Tokens{}, fmt.Errorf("the issuer's ID token is not accepted: %w", err)
	}
	return p.tokens(ctx, answer)
}

// Refresh returns new tokens. Some issuers take a second use of a refresh token for a theft.
func (p *People) Refresh(ctx context.Context, refresh string) (Tokens, error) {
	ctx, cancel := p.reaching(ctx)
	defer cancel()
	client, err := p.client(ctx, "")
	if err != nil {
		return Tokens{}, err
	}
	answer, err := client.TokenSource(ctx, &oauth2.Token{RefreshToken: refresh}).Token()
	if err != nil {
		return Tokens{}, unanswered(err, ErrNotSignedIn)
	}
	return p.tokens(ctx, answer)
}

// SignOut is where a person ends the session with the issuer itself and is sent on to afterwards, or "".
func (p *People) SignOut(ctx context.Context, afterwards string) string {
	ctx, cancel := p.reaching(ctx)
	defer cancel()
	issuer, err := p.guard.config.discover(ctx, p.guard.keys.client)
	at, wrong := url.Parse(issuer.EndSessionEndpoint)
	if err != nil || wrong != nil || !p.guard.config.mayCall(at) {
		return ""
	}
	query := at.Query()
	query.Set("client_id", p.config.ClientID)
	query.Set("post_logout_redirect_uri", afterwards)
	at.RawQuery = query.Encode()
	return at.String()
}

// reaching returns a context in which the issuer is asked.
func (p *People) reaching(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(ctx, oauth2.HTTPClient, p.guard.keys.client), fetchTimeout)
}

// client is the client at the addresses that the issuer names now.
func (p *People) client(ctx context.Context, redirect string) (*oauth2.Config, error) {
	c := &p.guard.config
	issuer, err := c.discover(ctx, p.guard.keys.client)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		c.checkURL("token_endpoint", issuer.TokenEndpoint), c.checkURL("authorization_endpoint", issuer.AuthorizationEndpoint),
	); err != nil {
		return nil, err
	}
	o := &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.Secret, RedirectURL: redirect, Scopes: slices.Clone(p.config.OpenID),
		Endpoint: oauth2.Endpoint{AuthURL: issuer.AuthorizationEndpoint, TokenURL: issuer.TokenEndpoint, AuthStyle: oauth2.AuthStyleInHeader},
	}
	if p.config.Secret == "" {
		o.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	for _, scope := range p.config.Scopes {
		o.Scopes = append(o.Scopes, c.ScopePrefix+scope)
	}
	return o, nil
}

// tokens verifies what the issuer has answered.
func (p *People) tokens(ctx context.Context, answer *oauth2.Token) (Tokens, error) {
	who, _, err := p.guard.Identify(ctx, answer.AccessToken)
	if err != nil {
		return Tokens{}, fmt.Errorf("the issuer's access token is not accepted: %w", err)
	}
	return Tokens{Access: answer.AccessToken, Refresh: answer.RefreshToken, Who: who}, nil
}

// verify checks an ID token as https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation says.
func (p *People) verify(ctx context.Context, token, nonce string) error {
	claims := jwt.MapClaims{} // by their exact names
	if _, err := p.id.ParseWithClaims(token, claims, p.guard.tokens.key(ctx)); err != nil {
		return refusalOf(err)
	}
	if claims["nonce"] != nonce {
		return badClaims
	}
	if party, named := claims["azp"]; named && party != p.config.ClientID {
		return wrongAudience
	}
	return nil
}

// Required reports whether requests need tokens.
func (g *Guard) Required() bool { return g.tokens != nil }
