package localaws

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// Transport returns a RoundTripper that calls the server directly. It touches no network and starts no goroutine but for
// answers that are streams, so it works inside a testing/synctest bubble.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	req := r.Clone(r.Context())
	if req.Body == nil {
		req.Body = http.NoBody
	}
	if t.server.streams(req) {
		return t.stream(req)
	}
	defer func() { _ = req.Body.Close() }()
	rec := &recorder{header: http.Header{}, status: http.StatusOK}
	aborted := serve(t.server, rec, req)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if aborted {
		return nil, fmt.Errorf("read the answer: %w", io.ErrUnexpectedEOF)
	}
	return &http.Response{
		StatusCode: rec.status, Status: http.StatusText(rec.status),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header, Body: io.NopCloser(&rec.body), ContentLength: int64(rec.body.Len()), Request: r,
	}, nil
}

// serve treats http.ErrAbortHandler as a server of net/http does.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if aborted = v == http.ErrAbortHandler; !aborted { //nolint:errorlint // net/http compares it so, too
				panic(v)
			}
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
