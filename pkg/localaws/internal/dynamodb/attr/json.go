package attr

import (
	"encoding/base64"
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

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

// UnmarshalJSONFrom decodes the wire form, such as {"S":"x"}. It returns an *awsjson.Error: ValidationException for what
// DynamoDB refuses as a value, SerializationException for another JSON shape or text that is not valid UTF-8.
func (v *Value) UnmarshalJSONFrom(d *jsontext.Decoder) (err error) {
	*v, err = decode(d, 1)
	return err
}

// UnmarshalJSONFrom decodes an object of attribute values. It returns the errors of Value.UnmarshalJSONFrom.
func (i *Item) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if null, err := skipNull(d); null || err != nil {
		*i = nil
		return err
	}
	m, err := decodeMap(d, 1)
	*i = m
	return err
}

func decode(d *jsontext.Decoder, depth int) (v Value, err error) {
	if depth > MaxDepth {
		return Value{}, ErrTooDeep()
	}
	if null, err := skipNull(d); err != nil {
		return Value{}, err
	} else if null {
		return Value{}, errEmpty()
	}
	err = Members(d, func(name string) error {
		kind, known := ParseKind(name)
		if null, err := skipNull(d); null || err != nil {
			return err
		}
		if !known {
			return syntax(d.SkipValue())
		}
		if !v.IsZero() && v.kind != kind {
			return invalid("Supplied AttributeValue has more than one datatypes set, " +
				"must contain exactly one of the supported datatypes")
		}
		v, err = decodeKind(kind, d, depth)
		return err
	})
	if err == nil && v.IsZero() {
		err = errEmpty()
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

func errEmpty() error {
	return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

func decodeKind(kind Kind, d *jsontext.Decoder, depth int) (Value, error) {
	switch kind {
	case String:
		return decodeText(d, func(s string) (Value, error) { return StringValue(s), nil })
	case Number:
		return decodeText(d, NumberValue)
	case Binary:
		return decodeText(d, binaryFromText)
	case Bool:
		b, err := decodeBool(d)
		return BoolValue(b), err
	case Null:
		return decodeNull(d)
	case StringSet:
		return decodeSet(d, StringSetValue)
	case NumberSet:
		return decodeSet(d, NumberSetValue)
	case BinarySet:
		return decodeSet(d, binarySetFromTexts)
	case List:
		list := []Value{}
		err := elements(d, func() error {
			v, err := decode(d, depth+1)
			list = append(list, v)
			return err
		})
		return ListValue(list), err
	case Map:
		m, err := decodeMap(d, depth+1)
		return MapValue(m), err
	}
	return Value{}, errEmpty()
}

func decodeText(d *jsontext.Decoder, value func(string) (Value, error)) (Value, error) {
	s, err := text(d)
	if err != nil {
		return Value{}, err
	}
	return value(s)
}

// decodeSet refuses null members, as every other type but text.
func decodeSet(d *jsontext.Decoder, value func([]string) (Value, error)) (Value, error) {
	texts := []string{}
	err := elements(d, func() error {
		s, err := text(d)
		texts = append(texts, s)
		return err
	})
	if err != nil {
		return Value{}, err
	}
	return value(texts)
}

func decodeBool(d *jsontext.Decoder) (bool, error) {
	switch token, err := d.ReadToken(); {
	case err != nil:
		return false, syntax(err)
	case token.Kind() == 't':
		return true, nil
	case token.Kind() == 'f':
		return false, nil
	default:
		return false, wrongShape("true or false", token.Kind())
	}
}

func decodeNull(d *jsontext.Decoder) (Value, error) {
	set, err := decodeBool(d)
	if err == nil && !set {
		err = invalid("One or more parameter values were invalid: Null attribute value types must have the value of true")
	}
	return NullValue(), err
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

// decodeMap decodes a map whose members are at the given depth.
func decodeMap(d *jsontext.Decoder, depth int) (map[string]Value, error) {
	m := map[string]Value{}
	err := Members(d, func(name string) error {
		if name == "" {
			return invalid("One or more parameter values were invalid: Empty attribute name")
		}
		v, err := decode(d, depth)
		m[name] = v
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// Members reads an object. It calls value with each member's name, to read the member's value.
func Members(d *jsontext.Decoder, value func(name string) error) error {
	if err := open(d, '{'); err != nil {
		return err
	}
	for d.PeekKind() != '}' {
		name, err := text(d)
		if err != nil {
			return err
		}
		if err := value(name); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return syntax(err)
}

// elements reads an array. It calls value to read each element.
func elements(d *jsontext.Decoder, value func() error) error {
	if err := open(d, '['); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		if err := value(); err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return syntax(err)
}

func open(d *jsontext.Decoder, kind jsontext.Kind) error {
	token, err := d.ReadToken()
	if err != nil {
		return syntax(err)
	}
	if token.Kind() != kind {
		return wrongShape(string(kind), token.Kind())
	}
	return nil
}

// text reads a text. It refuses what the decoder may replace by U+FFFD: bytes that are not UTF-8 and escaped halves of surrogate pairs.
func text(d *jsontext.Decoder) (string, error) {
	raw, err := d.ReadValue()
	if err != nil {
		return "", syntax(err)
	}
	if raw.Kind() != '"' {
		return "", wrongShape("a text", raw.Kind())
	}
	var short [128]byte // most texts
	b, err := jsontext.AppendUnquote(short[:0], raw)
	if err != nil {
		return "", syntax(err)
	}
	return string(b), nil
}

func skipNull(d *jsontext.Decoder) (bool, error) {
	if d.PeekKind() != 'n' {
		return false, nil
	}
	return true, syntax(d.SkipValue())
}

// syntax returns the error of JSON that cannot be read; nil if err is.
func syntax(err error) error {
	if err == nil {
		return nil
	}
	return awsjson.Errorf("SerializationException", "decode attribute value: %s", err)
}

func wrongShape(want string, got jsontext.Kind) error {
	return awsjson.Errorf("SerializationException", "decode attribute value: want %s, got %s", want, got)
}

// MarshalJSONTo encodes the wire form. The zero Value has none.
func (v Value) MarshalJSONTo(e *jsontext.Encoder) error {
	return inObject(e, func() error {
		if err := e.WriteToken(jsontext.String(v.kind.String())); err != nil {
			return err
		}
		return v.encode(e)
	})
}

// MarshalJSONTo encodes an object of attribute values, sorted by name; null if it is nil.
func (i Item) MarshalJSONTo(e *jsontext.Encoder) error {
	if i == nil {
		return e.WriteToken(jsontext.Null)
	}
	return encodeMap(e, i)
}

func (v Value) encode(e *jsontext.Encoder) error {
	switch v.kind {
	case String, Number:
		return e.WriteToken(jsontext.String(v.text))
	case Binary:
		return e.WriteToken(jsontext.String(base64.StdEncoding.EncodeToString(v.Bytes())))
	case Bool:
		return e.WriteToken(jsontext.Bool(v.flag))
	case Null:
		return e.WriteToken(jsontext.True)
	case List:
		return encodeList(e, v.List(), func(v Value) error { return v.MarshalJSONTo(e) })
	case Map:
		return encodeMap(e, v.Map())
	case StringSet, NumberSet, BinarySet:
		return encodeList(e, v.List(), func(v Value) error { return v.encode(e) })
	}
	return fmt.Errorf("encode attribute value: kind %d has no wire form", v.kind)
}

func encodeMap(e *jsontext.Encoder, m map[string]Value) error {
	return inObject(e, func() error {
		for _, name := range slices.Sorted(maps.Keys(m)) {
			if err := e.WriteToken(jsontext.String(name)); err != nil {
				return err
			}
			if err := m[name].MarshalJSONTo(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func inObject(e *jsontext.Encoder, members func() error) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	if err := members(); err != nil {
		return err
	}
	return e.WriteToken(jsontext.EndObject)
}

func encodeList(e *jsontext.Encoder, list []Value, encode func(Value) error) error {
	if err := e.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, v := range list {
		if err := encode(v); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndArray)
}
