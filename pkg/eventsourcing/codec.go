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
	// ErrUnknownEvent reports a stored event whose name or schema version this build does not know: a later build wrote it.
	ErrUnknownEvent = errors.New("unknown event")
	// ErrNotRegistered reports an event to be written whose type the codec was not given.
	ErrNotRegistered = errors.New("event not registered")
	// ErrRetiredEvent reports an event that is read but not written any more.
	ErrRetiredEvent = errors.New("retired event")
	// ErrNotWrittenYet reports an event that its former shape, in which it is still written, cannot express.
	ErrNotWrittenYet = errors.New("event not written yet")
)

// Codec encodes the events of one aggregate as stored payloads and decodes them. It is safe for concurrent use once it
// is built.
//
// Decoding ignores unknown JSON members, upcasters keep them, and missing members have their zero values.
type Codec[E Event] struct{ names map[string]named }

// named is what a codec knows under one name.
type named struct {
	Known
	upcasters []Upcaster    // past its own schema versions they are the successor's
	current   reflect.Type  // of the event that it decodes as
	given     Event         // of that type, which is decoded into
	former    func(any) any // the shape it is written in; nil: its current one
}

// Known describes one event name.
type Known struct {
	Name string
	// Shapes are the types of its payload by schema version, the first being of version 1.
	Shapes []reflect.Type
	// DecodesAs is the name of the event that it is decoded as: its own, or its successor's.
	DecodesAs string
	// Retired names are never written again.
	Retired bool
	// Writes is the schema version that it is written in: the latest, unless WriteFormer says otherwise; 0 if it is retired.
	Writes int
}

// NewCodec returns a codec of the events given, each by a value of its type, in schema version 1. What JSON leaves alone in it,
// such as a part of the event's name, all decoded events have, too. NewCodec, Join,
// History, WriteFormer, Retire and RetireAs panic on mistakes in the program text: a name used twice, or upcasters that do not lead
// from shape to shape.
func NewCodec[E Event](events ...E) *Codec[E] {
	c := &Codec[E]{names: map[string]named{}}
	for _, e := range events {
		c.add(newNamed(e, nil))
	}
	return c
}

// Join returns a codec of the events of both, in which no name may occur twice.
func Join[A, B Event](a *Codec[A], b *Codec[B]) *Codec[Event] {
	c := &Codec[Event]{names: maps.Clone(a.names)}
	for _, n := range b.names {
		c.add(n)
	}
	return c
}

// History declares the former shapes of an event that NewCodec was given, by one upcaster for each, oldest first. The
// event's schema version is 1 plus their number, so a shape cannot change without the step that explains the change.
func (c *Codec[E]) History(e E, upcasters ...Upcaster) *Codec[E] {
	known, ok := c.names[e.EventName()]
	if !ok || known.current != reflect.TypeOf(e) || known.Retired {
		panic(fmt.Sprintf("eventsourcing: history of %T, which is not registered", e))
	}
	c.names[known.Name] = newNamed(e, upcasters)
	return c
}

// WriteFormer lets an event be written in a former shape, one of its History, while its current one is read already. Call it
// in the first release that knows a shape, and no more in the next: so each of two neighbouring releases reads what the
// other writes, and both can run at once and be rolled back.
func (c *Codec[E]) WriteFormer(e E, shape Downcaster) *Codec[E] {
	n, ok := c.names[e.EventName()]
	at := slices.Index(n.Shapes, shape.to)
	if !ok || n.Retired || n.current != shape.from || at < 0 || shape.to == n.current {
		panic(fmt.Sprintf("eventsourcing: %T is written as %s, which is not a former shape of it", e, shape.to))
	}
	n.Writes, n.former = at+1, shape.former
	c.names[n.Name] = n
	return c
}

// Retire adds an event that is read but not written any more.
func (c *Codec[E]) Retire(e E, upcasters ...Upcaster) *Codec[E] {
	n := newNamed(e, upcasters)
	n.Retired, n.Writes = true, 0
	c.add(n)
	return c
}

// RetireAs adds an old event name whose payloads decode as successor, which must be registered. The name is never written
// again. There is one upcaster for each schema version that the name ever had; the last one leads to a shape of the successor, present or
// former, whose own History continues from there.
func (c *Codec[E]) RetireAs(name string, successor E, upcasters ...Upcaster) *Codec[E] {
	target := reflect.TypeOf(successor)
	next, ok := c.names[successor.EventName()]
	if !ok || next.current != target {
		panic(fmt.Sprintf("eventsourcing: %s is retired as %s, which is not registered", name, target))
	}
	if len(upcasters) == 0 {
		panic(fmt.Sprintf("eventsourcing: %s is retired as %s without an upcaster", name, target))
	}
	last := upcasters[len(upcasters)-1].to
	enters := slices.Index(next.Shapes, last)
	if enters < 0 {
		panic(fmt.Sprintf("eventsourcing: %s is upcast to %s, not a shape of %s", name, last, target))
	}
	c.add(named{
		Known: Known{
			Name: name, Shapes: shapesOf(name, upcasters, last)[:len(upcasters)], DecodesAs: next.Name, Retired: true,
		},
		upcasters: slices.Concat(upcasters, next.upcasters[enters:]), current: target, given: successor,
	})
	return c
}

func newNamed(e Event, upcasters []Upcaster) named {
	name, current := e.EventName(), reflect.TypeOf(e)
	return named{
		Known:     Known{Name: name, Shapes: shapesOf(name, upcasters, current), DecodesAs: name, Writes: len(upcasters) + 1},
		upcasters: upcasters, current: current, given: e,
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

func (c *Codec[E]) add(n named) {
	if _, dup := c.names[n.Name]; dup {
		panic("eventsourcing: duplicate event name " + n.Name)
	}
	c.names[n.Name] = n
}

// Encode returns e's payload and the schema version it is written in. An event of another type than the registered one, even
// a pointer to it, is an ErrNotRegistered.
func (c *Codec[E]) Encode(e E) (payload []byte, schemaVersion int, err error) {
	n, ok := c.names[e.EventName()]
	switch {
	case ok && n.Retired:
		return nil, 0, fmt.Errorf("%w: %s", ErrRetiredEvent, n.Name)
	case !ok || n.current != reflect.TypeOf(e):
		return nil, 0, fmt.Errorf("%w: %s as %T", ErrNotRegistered, e.EventName(), e)
	case n.former != nil:
		payload, err = c.encodeFormer(n, e)
	default:
		payload, err = json.Marshal(e)
	}
	return payload, n.Writes, err
}

// encodeFormer makes sure that the event will be decoded as it is: the state after a decision is folded from it.
func (c *Codec[E]) encodeFormer(n named, e E) ([]byte, error) {
	payload, err := json.Marshal(n.former(e))
	if err != nil {
		return nil, err
	}
	decoded, err := c.Decode(n.Name, n.Writes, payload)
	if err != nil {
		return nil, err
	}
	want, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if got, err := json.Marshal(decoded); err != nil || !bytes.Equal(got, want) {
		return nil, fmt.Errorf("%w: schema version %d of %s lacks a part of it", ErrNotWrittenYet, n.Writes, n.Name)
	}
	return payload, nil
}

// Knows reports whether a stored event of that name and schema version can be decoded.
func (c *Codec[E]) Knows(name string, schemaVersion int) bool {
	n, ok := c.names[name]
	return ok && schemaVersion >= 1 && schemaVersion <= len(n.Shapes)
}

// Decode returns the event stored as payload, brought up to its current shape.
func (c *Codec[E]) Decode(name string, schemaVersion int, payload []byte) (E, error) {
	var zero E
	if !c.Knows(name, schemaVersion) {
		return zero, fmt.Errorf("%w: %s, schema version %d", ErrUnknownEvent, name, schemaVersion)
	}
	n := c.names[name]
	if string(bytes.TrimSpace(payload)) == "null" { // encoding/json would take it for an event without any data
		return zero, fmt.Errorf("decode %s: payload is null", name)
	}
	for i, up := range n.upcasters[schemaVersion-1:] {
		var err error
		if payload, err = up.rewrite(payload); err != nil {
			return zero, fmt.Errorf("upcast %s of schema version %d, step %d: %w", name, schemaVersion, i+1, err)
		}
	}
	event := reflect.New(n.current)
	event.Elem().Set(reflect.ValueOf(n.given))
	if err := json.Unmarshal(payload, event.Interface()); err != nil {
		return zero, fmt.Errorf("decode %s: %w", name, err)
	}
	return event.Elem().Interface().(E), nil //nolint:errcheck,forcetypeassert // add was given an E of this type
}

// Known describes every event name this codec knows, in the names' order.
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
