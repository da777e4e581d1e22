package awsjson

import (
	"maps"
	"unicode/utf8"
)

// Protocol is how requests and answers are written on the wire.
type Protocol interface {
	ContentType() string
	// Input returns a request's body in JSON.
	Input(body []byte) ([]byte, error)
	// Output encodes an operation's output, or an event of a stream.
	Output(out any) ([]byte, error)
	// Refusal encodes an error. Shape is its code with the service's namespace.
	Refusal(e *Error, shape string) ([]byte, error)
}

// JSON is either version of the AWS JSON protocol: its content type.
type JSON string

// ContentType implements Protocol.
func (j JSON) ContentType() string { return string(j) }

// Input implements Protocol. It refuses invalid UTF-8, whose bytes encoding/json would silently replace.
func (JSON) Input(body []byte) ([]byte, error) {
	if !utf8.Valid(body) {
		return nil, Errorf("SerializationException", "the request is not valid UTF-8")
	}
	return body, nil
}

// Output implements Protocol.
func (JSON) Output(out any) ([]byte, error) { return Marshal(out) }

// Refusal implements Protocol.
func (JSON) Refusal(e *Error, shape string) ([]byte, error) { return Marshal(e.members(shape)) }

func (e *Error) members(shape string) map[string]any {
	out := map[string]any{}
	maps.Copy(out, e.Fields)
	out["message"] = e.Message
	out["__type"] = shape
	return out
}
