package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. A request's body is bounded by MaxBody.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 16 << 10
)

// Server serves one handler on one address.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// Listen takes the address at once, so that one in use is known before anything else starts. Run serves it.
func Listen(ctx context.Context, addr string, h http.Handler, log *slog.Logger) (*Server, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, cause(err))
	}
	return &Server{listener: l, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}, nil
}

// cause drops the address that net.OpError repeats.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// Addr is the address taken, with the port that ":0" became.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close gives the address back, whether or not Run was called, and cuts off requests in hand.
func (s *Server) Close() error {
	return errors.Join(s.http.Close(), ignoreClosed(s.listener.Close()))
}

// Run serves until ctx ends, then lets requests in hand finish. Whoever runs it bounds how long that may take.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan error, 1)
	cancel := context.AfterFunc(ctx, func() { stopped <- s.http.Shutdown(context.WithoutCancel(ctx)) })
	err := s.http.Serve(s.listener)
	if cancel() { // Serve ended by itself
		return err
	}
	return <-stopped
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
