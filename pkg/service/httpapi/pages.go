package httpapi

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

var (
	//go:embed pages/front.html
	frontPage string
	//go:embed pages/page.css
	pageStyle string
	//go:embed pages/favicon.svg
	favicon []byte
	//go:embed pages/docs.html
	docsPage string
	//go:embed pages/init.js
	docsScript string
	//go:embed pages/problems.html
	problemsPage string
)

// Publish adds what explains the API to its router, for the public to read: a page at /, /openapi.json, the same as a page at
// /docs, and /problems. It is called once, after the last operation was registered.
func Publish(r chi.Router, api huma.API, info Info) error {
	document, err := Document(api, info)
	if err != nil {
		return err
	}
	problems, err := newProblemPages(info)
	if err != nil {
		return err
	}
	title := html.EscapeString(info.Title)
	r.Get("/", front(info))
	r.Get("/favicon.ico", fixed("image/svg+xml", favicon))
	r.Get("/openapi.json", fixed(jsonType, document))
	r.Get("/docs", fixed(htmlType, []byte(strings.ReplaceAll(docsPage, "{product}", title))))
	r.Get("/docs/init.js", fixed("text/javascript; charset=utf-8", []byte(docsScript)))
	assets := http.StripPrefix("/docs", statigz.FileServer(static.FS))
	for _, file := range []string{"swagger-ui.css", "swagger-ui-bundle.js"} {
		r.Get("/docs/"+file, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=3600")
			assets.ServeHTTP(w, r)
		})
	}
	r.Get("/problems", problems.show)
	r.Get("/problems/{code}", problems.show)
	return nil
}

const htmlType = "text/html; charset=utf-8"

func fixed(contentType string, text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType == htmlType {
			// Swagger UI sets styles at run time; all else comes from this server.
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "+
				"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(text) // the client may have gone
	}
}

// front returns the page that people meet first.
func front(info Info) http.HandlerFunc {
	var description, links, walk strings.Builder
	for text := range strings.SplitSeq(strings.TrimSpace(info.Description+"\n\n"+info.Note), "\n\n") {
		fmt.Fprintf(&description, "<p>%s</p>\n", markdown(text))
	}
	for _, l := range slices.Concat([]Link{
		{"/docs", "The API", "each operation explained, to be tried out"},
		{"/openapi.json", "OpenAPI", "the same for programs"},
		{"/problems", "Problems", "what an error means, and what to do"},
	}, info.Links) {
		fmt.Fprintf(&links, "<li><a href=\"%s\">%s</a> <span>– %s</span></li>\n",
			html.EscapeString(l.Address), html.EscapeString(l.Name), html.EscapeString(l.Means))
	}
	if info.Walk != "" {
		fmt.Fprintf(&walk, "<h2>A walk</h2>\n<pre><code>%s</code></pre>", html.EscapeString(info.Walk))
	}
	page := strings.NewReplacer("{product}", html.EscapeString(info.Title), "{style}", pageStyle,
		"{description}", description.String(), "{links}", links.String(), "{walk}", walk.String()).Replace(frontPage)
	return func(w http.ResponseWriter, r *http.Request) {
		fixed(htmlType, []byte(strings.ReplaceAll(page, "{address}", html.EscapeString(r.Host))))(w, r)
	}
}

// problemPages shows the problems, one by its code and all by "".
type problemPages map[string]problemPage

// problemPage is HTML for people and JSON for programs.
type problemPage struct{ people, programs []byte }

func newProblemPages(info Info) (problemPages, error) {
	p := problemPages{}
	add := func(code, title, text string, asJSON any) error {
		programs, err := json.Marshal(asJSON)
		if err != nil {
			return fmt.Errorf("encode problems: %w", err)
		}
		page := strings.NewReplacer("{product}", html.EscapeString(info.Title), "{title}", html.EscapeString(title),
			"{style}", pageStyle, "{text}", text).Replace(problemsPage)
		p[code] = problemPage{people: []byte(page), programs: programs}
		return nil
	}
	all := info.Problems()
	err := add("", "Problems", problemList(all), all)
	for _, e := range all {
		text := fmt.Sprintf("<p>HTTP status %s.</p>\n<p>%s</p>\n<p>What to do: %s.</p>\n", status(e), sentence(e.Meaning), markdown(e.Remedy))
		err = errors.Join(err, add(e.Code, e.Code, text, e))
	}
	return p, err
}

func (p problemPages) show(w http.ResponseWriter, r *http.Request) {
	page, ok := p[chi.URLParam(r, "code")]
	if !ok {
		NewProblem(http.StatusNotFound, CodeNotFound, "there is no such code").ServeHTTP(w, r)
		return
	}
	w.Header().Set("Vary", "Accept")
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "json") && !strings.Contains(accept, "html") {
		fixed(jsonType, page.programs)(w, r)
		return
	}
	fixed(htmlType, page.people)(w, r)
}

// problemList is the entries as HTML. It does without html/template, which keeps the linker from leaving out what no
// service calls: ten megabytes of each.
func problemList(entries []Entry) string {
	var out strings.Builder
	out.WriteString("<dl>\n")
	for _, e := range entries {
		fmt.Fprintf(&out, "<dt id=\"%[1]s\"><a href=\"/problems/%[1]s\"><code>%[1]s</code></a> – %[2]s</dt>\n",
			html.EscapeString(e.Code), status(e))
		fmt.Fprintf(&out, "<dd>%s</dd>\n<dd>What to do: %s.</dd>\n", sentence(e.Meaning), markdown(e.Remedy))
	}
	out.WriteString("</dl>\n")
	return out.String()
}

func status(e Entry) string {
	return fmt.Sprintf("%d %s", e.Status, html.EscapeString(http.StatusText(e.Status)))
}

// sentence returns an entry's text as HTML, from capital letter to full stop.
func sentence(text string) string { return markdown(strings.ToUpper(text[:1])+text[1:]) + "." }

// markdown returns an entry's text as HTML.
func markdown(text string) string {
	var out strings.Builder
	for i, part := range strings.Split(html.EscapeString(text), "`") {
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		out.WriteString(part)
	}
	return out.String()
}
