package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/waittest"
)

// httpRequest is one of docs/requests.http, its variables filled in.
type httpRequest struct {
	title, status string
	method, url   string
	header        http.Header
	body          string
}

// httpRequests reads the format of JetBrains' HTTP client and VS Code's REST Client, as far as the file uses it; values replace those
// of the file's variables.
func httpRequests(t *testing.T, text string, values map[string]string) (all []httpRequest) {
	t.Helper()
	head, rest, _ := strings.Cut(text, "\n### ")
	variables := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^@(\w+) = (\S+)$`).FindAllStringSubmatch(head, -1) {
		variables[m[1]] = m[2]
	}
	for name, value := range values {
		require.Contains(t, variables, name)
		variables[name] = value
	}
	for name, value := range variables {
		rest = strings.ReplaceAll(rest, "{{"+name+"}}", value)
	}
	require.NotContains(t, rest, "{{", "a variable that the file does not set")
	for part := range strings.SplitSeq(rest, "\n### ") {
		m := regexp.MustCompile(`(?s)^([^\n]+): (\d{3})\n\n([A-Z]+) (\S+)\n(.*)$`).FindStringSubmatch(part + "\n")
		require.NotNil(t, m, "want a title with a status, an empty line, a method and a URL:\n%s", part)
		r := httpRequest{title: m[1], status: m[2], method: m[3], url: m[4], header: http.Header{}}
		headers, body, _ := strings.Cut(m[5], "\n\n")
		for line := range strings.Lines(headers) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
				r.header.Set(name, value)
			}
		}
		r.body = strings.TrimSpace(body)
		all = append(all, r)
	}
	return all
}

func (r httpRequest) send(t *testing.T) (status int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), r.method, r.url, strings.NewReader(r.body))
	require.NoError(t, err)
	req.Header, req.Close = r.header, true
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, string(text)
}

// Every operation of the API and of the admin address is in the collection, and each request of it is answered as its title says, the
// second time, too.
func TestTheCollectionOfRequestsIsWholeAndWorks(t *testing.T) {
	t.Parallel()
	system, stop := running(t)
	api, admin := "http://"+system.APIAddr, "http://"+system.AdminAddr
	values := map[string]string{"api": api, system.Config.Names.Processes().Name + "Admin": admin}
	for _, p := range system.Config.Names.Projections() {
		values[p.Collection+"Admin"] = admin
	}
	requests := httpRequests(t, read(t, "../../docs/requests.http"), values)
	left := slices.Clone(requests)
	for _, base := range []string{api, admin} {
		for _, op := range operationsAt(t, base) {
			before := len(left)
			left = slices.DeleteFunc(left, func(r httpRequest) bool {
				if !op.matches(base, r) {
					return false
				}
				assert.Contains(t, op.Responses, r.status, "%s: a status that the document has", r.title)
				return true
			})
			assert.Less(t, len(left), before, "docs/requests.http lacks\n\n### …: %s\n\n%s {{…}}%s\n",
				slices.Sorted(maps.Keys(op.Responses))[0], op.method, op.path)
		}
	}
	for _, r := range left { // what every address has, and no document
		assert.Regexp(t, `/(openapi\.json|healthz|readyz|metrics)$`, r.url, "%s: no such operation", r.title)
	}
	for range 2 {
		for _, r := range requests {
			waittest.Until(t, r.title+": "+r.status, func() (any, bool) { // a read model may be behind
				status, answer := r.send(t)
				return fmt.Sprint(status, " ", answer), fmt.Sprint(status) == r.status
			})
		}
	}
	stop()
}

// documentedOperation is an operation of an OpenAPI document.
type documentedOperation struct {
	Responses map[string]any

	method, path string
}

func operationsAt(t *testing.T, base string) (all []documentedOperation) {
	t.Helper()
	_, text := httpRequest{method: http.MethodGet, url: base + "/openapi.json"}.send(t)
	var document struct {
		Paths map[string]map[string]documentedOperation
	}
	require.NoError(t, json.Unmarshal([]byte(text), &document))
	for path, operations := range document.Paths {
		for method, op := range operations {
			op.method, op.path = strings.ToUpper(method), path
			all = append(all, op)
		}
	}
	require.NotEmpty(t, all)
	return all
}

// matches reports whether the request is one of the operation.
func (op documentedOperation) matches(base string, r httpRequest) bool {
	path, ok := strings.CutPrefix(r.url, base)
	path, _, _ = strings.Cut(path, "?")
	pattern := strings.ReplaceAll(regexp.QuoteMeta(op.path), `\{step\}`, `[a-z]+`) // all others are IDs
	pattern = regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(pattern, `[0-9a-f-]{36}`)
	return ok && r.method == op.method && regexp.MustCompile("^"+pattern+"$").MatchString(path)
}
