package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
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
)

// streams finds events by who caused them, or by the day.
type streams struct {
	head

	Actor, Correlation, Day string
	Events                  []trailed
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
		head:  head{"Streams", "streams"},
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
	if s.Events, s.Note, err = p.trail(r.Context(), ask); err != nil {
		status, s.Note = http.StatusServiceUnavailable, "The audit trail cannot be read right now: "+err.Error()
	}
	p.show(w, r, status, "streams", "found", s)
}

// stream is an aggregate at one of its versions.
type stream struct {
	head

	Stream string
	At     eventsourcing.Version
	Last   eventsourcing.Version
	Events []recorded
	// State and Row are what decisions and readers see at that version.
	State, Row []field
	Note       string
	// RowNote says why there is no row.
	RowNote string
	// Held is what is unique or shared by that state.
	Held []string
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

// field is a part of a state, and whether the last event changed it.
type field struct {
	Name, Value string
	Was         string
	Changed     bool
}

// shownEvents bounds the events in one page; the slider reaches all.
const shownEvents = 200

func (p *pages) stream(w http.ResponseWriter, r *http.Request) {
	id, err := eventsourcing.ParseStreamID(chi.URLParam(r, "*"))
	if err != nil {
		p.fail(w, r, http.StatusNotFound, "That is no stream", "Want one such as org/iam/user/0192…")
		return
	}
	at, err := strconv.ParseUint(r.URL.Query().Get("at"), 10, 64)
	if err != nil {
		at = 0
	}
	s := stream{head: head{path.Base(id.Category) + " " + id.ID, "streams"}, Stream: id.String(), At: eventsourcing.Version(at)}
	if err := p.travel(r.Context(), id, &s); err != nil {
		p.fail(w, r, http.StatusServiceUnavailable, "The log cannot be read right now", err.Error())
		return
	}
	if s.Last == 0 {
		p.fail(w, r, http.StatusNotFound, "The log has no such stream", id.String()+" has no event.")
		return
	}
	p.show(w, r, http.StatusOK, "stream", "travel", s)
}

// travel fills in the stream at its version.
func (p *pages) travel(ctx context.Context, id eventsourcing.StreamID, s *stream) error {
	var records []eventsourcing.Record
	for rec, err := range p.Log.Read(ctx, id, 0) {
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
			CorrelationID: rec.Metadata.CorrelationID, Data: string(rec.Data), Here: rec.Version == s.At,
		})
	}
	slices.Reverse(s.Events) // the newest first
	s.state(id, records[:upTo])
	return p.row(ctx, id, s)
}

// state folds the records, with and without the last.
func (s *stream) state(id eventsourcing.StreamID, records []eventsourcing.Record) {
	i := slices.IndexFunc(aggregates.All(), func(a aggregates.Aggregate) bool { return a.Category == id.Category })
	if i < 0 {
		s.Note = "This console knows the events of users and roles alone; those of other streams it shows as they are."
		return
	}
	a := aggregates.All()[i]
	now, err := a.State(records)
	if err != nil {
		s.Note = "This build cannot fold the stream: " + err.Error()
		return
	}
	before, _ := a.State(records[:len(records)-1]) // a prefix of what can be folded
	s.State = fields(before, now)
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
	read := func(at eventsourcing.Version) (body []byte) {
		if at == 0 {
			return nil
		}
		status, body, err := p.API(ctx, fmt.Sprintf("/%s/%s?as_of=%d", collection, url.PathEscape(id.ID), at))
		if err != nil || status != http.StatusOK {
			s.RowNote = "The read model does not answer for this version."
			return nil
		}
		return body
	}
	if now := read(s.At); now != nil {
		s.Row = fields(read(s.At-1), now)
	}
	return nil
}

// fields are the members of a JSON object, each with what it was in the one before.
func fields(before, now []byte) (all []field) {
	var was, is map[string]json.RawMessage
	_ = json.Unmarshal(before, &was) // nothing was
	if json.Unmarshal(now, &is) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		f := field{Name: name, Value: plain(is[name])}
		if old, ok := was[name]; ok {
			f.Was = plain(old)
		}
		f.Changed = f.Was != f.Value
		all = append(all, f)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, ok := is[name]; !ok {
			all = append(all, field{Name: name, Was: plain(was[name]), Changed: true})
		}
	}
	return all
}

// plain is a JSON value for people: the elements of a list are lines.
func plain(value json.RawMessage) string {
	var text string
	var list []json.RawMessage
	switch {
	case json.Unmarshal(value, &text) == nil:
		return text
	case json.Unmarshal(value, &list) == nil:
		var lines []string
		for _, each := range list {
			lines = append(lines, plain(each))
		}
		return strings.Join(lines, "\n")
	default:
		return string(value)
	}
}
