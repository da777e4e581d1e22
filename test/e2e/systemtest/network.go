package systemtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Network is a way to an address whose connections can be silenced.
type Network struct {
	to       string
	listener net.Listener
	tasks    sync.WaitGroup

	mu   sync.Mutex
	open map[*link]bool
}

// link is one connection.
type link struct {
	ends   [2]net.Conn
	silent chan struct{} // closed: it carries nothing any more, and stays open
	closed chan struct{}
	close  func()
}

// newNetwork returns a network to an address, and its own address.
func newNetwork(t testing.TB, to string) (*Network, string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := &Network{to: to, listener: l, open: map[*link]bool{}}
	n.tasks.Go(n.accept)
	t.Cleanup(func() {
		_ = l.Close() // ends accept
		n.mu.Lock()
		for each := range n.open {
			each.close()
		}
		n.mu.Unlock()
		n.tasks.Wait()
	})
	return n, l.Addr().String()
}

// Silence lets the connections that are open carry nothing any more. None of them is closed, so neither side notices. Later
// connections work. It returns how many there were.
func (n *Network) Silence() (connections int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for each := range n.open {
		select {
		case <-each.silent:
		default:
			close(each.silent)
			connections++
		}
	}
	return connections
}

func (n *Network) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", n.to)
		if err != nil {
			_ = client.Close() // as if it had not been accepted
			continue
		}
		n.carry(client, server)
	}
}

func (n *Network) carry(client, server net.Conn) {
	l := &link{ends: [2]net.Conn{client, server}, silent: make(chan struct{}), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() {
		close(l.closed)
		_ = client.Close() // the other side may have done it
		_ = server.Close()
	})
	n.mu.Lock()
	n.open[l] = true
	n.mu.Unlock()
	var copying sync.WaitGroup
	for i := range l.ends {
		copying.Go(func() {
			defer l.close()
			_, _ = io.Copy(l.ends[1-i], hushed{l.ends[i], l}) // ends when one side does
		})
	}
	n.tasks.Go(func() {
		copying.Wait()
		n.mu.Lock()
		delete(n.open, l)
		n.mu.Unlock()
	})
}

// hushed reads from a link's end until the link is silent; what it has read by then is lost.
type hushed struct {
	io.Reader

	link *link
}

func (h hushed) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	select {
	case <-h.link.silent:
		<-h.link.closed
		return 0, io.EOF
	default:
		return n, err
	}
}
