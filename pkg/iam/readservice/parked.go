package readservice

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// RedriveTimeout bounds a redrive of one request, well within the server's timeout of 30 s for an answer.
const RedriveTimeout = 20 * time.Second

// redriveEvery is the longest time between two looks for what another build has parked and this one knows.
const redriveEvery = 20 * time.Second

// RedriveKnown takes up what another build has parked, by calls of redrive, until ctx ends.
func RedriveKnown(ctx context.Context, redrive func(context.Context) error, p service.Platform) error {
	pause := retry.Backoff{First: redriveEvery, Jitter: p.Jitter}
	for {
		if err := redrive(ctx); err != nil && ctx.Err() == nil {
			p.Logger.WarnContext(ctx, "redriving what another build parked failed, retrying", slog.Any(telemetry.KeyError, err))
		}
		if pause.Wait(ctx, 1) != nil {
			return nil //nolint:nilerr // ctx has ended
		}
	}
}

var errNotParked = httpapi.NewProblem(http.StatusNotFound, httpapi.CodeNotFound, "this aggregate is not parked")

// ParkedStore holds a projection's parked aggregates; *projection.Projector is one.
type ParkedStore interface {
	Categories() []string
	Parked(ctx context.Context, limit int, cursor projection.Cursor) ([]projection.Parked, projection.Cursor, error)
	ParkedStream(ctx context.Context, stream eventsourcing.StreamID) (projection.Parked, bool, error)
	Redrive(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error)
}

type parkedAggregate struct {
	Projection string                `json:"projection" doc:"the projection that has set it aside" example:"users"`
	Stream     string                `json:"stream" doc:"the aggregate's stream" example:"org/iam/user/0192…"`
	Version    eventsourcing.Version `json:"version" doc:"of the event that could not be applied" example:"7"`
	Event      string                `json:"event" doc:"its name" example:"org/iam/user/updated"`
	Reason     string                `json:"reason" doc:"why not; it may quote the event, personal data included" example:"unknown event: …"`
	ParkedAt   time.Time             `json:"parkedAt" doc:"since when" example:"2026-01-02T03:04:05Z"`
	Waiting    int                   `json:"waiting" doc:"events known to wait, that one included" example:"3"`
	Redrive    string                `json:"redrive" doc:"its address" example:"/projections/users/parked/org/iam/user/0192…/redrive"`
}

type redriveInput struct {
	ID string `path:"id" maxLength:"1024" doc:"the aggregate's id" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
}

type redriveOutput struct {
	Status int
	Body   redriven
}

type redriven struct {
	Projection string                `json:"projection" doc:"the projection" example:"users"`
	Stream     string                `json:"stream" doc:"the aggregate's stream" example:"org/iam/user/0192…"`
	Version    eventsourcing.Version `json:"version" doc:"applied so far" example:"9"`
	Done       bool                  `json:"done" doc:"whether that is all; if not, another POST continues" example:"true"`
}

// RegisterParked adds the listing and the redrive of a projection's parked aggregates to an API. It is for operators only:
// never on a public address. A redrive takes as long as timeout at most. A parked aggregate is one whose event could not
// be applied; the projection has set it aside so that all others flow.
func RegisterParked(api huma.API, name string, parked ParkedStore, timeout time.Duration, log *slog.Logger) {
	list := "/projections/" + name + "/parked"
	httpapi.Register(api, log, huma.Operation{
		OperationID: "listParked-" + name, Method: http.MethodGet, Path: list, Tags: []string{"parked"},
		Summary:  "List the aggregates that projection " + name + " has set aside",
		Metadata: httpapi.MayAnswer(projection.ErrBadCursor),
	}, func(ctx context.Context, in *httpapi.Paging) (*httpapi.Page[parkedAggregate], error) {
		after, err := in.After()
		if err != nil {
			return nil, err
		}
		rows, next, err := parked.Parked(ctx, in.Limit, after)
		if err != nil {
			return nil, err
		}
		shown := make([]parkedAggregate, len(rows))
		for i, row := range rows {
			category, id := path.Split(row.Stream) // an ID may hold anything but slashes
			shown[i] = parkedAggregate{
				Projection: name, Stream: row.Stream, Version: row.Version, Event: row.Event, Reason: row.Reason,
				ParkedAt: row.ParkedAt, Waiting: row.Waiting(), Redrive: list + "/" + category + url.PathEscape(id) + "/redrive",
			}
		}
		return httpapi.NewPage(shown, list, in, next), nil
	})
	for _, category := range parked.Categories() { // an id has no slashes, but a category has: each is a path of its own
		httpapi.Register(api, log, huma.Operation{
			OperationID: "redrive-" + name + "-" + strings.ReplaceAll(category, "/", "-"), Method: http.MethodPost,
			Path: list + "/" + category + "/{id}/redrive", Tags: []string{"parked"},
			Summary:   "Apply what waits of one such aggregate from the log, and take it up again",
			Metadata:  httpapi.MayAnswer(errNotParked, problems.ErrStillParked),
			Responses: notDoneYet(api),
		}, func(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
			return redrive(ctx, name, parked, eventsourcing.StreamID{Category: category, ID: in.ID}, timeout)
		})
	}
}

// notDoneYet is the answer to what takes longer than a request may.
func notDoneYet(api huma.API) map[string]*huma.Response {
	return map[string]*huma.Response{"202": {
		Description: "not done yet: another POST continues",
		Content: map[string]*huma.MediaType{
			"application/json": {Schema: api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[redriven](), true, "")},
		},
	}}
}

func redrive(
	ctx context.Context, name string, parked ParkedStore, stream eventsourcing.StreamID, timeout time.Duration,
) (*redriveOutput, error) {
	row, found, err := parked.ParkedStream(ctx, stream)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errNotParked
	}
	return within(ctx, timeout, name, stream, row.Version-1, parked.Redrive)
}

// within carries out a redrive or a rebuild as far as it comes in that time. reached is the least version that it leaves.
func within(
	ctx context.Context, timeout time.Duration, name string, stream eventsourcing.StreamID, reached eventsourcing.Version,
	run func(context.Context, eventsourcing.StreamID) (eventsourcing.Version, error),
) (*redriveOutput, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	fence, err := run(limited, stream)
	out := &redriveOutput{Status: http.StatusOK, Body: redriven{
		Projection: name, Stream: stream.String(), Version: max(fence, reached), Done: err == nil,
	}}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, projection.ErrParked):
		return nil, problems.ErrStillParked
	case limited.Err() != nil && ctx.Err() == nil:
		out.Status = http.StatusAccepted
		return out, nil
	default:
		return nil, err
	}
}
