package localaws

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Transport returns a RoundTripper that calls the server directly. It uses no network and starts goroutines only for
// streaming responses, so it works inside a testing/synctest bubble.
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

// serve handles http.ErrAbortHandler as net/http's server does.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if aborted = v == http.ErrAbortHandler; !aborted { //nolint:errorlint // as net/http does
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

// streams reports whether a request has a streaming response if it succeeds.
func (s *Server) streams(r *http.Request) bool {
	target, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	svc := s.regionOf(r).services[target]
	return svc != nil && operation != "" && operation == svc.Streaming
}

// stream serves a request in a goroutine, which ends soon after the body is closed or the request's context is done.
func (t transport) stream(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	out, in := io.Pipe()
	w := &streamWriter{header: http.Header{}, body: in, begun: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(ctx.Err()) }) // always nil
	go func() {
		defer cancel()
		defer func() { _ = r.Body.Close() }()
		if serve(t.server, w, r.WithContext(ctx)) {
			_ = in.CloseWithError(io.ErrUnexpectedEOF)
		}
		if stop() {
			_ = in.Close()
		}
		w.begin(http.StatusOK)
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		cancel()
		return nil, ctx.Err()
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.shown, Body: streamBody{out, cancel}, ContentLength: -1, Request: r,
	}, nil
}

// streamWriter is a ResponseWriter whose response begins with the first write.
type streamWriter struct {
	header http.Header
	body   *io.PipeWriter

	once   sync.Once
	begun  chan struct{}
	status int         // once begun
	shown  http.Header // once begun
}

func (w *streamWriter) Header() http.Header { return w.header }

func (w *streamWriter) WriteHeader(status int) { w.begin(status) }

func (w *streamWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements http.Flusher: a pipe buffers nothing.
func (w *streamWriter) Flush() {}

func (w *streamWriter) begin(status int) {
	w.once.Do(func() {
		w.status, w.shown = status, w.header.Clone()
		close(w.begun)
	})
}

type streamBody struct {
	*io.PipeReader

	cancel context.CancelFunc
}

func (b streamBody) Close() error {
	b.cancel()
	return b.PipeReader.Close()
}
