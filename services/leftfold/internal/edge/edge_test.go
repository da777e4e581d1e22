package edge_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/services/leftfold/internal/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newEdge returns the URL of an edge in front of one service.
func newEdge(t *testing.T, service http.HandlerFunc) string {
	t.Helper()
	behind := httptest.NewServer(service)
	t.Cleanup(behind.Close)
	route := func(string, string) string { return "service" }
	front := httptest.NewServer(edge.New(route, map[string]string{"service": behind.Listener.Addr().String()}, slog.New(slog.DiscardHandler)))
	t.Cleanup(front.Close)
	return front.URL
}

func send(t *testing.T, method, url string, header http.Header) (status int, answer http.Header, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	req.Header, req.Close = header, true
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, res.Header, string(text)
}

// A write whose answer is lost may have taken effect. Go's own client would repeat one that has an Idempotency-Key and no body.
func TestAWriteWhoseAnswerIsLostIsNotRepeated(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int32
	at := newEdge(t, func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/lose") {
			arrived.Add(1)
			panic(http.ErrAbortHandler)
		}
	})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "ODD"} {
		arrived.Store(0)
		key := http.Header{"Idempotency-Key": {"key"}}
		status, _, _ := send(t, method, at+"/users/x", key) // leaves a connection behind, which a client may take for a stale one
		require.Equal(t, http.StatusOK, status)
		status, header, body := send(t, method, at+"/users/x/lose", key)
		assert.Equal(t, http.StatusServiceUnavailable, status, method)
		assert.Equal(t, "1", header.Get("Retry-After"))
		assert.Equal(t, "application/problem+json", header.Get("Content-Type"))
		assert.Contains(t, body, `"code":"unavailable"`)
		assert.EqualValues(t, 1, arrived.Load(), method)
	}
}

func TestAServiceSeesWhatTheClientSentAndWhoItIs(t *testing.T) {
	t.Parallel()
	var got *http.Request
	at := newEdge(t, func(_ http.ResponseWriter, r *http.Request) { got = r })
	header := http.Header{"If-None-Match": {`"1"`}, "X-Forwarded-For": {"192.0.2.1"}}
	status, _, _ := send(t, http.MethodGet, at+"/users/a%2Fb?contains=email:x", header)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, "/users/a%2Fb?contains=email:x", got.RequestURI)
	assert.Equal(t, `"1"`, got.Header.Get("If-None-Match"))
	assert.Equal(t, strings.TrimPrefix(at, "http://"), got.Host)
	assert.Equal(t, []string{"127.0.0.1"}, got.Header.Values("X-Forwarded-For"), "what a client makes up is not passed on")
}

func TestEachRequestGoesToItsService(t *testing.T) {
	t.Parallel()
	addresses := map[string]string{}
	for _, name := range []string{"reads", "writes"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		t.Cleanup(server.Close)
		addresses[name] = server.Listener.Addr().String()
	}
	route := func(method, path string) string {
		if method == http.MethodGet && path == "/users" {
			return "reads"
		}
		return "writes"
	}
	front := httptest.NewServer(edge.New(route, addresses, slog.New(slog.DiscardHandler)))
	t.Cleanup(front.Close)
	for line, want := range map[string]string{"GET /users": "reads", "POST /users": "writes", "GET /docs": "writes"} {
		method, path, _ := strings.Cut(line, " ")
		_, _, body := send(t, method, front.URL+path, nil)
		assert.Equal(t, want, body, line)
	}
}
