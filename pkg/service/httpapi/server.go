package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server serves one handler on one address.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// extraHeader is how many bytes beyond the limit are read so that a problem can be answered; http.Server refuses more.
const extraHeader = 64 << 10

// Listen takes the address at once, so that an address in use is reported before anything else starts; likewise a certificate that
// cannot be read. Run serves it.
func Listen(ctx context.Context, addr string, h http.Handler, c Config, log *slog.Logger) (*Server, error) {
	c.SetDefaults()
	server, err := newServer(h, c, log)
	if err != nil {
		return nil, err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		if op, ok := errors.AsType[*net.OpError](err); ok {
			err = op.Err // without the address
		}
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return &Server{listener: l, http: server}, nil
}

// AllowUnencryptedHTTP2 also serves clients that speak HTTP/2 without TLS. It must be called before Run.
func (s *Server) AllowUnencryptedHTTP2() {
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true)
	s.http.Protocols.SetHTTP2(true)
	s.http.Protocols.SetUnencryptedHTTP2(true)
}

func newServer(h http.Handler, c Config, log *slog.Logger) (server *http.Server, err error) {
	server = &http.Server{
		Handler:           inTime(h, c.WriteTimeout*5/6),
		ReadHeaderTimeout: c.HeaderTimeout, ReadTimeout: c.ReadTimeout,
		WriteTimeout: c.WriteTimeout, IdleTimeout: c.IdleTimeout, MaxHeaderBytes: c.MaxHeader + extraHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	unused := unusedConnections{open: map[net.Conn]struct{}{}}
	server.ConnState = unused.watch
	server.RegisterOnShutdown(unused.close)
	if c.TLSCertFile != "" {
		server.TLSConfig, err = newTLS(c.TLSCertFile, c.TLSKeyFile, log)
	}
	return server, err
}

// inTime ends the context of a request, so that what its handler waits for ends: http.Server's WriteTimeout ends no handler, and
// one that waits for ever keeps its place among those in flight. The remaining time of the WriteTimeout is for the answer. Where
// there are streams of events, the WriteTimeout has to be longer than they last.
func inTime(next http.Handler, longest time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), longest)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// unusedConnections are those without a request so far. Clients open them in advance, and http.Server.Shutdown would wait
// for them for five seconds.
type unusedConnections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (u *unusedConnections) watch(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state == http.StateNew {
		u.open[c] = struct{}{}
	} else {
		delete(u.open, c)
	}
}

func (u *unusedConnections) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.open {
		_ = c.Close() // it carried no request
	}
}

// Addr is the address taken, with the actual port if ":0" was requested.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close releases the address, whether or not Run was called, and cuts off requests in flight.
func (s *Server) Close() error {
	err := s.http.Close()
	if e := s.listener.Close(); !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// Run serves until ctx ends, then lets requests in flight finish. The caller bounds how long that may take.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan error, 1)
	cancel := context.AfterFunc(ctx, func() { stopped <- s.http.Shutdown(context.WithoutCancel(ctx)) })
	var err error
	if s.http.TLSConfig != nil {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if cancel() { // Serve ended by itself
		return err
	}
	return <-stopped
}
