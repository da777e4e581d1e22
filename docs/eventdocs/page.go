package eventdocs

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Markdown returns the catalogue as a part of a page.
func (c Catalogue) Markdown() string {
	var out strings.Builder
	out.WriteString("| event | schema versions | claims | what happened |\n|---|---|---|---|\n")
	for _, a := range c.Aggregates {
		for _, e := range a.Events {
			fmt.Fprintf(&out, "| %s | %s | %s | %s |\n", link(e.Name), versions(e), claims(e), what(e))
		}
	}
	facts := map[string]Fact{}
	for _, a := range c.Aggregates {
		fmt.Fprintf(&out, "\n### %s\n\nA stream begins with `%s`. Its events go to `%s` and from there to %s.\n",
			a.Category, a.Opening, c.Names.Stream, codes(a.Queues))
		for _, e := range a.Events {
			event(&out, e)
			for _, f := range e.Facts {
				facts[f.Name] = f
			}
		}
	}
	out.WriteString("\n### Enrichment\n\nFacts about other aggregates, as they stood when the event was decided. " +
		"Events of former builds may carry others; ignore them.\n")
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		f := facts[name]
		fmt.Fprintf(&out, "\n#### %s\n\nA fact of `%s`: %s. Read by %s.\n", f.Name, f.Aggregate, f.Doc, f.Reader)
		shape(&out, f.Shape, f.Example)
	}
	return out.String()
}

func event(out *strings.Builder, e Event) {
	fmt.Fprintf(out, "\n#### %s\n\n%s.", e.Name, upper(what(e)))
	if n := len(e.Versions); n > 1 && !e.Retired {
		fmt.Fprintf(out, " Schema version %d is written; those before it are read for ever.", n)
	}
	if text := claims(e); text != "" {
		fmt.Fprintf(out, " It %s.", text)
	}
	for _, f := range e.Facts {
		fmt.Fprintf(out, " Enriched with a %s of `%s`.", link(f.Name), f.Aggregate)
	}
	out.WriteString("\n")
	for _, v := range slices.Backward(e.Versions) {
		version(out, e, v)
	}
}

func version(out *strings.Builder, e Event, v Version) {
	if current(e, v) {
		fmt.Fprintf(out, "\n**Schema version %d**\n", v.Schema)
	} else {
		fmt.Fprintf(out, "\n**Schema version %d**, not written any more: %s.\n", v.Schema, v.Doc)
	}
	shape(out, v.Shape, v.Examples...)
}

func shape(out *strings.Builder, s Shape, examples ...json.RawMessage) {
	if len(s.Fields) == 0 {
		out.WriteString("\nNo members.\n")
	} else {
		out.WriteString("\n| member | JSON | |\n|---|---|---|\n")
		members(out, "", s)
	}
	for _, example := range examples {
		fmt.Fprintf(out, "\n```json\n%s\n```\n", example)
	}
}

func members(out *strings.Builder, within string, s Shape) {
	for _, f := range s.Fields {
		kind := f.Shape.kind()
		if f.Optional {
			kind += ", optional"
		}
		fmt.Fprintf(out, "| `%s%s` | %s | %s |\n", within, f.Name, kind, f.Doc)
		members(out, within+f.Name+".", f.Shape)
	}
}

func what(e Event) string {
	if e.Retired && e.DecodesAs != e.Name {
		return fmt.Sprintf("retired: it is read as `%s`", e.DecodesAs)
	}
	if e.Retired {
		return "retired: " + e.Doc
	}
	return e.Doc
}

func versions(e Event) string {
	if len(e.Versions) == 1 {
		return "1"
	}
	return fmt.Sprintf("1–%d", len(e.Versions))
}

func claims(e Event) string {
	var out []string
	if len(e.Takes) > 0 {
		out = append(out, "takes "+codes(e.Takes))
	}
	if len(e.Releases) > 0 {
		out = append(out, "releases "+codes(e.Releases))
	}
	return strings.Join(out, ", ")
}

func codes(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func (s Shape) kind() string {
	switch {
	case s.Items != nil:
		return s.Type + " of " + s.Items.kind()
	case s.Format != "":
		return s.Type + ", " + s.Format
	case s.Type == "":
		return "anything"
	default:
		return s.Type
	}
}

// link leads to a heading by what GitHub makes of it.
func link(heading string) string {
	return fmt.Sprintf("[`%s`](#%s)", heading, strings.ToLower(strings.ReplaceAll(heading, "/", "")))
}
