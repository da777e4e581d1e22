// Package attr implements DynamoDB's attribute values: their wire form, equality, order, size and 38-digit numbers.
package attr

import "bytes"

// Kind is an attribute's data type.
type Kind uint8

// The data types.
const (
	String Kind = iota + 1
	Number
	Binary
	Bool
	Null
	List
	Map
	StringSet
	NumberSet
	BinarySet
)

// String returns the kind's name on the wire: "S", "N", …; "" for no kind.
func (k Kind) String() string {
	switch k {
	case String:
		return "S"
	case Number:
		return "N"
	case Binary:
		return "B"
	case Bool:
		return "BOOL"
	case Null:
		return "NULL"
	case List:
		return "L"
	case Map:
		return "M"
	case StringSet:
		return "SS"
	case NumberSet:
		return "NS"
	case BinarySet:
		return "BS"
	}
	return ""
}

// ParseKind is the inverse of Kind.String.
func ParseKind(name string) (Kind, bool) {
	for k := String; k <= BinarySet; k++ {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// Element returns the kind of a set's members; 0 for other kinds.
func (k Kind) Element() Kind {
	switch k {
	case StringSet:
		return String
	case NumberSet:
		return Number
	case BinarySet:
		return Binary
	case String, Number, Binary, Bool, Null, List, Map:
	}
	return 0
}

// Value is one attribute value. It is immutable: its slices and maps must not be modified. The zero Value is no value.
type Value struct {
	kind Kind
	flag bool     // Bool
	text string   // String, and Number in canonical form
	rest *content // of other kinds
}

// content is what few values have. A Value without it is small: a log of a million events has ten million of them.
type content struct {
	data []byte           // Binary
	list []Value          // List, and the members of every set, in their canonical order
	m    map[string]Value // Map
}

// StringValue returns an S. The text must be valid UTF-8.
func StringValue(s string) Value { return Value{kind: String, text: s} }

// BinaryValue returns a B that keeps b.
func BinaryValue(b []byte) Value { return Value{kind: Binary, rest: &content{data: b}} }

// BoolValue returns a BOOL.
func BoolValue(b bool) Value { return Value{kind: Bool, flag: b} }

// NullValue returns a NULL.
func NullValue() Value { return Value{kind: Null} }

// ListValue returns an L that keeps l.
func ListValue(l []Value) Value { return Value{kind: List, rest: &content{list: l}} }

// MapValue returns an M that keeps m.
func MapValue(m map[string]Value) Value { return Value{kind: Map, rest: &content{m: m}} }

// Kind returns the data type; 0 for the zero Value.
func (v Value) Kind() Kind { return v.kind }

// TypeName returns the data type's name on the wire.
func (v Value) TypeName() string { return v.kind.String() }

// IsZero reports whether v is no value, such as that of a missing attribute.
func (v Value) IsZero() bool { return v.kind == 0 }

// Text returns the text of an S or the canonical text of an N.
func (v Value) Text() string { return v.text }

// Bytes returns the bytes of a B; they must not be modified.
func (v Value) Bytes() []byte {
	if v.rest == nil {
		return nil
	}
	return v.rest.data
}

// Bool returns the value of a BOOL.
func (v Value) Bool() bool { return v.flag }

// List returns the elements of an L, or the members of a set in canonical order; they must not be modified.
func (v Value) List() []Value {
	if v.rest == nil {
		return nil
	}
	return v.rest.list
}

// Map returns the members of an M; they must not be modified.
func (v Value) Map() map[string]Value {
	if v.rest == nil {
		return nil
	}
	return v.rest.m
}

// Equal compares numbers by value and sets regardless of order. Values of different kinds differ.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind {
		return false
	}
	switch v.kind {
	case String, Number:
		return v.text == o.text // one number has one canonical text
	case Binary:
		return bytes.Equal(v.Bytes(), o.Bytes())
	case Bool:
		return v.flag == o.flag
	case List, StringSet, NumberSet, BinarySet:
		return equalLists(v.List(), o.List())
	case Map:
		return equalMaps(v.Map(), o.Map())
	case Null:
	}
	return true
}

func equalLists(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

func equalMaps(a, b map[string]Value) bool {
	if len(a) != len(b) {
		return false
	}
	for name, v := range a {
		if w, ok := b[name]; !ok || !v.Equal(w) {
			return false
		}
	}
	return true
}
