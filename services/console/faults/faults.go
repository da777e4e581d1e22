// Package faults is the part of the console in which one breaks a system and watches it heal. The console's own service does not have it:
// only a process that brings its own AWS hands such a system to the console.
package faults

import (
	"context"
	"embed"
	"net/http"
	"slices"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/services/console/internal/page"
)

//go:embed templates/*.html
var templates embed.FS

// System is one that can be broken. It is safe for concurrent use.
type System interface {
	// Ways are those in which it can be broken.
	Ways() []Way
	// Break breaks it in the way of that name. The error says why that cannot be.
	Break(ctx context.Context, way string) error
	// End ends all faults.
	End() error
	// Play begins to play a story on it, and does nothing while one is played.
	Play()
	// State is how it does.
	State(ctx context.Context) State
}

// Way is a way to break a system.
type Way struct {
	// Name is a part of an address.
	Name  string
	Title string
	// Does says what it does, and Watch what comes of it.
	Does, Watch string
	// Until is when it ends by itself; zero if it is not under way.
	Until time.Time
	// Strikes are how many calls it has struck since it was begun.
	Strikes int64
}

// State counts the events of a system.
type State struct {
	Models []Model
	// Note says why its events are not counted.
	Note string
	// Story is what has been told of the last one.
	Story string
	// Playing: it goes on. Broken: a promise did not hold.
	Playing, Broken bool
}

// Model is a read model: it is to show All events of the log, and shows so many of them.
type Model struct {
	Name       string
	Shown, All eventsourcing.Version
}

// Most is the largest number that it can show, and not 0.
func (m Model) Most() eventsourcing.Version { return max(1, m.All) }

// Missing are the events that some read model does not show.
func (s State) Missing() (missing eventsourcing.Version) {
	for _, m := range s.Models {
		missing = max(missing, m.All-min(m.Shown, m.All))
	}
	return missing
}

// Area returns what makes the area of a frame.
func Area(system System) func(*page.Frame) (page.Area, error) {
	return func(f *page.Frame) (page.Area, error) {
		t, err := f.Templates(templates, nil)
		p := pages{t, system}
		return page.Area{Name: "Break it", Path: "/faults", Scope: page.ScopeOperate, Routes: func(r chi.Router) {
			r.Get("/faults", func(w http.ResponseWriter, r *http.Request) {
				p.show(w, r, http.StatusOK, r.URL.Query().Get("done"), nil)
			})
			r.Get("/faults/state", p.state)
			r.Post("/faults/begin/{way}", p.begin)
			r.Post("/faults/end", p.end)
			r.Post("/faults/story", p.story)
		}}, err
	}
}

type pages struct {
	*page.Templates

	system System
}

// breaking is the page.
type breaking struct {
	Ways []Way
	// Done is the way that was begun, and Refused the one that was not, and why.
	Done    string
	Refused refusal
	strip
}

type refusal struct {
	Way  string
	Text string
}

// strip is the part of the page that is alive.
type strip struct {
	State

	Lasting []Way
}

func (p pages) stripOf(ctx context.Context, ways []Way) strip {
	return strip{p.system.State(ctx), slices.DeleteFunc(slices.Clone(ways), func(w Way) bool { return w.Until.IsZero() })}
}

func (p pages) show(w http.ResponseWriter, r *http.Request, status int, begun string, refused error) {
	shown := breaking{Ways: p.system.Ways()}
	shown.strip = p.stripOf(r.Context(), shown.Ways)
	if refused != nil {
		shown.Refused = refusal{chi.URLParam(r, "way"), refused.Error()}
	}
	for _, way := range shown.Ways {
		if way.Name == begun {
			shown.Done = way.Title
		}
	}
	p.Show(w, r, status, "faults", "", "Break it", shown)
}

// state is the strip alone, as a script asks for it.
func (p pages) state(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Hx-Request") == "" {
		http.Redirect(w, r, at, http.StatusSeeOther)
		return
	}
	p.Show(w, r, http.StatusOK, "faults", "strip", "", p.stripOf(r.Context(), p.system.Ways()))
}

// at is the address of the page.
const at = page.Prefix + "/faults"

func (p pages) begin(w http.ResponseWriter, r *http.Request) {
	ways := p.system.Ways()
	i := slices.IndexFunc(ways, func(w Way) bool { return w.Name == chi.URLParam(r, "way") })
	if i < 0 {
		p.Fail(w, r, http.StatusNotFound, "There is no such fault", "")
		return
	}
	if err := p.system.Break(r.Context(), ways[i].Name); err != nil {
		p.show(w, r, http.StatusConflict, "", err)
		return
	}
	http.Redirect(w, r, at+"?done="+ways[i].Name, http.StatusSeeOther)
}

func (p pages) end(w http.ResponseWriter, r *http.Request) {
	if err := p.system.End(); err != nil {
		p.Fail(w, r, http.StatusInternalServerError, "The faults could not be ended", err.Error())
		return
	}
	http.Redirect(w, r, at, http.StatusSeeOther)
}

func (p pages) story(w http.ResponseWriter, r *http.Request) {
	p.system.Play()
	http.Redirect(w, r, at, http.StatusSeeOther)
}
