// Package httpapi serves REST APIs: strict JSON in, problem+json for every error, a correlation ID on every request, and
// limits on everything that clients send.
package httpapi

import (
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// CorrelationHeader carries the correlation ID in both directions.
const CorrelationHeader = "X-Correlation-Id"

// NewRouter returns a router with the middlewares of every request, and front after them.
func NewRouter(log *slog.Logger, front ...func(http.Handler) http.Handler) chi.Router {
	r := chi.NewRouter()
	r.Use(correlate, secure, logRequests(log), linger, recoverPanics(log), normalisePath)
	r.Use(front...)
	r.Use(middleware.GetHead)
	r.NotFound(NewProblem(http.StatusNotFound, CodeNotFound, "there is nothing at this address").ServeHTTP)
	r.MethodNotAllowed(methodNotAllowed(r))
	return r
}

// methodNotAllowed names the methods that the address supports: https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6
// To OPTIONS that is the answer.
func methodNotAllowed(routes chi.Routes) http.HandlerFunc {
	problem := NewProblem(http.StatusMethodNotAllowed, CodeMethodNotAllowed, "this address does not know that method")
	return func(w http.ResponseWriter, r *http.Request) {
		var known []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			if routes.Match(chi.NewRouteContext(), method, r.URL.EscapedPath()) {
				known = append(known, method)
			}
		}
		if slices.Contains(known, http.MethodGet) {
			known = append(known, http.MethodHead)
		}
		w.Header().Set("Allow", strings.Join(append(known, http.MethodOptions), ", "))
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		problem.ServeHTTP(w, r)
	}
}

// normalisePath makes one of the addresses that mean the same: with a slash at the end or not, with letters percent-encoded or not.
func normalisePath(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := *r.URL
		if len(address.Path) > 1 && strings.HasSuffix(address.Path, "/") {
			address.Path, address.RawPath = strings.TrimSuffix(address.Path, "/"), strings.TrimSuffix(address.RawPath, "/")
		}
		if !strings.Contains(strings.ToLower(address.RawPath), "%2f") { // which is no separator
			address.RawPath = ""
		}
		if address != *r.URL {
			r = r.WithContext(r.Context())
			r.URL = &address
		}
		next.ServeHTTP(w, r)
	})
}

// correlate takes the client's correlation ID, or makes one, and returns it with the answer.
func correlate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get(CorrelationHeader)
		if !VisibleASCII(id, maxCorrelation) {
			id = uuid.Must(uuid.NewV7()).String()
		}
		w.Header().Set(CorrelationHeader, id)
		ctx := telemetry.WithCorrelation(r.Context(), telemetry.Correlation{CorrelationID: id})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// maxCorrelation bounds a client's correlation ID, in bytes.
const maxCorrelation = 128

// VisibleASCII reports whether text is 1 to most visible ASCII characters, which may go into headers, logs and events.
func VisibleASCII(text string, most int) bool {
	invisible := strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
	return text != "" && len(text) <= most && !invisible
}

// logRequests logs each request by its route's pattern: paths hold IDs, and bodies personal data.
func logRequests(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			started := time.Now() //nolint:forbidigo // a duration for the log; nothing depends on it
			next.ServeHTTP(ww, r)
			log.LogAttrs(r.Context(), slog.LevelDebug, "request",
				slog.String("method", telemetry.Method(r)), slog.String("route", chi.RouteContext(r.Context()).RoutePattern()),
				slog.Int("status", ww.Status()), slog.Duration("took", time.Since(started))) //nolint:forbidigo // as above
		})
	}
}

func recoverPanics(log *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler { //nolint:errorlint // the documented way to compare it
					panic(v)
				}
				log.ErrorContext(ctx, "request panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
				internal().ServeHTTP(w, r)
			}()
			next.ServeHTTP(w, r)
		})
	}
}
