package page

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Field is a part of a state, and whether something changed it. The template "fields" shows a list of them.
type Field struct {
	Name, Value string
	Was         string
	Changed     bool
}

// Fields are the members of a JSON object, each with what it was in the one before. The values are masked for those who may not see them.
func Fields(ctx context.Context, before, now []byte) (all []Field) {
	var was, is map[string]json.RawMessage
	_ = json.Unmarshal(before, &was) // nothing was
	if json.Unmarshal(now, &is) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		f := Field{Name: name, Value: plain(is[name])}
		if old, ok := was[name]; ok {
			f.Was = plain(old)
		}
		f.Changed = f.Was != f.Value
		all = append(all, f)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[name]; !ok {
			all = append(all, Field{Name: name, Was: plain(was[name]), Changed: true})
		}
	}
	for i := range all {
		all[i].Value, all[i].Was = Mask(ctx, all[i].Value), Mask(ctx, all[i].Was)
	}
	return all
}

// plain is a JSON value for people: the elements of a list are lines.
func plain(value json.RawMessage) string {
	var text string
	var list []json.RawMessage
	switch {
	case json.Unmarshal(value, &text) == nil:
		return text
	case json.Unmarshal(value, &list) == nil:
		var lines []string
		for _, each := range list {
			lines = append(lines, plain(each))
		}
		return strings.Join(lines, "\n")
	default:
		return string(value)
	}
}
