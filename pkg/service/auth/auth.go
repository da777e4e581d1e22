// Package auth identifies who sends a request and decides what they may do, by the bearer tokens of an OpenID Connect issuer.
package auth

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Principal is who sends a request.
type Principal struct {
	// Subject identifies the principal, in 1 to 255 visible ASCII characters. Events record it as their actor.
	Subject string
	Scopes  []string

	everything bool // no tokens are required: everyone has every scope
}

// Everything is the principal of every request where no tokens are required: one that has every scope.
func Everything() Principal { return Principal{Subject: Anonymous, everything: true} }

// May reports whether the sender of the request that ctx belongs to has the scope, for what an operation does only for some of
// those that may call it.
func May(ctx context.Context, scope string) bool {
	p := Of(ctx)
	return p.everything || slices.Contains(p.Scopes, scope)
}

// Require returns the answer to a request whose sender lacks the scope, or nil.
func Require(ctx context.Context, scope string) error {
	if May(ctx, scope) {
		return nil
	}
	return lacks(scope)
}

// lacks answers as https://www.rfc-editor.org/rfc/rfc6750#section-3 says.
func lacks(scopes ...string) *httpapi.Problem {
	return httpapi.NewProblem(http.StatusForbidden, httpapi.CodeForbidden, "the token's scopes do not allow this").
		With("WWW-Authenticate", fmt.Sprintf(`%s, error="insufficient_scope", scope="%s"`, challenge, strings.Join(scopes, " ")))
}

const challenge = `Bearer realm="leftfold"`

// Anonymous is the Subject of every request where no tokens are required. No token can have it.
const Anonymous = "anonymous"

type principalKey struct{}

// With returns a context that carries the principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// Of returns who sent the request that ctx belongs to.
func Of(ctx context.Context) Principal {
	p, ok := ctx.Value(principalKey{}).(Principal)
	if !ok {
		return Principal{Subject: Anonymous}
	}
	return p
}

// scheme is the name of the API's only security scheme.
const scheme = "oidc"

// Scopes is the Security of an operation that needs all of these, such as "users:write".
func Scopes(scopes ...string) []map[string][]string {
	return []map[string][]string{{scheme: scopes}}
}

// Public is the Security of an operation that needs no token. An operation without any Security is refused to everyone.
func Public() []map[string][]string { return []map[string][]string{{}} }

// open reports whether an operation is Public.
func open(security []map[string][]string) bool {
	return slices.ContainsFunc(security, func(all map[string][]string) bool { return len(all) == 0 })
}

// missing returns the scopes that a principal lacks for an operation that is not Public; ok reports that it lacks none.
func missing(security []map[string][]string, p Principal) (scopes []string, ok bool) {
	for _, all := range security {
		wanted, known := all[scheme]
		if known && len(all) == 1 && !slices.ContainsFunc(wanted, func(s string) bool { return !slices.Contains(p.Scopes, s) }) {
			return nil, true
		}
		scopes = append(scopes, wanted...)
	}
	return scopes, false
}
