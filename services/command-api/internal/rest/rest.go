// Package rest serves the commands of the REST API: each operation decodes one command and answers 202 with the aggregate's
// id and version.
package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/history"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

// Register adds every command to the API.
func Register(api huma.API, h *commands.Handler, log *slog.Logger) {
	registerUsers(collection{"users", api, log}, h)
	registerRoles(collection{"roles", api, log}, h)
}

// collection is a part of the API.
type collection struct {
	name string
	api  huma.API
	log  *slog.Logger
}

// operation describes a command to clients.
type operation struct {
	id, method, path, summary string

	refusals []error  // that a rule may answer
	scopes   []string // that are needed. Defaults to the one to write the collection
}

// input is what the inputs of all operations have.
type input interface {
	aggregateID() string
	options(ctx context.Context) commands.Options
}

// on adds an operation that carryOut carries out.
func on[In any, P interface {
	*In
	input
}](c collection, op operation, carryOut func(context.Context, *In, commands.Options) (eventsourcing.Version, error)) {
	mayAnswer := slices.Concat(op.refusals, []error{
		eventsourcing.ErrConflict, eventsourcing.ErrTooLarge, eventsourcing.ErrVersionMismatch, problems.ErrKeyReused,
		eventsourcing.ErrLogHole, eventsourcing.ErrResultUnreadable, eventsourcing.ErrUnknownEvent, problems.ErrNoSuchVersion,
	})
	scopes := op.scopes
	if len(scopes) == 0 {
		scopes = []string{c.name + ":write"}
	}
	middlewares := huma.Middlewares{hashBody}
	if op.method == http.MethodPost {
		middlewares = append(middlewares, refuseIfNoneMatch)
	}
	httpapi.Register(c.api, c.log, huma.Operation{
		OperationID: op.id, Method: op.method, Path: op.path, Summary: op.summary, Tags: []string{c.name},
		Description:   "Answered once it is in the log. With an Idempotency-Key it can be sent again safely. With `dry_run` nothing is written.",
		Security:      auth.Scopes(scopes...),
		DefaultStatus: http.StatusAccepted, Middlewares: middlewares, Metadata: httpapi.MayAnswer(mayAnswer...),
		Responses: map[string]*huma.Response{"200": c.dryRunAnswer()},
	}, func(ctx context.Context, in *In) (*accepted, error) {
		options := P(in).options(ctx)
		if options.At > 0 {
			if err := auth.Require(ctx, history.DataScope); err != nil {
				return nil, err
			}
		}
		options.Outcome = func(id string, after eventsourcing.Version) []byte { return mustEncode(c.answer(id, after)) }
		version, err := carryOut(ctx, in, options)
		if repeated, ok := errors.AsType[*commands.RepeatedError](err); ok {
			return replay(repeated.Outcome)
		}
		if err != nil {
			return nil, err
		}
		if options.DryRun != nil {
			return c.would(ctx, P(in).aggregateID(), version, *options.DryRun), nil
		}
		return c.answer(P(in).aggregateID(), version), nil
	})
}

// decide adds an operation whose command is made of the input alone. run carries out commands on one aggregate.
func decide[S any, E eventsourcing.Event, In any, P interface {
	*In
	input
}](
	c collection,
	run func(ctx context.Context, name, id string, d eventsourcing.Command[S, E], o commands.Options) (eventsourcing.Version, error),
	op operation, command func(*In) eventsourcing.Command[S, E],
) {
	on[In, P](c, op, func(ctx context.Context, in *In, o commands.Options) (eventsourcing.Version, error) {
		return run(ctx, op.id, P(in).aggregateID(), command(in), o)
	})
}

// accepted is the answer to a command that is in the log, or to a dry run. Its JSON is what is remembered under an Idempotency-Key.
type accepted struct {
	Status   int     `json:"status"`
	ETag     string  `header:"ETag" json:"etag" doc:"the version, quoted" example:"\"1\""`
	Location string  `header:"Location" json:"location" doc:"where it can be read" example:"/users/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Replayed string  `header:"Idempotent-Replayed" json:"-" doc:"true: the answer to an earlier request with this key" example:"true"`
	Body     encoded `json:"body"`
}

type receipt struct {
	ID      string                `json:"id" format:"uuid" doc:"the id of the user or role" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Version eventsourcing.Version `json:"version" doc:"its version after the command" example:"1"`
}

// encoded is the JSON of a receipt or of a tried command, so that a remembered one is sent as the same bytes.
type encoded struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (encoded) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[receipt](), true, "")
}

func (c collection) answer(id string, version eventsourcing.Version) *accepted {
	return &accepted{
		Status: http.StatusAccepted, ETag: httpapi.ETag(version), Location: "/" + c.name + "/" + id,
		Body: encoded{mustEncode(receipt{ID: id, Version: version})},
	}
}

func mustEncode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // every value of these types has JSON
	}
	return text
}

// replay answers as the first time.
func replay(outcome []byte) (*accepted, error) {
	first := &accepted{Replayed: "true"}
	if err := json.Unmarshal(outcome, first); err != nil {
		return nil, fmt.Errorf("decode a remembered answer: %w", err)
	}
	return first, nil
}
