// Package rest is the REST API's writing half: each operation reads one command and answers 202 with the aggregate's
// id and version.
package rest

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/httpserver"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// Register adds every command to the API.
func Register(api huma.API, h *commands.Handler, log *slog.Logger) {
	a := &adder{api: api, log: log}
	registerUsers(a, h)
	registerRoles(a, h)
}

type adder struct {
	api huma.API
	log *slog.Logger
}

// accepted is the answer to a command that is in the log.
type accepted struct {
	ETag     string `header:"ETag" doc:"the version, quoted"`
	Location string `header:"Location" doc:"where the aggregate can be read"`
	Body     receipt
}

type receipt struct {
	ID      string                `json:"id" format:"uuid" doc:"the aggregate's id"`
	Version eventsourcing.Version `json:"version" doc:"the aggregate's version after the command"`
}

// add adds one command. carryOut returns the aggregate's id and version.
func add[In any](a *adder, collection, method, path, id, summary string,
	carryOut func(context.Context, *In) (string, eventsourcing.Version, error),
) {
	httpserver.Register(a.api, a.log, huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		Tags: []string{collection}, DefaultStatus: http.StatusAccepted,
	}, func(ctx context.Context, in *In) (*accepted, error) {
		id, version, err := carryOut(ctx, in)
		if err != nil {
			return nil, err
		}
		return &accepted{
			ETag:     httpserver.ETag(version),
			Location: "/" + collection + "/" + id,
			Body:     receipt{ID: id, Version: version},
		}, nil
	})
}

// newID is the id a client chose for a new aggregate, or else one that sorts by time.
func newID(chosen string) (string, error) {
	if chosen == "" {
		return uuid.Must(uuid.NewV7()).String(), nil
	}
	return value.ParseID(chosen)
}
