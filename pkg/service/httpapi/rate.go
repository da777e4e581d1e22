package httpapi

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5/middleware"
	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// LimitRate adds authentication to an API and holds each client to a number of requests a second. A client is the subject
// that a request is authenticated as, or else an IP address; subject returns who sent the request of a context, or "".
//
// Reads that wait for a version (the query parameter wait) are held to RateBurst of one client at a time: a rate
// would let one client fill all places with them.
//
// Authenticated requests count against their subject. Requests whose token is refused count against their address, so that
// guessing tokens is limited without verifying any.
func (c Config) LimitRate(api huma.API, now func() time.Time, authenticate func(huma.API), subject func(context.Context) string) {
	if c.RateLimit <= 0 {
		authenticate(api)
		return
	}
	refused, passed, waiting := newBuckets(c, now), newBuckets(c, now), newWaiting(c.RateBurst)
	api.UseMiddleware(func(c huma.Context, next func(huma.Context)) {
		client := addressOf(c)
		if wait := refused.wait(client, 0); wait > 0 {
			tooMany(c, wait)
			return
		}
		next(c)
		_, w := humachi.Unwrap(c)
		if answer, ok := w.(middleware.WrapResponseWriter); ok && answer.Status() == http.StatusUnauthorized {
			refused.wait(client, 1)
		}
	})
	authenticate(api)
	api.UseMiddleware(func(c huma.Context, next func(huma.Context)) {
		client := "subject " + subject(c.Context())
		if client == "subject " {
			client = addressOf(c)
		}
		if wait := passed.wait(client, 1); wait > 0 {
			tooMany(c, wait)
			return
		}
		if c.Query("wait") != "" {
			if !waiting.enter(client) {
				tooMany(c, time.Second)
				return
			}
			defer waiting.leave(client)
		}
		next(c)
	})
}

func tooMany(c huma.Context, wait time.Duration) {
	NewProblem(http.StatusTooManyRequests, CodeTooManyRequests, "too many requests from this client; try again later").
		RetryAfter(wait).Answer(c)
}

// clientIP stores the IP address that a request came from: the last of its hops that is no trusted proxy.
func clientIP(trusted []netip.Prefix) func(http.Handler) http.Handler {
	if len(trusted) == 0 {
		return middleware.ClientIPFromRemoteAddr
	}
	var prefixes []string
	for _, p := range trusted {
		prefixes = append(prefixes, p.String())
	}
	return middleware.ClientIPFromXFF(prefixes...)
}

// addressOf returns the client's IPv4 address or its IPv6 network, for a client has a whole one:
// https://www.rfc-editor.org/rfc/rfc6177
func addressOf(c huma.Context) string {
	client := middleware.GetClientIPAddr(c.Context())
	if !client.IsValid() { // a trusted proxy that names no client counts as one
		r, _ := humachi.Unwrap(c)
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		return host
	}
	if client.Is6() {
		network, _ := client.WithZone("").Prefix(64)
		return network.String()
	}
	return client.String()
}

// maxClients bounds the memory that buckets take, at some 200 bytes each. A client that was evicted begins with a full
// bucket.
const maxClients = 1 << 16

// buckets holds a token bucket for each of the clients seen last.
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

// waiting counts the requests of each client that wait.
type waiting struct {
	most int
	mu   sync.Mutex
	of   map[string]int
}

func newWaiting(most int) *waiting { return &waiting{most: most, of: map[string]int{}} }

// enter counts one more, or reports that the client has enough.
func (w *waiting) enter(client string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[client] >= w.most {
		return false
	}
	w.of[client]++
	return true
}

func (w *waiting) leave(client string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.of[client]--; w.of[client] == 0 {
		delete(w.of, client)
	}
}
