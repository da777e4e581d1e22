package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
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
