// Package page is the frame of the console's pages: their layout, assets and policy. Pages are rendered here, kept alive by htmx, and
// useful without any script.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/auth/login"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/services/console/internal/pipeline"
)

// Prefix is where all pages are.
const Prefix = "/console"

// Scopes of the console itself: to see what it reads from the log, leases and admin addresses, and to act by it on the services.
const (
	ScopeRead    = "console:read"
	ScopeOperate = "console:operate"
)

// Scopes are all that a page can use, of the console and of the REST API.
func Scopes() []string {
	return []string{
		ScopeRead, ScopeOperate, "users:read", "users:write", "roles:read", "roles:write", history.ReadScope, history.DataScope, "audit:read",
	}
}

var (
	//go:embed templates/*.html
	templates embed.FS

	//go:embed assets
	assets embed.FS
)

// Area is a part of the console, with an entry in the navigation.
type Area struct {
	Name string
	// Path is that of its first page, below Prefix; "/" is the console's own.
	Path string
	// Scope is what a reader has to have for any page of it; "" is nothing.
	Scope string
	// Routes adds its pages to a router that begins at Prefix.
	Routes func(chi.Router)
}

// At is the address of the area's first page.
func (a Area) At() string { return strings.TrimSuffix(Prefix+a.Path, "/") }

// Config says what all pages have in common.
type Config struct {
	// Admit puts who reads into the context of each request, as auth.With does, or answers it itself.
	Admit func(http.Handler) http.Handler
	// Open adds pages for those who are not admitted yet to a router that begins at Prefix. Nil: there are none.
	Open   func(chi.Router)
	Logger *slog.Logger
}

// Frame is around all pages.
type Frame struct {
	Config

	version string // of the assets
	areas   []Area
	own     *Templates
}

// New returns a frame without any area.
func New(c Config) (*Frame, error) {
	f := &Frame{Config: c}
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
		return nil, err
	}
	f.version = hex.EncodeToString(hash.Sum(nil))[:12]
	f.own, err = f.Templates(templates, nil)
	return f, err
}

// Register adds the areas to a router, in the order of the navigation.
func (f *Frame) Register(r chi.Router, areas ...Area) error {
	f.areas = areas
	static, err := fs.Sub(assets, "assets")
	if err != nil {
		return err
	}
	fromOthers := http.NewCrossOriginProtection()
	fromOthers.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.own.Fail(w, r, http.StatusForbidden, "That was not sent by this console",
			"Another site may have tried it in your name. Nothing was done.")
	}))
	r.Route(Prefix, func(r chi.Router) {
		r.Get("/assets/"+f.version+"/*", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // another build has another version
			http.StripPrefix(Prefix+"/assets/"+f.version, http.FileServerFS(static)).ServeHTTP(w, r)
		})
		r = r.With(fromOthers.Handler)
		if f.Open != nil {
			f.Open(r)
		}
		r.Group(func(r chi.Router) {
			r.Use(f.Admit)
			for _, a := range areas {
				a.Routes(r.With(f.own.Needs(a.Scope, "This part is not for everyone")))
			}
			r.Get("/*", func(w http.ResponseWriter, r *http.Request) {
				f.own.Fail(w, r, http.StatusNotFound, "There is no such page", "")
			})
		})
	})
	return nil
}

// Needs refuses readers who lack the scope, if it names one, with a page of that title.
func (t *Templates) Needs(scope, otherwise string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if scope != "" && !auth.May(r.Context(), scope) {
				t.Fail(w, r, http.StatusForbidden, otherwise, "It takes a token with the scope "+scope+".")
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Templates are the pages of an area.
type Templates struct {
	frame *Frame
	pages map[string]*template.Template
}

// Templates parses templates/*.html of the files. Each is a page by its name without the ending and defines "content". All may use the
// templates "time", "events" and "fields", the functions of the frame, and more of their own.
func (f *Frame) Templates(files fs.FS, more template.FuncMap) (*Templates, error) {
	t := &Templates{f, map[string]*template.Template{}}
	functions := f.functions()
	maps.Copy(functions, more)
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		base := path.Base(name)
		p, err := template.New(base).Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/shared.html")
		if err == nil {
			p, err = p.ParseFS(files, name)
		}
		if err != nil {
			return nil, err
		}
		t.pages[strings.TrimSuffix(base, ".html")] = p
	}
	return t, nil
}

func (f *Frame) functions() template.FuncMap {
	return template.FuncMap{
		"asset":    func(name string) string { return Prefix + "/assets/" + f.version + "/" + name },
		"duration": pipeline.Duration,
		"iso":      func(t time.Time) string { return t.UTC().Format(eventsourcing.RecordedAtLayout) },
		"streamAt": StreamAt, "pageOf": pageOf,
	}
}

// policy lets a page have what this server sends and nothing else: no script or style in the page itself, no frame around it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// layout is what the layout shows.
type layout struct {
	Title string
	Areas []Area
	// Here is the area that the page belongs to.
	Here string
	// Reader is who is signed in.
	Reader string
	// Finds is whether the reader may look for events.
	Finds bool
	Page  any
}

// Show answers with a page that shows the data, or with that one of its templates which is named part, if a script has asked for it.
func (t *Templates) Show(w http.ResponseWriter, r *http.Request, status int, page, part, title string, data any) {
	if part == "" || r.Header.Get("Hx-Request") == "" {
		part, data = "layout", layout{title, t.frame.open(r), t.frame.here(r), t.frame.reader(r), auth.May(r.Context(), ScopeRead), data}
	}
	text, err := t.Render(page, part, data)
	if err != nil {
		t.frame.Logger.ErrorContext(r.Context(), "page could not be rendered", slog.String("route", page), slog.Any(telemetry.KeyError, err))
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

// Render returns a template of a page.
func (t *Templates) Render(page, part string, data any) ([]byte, error) {
	var text bytes.Buffer
	err := t.pages[page].ExecuteTemplate(&text, part, data)
	return text.Bytes(), err
}

// Fail answers with a page that says what went wrong.
func (t *Templates) Fail(w http.ResponseWriter, r *http.Request, status int, text, detail string) {
	t.frame.Notice(w, r, status, login.Notice{Title: text, Text: detail, Links: []login.Link{{Address: Prefix, Name: "Back to the overview"}}})
}

// Notice answers with a page that says something and leads on.
func (f *Frame) Notice(w http.ResponseWriter, r *http.Request, status int, n login.Notice) {
	f.own.Show(w, r, status, "notice", "", n.Title, n)
}

// reader is who has signed in, and can sign out.
func (f *Frame) reader(r *http.Request) string {
	if who := auth.Of(r.Context()).Subject; f.Open != nil && who != auth.Anonymous {
		return who
	}
	return ""
}

// open are the areas that the reader may see: none before a sign-in.
func (f *Frame) open(r *http.Request) (all []Area) {
	if f.Open != nil && f.reader(r) == "" {
		return nil
	}
	for _, a := range f.areas {
		if a.Scope == "" || auth.May(r.Context(), a.Scope) {
			all = append(all, a)
		}
	}
	return all
}

// here is the name of the area that the request is for.
func (f *Frame) here(r *http.Request) string {
	at := strings.TrimSuffix(r.URL.Path, "/")
	for _, a := range f.areas {
		if at == a.At() || a.Path != "/" && strings.HasPrefix(at, a.At()+"/") {
			return a.Name
		}
	}
	return ""
}

// pageOf is the page of the user or the role that a stream is of; "" if it is of neither.
func pageOf(stream string) string {
	id, err := eventsourcing.ParseStreamID(stream)
	switch {
	case err == nil && id.Category == user.Category:
		return Prefix + "/users/" + id.ID
	case err == nil && id.Category == role.Category:
		return Prefix + "/roles/" + id.ID
	default:
		return ""
	}
}

// StreamAt is the page of a stream at a version; 0: at the last one.
func StreamAt(stream string, version eventsourcing.Version) string {
	at := Prefix + "/streams/" + stream
	if version > 0 {
		at += "?at=" + strconv.FormatUint(uint64(version), 10)
	}
	return at
}
