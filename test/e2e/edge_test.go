package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/waittest"
	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// edgeConfig returns nginx.conf of Compose without its comments.
func edgeConfig(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(compose + "nginx.conf")
	require.NoError(t, err)
	return regexp.MustCompile(`(?m)(^|\s)#.*$`).ReplaceAllString(string(text), "")
}

// TestEdgeIsConfiguredToRepeatReadsOnly holds the configuration's text, where there is no nginx to run it.
func TestEdgeIsConfiguredToRepeatReadsOnly(t *testing.T) {
	t.Parallel()
	conf := strings.Join(strings.Fields(edgeConfig(t)), " ")
	assert.Contains(t, conf, "map $request_method $kind { default write; GET read; HEAD read; }")
	assert.Contains(t, conf, "location / { try_files /none @$kind; }")
	proxied := 0
	for _, location := range regexp.MustCompile(`location (\S+) \{([^}]*)`).FindAllStringSubmatch(conf, -1) {
		if !strings.Contains(location[2], "proxy_pass http://$service:8080;") {
			continue
		}
		proxied++
		if location[1] != "@read" { // nginx's default is to repeat
			assert.Contains(t, location[2], " proxy_next_upstream off; ", "location %s", location[1])
		}
	}
	assert.Equal(t, 2, proxied)
	assert.Equal(t, proxied, strings.Count(conf, "proxy_next_upstream "), "none is inherited")
}

// replica is an upstream of the edge that takes each request and treats it in its way.
type replica struct {
	*httptest.Server

	mu  sync.Mutex
	got []string
}

func newReplica(t *testing.T, handle http.HandlerFunc) *replica {
	t.Helper()
	r := &replica{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		r.mu.Lock()
		r.got = append(r.got, in.Method+" "+in.RequestURI)
		r.mu.Unlock()
		handle(w, in)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *replica) requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.got...)
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func neverAnswer(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func answerOK(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// startEdge runs nginx with Compose's configuration before two replicas of every service. Only the paths, the times and the
// places of the replicas differ, which Docker's DNS gives there; patience is how long it waits for a replica to answer.
func startEdge(t *testing.T, patience string, replicas ...*replica) systemtest.Client {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("needs nginx: apt-get install nginx-light")
	}
	dir, err := os.MkdirTemp("", "edge") //nolint:usetesting // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755)) // nginx's workers have another user if root starts it
	var upstreams strings.Builder
	for _, service := range append(processes.ServiceNames(), topology.Console) {
		fmt.Fprintf(&upstreams, "upstream %s {", service)
		for _, r := range replicas {
			fmt.Fprintf(&upstreams, " server %s max_fails=0;", r.Listener.Addr())
		}
		upstreams.WriteString(" }\n")
	}
	conf := edgeConfig(t)
	for _, change := range [][2]string{
		{"/tmp/", dir + "/"},
		{"listen 8080;", "listen unix:" + dir + "/edge;"},
		{"listen 127.0.0.1:8081;", "listen unix:" + dir + "/ready;"},
		{"proxy_pass http://$one:9090/readyz;", "proxy_pass http://$one/readyz;"},
		{"proxy_pass http://$service:8080;", "proxy_pass http://$service;"},
		{"proxy_read_timeout 35s;", "proxy_read_timeout " + patience + ";"},
		{"http {", "http {\n" + upstreams.String()},
	} {
		require.Contains(t, conf, change[0])
		conf = strings.ReplaceAll(conf, change[0], change[1])
	}
	file := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(file, []byte(conf), 0o644))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), nginx, "-e", "stderr", "-p", dir, "-c", file, "-g", "daemon off;")
	cmd.Stderr = t.Output()
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		assert.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		assert.NoError(t, cmd.Wait())
	})
	dial := func(ctx context.Context, _, address string) (net.Conn, error) { // the host is the socket's name
		return (&net.Dialer{}).DialContext(ctx, "unix", dir+"/"+strings.TrimSuffix(address, ":80"))
	}
	waittest.Until(t, "nginx to listen", func() (any, bool) {
		c, err := dial(t.Context(), "", "edge")
		if err == nil {
			_ = c.Close()
		}
		return nil, err == nil
	})
	// Without connections kept open, Go's client repeats nothing itself.
	return systemtest.Client{HTTP: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, Base: "http://edge"}
}

func TestEdgeNeverRepeatsAWriteWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]http.HandlerFunc{"hang up": hangUp, "never answer": neverAnswer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replicas := []*replica{newReplica(t, lose), newReplica(t, lose)}
			edge := startEdge(t, "300ms", replicas...)
			var sent, arrived []string
			for _, path := range []string{"/users/x/disable?a=b%2Fc", "/roles/x", "/elsewhere"} {
				for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, "ODD"} {
					sent = append(sent, method+" "+path)
					got, err := edge.Do(t.Context(), systemtest.Request{
						Method: method, Path: path, Header: http.Header{"Idempotency-Key": {"key"}, "If-Match": {`"1"`}},
					})
					require.NoError(t, err)
					assertAway(t, got)
				}
			}
			for _, r := range replicas {
				arrived = append(arrived, r.requests()...)
			}
			assert.ElementsMatch(t, sent, arrived)
		})
	}
}

func assertAway(t *testing.T, got systemtest.Answer) {
	t.Helper()
	assert.Equal(t, http.StatusServiceUnavailable, got.Status)
	assert.Equal(t, "1", got.Header.Get("Retry-After"))
	assert.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
	var problem systemtest.Problem
	require.NoError(t, json.Unmarshal(got.Body, &problem), "%s", got.Body)
	assert.Equal(t, "unavailable", problem.Code)
}

func TestEdgeRepeatsAReadAtAnotherReplica(t *testing.T) {
	t.Parallel()
	reads := []systemtest.Request{{Method: http.MethodGet, Path: "/roles/x/users"}}
	for _, path := range []string{"/users", "/users/x", "/openapi.json"} {
		reads = append(reads, systemtest.Request{Method: http.MethodGet, Path: path}, systemtest.Request{Method: http.MethodHead, Path: path})
	}
	for name, c := range map[string]struct {
		lose     http.HandlerFunc
		patience string
		reads    []systemtest.Request
	}{
		"hang up":      {hangUp, "1m", reads},
		"never answer": {neverAnswer, "5s", reads[:1]}, // in this time the other one answers even on a busy machine
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := newReplica(t, c.lose), newReplica(t, answerOK)
			edge := startEdge(t, c.patience, bad, good)
			for _, read := range c.reads {
				for range 2 { // one of them begins at the bad one
					got, err := edge.Do(t.Context(), read)
					require.NoError(t, err)
					assert.Equal(t, http.StatusOK, got.Status, "%s %s", read.Method, read.Path)
				}
			}
			assert.NotEmpty(t, bad.requests())
			assert.Len(t, good.requests(), 2*len(c.reads))
		})
	}
}

func TestEdgeSaysWhenNoReplicaAnswers(t *testing.T) {
	t.Parallel()
	a, b := newReplica(t, hangUp), newReplica(t, hangUp)
	edge := startEdge(t, "1m", a, b)
	got, err := edge.Do(t.Context(), systemtest.Request{Method: http.MethodGet, Path: "/users"})
	require.NoError(t, err)
	assertAway(t, got)
	assert.Len(t, append(a.requests(), b.requests()...), 2, "each is tried once")
	a.Close()
	b.Close()
	for _, method := range []string{http.MethodGet, http.MethodPut} {
		got, err := edge.Do(t.Context(), systemtest.Request{Method: method, Path: "/users/x"})
		require.NoError(t, err)
		assertAway(t, got)
	}
}

// TestEdgePassesTheLargestSessionOn sends what a browser keeps of one, as large as the console makes them, to a page and a form, and back.
func TestEdgePassesTheLargestSessionOn(t *testing.T) {
	t.Parallel()
	piece := strings.Repeat("x", 3800)
	console := newReplica(t, func(w http.ResponseWriter, r *http.Request) {
		for i, c := range r.Cookies() {
			http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("again-", i), Value: c.Value, HttpOnly: true, Path: "/console"})
		}
	})
	edge := startEdge(t, "1m", console)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		got, err := edge.Do(t.Context(), systemtest.Request{Method: method, Path: "/console/streams", Header: http.Header{
			"Cookie": {"a=" + piece + "; b=" + piece + "; c=" + piece},
		}})
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, got.Status, "%s", got.Body)
		assert.Len(t, got.Header.Values("Set-Cookie"), 3)
	}
}

func TestEdgeAsksServicesWhetherTheyAreReady(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	service := newReplica(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
	edge := startEdge(t, "1m", service)
	edge.Base = "http://ready"
	for _, status = range []int{http.StatusOK, http.StatusServiceUnavailable} {
		got, err := edge.Do(t.Context(), systemtest.Request{Method: http.MethodGet, Path: "/readyz/streamer"})
		require.NoError(t, err)
		assert.Equal(t, status, got.Status)
	}
	assert.Equal(t, []string{"GET /readyz", "GET /readyz"}, service.requests())
}
