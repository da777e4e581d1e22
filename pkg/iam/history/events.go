package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/restvalue"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Event is an event as the API shows it: as it stands in the log, in the shape in which it was written.
type Event struct {
	ID            string                `json:"id" doc:"the event's id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e60"`
	Version       eventsourcing.Version `json:"version" doc:"its number among the events of the user or role, from 1" example:"1"`
	Name          string                `json:"name" doc:"what happened" example:"org/iam/user/registered"`
	RecordedAt    time.Time             `json:"recordedAt" doc:"when it was decided, by that process's clock" example:"2026-03-01T12:00:00.007Z"`
	Actor         string                `json:"actor,omitempty" doc:"the subject of the token by which it was caused" example:"dan"`
	CorrelationID string                `json:"correlationId,omitempty" doc:"of the request that caused it" example:"checkout-4711"`
	CausationID   string                `json:"causationId,omitempty" doc:"of the command" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e61"`
	Schema        int                   `json:"schema" minimum:"1" doc:"the version of the shape of its data" example:"1"`
	Data          *data                 `json:"data,omitempty" doc:"absent without the scope events:data"`
}

// data is an event's payload, byte for byte.
type data struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (data) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Description: "as docs/events.md has it for the name and schema",
		Examples: []any{map[string]any{"userId": "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57", "email": "dan@example.com"}},
	}
}

type listEvents struct {
	restvalue.Target
	httpapi.Paging
}

// position is where a page of events begins: after this version. In a cursor it is the number itself: those who may read the list may
// begin anywhere in it, so there is nothing to forge.
type position eventsourcing.Version

// String returns the cursor; "" for the start, or as that of the next page: there is none.
func (p position) String() string {
	if p == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(p), 10)
}

func parsePosition(cursor string) (position, error) {
	if cursor == "" {
		return 0, nil
	}
	version, err := strconv.ParseUint(cursor, 10, 64)
	if p := position(version); err == nil && p.String() == cursor {
		return p, nil
	}
	return 0, fmt.Errorf("%w: not a version", projection.ErrBadCursor)
}

// page returns at most limit events after a position, and that of the next page. It ends before an event that the log lacks; the
// next page is that eventsourcing.ErrLogHole.
func (o Of[R, E]) page(ctx context.Context, id string, after position, limit int) (page []Event, next position, err error) {
	withData := auth.May(ctx, DataScope)
	for rec, err := range o.Log.Read(ctx, o.stream(id), eventsourcing.Version(after)) {
		if errors.Is(err, eventsourcing.ErrLogHole) && len(page) > 0 {
			return page, position(page[len(page)-1].Version), nil
		}
		if err != nil {
			return nil, 0, fmt.Errorf("read the events of %s: %w", o.stream(id), err)
		}
		if len(page) == limit {
			return page, position(page[limit-1].Version), nil
		}
		page = append(page, shown(rec, withData))
	}
	switch {
	case len(page) > 0:
		return page, 0, nil
	case after > 0: // streams only grow: no page before had this as the next
		return nil, 0, fmt.Errorf("%w: behind the last event", projection.ErrBadCursor)
	default:
		return nil, 0, o.NotFound
	}
}

func shown(rec eventsourcing.Record, withData bool) Event {
	e := Event{
		ID: rec.ID, Version: rec.Version, Name: rec.Name, RecordedAt: rec.RecordedAt, Schema: rec.Schema,
		Actor: rec.Metadata.Actor, CorrelationID: rec.Metadata.CorrelationID, CausationID: rec.Metadata.CausationID,
	}
	if withData {
		e.Data = &data{rec.Data}
	}
	return e
}
