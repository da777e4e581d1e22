package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5/middleware"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// RateLimit holds each client to a number of requests a second. A client is who the request is known to be from, or else
// an IP address.
//
// It stands around authentication: requests that pass it count for their subject, and those it turns away for
// their address, so that guessing tokens is held back without work.
type RateLimit struct {
	subject func(context.Context) string
	trusted []netip.Prefix
	// passed are the buckets of subjects, and of addresses where nobody is asked; refused are those of addresses that
	// sent what was not to be believed.
	passed, refused *buckets
}

// NewRateLimit returns the limit that c asks for, or nil. subject names who sent the request of a context, or is "".
func (c Config) NewRateLimit(now func() time.Time, subject func(context.Context) string) *RateLimit {
	if c.RateLimit <= 0 {
		return nil
	}
	return &RateLimit{
		subject: subject, trusted: c.TrustedProxies,
		passed: newBuckets(c, now), refused: newBuckets(c, now),
	}
}

// Before belongs before authentication; a nil limit lets all pass.
func (l *RateLimit) Before(api huma.API) {
	if l == nil {
		return
	}
	api.UseMiddleware(func(c huma.Context, next func(huma.Context)) {
		client := l.address(c)
		if wait := l.refused.wait(client, 0); wait > 0 {
			tooMany(c, wait)
			return
		}
		next(c)
		_, w := humachi.Unwrap(c)
		if answer, ok := w.(middleware.WrapResponseWriter); ok && answer.Status() == http.StatusUnauthorized {
			l.refused.wait(client, 1)
		}
	})
}

// After belongs after authentication; a nil limit lets all pass.
func (l *RateLimit) After(api huma.API) {
	if l == nil {
		return
	}
	api.UseMiddleware(func(c huma.Context, next func(huma.Context)) {
		client := "subject " + l.subject(c.Context())
		if client == "subject " {
			client = l.address(c)
		}
		if wait := l.passed.wait(client, 1); wait > 0 {
			tooMany(c, wait)
			return
		}
		next(c)
	})
}

func tooMany(c huma.Context, wait time.Duration) {
	NewProblem(http.StatusTooManyRequests, CodeTooManyRequests, "too many requests from this client; try again later").
		RetryAfter(wait).Answer(c)
}

// address is the IP address that the request came from. What proxies say of it is believed as far as they are trusted.
func (l *RateLimit) address(c huma.Context) string {
	r, _ := humachi.Unwrap(c)
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	client := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && contains(l.trusted, client); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		client = hop.Unmap()
	}
	if client.Is6() { // a client has a whole network: https://www.rfc-editor.org/rfc/rfc6177
		network, _ := client.WithZone("").Prefix(64)
		return network.String()
	}
	return client.String()
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// maxClients bounds the memory that buckets take, at some 200 bytes each. Who is forgotten begins with a full bucket.
const maxClients = 1 << 16

// buckets are a token bucket for each client that was seen last.
type buckets struct {
	now   func() time.Time
	limit rate.Limit
	burst int
	of    *lru.Cache[string, *rate.Limiter]
}

func newBuckets(c Config, now func() time.Time) *buckets {
	of, err := lru.New[string, *rate.Limiter](maxClients)
	if err != nil {
		panic(err) // of a size that is not positive
	}
	return &buckets{now: now, limit: rate.Limit(c.RateLimit), burst: c.RateBurst, of: of}
}

// wait takes n tokens of the client's bucket and returns 0, or takes none and returns how long until there is one.
func (b *buckets) wait(client string, n int) time.Duration {
	bucket, ok := b.of.Get(client)
	if !ok {
		bucket = rate.NewLimiter(b.limit, b.burst)
		if other, already, _ := b.of.PeekOrAdd(client, bucket); already {
			bucket = other
		}
	}
	now := b.now()
	if bucket.TokensAt(now) >= 1 && (n == 0 || bucket.AllowN(now, n)) {
		return 0
	}
	return max(time.Duration((1-bucket.TokensAt(now))/float64(b.limit)*float64(time.Second)), time.Millisecond)
}
