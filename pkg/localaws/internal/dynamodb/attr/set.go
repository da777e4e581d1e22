package attr

import (
	"encoding/base64"
	"strings"
)

// StringSetValue returns an SS, or a ValidationException for no or duplicate members.
func StringSetValue(members []string) (Value, error) {
	values := make([]Value, len(members))
	for i, m := range members {
		values[i] = StringValue(m)
	}
	return newSet(StringSet, values)
}

// NumberSetValue returns an NS, or a ValidationException for no or duplicate members or a text that is no number.
func NumberSetValue(members []string) (Value, error) {
	values := make([]Value, len(members))
	for i, m := range members {
		v, err := NumberValue(m)
		if err != nil {
			return Value{}, err
		}
		values[i] = v
	}
	return newSet(NumberSet, values)
}

// BinarySetValue returns a BS that keeps the members, or a ValidationException for no or duplicate members.
func BinarySetValue(members [][]byte) (Value, error) {
	values := make([]Value, len(members))
	for i, m := range members {
		values[i] = BinaryValue(m)
	}
	return newSet(BinarySet, values)
}

func newSet(kind Kind, members []Value) (Value, error) {
	if len(members) == 0 {
		return Value{}, invalid("One or more parameter values were invalid: %s", emptySet(kind))
	}
	sorted, distinct := sortByKey(members)
	if !distinct {
		return Value{}, duplicates(kind, members)
	}
	return Value{kind: kind, rest: &content{list: sorted}}, nil
}

// emptySet and duplicates have DynamoDB's exact wording, with its doubled and missing spaces.
func emptySet(kind Kind) string {
	switch kind {
	case NumberSet:
		return "An number set  may not be empty"
	case BinarySet:
		return "Binary sets should not be empty"
	default:
		return "An string set  may not be empty"
	}
}

func duplicates(kind Kind, members []Value) error {
	if kind == NumberSet {
		return invalid("Input collection contains duplicates")
	}
	texts := make([]string, len(members))
	for i, m := range members {
		texts[i] = m.text
		if kind == BinarySet {
			texts[i] = base64.StdEncoding.EncodeToString(m.Bytes())
		}
	}
	of := " "
	if kind == BinarySet {
		of = "of type BS "
	}
	return invalid("One or more parameter values were invalid: Input collection [%s]%scontains duplicates.",
		strings.Join(texts, ", "), of)
}

// Contains reports whether member is an element of the list or set v.
func (v Value) Contains(member Value) bool {
	for _, m := range v.List() {
		if m.Equal(member) {
			return true
		}
	}
	return false
}

// Union returns the union of two sets of one kind; false for other values.
func (v Value) Union(o Value) (Value, bool) {
	if v.kind != o.kind || v.kind.Element() == 0 {
		return Value{}, false
	}
	have := v.keys()
	members := append([]Value(nil), v.List()...)
	for _, m := range o.List() {
		if !have[string(m.KeyBytes())] {
			members = append(members, m)
		}
	}
	sorted, _ := sortByKey(members)
	return Value{kind: v.kind, rest: &content{list: sorted}}, true
}

// Without returns the members of set v that are not in set o, or the zero Value if none is left, since sets cannot be empty;
// false unless both are sets of one kind.
func (v Value) Without(o Value) (Value, bool) {
	if v.kind != o.kind || v.kind.Element() == 0 {
		return Value{}, false
	}
	drop := o.keys()
	var members []Value
	for _, m := range v.List() {
		if !drop[string(m.KeyBytes())] {
			members = append(members, m)
		}
	}
	if members == nil {
		return Value{}, true
	}
	return Value{kind: v.kind, rest: &content{list: members}}, true
}

func (v Value) keys() map[string]bool {
	keys := make(map[string]bool, len(v.List()))
	for _, m := range v.List() {
		keys[string(m.KeyBytes())] = true
	}
	return keys
}
