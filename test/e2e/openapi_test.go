package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// operation is one operation of a document, and the service whose document it is.
type operation struct {
	ID         string `json:"operationId"`
	Parameters []struct {
		Name    string `json:"name"`
		In      string `json:"in"`
		Example any    `json:"example"`
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]media `json:"content"`
	} `json:"requestBody"`
	Responses map[string]*response `json:"responses"`

	method, path string
	service      *systemtest.Service
	schemas      *jsonschema.Compiler
}

type response struct {
	Ref     string `json:"$ref"`
	Headers map[string]struct {
		Required bool `json:"required"`
	} `json:"headers"`
	Content map[string]media `json:"content"`

	at string // a JSON pointer
}

type media struct {
	Example  any                            `json:"example"`
	Examples map[string]struct{ Value any } `json:"examples"`
}

// all returns the media type's examples.
func (m media) all() (out []any) {
	if m.Example != nil {
		out = append(out, m.Example)
	}
	for _, e := range m.Examples {
		out = append(out, e.Value)
	}
	return out
}

// operationsOf returns the operations of a service's document.
func operationsOf(t *testing.T, s *systemtest.Service) []*operation {
	t.Helper()
	text := roundTrip(t, s, http.MethodGet, "/openapi.json", nil, nil).body
	var doc struct {
		Paths      map[string]map[string]*operation `json:"paths"`
		Components struct {
			Responses map[string]*response `json:"responses"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(text, &doc))
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	schemas := jsonschema.NewCompiler()
	schemas.AssertFormat()
	require.NoError(t, schemas.AddResource("urn:openapi", tree))
	var all []*operation
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			op := doc.Paths[path][method]
			op.method, op.path, op.service, op.schemas = strings.ToUpper(method), path, s, schemas
			for status, r := range op.Responses {
				at := fmt.Sprintf("/paths/%s/%s/responses/%s", escape(path), method, status)
				if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
					r, at = doc.Components.Responses[name], "/components/responses/"+name
				}
				require.NotNil(t, r, at)
				r.at = at
				op.Responses[status] = r
			}
			all = append(all, op)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func escape(key string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(key) }

// validate checks a value against the schema of a media type.
func (op *operation) validate(t *testing.T, at, mediaType string, value any) {
	t.Helper()
	schema, err := op.schemas.Compile("urn:openapi#" + url.PathEscape(at+"/content/"+escape(mediaType)+"/schema"))
	require.NoError(t, err)
	assert.NoError(t, schema.Validate(value), "%s: %s", op.ID, at)
}

type result struct {
	status int
	header http.Header
	body   []byte
}

func roundTrip(t *testing.T, s *systemtest.Service, method, target string, header http.Header, body []byte) result {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://leftfold.test"+target, bytes.NewReader(body))
	require.NoError(t, err)
	maps.Copy(req.Header, header)
	res, err := s.RoundTrip(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return result{res.StatusCode, res.Header, text}
}

// call sends a request and checks the answer against the document.
func (op *operation) call(t *testing.T, target string, header http.Header, body []byte) result {
	t.Helper()
	got := roundTrip(t, op.service, op.method, target, header, body)
	response := op.Responses[fmt.Sprint(got.status)]
	if !assert.NotNil(t, response, "%s: the document has no %d: %s", op.ID, got.status, got.body) {
		return got
	}
	for name, h := range response.Headers {
		assert.True(t, !h.Required || got.header.Get(name) != "", "%s %d: no %s", op.ID, got.status, name)
	}
	if got.status == http.StatusNotModified {
		assert.Empty(t, got.body, op.ID)
		return got
	}
	mediaType := got.header.Get("Content-Type")
	assert.Contains(t, response.Content, mediaType, op.ID)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(got.body))
	require.NoError(t, err)
	op.validate(t, response.at, mediaType, value)
	return got
}

// goAlone are parameters that make no sense beside another of the same operation: If-Match, min_version, contains.
var goAlone = []string{"If-None-Match", "as_of", "email", "correlation", "day", "dry_run", "at"} //nolint:gochecknoglobals // read only

// example returns the document's example of a request, with version in place of the one in If-Match, and a key of its own.
func (op *operation) example(version string) (target string, header http.Header, body []byte) {
	target, header = op.path, http.Header{}
	query := url.Values{}
	for _, p := range op.Parameters {
		text := fmt.Sprint(p.Example)
		switch {
		case p.Example == nil, slices.Contains(goAlone, p.Name):
		case p.In == "path":
			target = strings.ReplaceAll(target, "{"+p.Name+"}", text)
		case p.In == "query":
			query.Set(p.Name, text)
		case p.Name == "Idempotency-Key":
			header.Set(p.Name, text+"-"+op.ID)
		case p.Name != "If-Match":
			header.Set(p.Name, text)
		case version != "":
			header.Set(p.Name, version)
		}
	}
	if op.RequestBody != nil {
		body, _ = json.Marshal(op.RequestBody.Content["application/json"].Example)
		header.Set("Content-Type", "application/json")
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	return target, header, body
}

// rank orders the operations of an aggregate so that each finds what it needs.
func (op *operation) rank() int {
	return slices.Index([]string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodDelete}, op.method)
}

// documented returns all operations of all services, by ID.
func documented(t *testing.T, s *systemtest.System) map[string]*operation {
	t.Helper()
	all := map[string]*operation{}
	for _, service := range s.APIs() {
		for _, op := range operationsOf(t, service) {
			require.NotContains(t, all, op.ID, "each operation has one service")
			all[op.ID] = op
		}
	}
	return all
}

// TestTheExamplesOfTheOpenAPIDocumentWork sends every operation's example to a running system, in an order in which each succeeds,
// and checks each answer against the document.
func TestTheExamplesOfTheOpenAPIDocumentWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := documented(t, systemtest.New(t, nil))
		type step struct {
			id, about string
			refused   string // the code, where no order of the examples lets it be accepted
			later     time.Duration
		}
		order := []step{ // those of users and roles need each other
			{id: "registerUser", about: "user"},
			{id: "updateUser", about: "user"},
			{id: "changeEmail", about: "user"},
			{id: "createRole", about: "role"},
			{id: "addRole", about: "user"},
			{id: "getUser"},
			{id: "listUsers"},
			{id: "getRole"},
			{id: "listRoles"},
			{id: "listMembers"},
			{id: "renameRole", about: "role"},
			{id: "disableRole", about: "role"},
			{id: "enableRole", about: "role"},
			{id: "setRules", about: "role"},
			{id: "changeRoleUntil", about: "user"},
			{id: "expireRole", about: "user", refused: "grant_not_ended"},
			{id: "removeRole", about: "user"},
			{id: "disableUser", about: "user"},
			{id: "enableUser", about: "user"},
			{id: "cancelRetirement", about: "role", refused: "role_not_retiring"},
			{id: "completeRetirement", about: "role", refused: "role_not_retiring"},
			{id: "retireRole", about: "role"},
			{id: "getRetirement", later: time.Minute}, // when the processor has heard of it
		}
		left := slices.SortedFunc(maps.Values(all), func(a, b *operation) int { return cmp.Or(a.rank()-b.rank(), cmp.Compare(a.ID, b.ID)) })
		for _, op := range left {
			if !slices.ContainsFunc(order, func(s step) bool { return s.id == op.ID }) {
				order = append(order, step{id: op.ID, about: strings.Split(op.path, "/")[1]})
			}
		}
		versions := map[string]string{} // ETags of the answers
		for _, step := range order {
			op := all[step.id]
			require.NotNil(t, op, step.id)
			time.Sleep(step.later)
			target, header, body := op.example(versions[step.about])
			tried := 0
			if op.method != http.MethodGet {
				tried = op.call(t, target+"?dry_run=true", header, body).status
			}
			got := op.call(t, target, header, body)
			if step.refused != "" {
				assert.Contains(t, string(got.body), `"`+step.refused+`"`, op.ID)
				assert.Equal(t, got.status, tried, op.ID)
				continue
			}
			require.Less(t, got.status, 300, "%s: %s", op.ID, got.body)
			if op.method == http.MethodGet {
				if tag := got.header.Get("ETag"); tag != "" {
					header.Set("If-None-Match", tag)
					assert.Equal(t, http.StatusNotModified, op.call(t, target, header, nil).status, op.ID)
				}
				for _, p := range op.Parameters {
					if path, _, _ := strings.Cut(target, "?"); p.In == "query" && slices.Contains(goAlone, p.Name) {
						alone := op.call(t, path+"?"+p.Name+"="+fmt.Sprint(p.Example), nil, nil)
						assert.Equal(t, http.StatusOK, alone.status, "%s: %s", op.ID, alone.body)
					}
				}
				continue
			}
			assert.Equal(t, http.StatusOK, tried, "%s: a dry run of what is then accepted", op.ID)
			versions[step.about] = got.header.Get("ETag")
			again := op.call(t, target, header, body)
			assert.Equal(t, "true", again.header.Get("Idempotent-Replayed"), op.ID)
			assert.Equal(t, got.body, again.body, op.ID)
		}
	})
}

// TestEverythingInTheDocumentHasAnExample that is valid by its schema.
func TestEverythingInTheDocumentHasAnExample(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, op := range documented(t, systemtest.New(t, nil)) {
			for _, p := range op.Parameters {
				assert.True(t, p.Example != nil || p.Name == "cursor", "%s: parameter %s; a cursor cannot be made up", op.ID, p.Name)
			}
			if op.RequestBody != nil {
				at := fmt.Sprintf("/paths/%s/%s/requestBody", escape(op.path), strings.ToLower(op.method))
				for mediaType, m := range op.RequestBody.Content {
					assert.NotEmpty(t, m.all(), op.ID)
					for _, e := range m.all() {
						op.validate(t, at, mediaType, e)
					}
				}
			}
			for status, r := range op.Responses {
				for mediaType, m := range r.Content {
					assert.NotEmpty(t, m.all(), "%s %s", op.ID, status)
					for _, e := range m.all() {
						op.validate(t, r.at, mediaType, e)
					}
				}
			}
		}
	})
}

// TestEveryErrorAnswerIsInTheDocument provokes errors of every operation.
func TestEveryErrorAnswerIsInTheDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all := documented(t, systemtest.New(t, nil))
		seen := map[string]bool{}
		for _, op := range all {
			target, header, body := op.example("")
			path, _, _ := strings.Cut(target, "?")
			with := func(name, value string) http.Header {
				h := header.Clone()
				h.Set(name, value)
				return h
			}
			tries := []result{
				op.call(t, target, header, body), // too early: the aggregate does not exist yet
				op.call(t, path+"?colour=red", header, body),
				op.call(t, path+"?colour=%zz", header, body),
				op.call(t, target, with("X-Large", strings.Repeat("x", 20_000)), body),
				op.call(t, strings.ReplaceAll(path, "01920b7", "zzz"), header, body),
				op.call(t, strings.ReplaceAll(path, "01920b7", "ffff0b7"), with("Idempotency-Key", op.ID), body),
			}
			if op.method == http.MethodGet {
				for _, query := range []string{"?cursor=x", "?min_version=99", "?limit=x", "?as_of=99", "?as_of=x"} {
					tries = append(tries, op.call(t, path+query, nil, nil))
				}
			} else {
				tries = append(tries,
					op.call(t, target, with("If-Match", "3"), body), op.call(t, target, with("If-Match", `"99"`), body),
					op.call(t, target, with("Idempotency-Key", "a b"), body),
					op.call(t, path+"?at=1", header, body), op.call(t, path+"?dry_run=true&at=99", header, body))
			}
			if op.RequestBody != nil {
				tries = append(tries,
					op.call(t, target, with("Idempotency-Key", "another"), append([]byte(" "), body...)),
					op.call(t, target, header, nil), op.call(t, target, header, []byte(`{`)), op.call(t, target, header, []byte(`{"x":1}`)),
					op.call(t, target, header, []byte(`[null]`)), op.call(t, target, with("Content-Type", "text/plain"), body),
					op.call(t, target, header, bytes.Repeat([]byte(" "), 70_000)))
			}
			for _, got := range tries {
				if problem, err := systemtest.Decode[systemtest.Problem](systemtest.Answer{Body: got.body}); err == nil {
					seen[problem.Code] = true
				}
			}
		}
		for _, code := range []string{
			"malformed", "invalid", "bad_cursor", "not_yet", "too_large", "unsupported_media_type", "header_too_large", "precondition_failed",
			"user_not_found", "role_not_found", "idempotency_key_reused", "no_such_version",
		} {
			assert.True(t, seen[code], "nothing above brought about %s", code)
		}
	})
}
