package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// MaxBody bounds a request's body, in bytes. The largest sensible command is below 1 KB.
const MaxBody = 64 << 10

// bodyTimeout bounds how long a body may take to arrive, and how long what a handler left of it is read on.
const bodyTimeout = 5 * time.Second

// awaitBody reads the body of an operation that takes one, after the client is known and before the operation begins. While it
// arrives, the request is not in flight: clients that send slowly, or not at all, take no place from others.
func awaitBody(c huma.Context, next func(huma.Context)) {
	if c.Operation().RequestBody == nil {
		next(c)
		return
	}
	r, _ := humachi.Unwrap(c)
	var problem *Problem
	if r.ContentLength != 0 { // what is not there need not be declared, and is refused by the operation's schema
		problem = undeclared(r.Header)
	}
	if problem == nil {
		place := placeOf(r.Context())
		place.leave()
		problem = readBody(c, r)
		if problem == nil && !place.enter() {
			problem = busy()
		}
	}
	if problem != nil {
		problem.Answer(c)
		return
	}
	next(c)
}

// undeclared refuses what is not declared as plain JSON. That includes what is not declared at all, which a page of another
// origin may send without asking first: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
func undeclared(h http.Header) *Problem {
	media, _, err := mime.ParseMediaType(strings.Join(h.Values("Content-Type"), ", "))
	if err != nil || media != jsonType {
		return NewProblem(http.StatusUnsupportedMediaType, CodeUnsupportedMediaType, "send application/json")
	}
	for _, coding := range h.Values("Content-Encoding") {
		if coding != "" && !strings.EqualFold(coding, identity) {
			return NewProblem(http.StatusUnsupportedMediaType, CodeUnsupportedMediaType, "send it without a content encoding").
				With("Accept-Encoding", identity) // https://www.rfc-editor.org/rfc/rfc9110#section-12.5.3
		}
	}
	return nil
}

const identity = "identity"

// readBody replaces the body by one that is in memory. A body that was broken off is never taken for a shorter one.
func readBody(c huma.Context, r *http.Request) *Problem {
	_ = c.SetReadDeadline(time.Now().Add(bodyTimeout)) //nolint:forbidigo // of the connection; without one, the server's own holds
	data, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ok && timeout.Timeout():
		return NewProblem(http.StatusRequestTimeout, CodeTimeout, "the body took too long to arrive")
	case err != nil:
		return withFields(NewProblem(http.StatusBadRequest, CodeMalformed, "the request cannot be read"),
			[]*huma.ErrorDetail{{Location: "body", Message: "is broken off"}})
	case len(data) > MaxBody:
		return NewProblem(http.StatusRequestEntityTooLarge, CodeTooLarge, "the body is larger than can be taken")
	}
	r.Body = readAlready{bytes.NewReader(data), r.Body}
	return nil
}

// readAlready is a body in memory in place of the connection's.
type readAlready struct {
	io.Reader
	io.Closer
}

// maxLinger bounds what is read of a body that nobody wants.
const maxLinger = 16 << 20

// linger reads on what a handler left of the body before its answer is sent. A client that sends all of its request before it
// reads would else meet a closed connection in place of the answer; http.Server does this up to 256 KB.
func linger(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body
		next.ServeHTTP(w, r)
		if body == nil || body == http.NoBody || r.Header.Get("Expect") != "" { // it waits for a 100 Continue, and reading sends that
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) //nolint:forbidigo // of the connection
		_, _ = io.CopyN(io.Discard, body, maxLinger)                                   // whatever comes, the answer is made
	})
}

// place is a request's share of the requests that may be in flight at the same time. A nil place is free for all.
type place struct {
	taken chan struct{}
	held  bool
}

type placeKey struct{}

func placeOf(ctx context.Context) *place {
	p, _ := ctx.Value(placeKey{}).(*place)
	return p
}

// enter takes the place, or reports that all are taken.
func (p *place) enter() bool {
	if p == nil {
		return true
	}
	select {
	case p.taken <- struct{}{}:
		p.held = true
	default:
	}
	return p.held
}

func (p *place) leave() {
	if p != nil && p.held {
		p.held = false
		<-p.taken
	}
}

func busy() *Problem {
	return NewProblem(http.StatusServiceUnavailable, CodeUnavailable, "too many requests are being answered; try again later").
		RetryAfter(time.Second)
}

// limitInFlight refuses requests that would only wait: trying again later serves a client better than a long queue.
func limitInFlight(most int) func(http.Handler) http.Handler {
	taken := make(chan struct{}, most)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p := &place{taken: taken}
			if !p.enter() {
				busy().ServeHTTP(w, r)
				return
			}
			defer p.leave()
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), placeKey{}, p)))
		})
	}
}
