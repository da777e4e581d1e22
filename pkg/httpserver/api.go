package httpserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"

	"github.com/leftfold/leftfold/pkg/telemetry"
)

// MaxBody bounds a request's body, in bytes. The largest sensible command is below 1 KB.
const MaxBody = 64 << 10

// maxDepth bounds the nesting of a request's JSON; no command nests at all.
const maxDepth = 16

// NewAPI returns an API that speaks JSON and problem+json on the router.
func NewAPI(r chi.Router) huma.API {
	config := huma.DefaultConfig("Leftfold", "1")
	config.DocsPath, config.SchemasPath, config.CreateHooks = "", "", nil
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	config.Transformers = []huma.Transformer{func(_ huma.Context, _ string, v any) (any, error) {
		if m, ok := v.(*huma.ErrorModel); ok {
			return problemOfHuma(m), nil
		}
		return v, nil
	}}
	return humachi.New(r, config)
}

// Register adds an operation. Errors of handle are answered by ProblemOf; those that are our fault are logged.
func Register[In, Out any](api huma.API, log *slog.Logger, op huma.Operation, handle func(context.Context, *In) (*Out, error)) {
	op.MaxBodyBytes = MaxBody + 1
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

// unmarshal is json.Unmarshal without its leniency: it refuses invalid UTF-8 (which encoding/json would replace),
// repeated members (of which it would keep the last) and deep nesting.
func unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return errors.New("the text is not valid UTF-8")
	}
	if err := strict(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errors.New("a value does not fit") // such as the number 1e999; the error's own words speak of Go
	}
	return nil
}

func strict(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var open []map[string]bool // the members seen of each open object; nil for an array
	atName := false            // the next token is a member's name, or the object's end
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, map[string]bool{})
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			if len(open) > maxDepth {
				return fmt.Errorf("nested deeper than %d", maxDepth)
			}
		case string:
			if atName {
				seen := open[len(open)-1]
				name := strings.ToLower(t) // encoding/json matches members ignoring case
				if seen[name] {
					return errors.New("a member is repeated")
				}
				seen[name], atName = true, false
				continue
			}
		}
		// Whatever ended just now, inside an object a name comes next.
		atName = len(open) > 0 && open[len(open)-1] != nil
	}
}
