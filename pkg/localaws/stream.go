package localaws

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
)

// streams says whether a request, if it is answered well, is answered by a stream.
func (s *Server) streams(r *http.Request) bool {
	target, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	svc := s.services[target]
	return svc != nil && operation != "" && operation == svc.Streaming
}

// stream serves a request from a goroutine of its own, which ends soon after the body is closed or the request's context
// has ended.
func (t transport) stream(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	out, in := io.Pipe()
	w := &streamWriter{header: http.Header{}, body: in, begun: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = in.CloseWithError(ctx.Err()) }) // a pipe's end never fails
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

// streamWriter is a ResponseWriter whose answer begins with its first byte.
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

// Flush implements http.Flusher: a pipe holds nothing back.
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
