package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Codes is the Metadata of an operation that answers with these problems, beside those that any operation may.
func Codes(codes ...string) map[string]any { return map[string]any{codesKey: codes} }

const codesKey = "codes"

// describe completes what the document says of an operation: all its answers, and an example of everything.
func describe(doc *huma.OpenAPI, method, path string) {
	op := operationOf(doc.Paths[path], method)
	types := doc.Components.Schemas
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: CorrelationHeader, In: "header", Description: "names the request in our logs and events; made for you if left out, or not visible ASCII",
		Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{"checkout-4711"}},
	})
	collection, id := exampleOwner(path)
	for _, p := range op.Parameters {
		p.Example, _ = exampleOf(types, p.Schema)
		if p.In == "path" && p.Name == "id" {
			p.Example = id
		}
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Content {
			media.Example, _ = exampleOf(types, media.Schema)
		}
	}
	delete(op.Responses, "default") // huma's: one answer for all that may go wrong
	for _, answer := range op.Responses {
		for name, h := range answer.Headers {
			h.Required = name != "Link" && name != "Idempotent-Replayed"
			h.Description = h.Schema.Description
			h.Example, _ = exampleOf(types, h.Schema)
			if name == "Location" {
				h.Example = "/" + collection + "/" + id
			}
		}
		for _, media := range answer.Content {
			media.Example, _ = exampleOf(types, media.Schema)
			if m, ok := media.Example.(map[string]any); ok && m["id"] != nil {
				m["id"] = id
			}
		}
	}
	correlated(op.Responses)
	for status, entries := range problemsOf(op) {
		op.Responses[strconv.Itoa(status)] = problemAnswer(doc.Components, status, entries)
	}
}

// exampleOwner is the collection that a path is in, and the id of the user or role that examples in it are about.
func exampleOwner(path string) (collection, id string) {
	collection, _, _ = strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if collection == "roles" {
		return collection, "01920b7d-0a11-7d52-8c3f-6b1d2e4f5a90"
	}
	return collection, "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
}

// correlated adds the header that every answer has.
func correlated(answers map[string]*huma.Response) {
	for _, answer := range answers {
		if answer.Headers == nil {
			answer.Headers = map[string]*huma.Param{}
		}
		answer.Headers[CorrelationHeader] = &huma.Header{
			Description: "names the request in our logs: the client's own, if it sent one", Example: "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57",
			Required: true, Schema: &huma.Schema{Type: huma.TypeString},
		}
	}
}

func operationOf(item *huma.PathItem, method string) *huma.Operation {
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete,
	}[method]
}

// problemsOf are the problems that an operation may answer with, by status.
func problemsOf(op *huma.Operation) map[int][]Entry {
	codes, _ := op.Metadata[codesKey].([]string)
	codes = append(slices.Clone(codes), CodeHeaderTooLarge, CodeTooManyRequests, CodeInternal, CodeUnavailable)
	if len(op.Security) > 0 {
		codes = append(codes, CodeUnauthenticated, CodeForbidden)
	}
	if len(op.Parameters) > 0 || op.RequestBody != nil {
		codes = append(codes, CodeMalformed, CodeInvalid)
	}
	if op.RequestBody != nil {
		codes = append(codes, CodeTimeout, CodeTooLarge, CodeUnsupportedMediaType)
	}
	out := map[int][]Entry{}
	slices.Sort(codes)
	for _, code := range slices.Compact(codes) {
		e := explain(code)
		out[e.Status] = append(out[e.Status], e)
	}
	return out
}

// problemAnswer refers to the answer with one of these problems, which operations share.
func problemAnswer(c *huma.Components, status int, entries []Entry) *huma.Response {
	var codes []string
	for _, e := range entries {
		codes = append(codes, e.Code)
	}
	name := strings.Join(codes, ".")
	if c.Responses == nil {
		c.Responses = map[string]*huma.Response{}
	}
	if c.Responses[name] == nil {
		c.Responses[name] = newProblemAnswer(c.Schemas, status, entries)
	}
	return &huma.Response{Ref: "#/components/responses/" + name}
}

func newProblemAnswer(types huma.Registry, status int, entries []Entry) *huma.Response {
	answer := &huma.Response{}
	correlated(map[string]*huma.Response{"": answer})
	codes, passes := []any{}, true
	examples := map[string]*huma.Example{}
	var lines []string
	for _, e := range entries {
		codes = append(codes, e.Code)
		examples[e.Code] = &huma.Example{Summary: e.Meaning, Value: exampleProblem(e)}
		lines = append(lines, "- `"+e.Code+"`: "+e.Meaning)
		if e.Passes {
			answer.Headers["Retry-After"] = &huma.Header{
				Description: "seconds after which to try again", Example: 1,
				Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: new(1.0)},
			}
		}
		if e.Code == CodeUnauthenticated || e.Code == CodeForbidden {
			answer.Headers["WWW-Authenticate"] = &huma.Header{
				Description: "what is asked for: https://www.rfc-editor.org/rfc/rfc6750#section-3", Example: `Bearer realm="leftfold"`,
				Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			}
		}
		passes = passes && e.Passes
	}
	if passes {
		answer.Headers["Retry-After"].Required = true
	}
	answer.Description = http.StatusText(status) + "\n\n" + strings.Join(lines, "\n")
	answer.Content = map[string]*huma.MediaType{problemType: {
		Examples: examples,
		Schema: &huma.Schema{
			AllOf: []*huma.Schema{types.Schema(reflect.TypeFor[Problem](), true, "")},
			Properties: map[string]*huma.Schema{
				"code":   {Type: huma.TypeString, Enum: codes},
				"status": {Type: huma.TypeInteger, Enum: []any{status}},
			},
		},
	}}
	return answer
}

func exampleProblem(e Entry) *Problem {
	p := NewProblem(e.Status, e.Code, strings.ReplaceAll(e.Meaning, "`", ""))
	if e.Code == CodeInvalid {
		p.Errors = []Field{{Location: "path.id", Message: "an id is a UUID in its canonical form of 36 characters"}}
	}
	return p
}

// exampleOf is the example that a schema names, or one made of those that its parts name.
func exampleOf(types huma.Registry, s *huma.Schema) (any, bool) {
	if s.Ref != "" {
		s = types.SchemaFromRef(s.Ref)
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0], true
	case s.Type == huma.TypeObject:
		out := map[string]any{}
		for name, property := range s.Properties {
			if e, ok := exampleOf(types, property); ok {
				out[name] = e
			}
		}
		return out, len(out) > 0
	case s.Type == huma.TypeArray:
		if e, ok := exampleOf(types, s.Items); ok {
			return []any{e}, true
		}
	}
	return nil, false
}
