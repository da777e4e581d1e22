package httpapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-chi/cors"
)

// secure sets headers that every answer has; a page that needs more sets its own.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store") // answers hold personal data, and may be stale the moment they are sent
		if r.TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// allowOrigins answers preflight requests itself: they carry no token.
func allowOrigins(origins []string) func(http.Handler) http.Handler {
	return cors.Handler(cors.Options{
		AllowedOrigins: origins,
		AllowedMethods: []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete},
		AllowedHeaders: []string{"Authorization", "Content-Type", "Idempotency-Key", "If-Match", CorrelationHeader, "Traceparent", "Tracestate"},
		ExposedHeaders: []string{"ETag", "Link", "Location", "Retry-After", "Idempotent-Replayed", "WWW-Authenticate", CorrelationHeader},
		MaxAge:         600, // seconds
	})
}

// limitHeader answers with a problem where http.Server, whose limit is higher, would answer with plain text.
func limitHeader(most int) func(http.Handler) http.Handler {
	problem := NewProblem(http.StatusRequestHeaderFieldsTooLarge, CodeHeaderTooLarge, "the address and headers are larger than can be taken")
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + len(r.Host)
			for name, values := range r.Header {
				for _, value := range values {
					size += len(name) + len(value) + len(": \r\n")
				}
			}
			if size > most {
				problem.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// limitInFlight refuses requests that would only wait: trying again later serves a client better than a long queue.
func limitInFlight(most int) func(http.Handler) http.Handler {
	problem := NewProblem(http.StatusServiceUnavailable, CodeUnavailable, "too many requests are being answered; try again later").
		RetryAfter(time.Second)
	places := make(chan struct{}, most)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case places <- struct{}{}:
				defer func() { <-places }()
				next.ServeHTTP(w, r)
			default:
				problem.ServeHTTP(w, r)
			}
		})
	}
}

// failTruncated appends an invalid byte to a body whose connection broke, so that a truncated body is never parsed as
// complete JSON.
func failTruncated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &truncatedBody{ReadCloser: r.Body}
		}
		next.ServeHTTP(w, r)
	})
}

type truncatedBody struct {
	io.ReadCloser
	broken bool
}

func (b *truncatedBody) Read(p []byte) (int, error) {
	if b.broken {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := b.ReadCloser.Read(p)
	timeout, ok := errors.AsType[net.Error](err)
	if err == nil || err == io.EOF || ok && timeout.Timeout() {
		return n, err
	}
	b.broken = true
	n = min(n, len(p)-1)
	p[n] = 0xff
	return n + 1, nil
}
