package eventdocs

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

//go:embed page.md.tmpl
var page string

// Markdown returns the catalogue as a part of a page.
func (c Catalogue) Markdown() (string, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"link": link, "codes": codes, "upper": upper, "what": what, "claims": claims, "status": status, "backward": slices.Backward[[]Version],
	}).Parse(page)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&out, c)
	return out.String(), err
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

func status(e Event, v Version) string {
	switch {
	case v.Written:
		return ""
	case v.Schema > e.Writes && !e.Retired:
		return ", not written yet: the next release writes it."
	default:
		return ", not written any more: " + v.Shape.Doc + "."
	}
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

// Members returns the fields at every depth, each with its path for a name.
func (s Shape) Members() (out []Field) {
	for _, f := range s.Fields {
		out = append(out, f)
		of, path := f.Shape, f.Name+"."
		if f.Items != nil {
			of, path = *f.Items, f.Name+"[]."
		}
		for _, within := range of.Members() {
			within.Name = path + within.Name
			out = append(out, within)
		}
	}
	return out
}

// Kind says in words what is expected.
func (s Shape) Kind() string {
	switch {
	case s.Items != nil:
		return s.Type + " of " + s.Items.Kind()
	case s.Values != nil:
		return s.Type + " of " + s.Values.Kind()
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
