//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// clicked is what testdata/click.js reports of one operation; an empty one is the end.
type clicked struct{ Operation, Status, Answer string }

// In a real browser, "Try it out" and "Execute" at /docs work on every operation as it comes.
func TestEveryOperationOfTheDocsCanBeExecutedAsItComes(t *testing.T) {
	t.Parallel()
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no Chromium is installed")
	}
	system, stop := running(t, "ROLES_URL", "http://127.0.0.1/absent") // so that no role's members are listed, and no retirement goes on
	give := func(method, path, body string) (status int) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+system.APIAddr+path, bytes.NewBufferString(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
		return res.StatusCode
	}
	shown := func(path string) {
		for give(http.MethodGet, path, "") != http.StatusOK { // it has waited a while
			require.NoError(t, t.Context().Err())
		}
	}
	id := func(n int) string { return "01920b7c-5e3a-7c4d-9b1e-00000000000" + strconv.Itoa(n) }
	for n := range 3 {
		require.Equal(t, http.StatusAccepted, give(http.MethodPost, "/roles", `{"id":"`+id(n)+`","name":"role-`+string(rune('a'+n))+`"}`))
		require.Equal(t, http.StatusAccepted, give(http.MethodPost, "/users", `{"id":"`+id(n)+`","email":"user`+strconv.Itoa(n)+`@example.com"}`))
	}
	require.Equal(t, http.StatusAccepted, give(http.MethodPost, "/users/"+id(0)+"/roles", `{"roleId":"`+id(0)+`"}`))
	shown("/users/" + id(0) + "?min_version=2&wait=5s")
	for n := range 3 {
		shown("/users/" + id(n) + "?min_version=1&wait=5s")
		shown("/roles/" + id(n) + "?min_version=1&wait=5s")
	}

	results := make(chan clicked)
	page := httptest.NewServer(clicking(t, system.APIAddr, results))
	command := exec.CommandContext(t.Context(), browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--remote-debugging-port=0", "--user-data-dir="+t.TempDir(), page.URL+"/docs")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the browser's processes end together
	require.NoError(t, command.Start())
	operations := map[string]bool{}
	for one := range results {
		if code, isRefused := refusedByThen()[one.Operation]; isRefused {
			assert.Contains(t, one.Answer, code, one.Operation)
		} else {
			assert.Regexp(t, "^2", one.Status, "%s: %s", one.Operation, one.Answer)
		}
		operations[one.Operation] = true
	}
	assert.Len(t, operations, len(operationsAt(t, "http://"+system.APIAddr)))
	require.NoError(t, syscall.Kill(-command.Process.Pid, syscall.SIGKILL))
	_ = command.Wait() // it was killed
	page.CloseClientConnections()
	page.Close()
	stop()
}

// refusedByThen are operations that the ones before them in the page make impossible, each with what it then answers.
func refusedByThen() map[string]string {
	return map[string]string{
		"PUT /roles/{id}/rules":                 "role_disabled",
		"PUT /roles/{id}/retire/complete":       "role_not_retiring",
		"PUT /users/{id}/roles/{roleId}":        "role_not_held",
		"PUT /users/{id}/roles/{roleId}/expire": "role_not_held",
	}
}

// clicking is the API with a script in its page that clicks.
func clicking(t *testing.T, api string, results chan<- clicked) http.Handler {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: api})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy.Transport = transport
	proxy.ModifyResponse = func(res *http.Response) error {
		if res.Request.URL.Path != "/docs" {
			return nil
		}
		text, err := io.ReadAll(res.Body)
		text = bytes.Replace(text, []byte("</body>"), []byte(`<script src="/click.js"></script></body>`), 1)
		res.Body, res.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		res.Header.Set("Content-Length", strconv.Itoa(len(text)))
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	mux.HandleFunc("/click.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "testdata/click.js") })
	mux.HandleFunc("/clicked", func(_ http.ResponseWriter, r *http.Request) {
		var one clicked
		if err := json.NewDecoder(r.Body).Decode(&one); err != nil || one.Operation == "" {
			close(results)
			return
		}
		results <- one
	})
	return mux
}
