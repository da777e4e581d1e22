package httpapi

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipes is a listener without sockets, so that time can be virtual.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accept <- server
	return client
}

// serve lets a server with the defaults answer on pipes until the test ends.
func serve(t *testing.T, h http.Handler) *pipes {
	t.Helper()
	l, stop := serveUntil(t, h)
	t.Cleanup(stop)
	return l
}

// serveUntil does so until stop is called, which returns when the server has stopped.
func serveUntil(t *testing.T, h http.Handler) (l *pipes, stop func()) {
	t.Helper()
	var c Config
	c.SetDefaults()
	server, err := newServer(h, c, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	l = &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	s := &Server{listener: l, http: server}
	ended := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Run(ctx) }()
	return l, func() {
		cancel()
		assert.NoError(t, <-ended)
	}
}

// TestAnUnusedConnectionDoesNotDelayTheStop: net/http waits 5 s for the first request of a connection.
func TestAnUnusedConnectionDoesNotDelayTheStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, stop := serveUntil(t, http.NotFoundHandler())
		unused := l.dial()
		synctest.Wait()
		began := time.Now()
		stop()
		assert.Less(t, time.Since(began), time.Second)
		_ = unused.Close()
	})
}

// TestAHandlerEndsWhenItsTimeIsOver: a handler that waits for a call that never returns answers, and gives its place back.
func TestAHandlerEndsWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		router := NewRouter(slog.New(slog.DiscardHandler), Config{MaxInFlight: 1}.Front()...)
		waiting := true
		Register(NewAPI(router), slog.New(slog.DiscardHandler), huma.Operation{OperationID: "wait", Method: http.MethodGet, Path: "/"},
			func(ctx context.Context, _ *struct{}) (*struct{}, error) {
				if waiting {
					<-ctx.Done()
				}
				return nil, ctx.Err()
			})
		l := serve(t, router)
		get := func() (status int, took time.Duration) {
			c := l.dial()
			defer func() { _ = c.Close() }()
			began := time.Now()
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			require.NoError(t, err)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			return res.StatusCode, time.Since(began)
		}
		status, took := get()
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, 25*time.Second, took)
		waiting = false
		status, took = get()
		assert.Equal(t, http.StatusNoContent, status, "its place is free")
		assert.Zero(t, took)
	})
}

func TestASlowClientIsDisconnected(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sends string
		want  time.Duration
	}{
		"that sends nothing":            {"", 5 * time.Second},
		"whose headers never end":       {"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n", 5 * time.Second},
		"that keeps an idle connection": {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2 * time.Minute},
		"whose body never ends":         {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{", 15 * time.Second},
		"whose body comes byte for byte": {
			"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n" + strings.Repeat("~", 40), 15 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				handler := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
				c := serve(t, handler).dial()
				defer func() { _ = c.Close() }()
				began := time.Now()
				var sender sync.WaitGroup
				defer sender.Wait()
				sender.Go(func() {
					for part := range strings.SplitAfterSeq(tt.sends, "~") {
						if _, err := io.WriteString(c, part); err != nil {
							return
						}
						if strings.HasSuffix(part, "~") {
							time.Sleep(time.Second) // virtual
						}
					}
				})
				_, _ = io.Copy(io.Discard, c) // until the server disconnects
				assert.InDelta(t, tt.want.Seconds(), time.Since(began).Seconds(), 1.5)
			})
		})
	}
}

// TestWorkMayTakeLongerThanTheReadTimeout: http.Server continues to read in the background and must not mistake
// the passed deadline for a client that disconnected, which would cancel the work.
func TestWorkMayTakeLongerThanTheReadTimeout(t *testing.T) {
	t.Parallel()
	for _, request := range []string{
		"GET /work HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
	} {
		synctest.Test(t, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			r := NewRouter(log)
			api := NewAPI(r)
			work := func(ctx context.Context) error {
				select {
				case <-time.After(25 * time.Second): // virtual
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			type nothing struct{}
			type anything struct{ Body struct{} }
			Register(api, log, huma.Operation{OperationID: "get", Method: http.MethodGet, Path: "/work"},
				func(ctx context.Context, _ *nothing) (*nothing, error) { return &nothing{}, work(ctx) })
			Register(api, log, huma.Operation{OperationID: "post", Method: http.MethodPost, Path: "/work"},
				func(ctx context.Context, _ *anything) (*nothing, error) { return &nothing{}, work(ctx) })
			c := serve(t, r).dial()
			defer func() { _ = c.Close() }()
			go func() { _, _ = io.WriteString(c, request) }()
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, http.StatusNoContent, res.StatusCode, request)
		})
	}
}

func TestATruncatedBodyIsMalformed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		r := NewRouter(log)
		type anything struct{ Body struct{} }
		var called atomic.Bool
		Register(NewAPI(r), log, huma.Operation{OperationID: "post", Method: http.MethodPost, Path: "/"},
			func(context.Context, *anything) (*struct{}, error) { called.Store(true); return &struct{}{}, nil })
		c := serve(t, r).dial()
		defer func() { _ = c.Close() }()
		go func() {
			_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"+
				"2\r\n{}\r\nno chunk\r\n")
		}()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, http.StatusBadRequest, res.StatusCode)
		assert.False(t, called.Load(), "half a request must not be carried out")
	})
}
