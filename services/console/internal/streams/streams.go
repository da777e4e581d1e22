// Package streams is the pages of what happened: by whom, on which day, and to an aggregate through time.
package streams

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/console/internal/page"
	"github.com/leftfold/leftfold/services/console/internal/rest"
)

//go:embed templates/*.html
var templates embed.FS

// Log is what the pages read of the log.
type Log interface {
	Read(ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
}

type pages struct {
	*page.Templates

	log Log
	api rest.API
}

// New returns the area.
func New(f *page.Frame, log Log, api rest.API) (page.Area, error) {
	t, err := f.Templates(templates, nil)
	p := &pages{t, log, api}
	return page.Area{Name: "Streams", Path: "/streams", Scope: page.ScopeRead, Routes: func(r chi.Router) {
		r.Get("/streams", p.streams)
		r.Get("/streams/*", p.stream)
	}}, err
}

// streams finds events by who caused them, or by the day.
type streams struct {
	Actor, Correlation, Day string
	Events                  []rest.Trailed
	Note                    string
}

// Asked says what the events have in common.
func (s streams) Asked() string {
	switch {
	case s.Actor != "":
		return "Caused by " + s.Actor
	case s.Correlation != "":
		return "Of correlation ID " + s.Correlation
	case s.Day != "":
		return "On " + s.Day
	default:
		return "Today"
	}
}

func (p *pages) streams(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s := streams{
		Actor: strings.TrimSpace(query.Get("actor")), Correlation: strings.TrimSpace(query.Get("correlation")),
		Day: strings.TrimSpace(query.Get("day")),
	}
	ask := url.Values{"limit": {"100"}}
	for name, value := range map[string]string{"actor": s.Actor, "correlation": s.Correlation, "day": s.Day} {
		if value != "" {
			ask.Set(name, value)
		}
	}
	status := http.StatusOK
	var err error
	if s.Events, s.Note, err = rest.Trail(r.Context(), p.api, ask); err != nil {
		status, s.Note = http.StatusServiceUnavailable, "The audit trail cannot be read right now: "+err.Error()
	}
	p.Show(w, r, status, "streams", "found", "Streams", s)
}

// stream is an aggregate at one of its versions.
type stream struct {
	Stream string
	At     eventsourcing.Version
	Last   eventsourcing.Version
	Events []recorded
	// State and Row are what decisions and readers see at that version.
	State, Row []page.Field
	Note       string
	// Known: commands are for it.
	Known bool
	// RowNote says why there is no row.
	RowNote string
	// Held is what is unique or shared by that state.
	Held []string
	// Needs is the scope that the reader lacks to see what the events say.
	Needs string
}

// Before and Next are the versions around the one that is shown.
func (s stream) Before() eventsourcing.Version { return s.At - 1 }
func (s stream) Next() eventsourcing.Version   { return s.At + 1 }

// recorded is an event of the stream.
type recorded struct {
	Version       eventsourcing.Version
	Fact          string
	At            time.Time
	Actor         string
	CorrelationID string
	Data          string
	Here          bool
}

// shownEvents bounds the events in one page; the slider reaches all.
const shownEvents = 200

func (p *pages) stream(w http.ResponseWriter, r *http.Request) {
	id, err := eventsourcing.ParseStreamID(chi.URLParam(r, "*"))
	if err != nil {
		p.Fail(w, r, http.StatusNotFound, "That is no stream", "Want one such as org/iam/user/0192…")
		return
	}
	at, err := strconv.ParseUint(r.URL.Query().Get("at"), 10, 64)
	if err != nil {
		at = 0
	}
	s := stream{Stream: id.String(), At: eventsourcing.Version(at)}
	if !auth.May(r.Context(), history.DataScope) {
		s.Needs = history.DataScope
	}
	if err := p.travel(r.Context(), id, &s); err != nil {
		p.Fail(w, r, http.StatusServiceUnavailable, "The log cannot be read right now", err.Error())
		return
	}
	if s.Last == 0 {
		p.Fail(w, r, http.StatusNotFound, "The log has no such stream", id.String()+" has no event.")
		return
	}
	p.Show(w, r, http.StatusOK, "stream", "travel", path.Base(id.Category)+" "+id.ID, s)
}

// travel fills in the stream at its version.
func (p *pages) travel(ctx context.Context, id eventsourcing.StreamID, s *stream) error {
	var records []eventsourcing.Record
	for rec, err := range p.log.Read(ctx, id, 0) {
		if errors.Is(err, eventsourcing.ErrLogHole) {
			s.Note = "The log lacks an event of this stream: " + err.Error()
			break
		}
		if err != nil {
			return err
		}
		records = append(records, rec)
	}
	s.Last = eventsourcing.Version(len(records))
	if s.At == 0 || s.At > s.Last {
		s.At = s.Last
	}
	if s.Last == 0 {
		return nil
	}
	upTo := len(records)
	for upTo > 0 && records[upTo-1].Version > s.At {
		upTo--
	}
	first := max(0, min(upTo-shownEvents/2, len(records)-shownEvents))
	for _, rec := range records[first:min(len(records), first+shownEvents)] {
		s.Events = append(s.Events, recorded{
			Version: rec.Version, Fact: path.Base(rec.Name), At: rec.RecordedAt, Actor: rec.Metadata.Actor,
			CorrelationID: rec.Metadata.CorrelationID, Data: page.Mask(ctx, string(rec.Data)), Here: rec.Version == s.At,
		})
	}
	slices.Reverse(s.Events) // the newest first
	s.state(ctx, id, records[:upTo])
	return p.row(ctx, id, s)
}

// state folds the records, with and without the last.
func (s *stream) state(ctx context.Context, id eventsourcing.StreamID, records []eventsourcing.Record) {
	i := slices.IndexFunc(aggregates.All(), func(a aggregates.Aggregate) bool { return a.Category == id.Category })
	if i < 0 {
		s.Note = "This console knows the events of users and roles alone; those of other streams it shows as they are."
		return
	}
	s.Known = true
	a := aggregates.All()[i]
	now, err := a.State(records)
	if err != nil {
		s.Note = "This build cannot fold the stream: " + page.Mask(ctx, err.Error())
		return
	}
	before, _ := a.State(records[:len(records)-1]) // a prefix of what can be folded
	s.State = page.Fields(ctx, before, now)
	claims, _ := a.Claims(records) // as above
	for _, c := range claims {
		s.Held = append(s.Held, "holds "+c.Constraint())
	}
	shares, _ := a.Shares(id, records)
	for _, share := range shares {
		s.Held = append(s.Held, fmt.Sprintf("counts %d in %s of %s", share.Amount, share.Counter, share.Scope.Key()))
	}
}

// row asks the read model what it showed at that version.
func (p *pages) row(ctx context.Context, id eventsourcing.StreamID, s *stream) error {
	collection := map[string]string{"user": "users", "role": "roles"}[path.Base(id.Category)]
	if collection == "" {
		return nil
	}
	read := func(at eventsourcing.Version) []byte {
		if at == 0 {
			return nil
		}
		answer, err := p.api.Send(ctx, rest.Get(fmt.Sprintf("/%s/%s?as_of=%d", collection, url.PathEscape(id.ID), at)))
		switch {
		case err != nil:
			s.RowNote = "The read model does not answer for this version."
			return nil
		case !answer.OK():
			s.RowNote = "The read model does not show this version: " + answer.Problem().Detail + "."
			return nil
		}
		return answer.Body
	}
	if now := read(s.At); now != nil {
		s.Row = page.Fields(ctx, read(s.At-1), now)
	}
	return nil
}
