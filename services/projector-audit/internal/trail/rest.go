package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// ReadScope is the scope of the trail: it shows what everybody did.
const ReadScope = "audit:read"

// Line is an event as the trail shows it.
type Line struct {
	ID            string                `json:"id" doc:"the event's id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e60"`
	Name          string                `json:"name" doc:"what happened" example:"org/iam/user/registered"`
	Aggregate     string                `json:"aggregate" doc:"what it happened to" example:"org/iam/user"`
	AggregateID   string                `json:"aggregateId" doc:"the id of the user, role or action of an operator" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Version       eventsourcing.Version `json:"version" doc:"its number among the events of that stream, from 1" example:"1"`
	RecordedAt    time.Time             `json:"recordedAt" doc:"when it was decided, by that process's clock" example:"2026-03-01T12:00:00.007Z"`
	Actor         string                `json:"actor,omitempty" doc:"the subject of the token by which it was caused" example:"dan"`
	CorrelationID string                `json:"correlationId,omitempty" doc:"of the request that caused it" example:"checkout-4711"`
	CausationID   string                `json:"causationId,omitempty" doc:"of the command" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e61"`
}

// storedLine is a row as it is read.
type storedLine struct {
	projection.Key
	projection.Fence
	line
}

func (l storedLine) shown() Line {
	stream, _ := eventsourcing.ParseStreamID(l.Stream) // it was written as one
	return Line{
		ID: l.EventID, Name: l.Name, Aggregate: stream.Category, AggregateID: stream.ID, Version: l.Version, RecordedAt: l.UpdatedAt,
		Actor: l.Actor, CorrelationID: l.CorrelationID, CausationID: l.CausationID,
	}
}

type listEvents struct {
	httpapi.Paging

	Actor       string  `query:"actor" maxLength:"255" doc:"what this subject of a token caused" example:"dan"`
	Correlation string  `query:"correlation" maxLength:"128" doc:"what this correlation ID connects" example:"walk-1"`
	Day         day     `query:"day" doc:"what was recorded on this day of UTC; today, if nothing else is asked for" example:"2026-11-28"`
	From        instant `query:"from" doc:"only what was recorded at this time or later" example:"2026-11-28T10:00:00Z"`
	To          instant `query:"to" doc:"only what was recorded before this time" example:"2026-11-28T11:00:00Z"`
}

// Resolve implements huma.Resolver.
func (in *listEvents) Resolve(huma.Context) []error {
	asked := 0
	for _, text := range []string{in.Actor, in.Correlation, string(in.Day)} {
		if text != "" {
			asked++
		}
	}
	if asked > 1 {
		return []error{&huma.ErrorDetail{Location: "query", Message: "want one of actor, correlation and day"}}
	}
	return nil
}

// list is the list that is asked for.
func (in *listEvents) list() list {
	switch {
	case in.Actor != "":
		return ofActor(in.Actor)
	case in.Correlation != "":
		return ofCorrelation(in.Correlation)
	default:
		day, _ := parseDay(string(in.Day)) // Resolve has checked it
		return ofDay(day)
	}
}

// day is a day of UTC, or empty.
type day string

const dayMeaning = "a day, such as 2026-11-28"

// Schema implements huma.SchemaProvider.
func (day) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^$|^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, PatternDescription: dayMeaning}
}

// Resolve implements huma.ResolverWithPath.
func (d *day) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if *d == "" {
		return nil
	}
	return httpapi.Parse(at.String(), new(time.Time), string(*d), parseDay)
}

func parseDay(text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return t, errors.New("want " + dayMeaning)
	}
	return t, nil
}

// instant is a time, or empty.
type instant string

const instantMeaning = "a time as of RFC 3339, such as 2026-11-28T10:00:00Z, whose + is written %2B"

// Schema implements huma.SchemaProvider.
func (instant) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^$|^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})$`,
		PatternDescription: instantMeaning,
	}
}

// Resolve implements huma.ResolverWithPath.
func (i *instant) Resolve(_ huma.Context, at *huma.PathBuffer) []error {
	if *i == "" {
		return nil
	}
	return httpapi.Parse(at.String(), new(time.Time), string(*i), parseInstant)
}

func parseInstant(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(text))
	if err != nil {
		return t, errors.New("want " + instantMeaning)
	}
	return t, nil
}

// name is less than the names of what was recorded at that time or later, and of nothing else. If there is no time, it is otherwise.
func (i instant) name(otherwise string) string {
	if i == "" {
		return otherwise
	}
	t, _ := parseInstant(string(i))                            // Resolve has checked it
	return timeName(t.Add(time.Millisecond - time.Nanosecond)) // times are recorded in whole milliseconds
}

// position is where a page begins: before the row of this name. Those who may read the list may begin anywhere in it, so there is nothing
// to forge.
type position string

func (p position) String() string { return string(p) }

var positions = regexp.MustCompile(`^[0-9]{15}#[0-9]{20}#[!-~]{1,255}$`) // read only

// pageBefore returns the name before which the page begins, or projection.ErrBadCursor.
func (in *listEvents) pageBefore() (string, error) {
	switch {
	case in.Cursor == "":
		return in.To.name(end), nil
	case !positions.MatchString(in.Cursor):
		return "", fmt.Errorf("%w: not a position in the trail", projection.ErrBadCursor)
	default:
		return min(in.To.name(end), in.Cursor), nil
	}
}

// Register adds the reads of the trail to the API.
func Register(api huma.API, reader readservice.Reader, now func() time.Time, log *slog.Logger) {
	httpapi.Register(api, log, huma.Operation{
		OperationID: "listEvents", Method: http.MethodGet, Path: "/events", Summary: "List the events of all users, roles and operators' actions",
		Description: "The audit trail, the latest first: what one actor caused, what one correlation ID connects, or what was recorded on " +
			"a day. Ask for one of these. It shows no data of the events: `/users/{id}/events` does, to those who may see it.",
		Tags:     []string{"events"},
		Metadata: httpapi.MayAnswer(projection.ErrBadCursor),
		Security: auth.Scopes(ReadScope),
	}, func(ctx context.Context, in *listEvents) (*httpapi.Page[Line], error) {
		if in.Actor+in.Correlation+string(in.Day) == "" {
			in.Day = day(now().UTC().Format(time.DateOnly)) // also of the next page
		}
		before, err := in.pageBefore()
		if err != nil {
			return nil, err
		}
		var rows []storedLine
		more, err := reader.Latest(ctx, in.list().all(), in.From.name(begin), before, in.Limit, &rows)
		if err != nil {
			return nil, err
		}
		page, next := make([]Line, 0, len(rows)), position("")
		for _, row := range rows {
			page = append(page, row.shown())
		}
		if more {
			next = position(rows[len(rows)-1].Row)
		}
		return httpapi.NewPage(page, "/events", &in.Paging, next, "actor", in.Actor, "correlation", in.Correlation, "day", string(in.Day),
			"from", string(in.From), "to", string(in.To)), nil
	})
}
