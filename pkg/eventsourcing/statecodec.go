package eventsourcing

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
)

// StateCodec turns one aggregate's states into text for snapshots and back. It is immutable and safe for concurrent use.
type StateCodec[S any] struct {
	shape  string
	encode func(S) ([]byte, error)
	decode func([]byte) (S, error)
}

// NewStateCodec returns a codec that keeps a state as the JSON of a T, which must hold all of it.
//
// Its shape follows from T's structure and from the names and structures of the events folded. What these cannot tell
// is the revision's: raise it whenever Evolve, or an upcaster, makes another state of the same events.
func NewStateCodec[S, T any, E Event](revision int, events *Codec[E], keep func(S) T, restore func(T) S) *StateCodec[S] {
	hash := sha256.New()
	_, _ = fmt.Fprintf(hash, "revision %d\nstate ", revision) // a hash takes everything
	describe(hash, reflect.TypeFor[T](), nil)
	for _, known := range events.Known() {
		for i, shape := range known.Shapes {
			_, _ = fmt.Fprintf(hash, "\nevent %q schema %d as %q ", known.Name, i+1, known.DecodesAs)
			describe(hash, shape, nil)
		}
	}
	return &StateCodec[S]{
		shape:  hex.EncodeToString(hash.Sum(nil)[:16]),
		encode: func(s S) ([]byte, error) { return json.Marshal(keep(s)) },
		decode: func(text []byte) (S, error) {
			kept, err := decodeStrictly[T](text)
			if err != nil {
				var zero S
				return zero, err
			}
			return restore(kept), nil
		},
	}
}

// Shape names what is kept of a state and how it was folded; states of one shape can stand for each other.
func (c *StateCodec[S]) Shape() string { return c.shape }

// Encode returns the state's text.
func (c *StateCodec[S]) Encode(s S) ([]byte, error) { return c.encode(s) }

// Decode is the inverse of Encode. It refuses what Encode does not write.
func (c *StateCodec[S]) Decode(text []byte) (S, error) { return c.decode(text) }

// decodeStrictly refuses what encoding/json overlooks, such as null, a field that is missing and one that T lacks.
func decodeStrictly[T any](text []byte) (T, error) {
	var t T
	if err := json.Unmarshal(text, &t); err != nil {
		return t, err
	}
	again, err := json.Marshal(t)
	if err != nil {
		return t, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return t, err
	}
	if !bytes.Equal(compact.Bytes(), again) {
		return t, errors.New("not as it would be encoded")
	}
	return t, nil
}

// describe writes all of a type that its JSON depends on.
func describe(w io.Writer, t reflect.Type, within []reflect.Type) {
	write := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) } // a hash takes everything
	if slices.Contains(within, t) || encodesItself(t) {
		write("%s.%s;", t.PkgPath(), t.Name())
		return
	}
	within = append(slices.Clip(within), t)
	write("%s ", t.Kind())
	switch t.Kind() { //nolint:exhaustive // the others hold no other types
	case reflect.Struct:
		for field := range t.Fields() {
			write("%s %q ", field.Name, field.Tag)
			describe(w, field.Type, within)
		}
	case reflect.Array:
		write("%d ", t.Len())
		describe(w, t.Elem(), within)
	case reflect.Pointer, reflect.Slice:
		describe(w, t.Elem(), within)
	case reflect.Map:
		describe(w, t.Key(), within)
		describe(w, t.Elem(), within)
	}
	write(";")
}

func encodesItself(t reflect.Type) bool {
	return t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}
