package awscall_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/awscall"
)

// network is a server whose connections can be silenced: those that are open then carry nothing any more, later ones work.
type network struct {
	*httptest.Server

	mu      sync.Mutex
	open    map[string]bool
	silent  map[string]bool
	proto   int
	begin   bool          // a silenced connection carries the beginning of the next answer
	reached chan struct{} // by a request on a silenced connection

	together sync.WaitGroup
}

const (
	// together is the path of requests that are answered when all have come, so that they do not share a connection of HTTP/1.
	together = "/together"
	// silentFromHere is a header of an answer that ends halfway.
	silentFromHere = "Silent-From-Here"
)

// newNetwork returns a network, over TLS and HTTP/2 if asked, and a client for it.
func newNetwork(t *testing.T, http2 bool) (*network, aws.HTTPClient) {
	t.Helper()
	n := &network{open: map[string]bool{}, silent: map[string]bool{}, reached: make(chan struct{}, 1)}
	n.Server = httptest.NewUnstartedServer(n)
	base := awshttp.NewBuildableClient()
	if n.EnableHTTP2 = http2; http2 {
		n.StartTLS()
		base = base.WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = n.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:forcetypeassert,errcheck // as documented
		})
	} else {
		n.Start()
	}
	c := awscall.NewClient(base)
	t.Cleanup(func() {
		c.(interface{ CloseIdleConnections() }).CloseIdleConnections() //nolint:forcetypeassert,errcheck // the type is ours
		n.Close()
	})
	return n, c
}

func (n *network) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	silent, begin := n.silent[r.RemoteAddr], n.begin
	n.open[r.RemoteAddr] = true
	n.proto = r.ProtoMajor
	n.mu.Unlock()
	switch {
	case r.URL.Path == together:
		n.together.Done()
		n.together.Wait()
		fallthrough
	case !silent:
		_, _ = io.WriteString(w, "answer")
		return
	case begin:
		w.Header().Set(silentFromHere, "yes")
		_, _ = io.WriteString(w, "ans")
		_ = http.NewResponseController(w).Flush()
	default:
		n.reached <- struct{}{}
	}
	<-r.Context().Done()
}

func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for addr := range n.open {
		n.silent[addr] = true
	}
}

func (n *network) get(ctx context.Context, c aws.HTTPClient, path string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.URL+path, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	if res.Header.Get(silentFromHere) != "" {
		n.reached <- struct{}{}
	}
	text, err := io.ReadAll(res.Body)
	return string(text), err
}

// getInTime is get with a deadline that comes as soon as a silenced connection is used.
func (n *network) getInTime(ctx context.Context, c aws.HTTPClient) (string, error) {
	ctx, expire := context.WithCancelCause(ctx)
	defer expire(nil)
	go func() {
		select {
		case <-n.reached:
			expire(&awscall.TimeoutError{Operation: "DynamoDB.GetItem", Limit: time.Second})
		case <-ctx.Done():
		}
	}()
	return n.get(ctx, c, "/")
}

func TestSilencedConnectionsAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ http2, begin bool }{
		"before an answer": {}, "in an answer": {begin: true}, "HTTP/2": {http2: true}, "HTTP/2, in an answer": {http2: true, begin: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, c := newNetwork(t, tt.http2)
			n.begin = tt.begin
			var idle sync.WaitGroup
			n.together.Add(8)
			for range 8 { // several connections, all idle then
				idle.Go(func() {
					_, err := n.get(t.Context(), c, together)
					assert.NoError(t, err)
				})
			}
			idle.Wait()
			n.silence()
			assert.Equal(t, tt.http2, n.proto == 2)
			_, err := n.getInTime(t.Context(), c)
			require.Error(t, err)
			for range 8 {
				text, err := n.getInTime(t.Context(), c)
				require.NoError(t, err)
				require.Equal(t, "answer", text)
			}
		})
	}
}

func TestABurstOfCallsUsesTheConnectionsOfTheLast(t *testing.T) {
	t.Parallel()
	const calls = 64
	n, c := newNetwork(t, false)
	for range 3 {
		var burst sync.WaitGroup
		n.together.Add(calls)
		for range calls {
			burst.Go(func() {
				_, err := n.get(t.Context(), c, together)
				assert.NoError(t, err)
			})
		}
		burst.Wait()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	assert.Len(t, n.open, calls)
}

func TestACallersCancellationKeepsConnections(t *testing.T) {
	t.Parallel()
	n, c := newNetwork(t, false)
	for range 2 {
		_, err := n.get(t.Context(), c, "/")
		require.NoError(t, err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.get(cancelled, c, "/")
	require.ErrorIs(t, err, context.Canceled)
	_, err = n.get(t.Context(), c, "/")
	require.NoError(t, err)
	n.mu.Lock()
	defer n.mu.Unlock()
	assert.Len(t, n.open, 1)
}

func TestClientsOfOtherTypesAreLeftAlone(t *testing.T) {
	t.Parallel()
	own := &http.Client{}
	assert.Same(t, own, awscall.NewClient(own))
}

// sdkBody is a body of a type that http.Transport does not know, as is the SDK's.
type sdkBody struct {
	io.Reader

	connected, late, closed bool // late: read once there was a connection
}

func (b *sdkBody) Read(p []byte) (int, error) {
	b.late = b.late || b.connected
	return b.Reader.Read(p)
}

func (b *sdkBody) Close() error {
	b.closed = true
	return nil
}

// A body that is at hand is sent together with the headers.
func TestABodyIsAtHandBeforeTheHeadersAreSent(t *testing.T) {
	t.Parallel()
	const said = "what the call says"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	defer server.Close()
	c := awscall.NewClient(nil)
	defer c.(interface{ CloseIdleConnections() }).CloseIdleConnections() //nolint:forcetypeassert,errcheck // the type is ours
	body := &sdkBody{Reader: strings.NewReader(said)}
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { body.connected = true }})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, body)
	require.NoError(t, err)
	r.ContentLength = int64(len(said))
	answer, err := c.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, errors.Join(err, answer.Body.Close()))
	assert.Equal(t, said, string(text))
	assert.True(t, body.connected)
	assert.False(t, body.late)
	assert.True(t, body.closed)
}

func TestABodyThatEndsEarlyIsNotSent(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://aws.invalid", &sdkBody{Reader: strings.NewReader("shor")})
	require.NoError(t, err)
	r.ContentLength = int64(len("short"))
	_, err = awscall.NewClient(nil).Do(r) //nolint:bodyclose // there is no answer
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}
