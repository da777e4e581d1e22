package readservice

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

var errNoStream = httpapi.NewProblem(http.StatusNotFound, httpapi.CodeNotFound, "neither the log nor the projection has this aggregate")

// RebuiltStore is a projection whose rows can be written anew; *projection.Projector is one.
type RebuiltStore interface {
	Categories() []string
	Rebuild(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error)
}

// RegisterRebuild adds the rebuild of one aggregate's rows to an API. Like RegisterParked it is for operators.
func RegisterRebuild(api huma.API, name string, model RebuiltStore, timeout time.Duration, log *slog.Logger) {
	for _, category := range model.Categories() {
		httpapi.Register(api, log, huma.Operation{
			OperationID: "rebuild-" + name + "-" + strings.ReplaceAll(category, "/", "-"), Method: http.MethodPost,
			Path: "/projections/" + name + "/streams/" + category + "/{id}/rebuild", Tags: []string{"rows"},
			Summary:   "Write the rows of one aggregate in projection " + name + " anew from the log",
			Metadata:  httpapi.MayAnswer(errNoStream, problems.ErrStillParked, eventsourcing.ErrLogHole, eventsourcing.ErrUnknownEvent),
			Responses: notDoneYet(api),
		}, func(ctx context.Context, in *redriveInput) (*redriveOutput, error) {
			stream := eventsourcing.StreamID{Category: category, ID: in.ID}
			out, err := within(ctx, timeout, name, stream, 0, model.Rebuild)
			if errors.Is(err, projection.ErrNoStream) {
				return nil, errNoStream
			}
			return out, err
		})
	}
}
