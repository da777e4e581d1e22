package eventsourcing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrUnknownEvent reports an event name or schema version this build does not know.
var ErrUnknownEvent = errors.New("unknown event")

// Codec turns one aggregate's events into stored payloads and back. It is immutable once built and safe for concurrent
// use.
type Codec[E Event] struct{ shapes map[string]eventShape[E] }

type eventShape[E Event] struct {
	upcasters []Upcaster
	holds     func(E) bool
	decode    func([]byte) (E, error)
}

// Upcaster rewrites a payload of schema version n into version n+1.
type Upcaster func([]byte) ([]byte, error)

// Upcast lifts a function between two payload shapes to an Upcaster. Old is the former shape, kept unexported beside
// the event that replaced it.
func Upcast[Old, New any](f func(Old) New) Upcaster {
	return func(b []byte) ([]byte, error) {
		var old Old
		if err := json.Unmarshal(b, &old); err != nil {
			return nil, err
		}
		return json.Marshal(f(old))
	}
}

// NewCodec returns an empty codec; fill it with Register.
func NewCodec[E Event]() *Codec[E] { return &Codec[E]{shapes: map[string]eventShape[E]{}} }

// Register adds T to the codec. Its schema version is 1 plus one for each upcaster, so a shape cannot change without
// the step that explains the change. Register panics on a type that is not an E or is registered twice: both are
// mistakes in the program text.
func Register[T any, E Event](c *Codec[E], upcasters ...Upcaster) {
	var zero T
	e, ok := any(zero).(E)
	if !ok {
		panic(fmt.Sprintf("eventsourcing: %T does not belong in a %T", zero, c))
	}
	if _, dup := c.shapes[e.EventName()]; dup {
		panic("eventsourcing: duplicate event name " + e.EventName())
	}
	c.shapes[e.EventName()] = eventShape[E]{
		upcasters: upcasters,
		holds:     func(e E) bool { _, ok := any(e).(T); return ok },
		decode: func(b []byte) (E, error) {
			var t T
			err := json.Unmarshal(b, &t)
			return any(t).(E), err //nolint:errcheck,forcetypeassert // Register checked that T is an E
		},
	}
}

// Encode returns e's payload and the schema version it is written in. An event of another type than the registered one,
// such as a pointer to it, is unknown: it would come back as something else.
func (c *Codec[E]) Encode(e E) (payload []byte, schemaVersion int, err error) {
	shape, ok := c.shapes[e.EventName()]
	if !ok || !shape.holds(e) {
		return nil, 0, fmt.Errorf("%w: %s as %T", ErrUnknownEvent, e.EventName(), e)
	}
	payload, err = json.Marshal(e)
	return payload, 1 + len(shape.upcasters), err
}

// Decode returns the event stored as payload, brought up to its current shape.
func (c *Codec[E]) Decode(name string, schemaVersion int, payload []byte) (E, error) {
	var zero E
	shape, ok := c.shapes[name]
	if !ok || schemaVersion < 1 || schemaVersion > 1+len(shape.upcasters) {
		return zero, fmt.Errorf("%w: %s, schema version %d", ErrUnknownEvent, name, schemaVersion)
	}
	if string(bytes.TrimSpace(payload)) == "null" { // encoding/json would take it for an event without any data
		return zero, fmt.Errorf("decode %s: payload is null", name)
	}
	for n, up := range shape.upcasters[schemaVersion-1:] {
		var err error
		if payload, err = up(payload); err != nil {
			return zero, fmt.Errorf("upcast %s from schema version %d: %w", name, schemaVersion+n, err)
		}
	}
	e, err := shape.decode(payload)
	if err != nil {
		return zero, fmt.Errorf("decode %s: %w", name, err)
	}
	return e, nil
}

// Names returns every event name this codec knows with its current schema version.
func (c *Codec[E]) Names() map[string]int {
	out := make(map[string]int, len(c.shapes))
	for name, shape := range c.shapes {
		out[name] = 1 + len(shape.upcasters)
	}
	return out
}
