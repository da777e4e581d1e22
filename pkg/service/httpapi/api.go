package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// NewAPI returns an API that speaks JSON and problem+json on the router.
func NewAPI(r chi.Router) huma.API {
	config := huma.DefaultConfig("", "1")
	config.OpenAPIPath, config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", "", nil
	config.Formats = map[string]huma.Format{jsonType: huma.DefaultJSONFormat, problemType: huma.DefaultJSONFormat}
	config.Transformers = []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) {
		if m, ok := v.(*huma.ErrorModel); ok {
			return problemOfHuma(m), nil
		}
		return v, nil
	}}
	return jsonAPI{humachi.New(r, config)}
}

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
)

// jsonAPI answers in JSON whatever the client prefers: https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
type jsonAPI struct{ huma.API }

// Negotiate implements huma.API.
func (jsonAPI) Negotiate(string) (string, error) { return jsonType, nil }

// Unmarshal implements huma.API. What it is called for is JSON: awaitBody refuses everything else.
func (jsonAPI) Unmarshal(_ string, data []byte, v any) error { return unmarshal(data, v) }

// Add lets routes add their operations. What huma panics for, such as two types of one name, is an error: leftfold serves the operations of
// all services in one document, so that the services' own tests do not see it.
func Add(api huma.API, routes func(huma.API)) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case runtime.Error:
			panic(r)
		default:
			err = fmt.Errorf("add operations to the API; the name of each type in it must be its own: %v", r)
		}
	}()
	routes(api)
	return nil
}

// Register adds an operation. An error of handle is answered by ProblemOf, and logged if its status is 500 or more.
func Register[In, Out any](api huma.API, log *slog.Logger, op huma.Operation, handle func(context.Context, *In) (*Out, error)) {
	op.BodyReadTimeout, op.MaxBodyBytes = -1, -1 // awaitBody has bounds of its own
	op.Middlewares = slices.Concat(huma.Middlewares{awaitBody}, op.Middlewares, huma.Middlewares{strictQuery(api)})
	huma.Register(api, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := handle(ctx, in)
		if err == nil {
			return out, nil
		}
		p := ProblemOf(err)
		if p.Status >= http.StatusInternalServerError {
			log.ErrorContext(ctx, "request failed",
				slog.String("operation", op.OperationID), slog.String("code", p.Code), slog.Any(telemetry.KeyError, err))
		}
		return nil, p
	})
}
