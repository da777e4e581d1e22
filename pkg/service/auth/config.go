package auth

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Local is the Environment of a developer's own machine.
const Local = "local"

// Config says whose tokens are accepted.
type Config struct {
	_            struct{}      `group:"Tokens"`
	Environment  string        `envconfig:"ENVIRONMENT" default:"production" desc:"where this runs; only local allows what is unsafe"`
	Mode         string        `envconfig:"AUTH_MODE" default:"oidc" desc:"oidc: every request needs a token; none: no request does, only where ENVIRONMENT=local"`
	Issuer       string        `envconfig:"OIDC_ISSUER" desc:"issuer of the accepted tokens: a URL as in their iss claim; needed with AUTH_MODE=oidc"`
	Audience     string        `envconfig:"OIDC_AUDIENCE" desc:"this API's name in the aud claim; needed with AUTH_MODE=oidc"`
	JWKSURL      string        `envconfig:"OIDC_JWKS_URL" desc:"where the issuer's keys are, if not where its /.well-known/openid-configuration says"`
	Algorithms   []string      `envconfig:"OIDC_ALGORITHMS" default:"RS256,ES256" desc:"accepted signature algorithms, never HS256 or none"`
	Leeway       time.Duration `envconfig:"OIDC_LEEWAY" default:"30s" desc:"how far the issuer's clock may be off, at most 5m"`
	Refresh      time.Duration `envconfig:"OIDC_REFRESH" default:"5m" desc:"how often the issuer's keys are fetched: how long a revoked key is still accepted"`
	MaxToken     int           `envconfig:"OIDC_MAX_TOKEN" default:"8192" desc:"bytes of the longest token, at most 15360"`
	SubjectClaim string        `envconfig:"OIDC_SUBJECT_CLAIM" default:"sub" desc:"claim that identifies the sender"`
	ScopePrefix  string        `envconfig:"OIDC_SCOPE_PREFIX" desc:"prefix that the issuer puts before every scope of this API, such as leftfold/"`
}

// Bounds of a Config. The longest token leaves room for other headers in the 16 KiB that a server reads.
const (
	maxLeeway   = 5 * time.Minute
	minRefresh  = time.Second
	maxRefresh  = time.Hour
	minMaxToken = 1 << 10
	maxMaxToken = 15 << 10
)

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	switch {
	case c.Mode == "none" && c.Environment != Local:
		return fmt.Errorf("AUTH_MODE=none: only where ENVIRONMENT=%s, and it is %s", Local, c.Environment)
	case c.Mode == "none":
		return nil
	case c.Mode != "oidc":
		return fmt.Errorf("AUTH_MODE=%s: want oidc or none", c.Mode)
	}
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	errs = append(errs, c.checkURL("OIDC_ISSUER", c.Issuer))
	if c.JWKSURL != "" {
		errs = append(errs, c.checkURL("OIDC_JWKS_URL", c.JWKSURL))
	}
	check(c.Audience != "", "OIDC_AUDIENCE: AUTH_MODE=oidc needs it")
	check(len(c.Algorithms) > 0, "OIDC_ALGORITHMS: want at least one")
	for _, alg := range c.Algorithms {
		check(asymmetric(alg),
			"OIDC_ALGORITHMS=%s: %s is not a signature by a private key; want some of RS256, ES256, PS256, EdDSA and their like",
			strings.Join(c.Algorithms, ","), alg)
	}
	check(c.Leeway >= 0 && c.Leeway <= maxLeeway, "OIDC_LEEWAY=%s: want 0s to %s", c.Leeway, maxLeeway)
	check(c.Refresh >= minRefresh && c.Refresh <= maxRefresh, "OIDC_REFRESH=%s: want %s to %s", c.Refresh, minRefresh, maxRefresh)
	check(c.MaxToken >= minMaxToken && c.MaxToken <= maxMaxToken, "OIDC_MAX_TOKEN=%d: want %d to %d", c.MaxToken, minMaxToken, maxMaxToken)
	check(c.SubjectClaim != "", "OIDC_SUBJECT_CLAIM: want a claim's name")
	return errors.Join(errs...)
}

func (c *Config) checkURL(variable, text string) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return fmt.Errorf("%s: AUTH_MODE=oidc needs it", variable)
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%s=%s: want a URL such as https://id.example.com", variable, text)
	case !c.mayCall(u):
		return fmt.Errorf("%s=%s: want https, for ENVIRONMENT is not %s", variable, text, Local)
	default:
		return nil
	}
}

// mayCall reports whether keys may be fetched from u.
func (c *Config) mayCall(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && c.Environment == Local
}

// asymmetric reports whether an algorithm is known and signs with a private key, so that a verifier cannot forge.
func asymmetric(alg string) bool {
	switch jwt.GetSigningMethod(alg).(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodRSAPSS, *jwt.SigningMethodECDSA, *jwt.SigningMethodEd25519:
		return true
	default:
		return false
	}
}
