// Package journey is the page that shows where an event is, and where it waits.
package journey

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/whereabouts"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

//go:embed templates/*.html
var templates embed.FS

// Log is what the page reads of the log.
type Log interface {
	// Last returns the version of the stream's last event; 0 if it has none.
	Last(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error)
}

// Config is where the page looks.
type Config struct {
	Log Log
	// Find returns where an event is, stop by stop; it asks the services what they remember.
	Find func(ctx context.Context, stream eventsourcing.StreamID, version eventsourcing.Version, on func(whereabouts.Stop)) (bool, error)
	// Locate returns the event that has an id, as far as a service remembers it.
	Locate func(ctx context.Context, id string) (stream eventsourcing.StreamID, version eventsourcing.Version, found bool, err error)
	API    rest.API
}

type pages struct {
	*page.Templates
	Config
}

// New returns the area.
func New(f *page.Frame, c Config) (page.Area, error) {
	t, err := f.Templates(templates, nil)
	p := &pages{t, c}
	return page.Area{Name: "Journey", Path: "/journey", Scope: page.ScopeRead, Routes: func(r chi.Router) {
		r.Get("/journey", p.journey)
		r.Get("/journey/newer", p.newer)
	}}, err
}

// journey is the way of one event, or what a search has found.
type journey struct {
	Asked string
	// Note says why nothing is shown.
	Note string
	// Unknown: nothing is known by what is asked for.
	Unknown bool
	// Found are events to choose from.
	Found []rest.Trailed

	Stream  string
	Version eventsourcing.Version
	Last    eventsourcing.Version
	Arrived bool
	// Again: the page has looked again by itself.
	Again bool
	Took  time.Duration
	Stops []stop
}

// Before and Next are the versions around the one that is shown.
func (j journey) Before() eventsourcing.Version { return j.Version - 1 }
func (j journey) Next() eventsourcing.Version   { return j.Version + 1 }

// stop is a stop of the journey as it is shown.
type stop struct {
	whereabouts.Stop

	// Wrong: the event waits here, or is gone.
	Wrong bool
	// After is the time since the event was recorded; Timed is false where no time is known.
	After time.Duration
	Timed bool
	Bar   bar
}

func (p *pages) journey(w http.ResponseWriter, r *http.Request) {
	j := journey{Asked: strings.TrimSpace(r.URL.Query().Get("of")), Again: r.Header.Get("Hx-Trigger") == "again"}
	status, title := http.StatusOK, "Journey"
	if j.Asked != "" {
		if err := p.follow(r.Context(), &j); err != nil {
			status, j.Note = http.StatusServiceUnavailable, "It cannot be told right now: "+err.Error()
		}
	}
	if j.Stream != "" {
		title = fmt.Sprintf("Journey of version %d", j.Version)
	}
	p.Show(w, r, status, "journey", "journey", title, j)
}

// newer is what a page that shows a stream up to a version says if the log has more.
type newer struct {
	Stream        string
	Version, Last eventsourcing.Version
}

func (p *pages) newer(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	stream, err := eventsourcing.ParseStreamID(query.Get("of"))
	version, unread := strconv.ParseUint(query.Get("than"), 10, 64)
	if err := errors.Join(err, unread); err != nil {
		p.Fail(w, r, http.StatusNotFound, "That is no version of a stream", err.Error())
		return
	}
	shown := newer{Stream: stream.String(), Version: eventsourcing.Version(version)}
	if shown.Last, err = p.Log.Last(r.Context(), stream); err != nil {
		shown.Last = 0 // the page shows what it can
	}
	p.Show(w, r, http.StatusOK, "newer", "newer", "Newer events", shown)
}

// follow fills in the way of the event that is asked for.
func (p *pages) follow(ctx context.Context, j *journey) error {
	stream, version, err := p.locate(ctx, j)
	if err != nil || stream == (eventsourcing.StreamID{}) {
		return err
	}
	if j.Last, err = p.Log.Last(ctx, stream); err != nil {
		return err
	}
	if version == 0 {
		version = j.Last
	}
	if j.Last == 0 {
		j.Note = "The log has no event of " + stream.String() + "."
		return nil
	}
	j.Stream, j.Version = stream.String(), version
	var stops []whereabouts.Stop
	j.Arrived, err = p.Find(ctx, stream, version, func(s whereabouts.Stop) { stops = append(stops, s) })
	if errors.Is(err, dynamostore.ErrNoItem) {
		j.Note = fmt.Sprintf("The log has no version %d of %s; the last one is %d.", version, stream, j.Last)
		j.Stream = ""
		return nil
	}
	j.Stops, j.Took = timed(stops)
	return err
}

// timed places the stops in time, from the recording of the event to the last thing that is known.
func timed(stops []whereabouts.Stop) (all []stop, took time.Duration) {
	var begin, end time.Time
	for _, s := range stops {
		if s.At == nil {
			continue
		}
		if begin.IsZero() || s.At.Before(begin) {
			begin = *s.At
		}
		if s.At.After(end) {
			end = *s.At
		}
	}
	before := begin
	for _, s := range stops {
		one := stop{Stop: s, Wrong: s.Waits != "" || s.Place == "set-aside" || s.State == "parked" || s.State == "unknown"}
		if s.At != nil {
			from := before
			if s.At.Before(from) {
				from = *s.At
			}
			one.Timed, one.After, one.Bar = true, s.At.Sub(begin), barOf(begin, end, from, *s.At)
			before = *s.At
		}
		all = append(all, one)
	}
	return all, end.Sub(begin)
}

// locate finds the event that a text names: a stream with or without a version, a user or a role by its id, an event by its own, or all
// events of a correlation ID. The zero stream: the journey says what was found instead.
func (p *pages) locate(ctx context.Context, j *journey) (stream eventsourcing.StreamID, version eventsourcing.Version, err error) {
	text, numbered, _ := strings.Cut(j.Asked, "#")
	if numbered != "" {
		v, err := strconv.ParseUint(numbered, 10, 64)
		if err != nil || v == 0 {
			j.Note = "After # belongs a version, from 1 on."
			return stream, 0, nil //nolint:nilerr // the page says it
		}
		version = eventsourcing.Version(v)
	}
	if strings.Contains(text, "/") {
		stream, err = eventsourcing.ParseStreamID(text)
		if err != nil {
			j.Note = "That is no stream: want one such as org/iam/user/0192…"
			return eventsourcing.StreamID{}, 0, nil //nolint:nilerr // the page says it
		}
		return stream, version, nil
	}
	if id, err := uuid.Parse(text); err == nil {
		for _, a := range aggregates.All() {
			stream := eventsourcing.StreamID{Category: a.Category, ID: id.String()}
			if last, err := p.Log.Last(ctx, stream); err != nil || last > 0 {
				return stream, version, err
			}
		}
	}
	at, v, isEvent, err := p.Locate(ctx, text)
	if err != nil || isEvent {
		return at, v, err
	}
	found, err := rest.Trail(ctx, p.API, url.Values{"correlation": {text}})
	j.Found = found.Events // what is refused is none
	if err == nil && len(j.Found) == 0 {
		j.Unknown = true
		j.Note = "Nothing is known by that id: no user and no role has it, no service remembers an event with it " +
			"(each the last 10,000 steps since its start), and the audit trail has no event of this correlation ID."
	}
	return stream, 0, err
}

// bar is where a span of time lies within a longer one, in percent of it.
type bar struct{ From, Width float64 }

func barOf(begin, end, from, to time.Time) bar {
	whole := end.Sub(begin).Seconds()
	if whole <= 0 {
		return bar{0, minBar}
	}
	b := bar{from.Sub(begin).Seconds() / whole * 100, to.Sub(from).Seconds() / whole * 100}
	b.Width = max(b.Width, minBar)
	b.From = min(max(0, b.From), 100-b.Width)
	return b
}

// minBar is the least width that can be seen, in percent.
const minBar = 0.6
