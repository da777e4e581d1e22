// Package history serves what the log tells of one aggregate: its events, and what it was at a version or a time. Both are read
// from the log itself, so that they are never behind it, and nothing of them is kept.
package history

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// The scopes of what is past. An operation on events needs the first; the data of past events, which may be personal data that was
// changed since, is shown to those that have the second, too.
const (
	ReadScope = "events:read"
	DataScope = "events:data"
)

// Log reads a stream as projection.EventLog does.
type Log interface {
	Read(ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version) iter.Seq2[eventsourcing.Record, error]
}

// FirstPage is how many records a Log best reads at first: the largest page of events and one more. Most streams are shorter.
const FirstPage = 101

// Of is the history of the aggregates that a projection's source shows.
type Of[R any, E eventsourcing.Event] struct {
	Log Log
	// Spec folds the events, as it does for the read model.
	Spec projection.Spec[R, E]
	// Collection is the path's first segment, such as "users".
	Collection string
	// OperationID is that of the list of events, such as "listUserEvents".
	OperationID string
	// NotFound answers for an aggregate that has no event, or had none at that time.
	NotFound error
}

func (o Of[R, E]) stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: o.Spec.Category, ID: id}
}

// At folds the aggregate's events up to a point and returns what they make, and the version. It needs DataScope. The error is
// NotFound if the aggregate did not exist then, and problems.ErrNoSuchVersion if it has not come to that version.
func (o Of[R, E]) At(ctx context.Context, id string, asOf AsOf) (row R, at eventsourcing.Version, err error) {
	if err := auth.Require(ctx, DataScope); err != nil {
		return row, 0, err
	}
	p, err := parsePoint(string(asOf))
	if err != nil {
		return row, 0, err // not after Resolve
	}
	for rec, err := range o.Log.Read(ctx, o.stream(id), 0) {
		if err != nil {
			return row, 0, fmt.Errorf("read the history of %s: %w", o.stream(id), err)
		}
		if p.before(rec) {
			break
		}
		event, err := o.Spec.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return row, 0, fmt.Errorf("read the history of %s: event %d: %w", o.stream(id), rec.Version, err)
		}
		if row, at = o.Spec.Fold(row, event, rec), rec.Version; p.time.IsZero() && at == p.version {
			break // without a look at the next one, which the log may lack
		}
	}
	switch {
	case at == 0:
		return row, 0, o.NotFound
	case p.time.IsZero() && at < p.version:
		return row, 0, problems.ErrNoSuchVersion
	}
	return row, at, nil
}

// Reading is httpapi.Reading for aggregates with a history. Inputs embed it.
type Reading struct {
	httpapi.Reading

	AsOf AsOf `query:"as_of" example:"1"`
}

// AsOf is the point up to which a read shows an aggregate: a version, or a time, which means the last version before the first event
// that was recorded after it. Writers' clocks differ, so a later event may have an earlier time: it does not count. Empty: now.
type AsOf string

// Schema implements huma.SchemaProvider.
func (AsOf) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^$|^[0-9]{1,16}$|^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2})$`,
		PatternDescription: asOfMeaning,
		Description: "show it as its own events had made it: up to this version, or up to the first event recorded after this time; " +
			"needs the scope " + DataScope,
	}
}

const asOfMeaning = "a version, or a time as of RFC 3339 whose + is written %2B"

// Resolve implements huma.ResolverWithPath.
func (a *AsOf) Resolve(c huma.Context, at *huma.PathBuffer) []error {
	switch {
	case *a == "":
		return nil
	case c.Query("min_version") != "", c.Query("wait") != "":
		return []error{&huma.ErrorDetail{
			Location: at.String(), Message: "goes without min_version and wait: the past is read from the log, which is never behind",
		}}
	}
	var p point
	return httpapi.Parse(at.String(), &p, string(*a), parsePoint)
}

// point is a version, or a time.
type point struct {
	version eventsourcing.Version
	time    time.Time
}

func parsePoint(text string) (p point, err error) {
	if version, err := strconv.ParseUint(text, 10, 53); err == nil { // JavaScript's safe integers, as min_version
		return point{version: eventsourcing.Version(version)}, nil
	}
	if p.time, err = time.Parse(time.RFC3339, strings.ToUpper(text)); err != nil {
		return point{}, fmt.Errorf("want %s", asOfMeaning)
	}
	return p, nil
}

// before reports whether the record, and all that follow it, come after the point.
func (p point) before(rec eventsourcing.Record) bool {
	if p.time.IsZero() {
		return rec.Version > p.version
	}
	return rec.RecordedAt.After(p.time)
}

// Register adds the list of events to the API.
func (o Of[R, E]) Register(api huma.API, log *slog.Logger) {
	path := "/" + o.Collection
	httpapi.Register(api, log, huma.Operation{
		OperationID: o.OperationID, Method: http.MethodGet, Path: path + "/{id}/events", Tags: []string{o.Collection},
		Summary:     "List the events of one of the " + o.Collection,
		Description: "All its events from the log, oldest first, each with its data if the token has the scope " + DataScope + ", too.",
		Metadata:    httpapi.MayAnswer(o.NotFound, projection.ErrBadCursor, eventsourcing.ErrLogHole),
		Security:    auth.Scopes(ReadScope),
	}, func(ctx context.Context, in *listEvents) (*httpapi.Page[Event], error) {
		after, err := parsePosition(in.Cursor)
		if err != nil {
			return nil, err
		}
		events, next, err := o.page(ctx, string(in.ID), after, in.Limit)
		if err != nil {
			return nil, err
		}
		return httpapi.NewPage(events, path+"/"+string(in.ID)+"/events", &in.Paging, next), nil
	})
}
