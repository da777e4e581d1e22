package httpapi

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// Config says how an address that untrusted clients reach is served.
type Config struct {
	TLSCertFile string `envconfig:"TLS_CERT_FILE" desc:"certificate chain in PEM, with TLS_KEY_FILE; read again when the files change; empty: no TLS"`
	TLSKeyFile  string `envconfig:"TLS_KEY_FILE" desc:"private key of TLS_CERT_FILE in PEM"`

	CORSOrigins []string `envconfig:"CORS_ORIGINS" desc:"web origins whose pages may call the API, such as https://admin.example.com, with commas; *: all; empty: none"`

	RateLimit      float64        `envconfig:"RATE_LIMIT" default:"50" desc:"requests a second of one client, by its subject or else its IP address, in each process; 0: no limit"`
	RateBurst      int            `envconfig:"RATE_BURST" default:"100" desc:"requests that a client may send at once, and reads of one client that may wait at the same time"`
	TrustedProxies []netip.Prefix `envconfig:"TRUSTED_PROXIES" desc:"networks whose X-Forwarded-For names the client, such as 10.0.0.0/8, with commas; empty: none"`
	MaxInFlight    int            `envconfig:"MAX_IN_FLIGHT" default:"1000" desc:"requests answered at the same time, more get 503; 0: no limit"`

	HeaderTimeout time.Duration `envconfig:"HTTP_HEADER_TIMEOUT" desc:"longest time a request's headers may take to arrive"`
	ReadTimeout   time.Duration `envconfig:"HTTP_READ_TIMEOUT" desc:"longest time a request may take to arrive"`
	WriteTimeout  time.Duration `envconfig:"HTTP_WRITE_TIMEOUT" desc:"longest time from a request's headers to the end of its answer; work for it ends after five sixths of that"`
	IdleTimeout   time.Duration `envconfig:"HTTP_IDLE_TIMEOUT" desc:"how long a connection is kept between requests"`
	MaxHeader     int           `envconfig:"HTTP_MAX_HEADER" desc:"bytes of a request's first line and headers, more get 431"`
}

// Validate is called by service.LoadConfig.
func (c *Config) Validate() error {
	var errs []error
	require := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	require((c.TLSCertFile == "") == (c.TLSKeyFile == ""), "TLS_CERT_FILE, TLS_KEY_FILE: want both or none")
	for _, origin := range c.CORSOrigins {
		require(origin == "*" || isOrigin(origin), "CORS_ORIGINS: %s is no origin; want scheme://host, or *", origin)
	}
	require(c.RateLimit >= 0, "RATE_LIMIT=%g: want 0 or more", c.RateLimit)
	require(c.RateLimit == 0 || c.RateBurst >= 1, "RATE_BURST=%d: want at least 1", c.RateBurst)
	require(c.MaxInFlight >= 0, "MAX_IN_FLIGHT=%d: want 0 or more", c.MaxInFlight)
	for name, d := range map[string]time.Duration{
		"HTTP_HEADER_TIMEOUT": c.HeaderTimeout, "HTTP_READ_TIMEOUT": c.ReadTimeout,
		"HTTP_WRITE_TIMEOUT": c.WriteTimeout, "HTTP_IDLE_TIMEOUT": c.IdleTimeout,
	} {
		require(d > 0, "%s=%s: want more than 0", name, d)
	}
	require(c.MaxHeader >= leastHeader, "HTTP_MAX_HEADER=%d: want at least %d", c.MaxHeader, leastHeader)
	slices.SortFunc(errs, func(a, b error) int { return cmp.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// leastHeader lets a browser's headers through.
const leastHeader = 1 << 10

// ParseURL returns the URL of a server of HTTP. The error says what is wanted; it does not repeat the text, which may have a password.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("want a URL such as http://127.0.0.1:8080")
	}
	return u, nil
}

// isOrigin: https://www.rfc-editor.org/rfc/rfc6454#section-6.2
func isOrigin(text string) bool {
	u, err := ParseURL(text)
	return err == nil && text == u.Scheme+"://"+u.Host
}

// SetDefaults sets the timeouts and the header limit, which the admin address and tests use too. LoadConfig, Front and Listen call it.
func (c *Config) SetDefaults() {
	c.HeaderTimeout = cmp.Or(c.HeaderTimeout, 5*time.Second)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, 15*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 30*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 2*time.Minute)
	c.MaxHeader = cmp.Or(c.MaxHeader, 16<<10)
}

// Front returns the middlewares of an address that untrusted clients reach, for NewRouter.
func (c Config) Front() []func(http.Handler) http.Handler {
	c.SetDefaults()
	front := []func(http.Handler) http.Handler{limitHeader(c.MaxHeader), clientIP(c.TrustedProxies)}
	if len(c.CORSOrigins) > 0 {
		front = append(front, allowOrigins(c.CORSOrigins))
	}
	if c.MaxInFlight > 0 {
		front = append(front, limitInFlight(c.MaxInFlight))
	}
	return front
}
