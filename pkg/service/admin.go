package service

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// AdminConfig says who may use the admin address.
type AdminConfig struct {
	Addr  string   `envconfig:"ADMIN_ADDR" default:"127.0.0.1:9090" desc:"address of /healthz, /readyz and /metrics"`
	Hosts []string `envconfig:"ADMIN_HOSTS" desc:"names by which requests may call the admin address, beside localhost and IP addresses, with commas"`
	Token string   `envconfig:"ADMIN_TOKEN" secret:"true" desc:"bearer token that requests of the admin address need, except /healthz, /readyz and /metrics; empty: none"`
}

// minAdminToken is the length of 128 random bits in base64.
const minAdminToken = 22

// Validate is called by service.LoadConfig.
func (c *AdminConfig) Validate() error {
	var errs []error
	for _, host := range c.Hosts {
		if host == "" || strings.ContainsAny(host, ":/* ") {
			errs = append(errs, fmt.Errorf("ADMIN_HOSTS=%s: want names without scheme, port or *", strings.Join(c.Hosts, ",")))
			break
		}
	}
	if c.Token != "" && (len(c.Token) < minAdminToken || !httpapi.VisibleASCII(c.Token, len(c.Token))) {
		errs = append(errs, fmt.Errorf("ADMIN_TOKEN: want at least %d visible ASCII characters", minAdminToken))
	}
	return errors.Join(errs...)
}

// open reports whether everyone who reaches the admin address may read the path: load balancers and scrapers have no token
// and call by any name.
func open(path string) bool { return path == "/healthz" || path == "/readyz" || path == "/metrics" }

// protect refuses what a web page in an operator's browser may send: requests under a name of the page's own choice (DNS
// rebinding) and writes from another origin. It also refuses requests without the token, if there is one.
func (c *AdminConfig) protect(next http.Handler) http.Handler {
	unknownHost := httpapi.NewProblem(http.StatusForbidden, httpapi.CodeForbidden,
		"Host must be an IP address, localhost or one of ADMIN_HOSTS")
	noToken := httpapi.NewProblem(http.StatusUnauthorized, httpapi.CodeUnauthenticated, "send ADMIN_TOKEN as Authorization: Bearer").
		With("WWW-Authenticate", `Bearer realm="leftfold admin"`)
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(httpapi.NewProblem(http.StatusForbidden, httpapi.CodeForbidden, "a page of another origin may not send this"))
	sameOrigin := origin.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case open(r.URL.Path):
			next.ServeHTTP(w, r)
		case !c.knows(r.Host):
			unknownHost.ServeHTTP(w, r)
		case !c.authenticates(r.Header.Values("Authorization")):
			noToken.ServeHTTP(w, r)
		default:
			sameOrigin.ServeHTTP(w, r)
		}
	})
}

// knows reports whether a Host header names the admin address.
func (c *AdminConfig) knows(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]") // it has no port
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return strings.EqualFold(name, "localhost") ||
		slices.ContainsFunc(c.Hosts, func(known string) bool { return strings.EqualFold(name, known) })
}

// authenticates reports whether the Authorization headers carry the token, if one is needed.
func (c *AdminConfig) authenticates(headers []string) bool {
	if c.Token == "" {
		return true
	}
	if len(headers) != 1 {
		return false
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	got, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(c.Token)) // of one length: comparing reveals none
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}
