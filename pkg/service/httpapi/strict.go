package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

// maxDepth bounds the nesting of a request's JSON; no command nests at all.
const maxDepth = 16

// unmarshal is json.Unmarshal without its leniency: it refuses invalid UTF-8 (which encoding/json would replace),
// repeated members (of which it would keep the last) and deep nesting. huma decodes a body twice: into an any, which it
// validates, and then into the input. The first time is when to be strict.
func unmarshal(data []byte, v any) error {
	target, first := v.(*any)
	if first {
		if !utf8.Valid(data) {
			return errors.New("the text is not valid UTF-8")
		}
		if err := strict(data); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errors.New("a value does not fit") // such as the number 1e999; the error's own words speak of Go
	}
	if first {
		*target = exact(*target)
	}
	return nil
}

// exact makes huma match members exactly: it ignores case in a map[string]any, as encoding/json does, but not in a
// map[any]any. A member in another case is then unexpected, and none reaches the second decoding.
func exact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[any]any, len(v))
		for name, member := range v {
			out[name] = exact(member)
		}
		return out
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	}
	return v
}

// strict checks the braces and names of a JSON text. It reads bytes, because json.Decoder's tokens cost a tenth of a
// command.
func strict(data []byte) error {
	if !json.Valid(data) {
		return errors.New("the text is not JSON")
	}
	var open []map[string]bool // the members seen of each open object; nil for an array
	atName := false            // the next text is a member's name
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{':
			open, atName = append(open, map[string]bool{}), true
		case '[':
			open, atName = append(open, nil), false
		case '}', ']':
			open = open[:len(open)-1]
		case ',':
			atName = open[len(open)-1] != nil
		case '"':
			end := i + textLength(data[i:])
			if atName {
				var name string
				if err := json.Unmarshal(data[i:end], &name); err != nil {
					return err
				}
				seen := open[len(open)-1]
				if seen[name] {
					return errors.New("a member is repeated")
				}
				seen[name], atName = true, false
			}
			i = end - 1
		}
		if len(open) > maxDepth {
			return fmt.Errorf("nested deeper than %d", maxDepth)
		}
	}
	return nil
}

// textLength returns the length of the text that data begins with, its quotes included.
func textLength(data []byte) int {
	for i := 1; ; i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

// strictQuery refuses parameters that the operation does not know, because a misspelt one would be ignored, and those that
// are repeated, because one would have to be picked. An empty text counts as left out; an empty number does not.
func strictQuery(api huma.API) func(huma.Context, func(huma.Context)) {
	return func(c huma.Context, next func(huma.Context)) {
		address := c.URL()
		if address.RawQuery == "" {
			next(c)
			return
		}
		query, err := url.ParseQuery(address.RawQuery)
		if err != nil {
			_ = huma.WriteErr(api, c, http.StatusBadRequest, "", &huma.ErrorDetail{Location: "query", Message: "is not well encoded"})
			return
		}
		var errs []error
		for name, values := range query {
			message := ""
			at := slices.IndexFunc(c.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
			switch {
			case at < 0:
				message = validation.MsgUnexpectedProperty
			case len(values) > 1:
				message = "is repeated"
			case values[0] == "" && c.Operation().Parameters[at].Schema.Type != huma.TypeString:
				message = "is empty; leave it out"
			case !utf8.ValidString(values[0]):
				message = "is not valid UTF-8"
			default:
				continue
			}
			errs = append(errs, &huma.ErrorDetail{Location: "query." + name, Message: message})
		}
		if len(errs) > 0 {
			_ = huma.WriteErr(api, c, http.StatusUnprocessableEntity, "", errs...) // the client may have gone
			return
		}
		next(c)
	}
}
