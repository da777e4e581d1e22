package attr

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// MaxDepth is the maximum number of nesting levels of a value, its own included.
// Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html#limits-attributes
const MaxDepth = 32

// ErrTooDeep returns DynamoDB's error for more than MaxDepth levels.
func ErrTooDeep() error {
	return invalid("Nesting Levels have exceeded supported limits: " +
		"Attributes in the item have nested levels beyond supported limit")
}

// UnmarshalJSON decodes the wire form, such as {"S":"x"}. It returns an *awsjson.Error: ValidationException for what
// DynamoDB refuses as a value, SerializationException for another JSON shape or text that is not valid UTF-8.
func (v *Value) UnmarshalJSON(data []byte) error {
	if err := checkText(data); err != nil {
		return err
	}
	parsed, err := decode(data, 1)
	if err != nil {
		return err
	}
	*v = parsed
	return nil
}

// UnmarshalJSON decodes an object of attribute values. It returns the errors of Value.UnmarshalJSON.
func (i *Item) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		*i = nil
		return nil
	}
	if err := checkText(data); err != nil {
		return err
	}
	m, err := decodeMap(data, 1)
	if err != nil {
		return err
	}
	*i = m
	return nil
}

func decode(data []byte, depth int) (Value, error) {
	if depth > MaxDepth {
		return Value{}, ErrTooDeep()
	}
	var members map[string]json.RawMessage
	if err := parse(data, &members); err != nil {
		return Value{}, err
	}
	var kind Kind
	var payload json.RawMessage
	for name, raw := range members {
		k, ok := ParseKind(name)
		if !ok || isNull(raw) {
			continue
		}
		if kind != 0 {
			return Value{}, invalid("Supplied AttributeValue has more than one datatypes set, " +
				"must contain exactly one of the supported datatypes")
		}
		kind, payload = k, raw
	}
	if kind == 0 {
		return Value{}, errEmpty()
	}
	return decodeKind(kind, payload, depth)
}

func errEmpty() error {
	return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

func decodeKind(kind Kind, data []byte, depth int) (Value, error) {
	switch kind {
	case String:
		return decodeAs(data, func(s string) (Value, error) { return StringValue(s), nil })
	case Number:
		return decodeAs(data, NumberValue)
	case Binary:
		return decodeAs(data, binaryFromText)
	case Bool:
		return decodeAs(data, func(b bool) (Value, error) { return BoolValue(b), nil })
	case Null:
		return decodeAs(data, nullFromBool)
	case StringSet:
		return decodeSet(data, StringSetValue)
	case NumberSet:
		return decodeSet(data, NumberSetValue)
	case BinarySet:
		return decodeSet(data, binarySetFromTexts)
	case List:
		return decodeList(data, depth)
	case Map:
		m, err := decodeMap(data, depth+1)
		return MapValue(m), err
	}
	return Value{}, errEmpty()
}

func decodeAs[T any](data []byte, value func(T) (Value, error)) (Value, error) {
	var t T
	if err := parse(data, &t); err != nil {
		return Value{}, err
	}
	return value(t)
}

// decodeSet refuses null members, which would otherwise decode to empty text.
func decodeSet(data []byte, value func([]string) (Value, error)) (Value, error) {
	return decodeAs(data, func(members []*string) (Value, error) {
		texts := make([]string, len(members))
		for i, m := range members {
			if m == nil {
				return Value{}, awsjson.Errorf("SerializationException", "decode attribute value: null in a set")
			}
			texts[i] = *m
		}
		return value(texts)
	})
}

func nullFromBool(b bool) (Value, error) {
	if !b {
		return Value{}, invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
	}
	return NullValue(), nil
}

func binaryFromText(text string) (Value, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return Value{}, awsjson.Errorf("SerializationException", "decode base64: %s", err)
	}
	return BinaryValue(b), nil
}

func binarySetFromTexts(texts []string) (Value, error) {
	members := make([]Value, len(texts))
	for i, text := range texts {
		b, err := binaryFromText(text)
		if err != nil {
			return Value{}, err
		}
		members[i] = b
	}
	return newSet(BinarySet, members)
}

func decodeList(data []byte, depth int) (Value, error) {
	var raws []json.RawMessage
	if err := parse(data, &raws); err != nil {
		return Value{}, err
	}
	list := make([]Value, len(raws))
	for i, raw := range raws {
		v, err := decode(raw, depth+1)
		if err != nil {
			return Value{}, err
		}
		list[i] = v
	}
	return ListValue(list), nil
}

// decodeMap decodes a map whose members are at the given depth.
func decodeMap(data []byte, depth int) (map[string]Value, error) {
	var raws map[string]json.RawMessage
	if err := parse(data, &raws); err != nil {
		return nil, err
	}
	m := make(map[string]Value, len(raws))
	for name, raw := range raws {
		if name == "" {
			return nil, invalid("One or more parameter values were invalid: Empty attribute name")
		}
		v, err := decode(raw, depth)
		if err != nil {
			return nil, err
		}
		m[name] = v
	}
	return m, nil
}

func parse(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return awsjson.Errorf("SerializationException", "decode attribute value: %s", err)
	}
	return nil
}

func isNull(data []byte) bool { return string(bytes.TrimSpace(data)) == "null" }

// checkText refuses what encoding/json would replace by U+FFFD: bytes that are not UTF-8 and escaped halves of
// surrogate pairs.
func checkText(data []byte) error {
	if !utf8.Valid(data) {
		return awsjson.Errorf("SerializationException", "attribute value is not valid UTF-8")
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		first, ok := escapedUnit(data[i:])
		if !ok {
			i++ // past the escaped character, which may be a backslash
			continue
		}
		i += escapeLen - 1
		if !utf16.IsSurrogate(first) {
			continue
		}
		second, ok := escapedUnit(data[i+1:])
		if !ok || utf16.DecodeRune(first, second) == utf8.RuneError {
			return awsjson.Errorf("SerializationException", "attribute value has half of a surrogate pair")
		}
		i += escapeLen
	}
	return nil
}

const escapeLen = len(`\u0000`)

func escapedUnit(data []byte) (rune, bool) {
	if len(data) < escapeLen || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(data[2:escapeLen]), 16, 16)
	return rune(n), err == nil
}

// MarshalJSON encodes the wire form. The zero Value has none.
func (v Value) MarshalJSON() ([]byte, error) {
	payload, err := v.payload()
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{v.kind.String(): payload})
}

func (v Value) payload() (any, error) {
	switch v.kind {
	case String, Number:
		return v.text, nil
	case Binary:
		return base64.StdEncoding.EncodeToString(v.data), nil
	case Bool:
		return v.flag, nil
	case Null:
		return true, nil
	case List:
		return append([]Value{}, v.list...), nil // never null
	case Map:
		if v.m == nil {
			return struct{}{}, nil
		}
		return v.m, nil
	case StringSet, NumberSet, BinarySet:
		members := make([]any, len(v.list))
		for i, m := range v.list {
			p, err := m.payload()
			if err != nil {
				return nil, err
			}
			members[i] = p
		}
		return members, nil
	}
	return nil, fmt.Errorf("encode attribute value: kind %d has no wire form", v.kind)
}
