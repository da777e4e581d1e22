// Package edge is one address for the APIs of several services, as nginx or a load balancer is elsewhere.
package edge

import (
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// New returns a handler that sends each request to the address of the service that route names. If that does not answer, it is 503
// with Retry-After. A write is sent once, because it may have taken effect.
func New(route func(method, path string) string, addresses map[string]string, log *slog.Logger) http.Handler {
	away := httpapi.NewProblem(http.StatusServiceUnavailable, httpapi.CodeUnavailable, "not possible right now; try again later").
		RetryAfter(time.Second)
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: addresses[route(r.In.Method, r.In.URL.Path)]})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: newTransport(),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() == nil { // else the client has gone
				log.WarnContext(r.Context(), "service did not answer", slog.String("method", r.Method), slog.Any(telemetry.KeyError, err))
			}
			away.ServeHTTP(w, r)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients that go away meanwhile
	}
}

// transport sends reads on connections that it keeps, and each write on a new one: on a used one, http.Transport repeats a request
// that has an Idempotency-Key and no body.
type transport struct{ reads, writes http.Transport }

func newTransport() *transport {
	return &transport{
		reads:  http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 10 * time.Second}, // sooner than the services' own
		writes: http.Transport{DisableKeepAlives: true},
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return t.reads.RoundTrip(r)
	}
	return t.writes.RoundTrip(r)
}
