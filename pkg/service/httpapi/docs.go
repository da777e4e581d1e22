package httpapi

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

//go:embed pages
var pages embed.FS

const description = `The REST API of Leftfold, an event-sourced identity and access service.

A command (POST, PUT, DELETE) is answered 202 once it is in the log, with the version that the user or role has come to.
What is read trails the log by a moment: ask for that version by min_version to read what you wrote.
Every error is a problem as of RFC 9457, whose type has a page that says what to do. A query parameter that an operation
does not know is an error, and so is one that is repeated.`

// Document returns the API's OpenAPI document, the same bytes for the same operations.
func Document(api huma.API) ([]byte, error) {
	doc := *api.OpenAPI()
	doc.Info = &huma.Info{
		Title: "Leftfold", Version: "1", Description: description,
		License: &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"},
	}
	doc.Servers = []*huma.Server{{URL: "/", Description: "whoever serves this document"}}
	tags := map[string]bool{}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op != nil {
				for _, tag := range op.Tags {
					tags[tag] = true
				}
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
	text, err := json.Marshal(&doc)
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	var tree any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
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

// Publish adds what explains the API to its router, for anybody to read: /openapi.json, the same as a page at /docs, and
// /problems. It comes after the API's operations.
func Publish(r chi.Router, api huma.API) error {
	document, err := Document(api)
	if err != nil {
		return err
	}
	problems, err := newProblemPages()
	if err != nil {
		return err
	}
	r.Get("/openapi.json", fixed(jsonType, document))
	for path, page := range map[string]struct{ file, contentType string }{
		"/docs": {"docs.html", htmlType}, "/docs/init.js": {"init.js", "text/javascript; charset=utf-8"},
	} {
		text, err := pages.ReadFile("pages/" + page.file)
		if err != nil {
			return fmt.Errorf("read a page: %w", err)
		}
		r.Get(path, fixed(page.contentType, text))
	}
	assets := http.StripPrefix("/docs", statigz.FileServer(static.FS))
	for _, file := range []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"} {
		r.Get("/docs/"+file, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=3600")
			assets.ServeHTTP(w, r)
		})
	}
	r.Get("/problems", problems.index)
	r.Get("/problems/{code}", problems.entry)
	return nil
}

const htmlType = "text/html; charset=utf-8"

func fixed(contentType string, text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType == htmlType {
			// Swagger UI sets styles as it goes; whatever else a page may do, it does with what comes from here.
			w.Header().Set("Content-Security-Policy",
				"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(text) // the client may have gone
	}
}

// problemPages shows the catalogue: to people as pages, to programs as JSON.
type problemPages struct {
	index http.HandlerFunc
	of    map[string]http.HandlerFunc
}

func newProblemPages() (*problemPages, error) {
	frame, err := pages.ReadFile("pages/problems.html")
	if err != nil {
		return nil, fmt.Errorf("read the page of problems: %w", err)
	}
	either := func(title string, chapters []Chapter, asJSON any) (http.HandlerFunc, error) {
		text, err := json.Marshal(asJSON)
		if err != nil {
			return nil, fmt.Errorf("encode problems: %w", err)
		}
		page := strings.NewReplacer("{title}", html.EscapeString(title), "{problems}", problemList(chapters)).Replace(string(frame))
		people, programs := fixed(htmlType, []byte(page)), fixed(jsonType, text)
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Vary", "Accept")
			if accept := r.Header.Get("Accept"); strings.Contains(accept, "json") && !strings.Contains(accept, "html") {
				programs(w, r)
				return
			}
			people(w, r)
		}, nil
	}
	p := &problemPages{of: map[string]http.HandlerFunc{}}
	all := []Entry{}
	for _, chapter := range Catalogue() {
		all = append(all, chapter.Entries...)
		for _, e := range chapter.Entries {
			if p.of[e.Code], err = either(e.Code, []Chapter{{Entries: []Entry{e}}}, e); err != nil {
				return nil, err
			}
		}
	}
	p.index, err = either("Problems", Catalogue(), all)
	return p, err
}

// problemList is the chapters as HTML. It does without html/template, which keeps the linker from leaving out what no
// service calls: ten megabytes of each.
func problemList(chapters []Chapter) string {
	var out strings.Builder
	for _, c := range chapters {
		if c.Title != "" {
			fmt.Fprintf(&out, "<h2>%s</h2>\n", html.EscapeString(c.Title))
		}
		out.WriteString("<dl>\n")
		for _, e := range c.Entries {
			fmt.Fprintf(&out, "<dt id=\"%[1]s\"><a href=\"/problems/%[1]s\"><code>%[1]s</code></a> – %[2]d</dt>\n<dd>%[3]s.</dd>\n<dd>What to do: %[4]s.</dd>\n",
				html.EscapeString(e.Code), e.Status, markdown(e.Meaning), markdown(e.Remedy))
		}
		out.WriteString("</dl>\n")
	}
	return out.String()
}

func (p *problemPages) entry(w http.ResponseWriter, r *http.Request) {
	if show, ok := p.of[chi.URLParam(r, "code")]; ok {
		show(w, r)
		return
	}
	NewProblem(http.StatusNotFound, CodeNotFound, "there is no such code").ServeHTTP(w, r)
}

// markdown is a text of the catalogue as HTML.
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
