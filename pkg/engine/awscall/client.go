package awscall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Limits of what is below a call.
const (
	// dialTimeout is for a connection, and as long again for its TLS handshake.
	dialTimeout = 3 * time.Second
	// An HTTP/2 connection that carries nothing for pingAfter is pinged, and closed if no answer comes within pingTimeout: it may
	// carry subscriptions, which last for minutes.
	pingAfter, pingTimeout = 5 * time.Second, 3 * time.Second
	// maxIdle is how many connections to a host are kept for the next calls. A service makes its calls in bursts, such as one for each
	// message of a receive; the SDK keeps 10, and the others of each burst would cost it a dial and a TLS handshake.
	maxIdle = 256
	// bufferSize is that of a connection, for each direction, in place of 4 KiB: most calls and answers fit.
	bufferSize = 16 << 10
	// maxInMemory is the most bytes of a call that are copied, to be sent together with its headers.
	maxInMemory = 1 << 20
)

// client is an HTTP client with a pool of connections for each host. If an attempt gets no answer, the host's pool is replaced:
// what silenced one connection may have silenced all, and each would cost a deadline of its own.
type client struct {
	base *awshttp.BuildableClient

	mu    sync.Mutex
	pools map[string]*http.Client
}

// NewClient returns a client that does not use a host's connections again after a call of it has timed out. It has the transport's
// settings of the SDK's own client c, or its defaults if c is nil, and keeps more connections. A client of any other type is
// returned as it is.
func NewClient(c aws.HTTPClient) aws.HTTPClient {
	if c == nil {
		c = awshttp.NewBuildableClient()
	}
	base, ok := c.(*awshttp.BuildableClient)
	if !ok {
		return c
	}
	return &client{pools: map[string]*http.Client{}, base: base.WithDialerOptions(func(d *net.Dialer) {
		d.Timeout = dialTimeout
	}).WithTransportOptions(func(t *http.Transport) {
		t.TLSHandshakeTimeout = dialTimeout
		t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, maxIdle
		t.ReadBufferSize, t.WriteBufferSize = bufferSize, bufferSize
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout}
	})}
}

// Do implements aws.HTTPClient.
func (c *client) Do(r *http.Request) (*http.Response, error) {
	r, err := inMemory(r)
	if err != nil {
		return nil, err
	}
	pool := c.pool(r.URL.Host)
	failed := func() {
		if _, late := errors.AsType[*TimeoutError](context.Cause(r.Context())); late {
			c.replace(r.URL.Host, pool)
		}
	}
	res, err := pool.Do(r) //nolint:gosec // the SDK has made the request
	if err != nil {
		failed()
		return nil, err
	}
	res.Body = body{res.Body, failed}
	return res, nil
}

// inMemory returns a request with the body of r, so that headers and body are sent by one system call and in one packet.
// http.Transport sends the headers first, alone, unless it knows that the body is at hand; that of the SDK is of a type of its own.
// https://github.com/golang/go/issues/22088
func inMemory(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength > maxInMemory {
		return r, nil
	}
	content := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, content)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	r = r.WithContext(r.Context()) // a copy
	r.Body = io.NopCloser(bytes.NewReader(content))
	return r, nil
}

func (c *client) pool(host string) *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	pool, ok := c.pools[host]
	if !ok {
		pool = &http.Client{
			Transport:     c.base.GetTransport(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // AWS's APIs do not redirect
		}
		c.pools[host] = pool
	}
	return pool
}

// replace lets later calls dial anew, unless the pool was replaced before. Calls in flight keep their connections.
func (c *client) replace(host string, pool *http.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pools[host] == pool {
		delete(c.pools, host)
		pool.CloseIdleConnections()
	}
}

// body notices that an answer ends halfway.
type body struct {
	io.ReadCloser

	failed func()
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed()
	}
	return n, err
}

// CloseIdleConnections closes those that carry no call.
func (c *client) CloseIdleConnections() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, pool := range c.pools {
		pool.CloseIdleConnections()
	}
}
