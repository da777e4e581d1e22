package httpapi

import (
	"net/http"

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
		AllowedHeaders: []string{
			"Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", CorrelationHeader, "Traceparent", "Tracestate",
		},
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
