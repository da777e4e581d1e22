package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/whereabouts"
)

func number(v eventsourcing.Version) string { return strconv.FormatUint(uint64(v), 10) }

// journey is the way of one event, or what a search has found.
type journey struct {
	head

	Asked string
	// Note says why nothing is shown.
	Note string
	// Found are events to choose from.
	Found []trailed

	Stream  string
	Version eventsourcing.Version
	Last    eventsourcing.Version
	Arrived bool
	Took    time.Duration
	Stops   []stop
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
	j := journey{head: head{"Journey", "journey"}, Asked: strings.TrimSpace(r.URL.Query().Get("of"))}
	status := http.StatusOK
	if j.Asked != "" {
		if err := p.follow(r.Context(), &j); err != nil {
			status, j.Note = http.StatusServiceUnavailable, "It cannot be told right now: "+err.Error()
		}
	}
	p.show(w, r, status, "journey", "journey", j)
}

// follow fills in the way of the event that is asked for.
func (p *pages) follow(ctx context.Context, j *journey) error {
	stream, version, err := p.locate(ctx, j)
	if err != nil || stream == (eventsourcing.StreamID{}) {
		return err
	}
	for rec, err := range p.Log.Read(ctx, stream, 0) {
		if err != nil && !errors.Is(err, eventsourcing.ErrLogHole) {
			return err
		}
		j.Last = max(j.Last, rec.Version)
	}
	if version == 0 {
		version = j.Last
	}
	if j.Last == 0 {
		j.Note = "The log has no event of " + stream.String() + "."
		return nil
	}
	j.Stream, j.Version = stream.String(), version
	j.Title = fmt.Sprintf("Journey of version %d", version)
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
		one := stop{Stop: s, Wrong: s.State == "does not show it" || s.Place == "set-aside" || s.State == "parked" || s.State == "unknown"}
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
			if exists, err := p.exists(ctx, stream); err != nil || exists {
				return stream, version, err
			}
		}
	}
	at, v, isEvent, err := p.Locate(ctx, text)
	if err != nil || isEvent {
		return at, v, err
	}
	j.Found, _, err = p.trail(ctx, url.Values{"correlation": {text}}) // what is refused is none
	if err == nil && len(j.Found) == 0 {
		j.Note = "Nothing is known by that name: no user and no role has this id, no service remembers an event with it " +
			"(each the last 10,000 steps since its start), and the audit trail has no event of this correlation ID."
	}
	return stream, 0, err
}

func (p *pages) exists(ctx context.Context, stream eventsourcing.StreamID) (bool, error) {
	for _, err := range p.Log.Read(ctx, stream, 0) {
		return err == nil || errors.Is(err, eventsourcing.ErrLogHole), ignoreHole(err)
	}
	return false, nil
}

func ignoreHole(err error) error {
	if errors.Is(err, eventsourcing.ErrLogHole) {
		return nil
	}
	return err
}

// trailed is an event as the audit trail shows it.
type trailed struct {
	ID            string                `json:"id"`
	Name          string                `json:"name"`
	Aggregate     string                `json:"aggregate"`
	AggregateID   string                `json:"aggregateId"`
	Version       eventsourcing.Version `json:"version"`
	RecordedAt    time.Time             `json:"recordedAt"`
	Actor         string                `json:"actor"`
	CorrelationID string                `json:"correlationId"`
}

// Stream is the event's stream.
func (t trailed) Stream() string { return t.Aggregate + "/" + t.AggregateID }

// Fact is what happened, without the category.
func (t trailed) Fact() string { return path.Base(t.Name) }

// trail asks the audit trail. refused says why it will not answer that.
func (p *pages) trail(ctx context.Context, query url.Values) (events []trailed, refused string, err error) {
	status, body, err := p.API(ctx, "/events?"+query.Encode())
	if err != nil {
		return nil, "", err
	}
	if status == http.StatusOK {
		return events, "", json.Unmarshal(body, &events)
	}
	var problem struct {
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil && status < http.StatusInternalServerError {
		return nil, problem.Detail, nil
	}
	return nil, "", fmt.Errorf("the audit trail answers %d", status)
}
