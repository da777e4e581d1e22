package eventsourcing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Errors of a Codec.
var (
	// ErrUnknownEvent reports an event name or schema version this build does not know.
	ErrUnknownEvent = errors.New("unknown event")
	// ErrRetiredEvent reports an event that is read but not written any more.
	ErrRetiredEvent = errors.New("retired event")
)

// Codec turns one aggregate's events into stored payloads and back. It is immutable once built and safe for concurrent
// use.
//
// Decoding ignores members that a shape does not have, upcasting keeps them, and a member that is missing has its zero
// value.
type Codec[E Event] struct{ names map[string]named[E] }

// named is what a codec knows under one name.
type named[E Event] struct {
	Known
	upcasters []Upcaster // past its own schema versions they are the successor's
	holds     func(E) bool
	decode    func([]byte) (E, error)
}

// Known tells of one event name.
type Known struct {
	Name string
	// Shapes are the types of its payload by schema version, the first being of version 1.
	Shapes []reflect.Type
	// DecodesAs is the name of the event that it is read as: its own, or its successor's.
	DecodesAs string
	// Retired names are never written again.
	Retired bool
}

// NewCodec returns an empty codec; fill it with Register, Retire and RetireAs. These panic on mistakes in the program
// text: a type that is not an E, a name used twice, upcasters that do not lead from shape to shape.
func NewCodec[E Event]() *Codec[E] { return &Codec[E]{names: map[string]named[E]{}} }

// Register adds T to the codec. Its schema version is 1 plus one for each upcaster, so a shape cannot change without
// the step that explains the change.
func Register[T any, E Event](c *Codec[E], upcasters ...Upcaster) {
	n := newNamed[T, E](upcasters)
	n.holds = func(e E) bool { _, ok := any(e).(T); return ok }
	c.add(n)
}

// Retire adds T to the codec to be read only: streams that hold it fold as they always did, or Evolve passes it over.
func Retire[T any, E Event](c *Codec[E], upcasters ...Upcaster) {
	n := newNamed[T, E](upcasters)
	n.Retired = true
	c.add(n)
}

// RetireAs adds a name to be read only, as T, which is registered under another. There is one upcaster for each schema
// version that name ever had; the last one leads to a shape of T, present or former, and T's own upcasters go on from
// there.
func RetireAs[T any, E Event](c *Codec[E], name string, upcasters ...Upcaster) {
	target := reflect.TypeFor[T]()
	successor, ok := c.names[newNamed[T, E](nil).Name]
	if !ok || successor.Shapes[len(successor.Shapes)-1] != target {
		panic(fmt.Sprintf("eventsourcing: %s is retired as %s, which is not registered", name, target))
	}
	if len(upcasters) == 0 {
		panic(fmt.Sprintf("eventsourcing: %s is retired as %s without an upcaster", name, target))
	}
	enters := slices.Index(successor.Shapes, upcasters[len(upcasters)-1].to)
	if enters < 0 {
		panic(fmt.Sprintf("eventsourcing: %s is upcast to %s, no shape of %s", name, upcasters[len(upcasters)-1].to, target))
	}
	shapes := shapesOf(name, upcasters, successor.Shapes[enters])
	c.add(named[E]{
		Known:     Known{Name: name, Shapes: shapes[:len(upcasters)], DecodesAs: successor.Name, Retired: true},
		upcasters: slices.Concat(upcasters, successor.upcasters[enters:]),
		decode:    successor.decode,
	})
}

func newNamed[T any, E Event](upcasters []Upcaster) named[E] {
	var zero T
	e, ok := any(zero).(E)
	if !ok {
		panic(fmt.Sprintf("eventsourcing: %s is no %s", reflect.TypeFor[T](), reflect.TypeFor[E]()))
	}
	name := e.EventName()
	return named[E]{
		Known:     Known{Name: name, Shapes: shapesOf(name, upcasters, reflect.TypeFor[T]()), DecodesAs: name},
		upcasters: upcasters,
		decode: func(b []byte) (E, error) {
			var t T
			err := json.Unmarshal(b, &t)
			return any(t).(E), err //nolint:errcheck,forcetypeassert // T is an E, as seen above
		},
	}
}

// shapesOf follows the upcasters up to the current shape.
func shapesOf(name string, upcasters []Upcaster, current reflect.Type) []reflect.Type {
	shapes := make([]reflect.Type, 0, len(upcasters)+1)
	for _, up := range upcasters {
		shapes = append(shapes, up.from)
	}
	shapes = append(shapes, current)
	for i, up := range upcasters {
		if up.to != shapes[i+1] {
			panic(fmt.Sprintf("eventsourcing: %s is upcast from schema version %d to %s, not to %s", name, i+1, up.to, shapes[i+1]))
		}
	}
	return shapes
}

func (c *Codec[E]) add(n named[E]) {
	if _, dup := c.names[n.Name]; dup {
		panic("eventsourcing: duplicate event name " + n.Name)
	}
	c.names[n.Name] = n
}

// Encode returns e's payload and the schema version it is written in. An event of another type than the registered one,
// such as a pointer to it, is unknown: it would come back as something else.
func (c *Codec[E]) Encode(e E) (payload []byte, schemaVersion int, err error) {
	n, ok := c.names[e.EventName()]
	switch {
	case ok && n.Retired:
		return nil, 0, fmt.Errorf("%w: %s", ErrRetiredEvent, n.Name)
	case !ok || !n.holds(e):
		return nil, 0, fmt.Errorf("%w: %s as %T", ErrUnknownEvent, e.EventName(), e)
	}
	payload, err = json.Marshal(e)
	return payload, len(n.Shapes), err
}

// Decode returns the event stored as payload, brought up to its current shape.
func (c *Codec[E]) Decode(name string, schemaVersion int, payload []byte) (E, error) {
	var zero E
	n, ok := c.names[name]
	if !ok || schemaVersion < 1 || schemaVersion > len(n.Shapes) {
		return zero, fmt.Errorf("%w: %s, schema version %d", ErrUnknownEvent, name, schemaVersion)
	}
	if string(bytes.TrimSpace(payload)) == "null" { // encoding/json would take it for an event without any data
		return zero, fmt.Errorf("decode %s: payload is null", name)
	}
	for i, up := range n.upcasters[schemaVersion-1:] {
		var err error
		if payload, err = up.rewrite(payload); err != nil {
			return zero, fmt.Errorf("upcast %s of schema version %d, step %d: %w", name, schemaVersion, i+1, err)
		}
	}
	e, err := n.decode(payload)
	if err != nil {
		return zero, fmt.Errorf("decode %s: %w", name, err)
	}
	return e, nil
}

// Known tells of every event name this codec knows, in the names' order.
func (c *Codec[E]) Known() []Known {
	out := make([]Known, 0, len(c.names))
	for _, name := range slices.Sorted(maps.Keys(c.names)) {
		known := c.names[name].Known
		known.Shapes = slices.Clone(known.Shapes)
		out = append(out, known)
	}
	return out
}

// Names returns every event name this codec knows with its latest schema version.
func (c *Codec[E]) Names() map[string]int {
	out := make(map[string]int, len(c.names))
	for name, n := range c.names {
		out[name] = len(n.Shapes)
	}
	return out
}
