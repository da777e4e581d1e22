package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// MayAnswer is the Metadata of an operation that answers with these errors, in addition to the problems that any operation has.
func MayAnswer(errs ...error) map[string]any { return map[string]any{answersKey: errs} }

const answersKey = "answers"

// Document returns the API's OpenAPI document, the same bytes for the same operations. It is called once, after the last
// operation was registered.
func Document(api huma.API, info Info) ([]byte, error) {
	doc := api.OpenAPI()
	doc.Info = &huma.Info{Title: info.Title, Version: "1", Description: info.Description, License: info.License}
	if len(info.Unique) > 0 {
		doc.Extensions = map[string]any{"x-unique": info.Unique}
	}
	doc.Servers = []*huma.Server{{URL: "/", Description: "the server of this document"}}
	d := describer{doc: doc, examples: info.ExampleIDs, problems: map[string]Entry{}}
	for _, e := range info.Problems() {
		d.problems[e.Code] = e
	}
	tags := map[string]bool{}
	for path, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op == nil {
				continue
			}
			if err := d.describe(path, op); err != nil {
				return nil, err
			}
			for _, tag := range op.Tags {
				tags[tag] = true
			}
		}
	}
	doc.Tags = nil
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: tag, Description: "what is done with " + tag})
	}
	for _, unused := range []string{"ErrorModel", "ErrorDetail"} { // huma's, in place of which Problem is answered
		delete(doc.Components.Schemas.Map(), unused)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("decode the OpenAPI document: %w", err)
	}
	prune(tree, "patternDescription") // huma's own, for messages
	if text, err = json.Marshal(tree); err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return append(text, '\n'), nil
}

// prune removes a member from every object of the tree.
func prune(tree any, member string) {
	switch t := tree.(type) {
	case map[string]any:
		delete(t, member)
		for _, child := range t {
			prune(child, member)
		}
	case []any:
		for _, child := range t {
			prune(child, member)
		}
	}
}

// describer completes what the document says of operations: all their answers, and an example of everything.
type describer struct {
	doc      *huma.OpenAPI
	examples map[string]string // ids, by collection
	problems map[string]Entry  // by code
}

func (d describer) describe(path string, op *huma.Operation) error {
	types := d.doc.Components.Schemas
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: CorrelationHeader, In: "header",
		Description: "names the request in our logs and events; made for you if left out, or not visible ASCII",
		Schema:      &huma.Schema{Type: huma.TypeString, Examples: []any{"checkout-4711"}},
	})
	collection, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	id := d.examples[collection]
	for _, p := range op.Parameters {
		p.Example, _ = exampleOf(types, p.Schema)
		if p.In == "path" && p.Name == "id" && id != "" {
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
			if m, ok := media.Example.(map[string]any); ok && m["id"] != nil && id != "" {
				m["id"] = id
			}
		}
		correlated(answer)
	}
	if op.Method == http.MethodGet && slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == IfNoneMatchHeader }) {
		op.Responses["304"] = notModified(op.Responses["200"])
	}
	byStatus, err := d.problemsOf(op)
	for status, entries := range byStatus {
		op.Responses[strconv.Itoa(status)] = problemAnswer(d.doc.Components, status, entries)
	}
	return err
}

// notModified is the answer to a client that has what another would get: https://www.rfc-editor.org/rfc/rfc9110#section-15.4.5
func notModified(found *huma.Response) *huma.Response {
	return &huma.Response{
		Description: "Not Modified: `If-None-Match` has the ETag of what would be answered",
		Headers:     map[string]*huma.Header{"ETag": found.Headers["ETag"], CorrelationHeader: found.Headers[CorrelationHeader]},
	}
}

// correlated adds the header that every answer has.
func correlated(answer *huma.Response) {
	if answer.Headers == nil {
		answer.Headers = map[string]*huma.Param{}
	}
	answer.Headers[CorrelationHeader] = &huma.Header{
		Description: "names the request in our logs: the client's own, if it sent one", Example: "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57",
		Required: true, Schema: &huma.Schema{Type: huma.TypeString},
	}
}

// problemsOf are the problems that an operation may answer with, by status.
func (d describer) problemsOf(op *huma.Operation) (map[int][]Entry, error) {
	codes := []string{CodeHeaderTooLarge, CodeTooManyRequests, CodeInternal, CodeUnavailable}
	errs, _ := op.Metadata[answersKey].([]error)
	for _, err := range errs {
		codes = append(codes, ProblemOf(err).Code)
	}
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
		e, ok := d.problems[code]
		if !ok {
			return nil, fmt.Errorf("operation %s may answer %s, which Info.Refusals does not list", op.OperationID, code)
		}
		out[e.Status] = append(out[e.Status], e)
	}
	return out, nil
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
	correlated(answer)
	var codes []any
	transient, examples := true, map[string]*huma.Example{}
	var lines []string
	for _, e := range entries {
		codes = append(codes, e.Code)
		examples[e.Code] = &huma.Example{Summary: e.Meaning, Value: exampleProblem(e)}
		lines = append(lines, "- `"+e.Code+"`: "+e.Meaning)
		if e.Transient {
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
		transient = transient && e.Transient
	}
	if transient {
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
