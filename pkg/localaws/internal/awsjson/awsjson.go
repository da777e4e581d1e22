// Package awsjson implements the server side of the AWS JSON protocols 1.0 and 1.1: one POST per operation, named by the
// header X-Amz-Target, with a JSON body; the response is JSON, a stream of events or a typed error. Operations know these
// protocols only; a Protocol translates another one's requests and writes its answers.
//
// Source: https://smithy.io/2.0/aws/protocols/aws-json-1_0-protocol.html (and 1_1).
package awsjson

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// Error is an AWS error response. Code is the exception's name in the SDKs.
type Error struct {
	Code    string
	Message string
	// Status is the HTTP status. Defaults to 400.
	Status int
	// Fields are the exception's further members, such as CancellationReasons, by their wire names.
	Fields map[string]any
	// QueryCode is the code in the older query protocol, sent in x-amzn-query-error; only SQS has one.
	QueryCode string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf returns an Error of status 400 with a formatted message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// NotSupported is the error for everything that localaws does not implement.
func NotSupported(what string) *Error {
	return &Error{Code: "NotSupportedByLocalaws", Message: what + " is not supported by localaws", Status: http.StatusNotImplemented}
}

type endpointKey struct{}

// WithEndpoint adds the base URL by which the client reached the server, without a slash at the end.
func WithEndpoint(ctx context.Context, url string) context.Context {
	return context.WithValue(ctx, endpointKey{}, url)
}

// Endpoint returns the URL of WithEndpoint, or "http://localhost".
func Endpoint(ctx context.Context) string {
	if url, ok := ctx.Value(endpointKey{}).(string); ok {
		return url
	}
	return "http://localhost"
}

// Options of reading and writing JSON: as encoding/json does, which is the same at several times the cost.
var (
	reading = json.JoinOptions(writing, jsonv1.ReportErrorsWithLegacySemantics(false), json.RejectUnknownMembers(true))
	writing = jsonv1.DefaultOptionsV1()
)

// Marshal writes JSON as encoding/json does: equal values have equal texts.
func Marshal(v any) ([]byte, error) { return json.Marshal(v, writing) }

// Operation handles one request body. An error other than *Error becomes an InternalServerError.
type Operation func(ctx context.Context, body []byte) (any, error)

// Handle makes an Operation of a typed function. In has every supported member under its wire name; a request with any
// other member is refused as not supported, with that member's name.
func Handle[In, Out any](f func(context.Context, *In) (*Out, error)) Operation {
	return func(ctx context.Context, body []byte) (any, error) {
		in := new(In)
		if len(bytes.TrimSpace(body)) > 0 {
			if err := json.Unmarshal(body, in, reading); err != nil {
				return nil, decodeError(err)
			}
		}
		out, err := f(ctx, in)
		if err != nil {
			return nil, err
		}
		return out, nil
	}
}

func decodeError(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e // from an UnmarshalJSONFrom of ours, as AWS words it
	}
	if e, ok := errors.AsType[*json.SemanticError](err); ok && errors.Is(e.Err, json.ErrUnknownName) {
		return NotSupported("request member " + strconv.Quote(e.JSONPointer.LastToken()))
	}
	return Errorf("SerializationException", "%s", err.Error())
}

// Service is one AWS API. Operations must not change once the service is in use.
type Service struct {
	Target      string // prefix of X-Amz-Target, such as "DynamoDB_20120810"
	ContentType JSON   // "application/x-amz-json-1.0" or "…-1.1"
	CBOR        bool   // whether requests may also be of the protocol CBOR
	Namespace   string // put before an error's code in __type, with "#"; "" for none
	Operations  map[string]Operation
	Streaming   string // the one operation that answers with Events; "" for none
}

// Do calls one operation with a body in JSON and writes its response.
func (s *Service) Do(ctx context.Context, operation string, body []byte, w http.ResponseWriter) {
	r := Request{s, s.ContentType, operation, body}
	r.Answer(ctx, w, r.Call(ctx))
}

// Request is one call of an operation, in one protocol.
type Request struct {
	Service   *Service
	Protocol  Protocol
	Operation string
	Body      []byte
}

// Result is the result of a call: Err, Events or an Out to be encoded.
type Result struct {
	Out    any
	Events Events
	Err    error
}

// Call calls the operation. A caller that does not pass the Result to Answer must close its Events, if there are any.
func (r Request) Call(ctx context.Context) Result {
	op, ok := r.Service.Operations[r.Operation]
	if !ok {
		return Result{Err: NotSupported("operation " + r.Service.Target + "." + r.Operation)}
	}
	body, err := r.Protocol.Input(r.Body)
	if err != nil {
		return Result{Err: err}
	}
	out, err := op(ctx, body)
	events, _ := out.(Events)
	return Result{Out: out, Events: events, Err: err}
}

// Answer writes the result of a call.
func (r Request) Answer(ctx context.Context, w http.ResponseWriter, result Result) {
	switch {
	case result.Err != nil:
		r.Refuse(w, result.Err)
	case result.Events != nil:
		r.stream(ctx, w, result.Events)
	default:
		answer, err := r.Protocol.Output(result.Out)
		if err != nil {
			r.Refuse(w, err)
			return
		}
		r.write(w, http.StatusOK, answer)
	}
}

// Refuse writes an error response; an error other than *Error becomes an InternalServerError.
func (r Request) Refuse(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		e = &Error{Code: "InternalServerError", Message: err.Error(), Status: http.StatusInternalServerError}
	}
	shape := e.Code
	if r.Service.Namespace != "" {
		shape = r.Service.Namespace + "#" + e.Code
	}
	if e.QueryCode != "" {
		w.Header().Set("X-Amzn-Query-Error", e.QueryCode)
	}
	body, err := r.Protocol.Refusal(e, shape)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	r.write(w, cmp.Or(e.Status, http.StatusBadRequest), body)
}

func (r Request) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", r.Protocol.ContentType())
	// DynamoDB's clients check it:
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
	w.Header().Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have disconnected
}
