package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/sync/singleflight"
)

// Credentials are by which a service gets tokens of its own: https://www.rfc-editor.org/rfc/rfc6749#section-4.4
type Credentials struct {
	_        struct{} `group:"Tokens"`
	TokenURL string   `envconfig:"OIDC_TOKEN_URL" desc:"where a service gets a token for its own requests, if not where the issuer's /.well-known/openid-configuration says"`
	ClientID string   `envconfig:"OIDC_CLIENT_ID" desc:"client as which a service gets a token for its own requests; needed with AUTH_MODE=oidc"`
	Secret   string   `envconfig:"OIDC_CLIENT_SECRET" secret:"true" desc:"secret of OIDC_CLIENT_ID; needed with AUTH_MODE=oidc"`
}

// ValidateFor reports what is wrong with the credentials for an API that accepts the tokens of c.
func (o *Credentials) ValidateFor(c *Config) error {
	if c.Mode == "none" {
		return nil
	}
	var errs []error
	if o.TokenURL != "" {
		errs = append(errs, c.checkURL("OIDC_TOKEN_URL", o.TokenURL))
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("OIDC_CLIENT_ID: AUTH_MODE=oidc needs it"))
	}
	if o.Secret == "" {
		errs = append(errs, errors.New("OIDC_CLIENT_SECRET: AUTH_MODE=oidc needs it"))
	}
	return errors.Join(errs...)
}

// ErrNoToken means that the issuer refuses the credentials.
var ErrNoToken = errors.New("the issuer gives no token for OIDC_CLIENT_ID")

// Transport sends requests by base with a token for these scopes, of an API that accepts the tokens of c. It gets a new one when the
// former one ends or is refused, also for a scope that it lacks: the client may have got that meanwhile. Where no tokens are required, it
// is base.
func (o Credentials) Transport(c Config, base http.RoundTripper, scopes ...string) http.RoundTripper {
	if c.Mode == "none" {
		return base
	}
	t := &authorized{base: base, issuer: c, client: c.client(), grant: clientcredentials.Config{
		ClientID: o.ClientID, ClientSecret: o.Secret, TokenURL: o.TokenURL,
		EndpointParams: url.Values{"audience": {c.Audience}}, // some issuers want it, the others ignore it
	}}
	for _, s := range scopes {
		t.grant.Scopes = append(t.grant.Scopes, c.ScopePrefix+s)
	}
	return t
}

// authorized is the transport of requests with a token.
type authorized struct {
	base   http.RoundTripper
	issuer Config
	client *http.Client // reaches the issuer

	fetches singleflight.Group // of a new token

	mu    sync.Mutex
	grant clientcredentials.Config
	token *oauth2.Token // nil: none yet
}

// RoundTrip implements http.RoundTripper.
func (a *authorized) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.current(r.Context())
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as http.RoundTripper requires
		}
		return nil, err
	}
	r = r.Clone(r.Context())
	token.SetAuthHeader(r)
	res, err := a.base.RoundTrip(r)
	if err == nil && (res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden) {
		a.forget(token)
	}
	return res, err
}

// current returns a token that has not ended. All who need a new one wait for the same fetch, each for as long as its own context allows.
func (a *authorized) current(ctx context.Context) (*oauth2.Token, error) {
	if token, _ := a.kept(); token.Valid() {
		return token, nil
	}
	fetched := a.fetches.DoChan("", func() (any, error) { return a.fetch(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("get a token: %w", context.Cause(ctx))
	case f := <-fetched:
		token, _ := f.Val.(*oauth2.Token)
		return token, f.Err
	}
}

// kept returns the token that was fetched last, if any, and how to get another one.
func (a *authorized) kept() (*oauth2.Token, clientcredentials.Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token, a.grant
}

// fetch gets a new token, unless there is one by now.
func (a *authorized) fetch(ctx context.Context) (*oauth2.Token, error) {
	token, grant := a.kept()
	if token.Valid() {
		return token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	if grant.TokenURL == "" {
		issuer, err := a.issuer.discover(ctx, a.client)
		if err != nil {
			return nil, err
		}
		if err := a.issuer.checkURL("token_endpoint", issuer.TokenEndpoint); err != nil {
			return nil, err
		}
		grant.TokenURL = issuer.TokenEndpoint
	}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, a.client))
	if err != nil {
		return nil, unanswered(err, ErrNoToken)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.token, a.grant = token, grant
	return token, nil
}

// unanswered leaves the issuer's answer out, which may repeat what was sent, the secret included. It is refused if the issuer says no.
func unanswered(err, refused error) error {
	answer, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return fmt.Errorf("get a token: %w", err)
	}
	switch code := answer.Response.StatusCode; {
	case code/100 != 4, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return fmt.Errorf("get a token: %s %s", answer.Response.Status, answer.ErrorCode)
	}
	return fmt.Errorf("%w: %s %s", refused, answer.Response.Status, answer.ErrorCode)
}

// forget drops a token that is refused, so that the next request gets another one.
func (a *authorized) forget(token *oauth2.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.token == token {
		a.token = nil
	}
}
