package httpapi

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-chi/chi/v5"
	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

//go:embed pages
var pages embed.FS

// Publish adds what explains the API to its router, for the public to read: /openapi.json, the same as a page at /docs,
// and /problems. It is called once, after the last operation was registered.
func Publish(r chi.Router, api huma.API, info Info) error {
	document, err := Document(api, info)
	if err != nil {
		return err
	}
	problems, err := newProblemPages(info)
	if err != nil {
		return err
	}
	r.Get("/openapi.json", fixed(jsonType, document))
	for path, page := range map[string]struct{ file, contentType string }{
		"/docs": {"docs.html", htmlType}, "/docs/init.js": {"init.js", "text/javascript; charset=utf-8"},
	} {
		text, err := pages.ReadFile("pages/" + page.file)
		if err != nil {
			return fmt.Errorf("read page %s: %w", page.file, err)
		}
		r.Get(path, fixed(page.contentType, bytes.ReplaceAll(text, []byte("{product}"), []byte(html.EscapeString(info.Title)))))
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
			// Swagger UI sets styles at run time; all else comes from this server.
			w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "+
				"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		}
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(text) // the client may have gone
	}
}

// problemPages shows the problems: to people as pages, to programs as JSON.
type problemPages struct {
	index http.HandlerFunc
	of    map[string]http.HandlerFunc
}

func newProblemPages(info Info) (*problemPages, error) {
	frame, err := pages.ReadFile("pages/problems.html")
	if err != nil {
		return nil, fmt.Errorf("read page problems.html: %w", err)
	}
	either := func(title string, entries []Entry, asJSON any) (http.HandlerFunc, error) {
		text, err := json.Marshal(asJSON)
		if err != nil {
			return nil, fmt.Errorf("encode problems: %w", err)
		}
		page := strings.NewReplacer("{product}", html.EscapeString(info.Title), "{title}", html.EscapeString(title),
			"{problems}", problemList(entries)).Replace(string(frame))
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
	all := info.Problems()
	for _, e := range all {
		if p.of[e.Code], err = either(e.Code, []Entry{e}, e); err != nil {
			return nil, err
		}
	}
	p.index, err = either("Problems", all, all)
	return p, err
}

// problemList is the entries as HTML. It does without html/template, which keeps the linker from leaving out what no
// service calls: ten megabytes of each.
func problemList(entries []Entry) string {
	var out strings.Builder
	out.WriteString("<dl>\n")
	for _, e := range entries {
		fmt.Fprintf(&out, "<dt id=\"%[1]s\"><a href=\"/problems/%[1]s\"><code>%[1]s</code></a> – %[2]d</dt>\n",
			html.EscapeString(e.Code), e.Status)
		fmt.Fprintf(&out, "<dd>%s.</dd>\n<dd>What to do: %s.</dd>\n", markdown(e.Meaning), markdown(e.Remedy))
	}
	out.WriteString("</dl>\n")
	return out.String()
}

func (p *problemPages) entry(w http.ResponseWriter, r *http.Request) {
	if show, ok := p.of[chi.URLParam(r, "code")]; ok {
		show(w, r)
		return
	}
	NewProblem(http.StatusNotFound, CodeNotFound, "there is no such code").ServeHTTP(w, r)
}

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
