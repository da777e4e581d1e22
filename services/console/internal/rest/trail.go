package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

// Trailed is an event as the audit trail shows it.
type Trailed struct {
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
func (t Trailed) Stream() string { return t.Aggregate + "/" + t.AggregateID }

// Fact is what happened, without the category.
func (t Trailed) Fact() string { return path.Base(t.Name) }

// TrailPage is a page of the audit trail, the latest event first.
type TrailPage struct {
	Events []Trailed
	// Cursor is where the next page begins; "": there is none.
	Cursor string
	// Refused says why the trail will not answer that.
	Refused string
}

// Trail asks the audit trail.
func Trail(ctx context.Context, api API, query url.Values) (p TrailPage, err error) {
	answer, err := api.Send(ctx, Get("/events?"+query.Encode()))
	switch {
	case err != nil:
		return p, err
	case answer.OK():
		if next, err := url.Parse(httpapi.NextPage(answer.Header)); err == nil {
			p.Cursor = next.Query().Get("cursor")
		}
		return p, json.Unmarshal(answer.Body, &p.Events)
	case answer.Status < http.StatusInternalServerError:
		return TrailPage{Refused: answer.Problem().Detail}, nil
	default:
		return p, errors.New(answer.Problem().Detail)
	}
}
