package whatif

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/leftfold/leftfold/services/console/internal/rest"
)

// document is what the pages read of the API's OpenAPI document, in which every command describes itself.
type document struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	ID          string      `json:"operationId"`
	Summary     string      `json:"summary"`
	Tags        []string    `json:"tags"`
	Parameters  []parameter `json:"parameters"`
	RequestBody struct {
		Content map[string]struct {
			Schema schema `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
}

type parameter struct {
	Name        string `json:"name"`
	In          string `json:"in"`
	Description string `json:"description"`
	Example     any    `json:"example"`
	Schema      schema `json:"schema"`
}

type schema struct {
	Ref         string            `json:"$ref"`
	Type        types             `json:"type"`
	Format      string            `json:"format"`
	Description string            `json:"description"`
	Examples    []any             `json:"examples"`
	Properties  map[string]schema `json:"properties"`
	Required    []string          `json:"required"`
}

// types are what a value may be: one type, or several.
type types []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *types) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = types{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

// command is an operation that can be tried.
type command struct {
	ID, Summary string
	// Collection is what it is about, such as "users".
	Collection string
	// Own reports whether it is for one that exists, whose id is in the path.
	Own    bool
	Fields []field

	method, path string
}

// field is a value that a command takes.
type field struct {
	Name        string
	Description string
	Example     string
	Required    bool
	// Type is string, integer or boolean.
	Type     string
	Nullable bool
	// InPath: it is a part of the address.
	InPath bool

	// Value is what the reader has entered, Refused what is wrong with it.
	Value, Refused string
}

// commands asks the API which commands can be tried, in the order of their names.
func commands(ctx context.Context, api rest.API) (all []command, err error) {
	answer, err := api.Send(ctx, rest.Get("/openapi.json"))
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		return nil, errors.New(answer.Problem().Detail)
	}
	var d document
	if err := json.Unmarshal(answer.Body, &d); err != nil {
		return nil, err
	}
	for at, methods := range d.Paths {
		for method, op := range methods {
			if slices.ContainsFunc(op.Parameters, func(p parameter) bool { return p.Name == "dry_run" }) {
				all = append(all, d.command(strings.ToUpper(method), at, op))
			}
		}
	}
	slices.SortFunc(all, func(a, b command) int {
		return cmp.Or(-cmp.Compare(a.Collection, b.Collection), cmp.Compare(a.path, b.path), cmp.Compare(a.method, b.method))
	})
	return all, nil
}

func (d document) command(method, at string, op operation) command {
	c := command{ID: op.ID, Summary: op.Summary, Own: strings.Contains(at, "{id}"), method: method, path: at}
	if len(op.Tags) > 0 {
		c.Collection = op.Tags[0]
	}
	for _, p := range op.Parameters {
		if p.In == "path" {
			f := fieldOf(p.Name, p.Schema)
			f.InPath, f.Required, f.Example = true, true, text(p.Example)
			f.Description = cmp.Or(p.Description, f.Description)
			c.Fields = append(c.Fields, f)
		}
	}
	body := op.RequestBody.Content["application/json"].Schema
	if body.Ref != "" {
		body = d.Components.Schemas[path.Base(body.Ref)]
	}
	var fields []field
	for name, s := range body.Properties {
		if name == "$schema" {
			continue
		}
		f := fieldOf(name, s)
		f.Required = slices.Contains(body.Required, name)
		fields = append(fields, f)
	}
	slices.SortFunc(fields, func(a, b field) int {
		if a.Required != b.Required {
			return map[bool]int{true: -1, false: 1}[a.Required]
		}
		return cmp.Compare(a.Name, b.Name)
	})
	c.Fields = append(c.Fields, fields...)
	return c
}

func fieldOf(name string, s schema) field {
	f := field{Name: name, Description: s.Description, Type: "string"}
	for _, t := range s.Type {
		if t == "null" {
			f.Nullable = true
		} else {
			f.Type = t
		}
	}
	if len(s.Examples) > 0 {
		f.Example = text(s.Examples[0])
	}
	return f
}

// text is an example as it is typed.
func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	if v == nil {
		return ""
	}
	encoded, _ := json.Marshal(v) // it came as JSON
	return string(encoded)
}

// request is the command with the values of its fields, to be tried. at is the version to decide on, "" the one that it is at.
func (c command) request(at string) rest.Request {
	address, body := c.path, map[string]any{}
	for _, f := range c.Fields {
		if f.InPath {
			address = strings.ReplaceAll(address, "{"+f.Name+"}", url.PathEscape(f.Value))
		} else if value, given := f.value(); given {
			body[f.Name] = value
		}
	}
	query := url.Values{"dry_run": {"true"}}
	if at != "" {
		query.Set("at", at)
	}
	r := rest.Request{Method: c.method, Path: address + "?" + query.Encode()}
	if len(c.Fields) > 0 && !c.Fields[len(c.Fields)-1].InPath {
		r.Body = body
	}
	return r
}

// value is what is sent; what does not have the field's type is sent as it is, for the API to say so.
func (f field) value() (v any, given bool) {
	switch {
	case f.Type == "boolean":
		return f.Value == "true", true
	case f.Value == "" && f.Nullable:
		return nil, f.Required
	case f.Value == "" && (f.Type != "string" || !f.Required):
		return nil, false
	case f.Type == "integer":
		var n json.Number
		if json.Unmarshal([]byte(f.Value), &n) == nil {
			return n, true
		}
	}
	return f.Value, true
}

// refuse writes what is wrong to the fields that are concerned, and returns what concerns none of them.
func (c *command) refuse(answer rest.Answer) (rest []string) {
	p := answer.Problem()
	place := func(name, message string) bool {
		i := slices.IndexFunc(c.Fields, func(f field) bool { return f.Name == name })
		if i >= 0 {
			c.Fields[i].Refused = message
		}
		return i >= 0
	}
	for _, e := range p.Errors {
		if _, name, _ := strings.Cut(e.Location, "."); !place(name, e.Message) {
			rest = append(rest, name+": "+e.Message)
		}
	}
	unique, isUnique := strings.CutSuffix(p.Code, "_taken")
	if isUnique && place(unique, p.Detail) || len(p.Errors) > 0 || answer.Status == http.StatusOK {
		return rest
	}
	return append(rest, p.Detail)
}
