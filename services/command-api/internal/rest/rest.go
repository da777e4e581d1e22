// Package rest is the REST API's writing half: each operation reads one command and answers 202 with the aggregate's
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

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
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

// accepted is the answer to a command that is in the log. Its JSON is what is remembered under an Idempotency-Key.
type accepted struct {
	Status   int     `json:"status"`
	ETag     string  `header:"ETag" json:"etag" doc:"the version, quoted" example:"\"1\""`
	Location string  `header:"Location" json:"location" doc:"where it can be read" example:"/users/01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Replayed string  `header:"Idempotent-Replayed" json:"-" doc:"true: the answer is that of an earlier request with this Idempotency-Key" example:"true"`
	Body     encoded `json:"body"`
}

type receipt struct {
	ID      string                `json:"id" format:"uuid" doc:"the id of the user or role" example:"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"`
	Version eventsourcing.Version `json:"version" doc:"its version after the command" example:"1"`
}

// encoded is a receipt's JSON, so that a remembered one goes out as the bytes it was.
type encoded struct{ json.RawMessage }

// Schema implements huma.SchemaProvider.
func (encoded) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[receipt](), true, "")
}

func answer(collection, id string, version eventsourcing.Version) *accepted {
	return &accepted{
		Status: http.StatusAccepted, ETag: httpapi.ETag(version), Location: "/" + collection + "/" + id,
		Body: encoded{mustEncode(receipt{ID: id, Version: version})},
	}
}

func mustEncode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of types that have no JSON, which ours have
	}
	return text
}

// refusals are what a rule may answer to a command.
type refusals []error

// command is what every operation's input has of Headers.
type command interface{ asked() *commands.Demand }

// add adds one command. carryOut returns the aggregate's id and version. Beside the collection's own scope the command
// may need further ones.
func add[In any, P interface {
	*In
	command
}](
	a *adder, collection, method, path, id, summary string, refused refusals,
	carryOut func(context.Context, *In) (string, eventsourcing.Version, error), further ...string,
) {
	httpapi.Register(a.api, a.log, huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary,
		Security: auth.Scopes(append([]string{collection + ":write"}, further...)...),
		Tags:     []string{collection}, DefaultStatus: http.StatusAccepted, Middlewares: huma.Middlewares{watchBody},
		Description: "Answered once it is in the log. With an Idempotency-Key it can be sent again safely.",
		Metadata:    httpapi.MayAnswer(append(refused, eventsourcing.ErrConflict, eventsourcing.ErrTooLarge, eventsourcing.ErrPrecondition, problems.ErrKeyReused)...),
	}, func(ctx context.Context, in *In) (*accepted, error) {
		P(in).asked().Outcome = func(id string, after eventsourcing.Version) []byte {
			return mustEncode(answer(collection, id, after))
		}
		id, version, err := carryOut(ctx, in)
		if repeated, ok := errors.AsType[*commands.RepeatedError](err); ok {
			return replay(repeated.Outcome)
		}
		if err != nil {
			return nil, err
		}
		return answer(collection, id, version), nil
	})
}

// replay answers as the first time.
func replay(outcome []byte) (*accepted, error) {
	first := &accepted{Replayed: "true"}
	if err := json.Unmarshal(outcome, first); err != nil {
		return nil, fmt.Errorf("decode a remembered answer: %w", err)
	}
	return first, nil
}

// newID is the id a client chose for a new aggregate, or else one that sorts by time.
func newID(chosen string) (string, error) {
	if chosen == "" {
		return uuid.Must(uuid.NewV7()).String(), nil
	}
	return value.ParseID(chosen)
}
