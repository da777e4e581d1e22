package eventsourcing

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// Upcaster rewrites payloads of one shape into the next. Make one with Upcast.
type Upcaster struct {
	from, to reflect.Type
	rewrite  func([]byte) ([]byte, error)
}

// Upcast lifts a function between two payload shapes to an Upcaster. Old is the former shape, kept unexported beside
// the event that replaced it. Members that Old does not have are copied unchanged, at every depth of objects,
// unless New has a member of the same name. In the elements of lists they are dropped.
func Upcast[Old, New any](f func(Old) New) Upcaster {
	from := reflect.TypeFor[Old]()
	return Upcaster{from: from, to: reflect.TypeFor[New](), rewrite: func(b []byte) ([]byte, error) {
		var old Old
		if err := json.Unmarshal(b, &old); err != nil {
			return nil, err
		}
		next, err := json.Marshal(f(old))
		if err != nil {
			return nil, err
		}
		return merge(next, unknown(b, from)), nil
	}}
}

// Downcaster rewrites an event into a former shape of it. Make one with Downcast.
type Downcaster struct {
	from, to reflect.Type
	former   func(any) any
}

// Downcast lifts the inverse of one or more upcasters to a Downcaster.
func Downcast[Event, Old any](f func(Event) Old) Downcaster {
	return Downcaster{from: reflect.TypeFor[Event](), to: reflect.TypeFor[Old](), former: func(e any) any {
		return f(e.(Event)) //nolint:errcheck,forcetypeassert // WriteFormer and Encode have compared the types
	}}
}

type members = map[string]json.RawMessage

// unknown returns the members of an object that t has no field for, and those of the objects within.
func unknown(value json.RawMessage, t reflect.Type) members {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil // known as a whole
	}
	object, fields := objectOf(value), fieldsOf(t)
	for name, member := range object {
		at := slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) }) // as encoding/json matches
		if at < 0 {
			continue
		}
		delete(object, name)
		if within := unknown(member, fields[at].of); len(within) > 0 {
			object[name] = encoded(within)
		}
	}
	return object
}

// merge adds members to an object, but for those that it has.
func merge(object json.RawMessage, more members) json.RawMessage {
	into := objectOf(object)
	if len(more) == 0 || into == nil {
		return object
	}
	for name, member := range more {
		if have, ok := into[name]; ok {
			into[name] = merge(have, objectOf(member))
		} else if !hasFold(into, name) {
			into[name] = member
		}
	}
	return encoded(into)
}

// objectOf returns a new map of the members, or nil if value is not an object.
func objectOf(value json.RawMessage) (object members) {
	if json.Unmarshal(value, &object) != nil {
		return nil
	}
	return object
}

func encoded(m members) json.RawMessage {
	b, _ := json.Marshal(m) // what was decoded encodes
	return b
}

func hasFold(m members, name string) bool {
	for other := range m {
		if strings.EqualFold(other, name) {
			return true
		}
	}
	return false
}

type field struct {
	name string
	of   reflect.Type
}

// fieldsOf lists what encoding/json reads into a struct.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-", !f.IsExported(), f.Anonymous && name == "":
		case name == "":
			out = append(out, field{f.Name, f.Type})
		default:
			out = append(out, field{name, f.Type})
		}
	}
	return out
}
