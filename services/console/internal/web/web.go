// Package web is the console's pages: rendered here, kept alive by htmx, and useful without any script.
package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"iter"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/whereabouts"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
)

// Prefix is where all pages are.
const Prefix = "/console"

//go:embed templates/*.html
var templates embed.FS

//go:embed assets
var assets embed.FS

// Log is what the pages read of the log.
type Log interface {
	Read(ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
}

// Config says what the pages show.
type Config struct {
	Watcher *pipeline.Watcher
	// Log has the events.
	Log Log
	// Find returns where an event is, stop by stop; it asks the services what they remember.
	Find func(ctx context.Context, stream eventsourcing.StreamID, version eventsourcing.Version, on func(whereabouts.Stop)) (bool, error)
	// Locate returns the event that has an id, as far as a service remembers it.
	Locate func(ctx context.Context, id string) (stream eventsourcing.StreamID, version eventsourcing.Version, found bool, err error)
	// API sends a GET to the REST API and returns the answer.
	API func(ctx context.Context, path string) (status int, body []byte, err error)
	// Done ends what is sent live.
	Done   <-chan struct{}
	Logger *slog.Logger
}

// pages serves the pages.
type pages struct {
	Config
	templates map[string]*template.Template
	version   string // of the assets
}

// Register adds the pages to a router.
func Register(r chi.Router, c Config) error {
	p := &pages{Config: c, templates: map[string]*template.Template{}}
	if err := p.parse(); err != nil {
		return err
	}
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		return err
	}
	r.Route(Prefix, func(r chi.Router) {
		r.Get("/", p.overview)
		r.Get("/live", p.live)
		r.Get("/journey", p.journey)
		r.Get("/streams", p.streams)
		r.Get("/streams/*", p.stream)
		r.Get("/assets/"+p.version+"/*", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // another build has another version
			http.StripPrefix(Prefix+"/assets/"+p.version, http.FileServerFS(static)).ServeHTTP(w, r)
		})
		r.NotFound(func(w http.ResponseWriter, r *http.Request) {
			p.fail(w, r, http.StatusNotFound, "There is no such page", "")
		})
	})
	return nil
}

// parse parses each page with the layout, and names the version of the assets by what they are.
func (p *pages) parse() error {
	hash := sha256.New()
	err := fs.WalkDir(assets, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := assets.ReadFile(name)
		_, _ = hash.Write(text) // a hash never fails
		return err
	})
	if err != nil {
		return err
	}
	p.version = hex.EncodeToString(hash.Sum(nil))[:12]
	names, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		return err
	}
	for _, name := range names {
		if base := path.Base(name); base != "layout.html" && base != "events.html" {
			t, err := template.New(base).Funcs(functions(p.version)).ParseFS(templates, "templates/layout.html", "templates/events.html", name)
			if err != nil {
				return err
			}
			p.templates[strings.TrimSuffix(base, ".html")] = t
		}
	}
	return nil
}

// functions are those that templates call.
func functions(version string) template.FuncMap {
	return template.FuncMap{
		"asset":    func(name string) string { return Prefix + "/assets/" + version + "/" + name },
		"duration": pipeline.Duration,
		"iso":      func(t time.Time) string { return t.UTC().Format(eventsourcing.RecordedAtLayout) },
		"spark":    spark,
		"rate":     rate,
		"streamAt": streamAt,
		"of":       of,
	}
}

// policy lets a page have what this server sends and nothing else: no script or style in the page itself, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// head is what every page tells the layout.
type head struct {
	Title string
	// Here is the part of the console that the page belongs to.
	Here string
}

// show renders a page, or a part of it that a script has asked for.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, page, part string, data any) {
	if part == "" || r.Header.Get("Hx-Request") == "" {
		part = "layout"
	}
	text, err := p.render(page, part, data)
	if err != nil {
		p.Logger.ErrorContext(r.Context(), "page could not be rendered", slog.String("route", page), slog.Any(telemetry.KeyError, err))
		http.Error(w, "This page is broken: the log of the console has the reason.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Vary", "Hx-Request")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the reader may have gone
}

func (p *pages) render(page, part string, data any) ([]byte, error) {
	var text bytes.Buffer
	err := p.templates[page].ExecuteTemplate(&text, part, data)
	return text.Bytes(), err
}

// failure is a page that says what went wrong.
type failure struct {
	head

	Text, Detail string
}

func (p *pages) fail(w http.ResponseWriter, r *http.Request, status int, text, detail string) {
	p.show(w, r, status, "failure", "", failure{head{text, ""}, text, detail})
}

// streamAt is the page of a stream at a version; 0: at the last one.
func streamAt(stream string, version eventsourcing.Version) string {
	at := Prefix + "/streams/" + stream
	if version > 0 {
		at += "?at=" + number(version)
	}
	return at
}
