package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// newEcho serves POST /echo and GET /, and counts the posts.
func newEcho(posts *int, front ...func(http.Handler) http.Handler) http.Handler {
	log := slog.New(slog.DiscardHandler)
	r := NewRouter(log, front...)
	api := NewAPI(r)
	type text struct {
		Body struct {
			Text string `json:"text"`
		}
	}
	Register(api, log, huma.Operation{OperationID: "echo", Method: http.MethodPost, Path: "/echo"},
		func(_ context.Context, in *text) (*text, error) { *posts++; return in, nil })
	Register(api, log, huma.Operation{OperationID: "get", Method: http.MethodGet, Path: "/"},
		func(context.Context, *struct{}) (*struct{}, error) { return &struct{}{}, nil })
	return r
}

const jsonHeaders = "Host: x\r\nContent-Type: application/json\r\n"

// answerTo writes all of a request before it reads the answer.
func answerTo(t *testing.T, c net.Conn, request string) (status int, header http.Header) {
	t.Helper()
	_, err := io.WriteString(c, request)
	require.NoError(t, err, "the server closed the connection on a client that was still sending")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, res.Header
}

func codeOf(t *testing.T, c net.Conn, request string) int {
	t.Helper()
	status, _ := answerTo(t, c, request)
	return status
}

const getRequest = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

func TestAClientThatSendsAllBeforeItReadsIsAnswered(t *testing.T) {
	t.Parallel()
	huge := fmt.Sprintf("Content-Length: %d\r\n\r\n%s", 9<<20, strings.Repeat("x", 9<<20))
	for name, tt := range map[string]struct {
		request string
		want    int
	}{
		"a body that is too large":      {"POST /echo HTTP/1.1\r\n" + jsonHeaders + huge, http.StatusRequestEntityTooLarge},
		"one of another kind":           {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\n" + huge, http.StatusUnsupportedMediaType},
		"one to nowhere":                {"POST /none HTTP/1.1\r\n" + jsonHeaders + huge, http.StatusNotFound},
		"one of an operation with none": {"GET / HTTP/1.1\r\n" + jsonHeaders + huge, http.StatusNoContent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts int
				c := serve(t, newEcho(&posts)).dial()
				defer func() { _ = c.Close() }()
				assert.Equal(t, tt.want, codeOf(t, c, tt.request))
				assert.Equal(t, http.StatusNoContent, codeOf(t, c, getRequest), "on the same connection")
				assert.Zero(t, posts)
			})
		})
	}
}

func TestABodyThatNeverEndsIsNotReadForLong(t *testing.T) {
	t.Parallel()
	for name, pause := range map[string]time.Duration{"fast": 0, "slow": 100 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts int
				c := serve(t, newEcho(&posts)).dial()
				defer func() { _ = c.Close() }()
				answer := make(chan int, 1)
				go func() {
					if res, err := http.ReadResponse(bufio.NewReader(c), nil); assert.NoError(t, err) {
						answer <- res.StatusCode
						_ = res.Body.Close()
					}
					close(answer)
				}()
				began, sent := time.Now(), 0
				_, err := io.WriteString(c, "POST /echo HTTP/1.1\r\n"+jsonHeaders+"Transfer-Encoding: chunked\r\n\r\n")
				for chunk := "10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n"; err == nil; time.Sleep(pause) { // virtual
					_, err = io.WriteString(c, chunk)
					sent += len(chunk)
				}
				assert.Equal(t, http.StatusRequestEntityTooLarge, <-answer)
				assert.LessOrEqual(t, sent, maxLinger+1<<20)
				assert.Less(t, time.Since(began), 2*bodyTimeout+time.Second)
			})
		})
	}
}

// TestHalfSentBodiesTakeNoPlace: a thousand clients that stop in the middle of their bodies keep nobody out, though only two
// requests may be in flight.
func TestHalfSentBodiesTakeNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts int
		l := serve(t, newEcho(&posts, Config{MaxInFlight: 2}.Front()...))
		const length = 900
		var slow []net.Conn
		for range 1000 {
			c := l.dial()
			_, err := io.WriteString(c, "POST /echo HTTP/1.1\r\n"+jsonHeaders+fmt.Sprintf("Content-Length: %d\r\n\r\n{", length))
			require.NoError(t, err)
			synctest.Wait() // its head is read with a place held: three at once would find no place
			slow = append(slow, c)
		}
		other := l.dial()
		assert.Equal(t, http.StatusNoContent, codeOf(t, other, getRequest))
		assert.Equal(t, http.StatusOK, codeOf(t, other,
			"POST /echo HTTP/1.1\r\n"+jsonHeaders+"Content-Length: 12\r\n\r\n{\"text\":\"x\"}"))
		assert.Equal(t, 1, posts)
		for _, c := range slow {
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			assert.Equal(t, http.StatusRequestTimeout, res.StatusCode)
			require.NoError(t, c.Close())
		}
		assert.Equal(t, http.StatusNoContent, codeOf(t, other, getRequest))
		require.NoError(t, other.Close())
	})
}

// A body may arrive when all places are taken again.
func TestABodyThatArrivesInAFullHouseIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		taken := make(chan struct{})
		log := slog.New(slog.DiscardHandler)
		r := NewRouter(log, Config{MaxInFlight: 1}.Front()...)
		type anything struct{ Body struct{} }
		Register(NewAPI(r), log, huma.Operation{OperationID: "x", Method: http.MethodPost, Path: "/"},
			func(context.Context, *anything) (*struct{}, error) { <-taken; return &struct{}{}, nil })
		l := serve(t, r)
		const request = "POST / HTTP/1.1\r\n" + jsonHeaders + "Content-Length: 2\r\n\r\n{"
		late, first := l.dial(), l.dial()
		_, err := io.WriteString(late, request)
		require.NoError(t, err)
		synctest.Wait()
		_, err = io.WriteString(first, request+"}")
		require.NoError(t, err)
		synctest.Wait()
		status, header := answerTo(t, late, "}")
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, "1", header.Get("Retry-After"))
		close(taken)
		res, err := http.ReadResponse(bufio.NewReader(first), nil)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		assert.Equal(t, http.StatusNoContent, res.StatusCode)
		_, _ = late.Close(), first.Close()
	})
}

func TestABodyIsTakenWithoutContentEncodingOnly(t *testing.T) {
	t.Parallel()
	for coding, want := range map[string]int{
		"": 200, "identity": 200, "Identity": 200, "gzip": 415, "br": 415, "aws-chunked": 415, "identity, gzip": 415, "x": 415,
	} {
		var posts int
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/echo", strings.NewReader(`{"text":"x"}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Content-Encoding", coding)
		out := httptest.NewRecorder()
		newEcho(&posts).ServeHTTP(out, r)
		assert.Equal(t, want, out.Code, coding)
		if want == http.StatusUnsupportedMediaType {
			assert.Equal(t, "identity", out.Header().Get("Accept-Encoding"))
			assert.Contains(t, out.Body.String(), `"code":"unsupported_media_type"`)
			assert.Zero(t, posts)
		}
	}
}

// TestARequestHasOneMeaning: where servers read a request differently, one of them can be made to take the end of a body for a
// request of another client, https://www.rfc-editor.org/rfc/rfc9112#section-11.2
func TestARequestHasOneMeaning(t *testing.T) {
	t.Parallel()
	const post, body = "POST /echo HTTP/1.1\r\n" + jsonHeaders, `{"text":"x"}`
	for name, tt := range map[string]struct {
		request string
		want    int
	}{
		"as it should be":          {post + "Content-Length: 12\r\n\r\n" + body, 200},
		"a slash at the end":       {"POST /echo/ HTTP/1.1\r\n" + jsonHeaders + "Content-Length: 12\r\n\r\n" + body, 200},
		"a letter percent-encoded": {"POST /%65cho HTTP/1.1\r\n" + jsonHeaders + "Content-Length: 12\r\n\r\n" + body, 200},
		"an absolute address":      {"POST http://y/echo HTTP/1.1\r\n" + jsonHeaders + "Content-Length: 12\r\n\r\n" + body, 200},
		"chunks":                   {post + "Transfer-Encoding: chunked\r\n\r\nc\r\n" + body + "\r\n0\r\n\r\n", 200},
		"two lengths":              {post + "Content-Length: 12\r\nContent-Length: 13\r\n\r\n" + body, 400},
		"a length below 0":         {post + "Content-Length: -1\r\n\r\n" + body, 400},
		"a length with a sign":     {post + "Content-Length: +12\r\n\r\n" + body, 400},
		"an unknown coding":        {post + "Transfer-Encoding: xchunked\r\n\r\n" + body, 501},
		"a chunk without a length": {post + "Transfer-Encoding: chunked\r\n\r\nz\r\n" + body + "\r\n0\r\n\r\n", 400},
		"a space before the colon": {post + "Content-Length : 12\r\n\r\n" + body, 400},
		"a folded header":          {post + "A: b\r\n c: d\r\nContent-Length: 12\r\n\r\n" + body, 200},
		"no host":                  {"POST /echo HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n" + body, 400},
		"two hosts":                {"POST /echo HTTP/1.1\r\nHost: y\r\n" + jsonHeaders + "Content-Length: 12\r\n\r\n" + body, 400},
		"a control in a header":    {post + "A: \x01\r\nContent-Length: 12\r\n\r\n" + body, 400},
		"a broken percent":         {"POST /echo%zz HTTP/1.1\r\n" + jsonHeaders + "Content-Length: 12\r\n\r\n" + body, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var posts int
				c := serve(t, newEcho(&posts)).dial()
				defer func() { _ = c.Close() }()
				go func() { _, _ = io.WriteString(c, tt.request) }()
				res, err := http.ReadResponse(bufio.NewReader(c), nil)
				require.NoError(t, err)
				_, _ = io.Copy(io.Discard, res.Body)
				require.NoError(t, res.Body.Close())
				assert.Equal(t, tt.want, res.StatusCode)
				assert.Equal(t, tt.want == http.StatusOK, posts == 1)
			})
		})
	}
}
