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
	"sync"
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
	// Last returns the version of the stream's last event; 0 if it has none.
	Last(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error)
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

// stream is an aggregate at one of its versions.
type stream struct {
	Stream string
	// When is the time that the reader asks for, as its field has it. Empty: none.
	When   string
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

// Kind is what the stream is of, such as user.
func (s stream) Kind() string { return path.Base(path.Dir(s.Stream)) }

// Here is the event of the version that is shown; nil: the page has none.
func (s stream) Here() *recorded {
	if i := slices.IndexFunc(s.Events, func(e recorded) bool { return e.Here }); i >= 0 {
		return &s.Events[i]
	}
	return nil
}

// recorded is an event of the stream.
type recorded struct {
	Version       eventsourcing.Version
	Fact          string
	At            time.Time
	Actor         string
	CorrelationID string
	// CausedBy is the event that a process reacted to.
	CausedBy string
	Data     string
	Here     bool
}

// shownEvents bounds the events in one page; the slider reaches all.
const shownEvents = 200

// at moves the stream to a version, or to its last one.
func (s *stream) at(version, last eventsourcing.Version) {
	s.Last, s.At = last, version
	if version == 0 || version > last {
		s.At = last
	}
}

// window is which events are shown: those after the first number up to the second.
func (s *stream) window() (after, to int) {
	at, last := int(s.At), int(s.Last) //nolint:gosec // a stream has fewer events
	after = max(0, min(at-shownEvents/2, last-shownEvents))
	return after, min(last, after+shownEvents)
}

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
	err = p.goTo(r.Context(), id, &s, r.URL.Query().Get("when"))
	if err == nil {
		err = p.travel(r.Context(), id, &s)
	}
	if err != nil {
		p.Fail(w, r, http.StatusServiceUnavailable, "The log cannot be read right now", err.Error())
		return
	}
	if s.Last == 0 {
		p.Fail(w, r, http.StatusNotFound, "The log has no such stream", id.String()+" has no event.")
		return
	}
	p.Show(w, r, http.StatusOK, "stream", "travel", s.Kind()+" "+id.ID, s)
}

// goTo moves the stream to what it was at a time, if one is asked for.
func (p *pages) goTo(ctx context.Context, id eventsourcing.StreamID, s *stream, text string) error {
	when, ok := page.ParseInstant(text)
	switch {
	case text == "":
		return nil
	case !ok:
		s.Note = "Want a day and a time, such as 2030-01-31T18:00."
		return nil
	}
	s.When, s.At = page.Instant(when), 0
	for rec, err := range p.log.Read(ctx, id, 0) {
		if errors.Is(err, eventsourcing.ErrLogHole) { // travel says so
			break
		}
		if err != nil {
			return err
		}
		if rec.RecordedAt.Truncate(time.Second).After(when) { // a field has no parts of a second
			break
		}
		s.At = rec.Version
	}
	if s.At == 0 {
		s.Note, s.At = "At that time it did not exist: this is how it began.", 1
	}
	return nil
}

// travel fills in the stream at its version.
func (p *pages) travel(ctx context.Context, id eventsourcing.StreamID, s *stream) error {
	last, err := p.log.Last(ctx, id)
	if err != nil {
		return err
	}
	s.at(s.At, last)
	after, to := s.window()
	var records []eventsourcing.Record // up to the last that is shown: what comes later makes no difference
	for rec, err := range p.log.Read(ctx, id, 0) {
		if errors.Is(err, eventsourcing.ErrLogHole) {
			s.Note = "The log lacks an event of this stream: " + err.Error()
			break
		}
		if err != nil {
			return err
		}
		if records = append(records, rec); len(records) == to {
			break
		}
	}
	if len(records) < to {
		s.at(s.At, eventsourcing.Version(len(records)))
		after, to = s.window()
	}
	if s.Last == 0 {
		return nil
	}
	for _, rec := range records[after:to] {
		e := recorded{
			Version: rec.Version, Fact: path.Base(rec.Name), At: rec.RecordedAt, Actor: rec.Metadata.Actor,
			CorrelationID: rec.Metadata.CorrelationID, Data: page.Mask(ctx, string(rec.Data)), Here: rec.Version == s.At,
		}
		if isProcess(id.Category) {
			e.CausedBy = rec.Metadata.CausationID
		}
		s.Events = append(s.Events, e)
	}
	slices.Reverse(s.Events) // the newest first
	s.state(ctx, id, records[:s.At])
	p.row(ctx, id, s)
	return nil
}

// isProcess reports whether streams of the category are those of a process, whose events name the event that it heard as their cause; of
// all others the cause is a command.
func isProcess(category string) bool {
	return slices.ContainsFunc(aggregates.Streams(), func(a aggregates.Aggregate) bool { return a.Process && a.Category == category })
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

// row asks the read model what it showed at that version and at the one before, at once.
func (p *pages) row(ctx context.Context, id eventsourcing.StreamID, s *stream) {
	collection := rest.Collection(id.Category)
	if collection == "" {
		return
	}
	var (
		now, before []byte
		asked       sync.WaitGroup
	)
	asked.Go(func() { now, s.RowNote = p.asOf(ctx, collection, id.ID, s.At) })
	if s.At > 1 {
		asked.Go(func() { before, _ = p.asOf(ctx, collection, id.ID, s.At-1) })
	}
	asked.Wait()
	s.Row = page.Fields(ctx, before, now)
}

// asOf is what the read model showed at a version; if it does not say, note says why.
func (p *pages) asOf(ctx context.Context, collection, id string, at eventsourcing.Version) (row []byte, note string) {
	answer, err := p.api.Send(ctx, rest.Get(fmt.Sprintf("/%s/%s?as_of=%d", collection, url.PathEscape(id), at)))
	switch {
	case err != nil:
		return nil, "The read model does not answer for this version."
	case !answer.OK():
		return nil, "The read model does not show this version: " + answer.Problem().Detail + "."
	default:
		return answer.Body, ""
	}
}
