package httpserver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth bounds the nesting of a request's JSON; no command nests at all.
const maxDepth = 16

// unmarshal is json.Unmarshal without its leniency: it refuses invalid UTF-8 (which encoding/json would replace),
// repeated members (of which it would keep the last) and deep nesting.
func unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("the text is not valid UTF-8")
	}
	if err := strict(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errors.New("a value does not fit") // such as the number 1e999; the error's own words speak of Go
	}
	return nil
}

func strict(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []map[string]bool // the members seen of each open object; nil for an array
	atName := false            // the next token is a member's name, or the object's end
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			if len(open) > maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
		case string:
			if atName {
				seen := open[len(open)-1]
				name := strings.ToLower(t) // encoding/json matches members ignoring case
				if seen[name] {
					return errors.New("a member is repeated")
				}
				seen[name], atName = true, false
				continue
			}
		}
		// Whatever ended just now, inside an object a name comes next.
		atName = len(open) > 0 && open[len(open)-1] != nil
	}
}

// strictQuery refuses parameters that the operation does not know, which a slip of the pen would otherwise turn into a
// wish ignored, and those that are repeated, of which one would have to be picked. An empty text counts as left out; an
// empty number does not.
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
		var faults []error
		for name, values := range query {
			at := slices.IndexFunc(c.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name })
			message := ""
			switch {
			case at < 0:
				name, message = "", "has a parameter that this operation does not know"
			case len(values) > 1:
				message = "is repeated"
			case values[0] == "" && c.Operation().Parameters[at].Schema.Type != huma.TypeString:
				message = "is empty; leave it out"
			case !utf8.ValidString(values[0]):
				message = "is not valid UTF-8"
			default:
				continue
			}
			faults = append(faults, &huma.ErrorDetail{Location: strings.TrimSuffix("query."+name, "."), Message: message})
		}
		if len(faults) > 0 {
			_ = huma.WriteErr(api, c, http.StatusUnprocessableEntity, "", faults...) // the client may have gone
			return
		}
		next(c)
	}
}
