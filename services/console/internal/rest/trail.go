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

// Trail asks the audit trail. refused says why it will not answer that.
func Trail(ctx context.Context, api API, query url.Values) (events []Trailed, refused string, err error) {
	answer, err := api.Send(ctx, Get("/events?"+query.Encode()))
	switch {
	case err != nil:
		return nil, "", err
	case answer.OK():
		return events, "", json.Unmarshal(answer.Body, &events)
	case answer.Status < http.StatusInternalServerError:
		return nil, answer.Problem().Detail, nil
	default:
		return nil, "", errors.New(answer.Problem().Detail)
	}
}
