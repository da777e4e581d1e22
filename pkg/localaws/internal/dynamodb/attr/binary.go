package attr

import (
	"encoding/binary"
	"errors"
)

// Binary returns the item in the form in which it is stored: the number of attributes, and each one's name and value. A value is
// its Kind, the number of its bytes or elements where that varies, and these. It returns nil for no item.
func (i Item) Binary() []byte {
	if i == nil {
		return nil
	}
	return appendMap(nil, i)
}

func appendMap(b []byte, m map[string]Value) []byte {
	b = binary.AppendUvarint(b, uint64(len(m)))
	for name, v := range m {
		b = v.append(appendText(b, name))
	}
	return b
}

func appendText[T string | []byte](b []byte, text T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

func (v Value) append(b []byte) []byte {
	b = append(b, byte(v.kind))
	switch v.kind {
	case String, Number:
		return appendText(b, v.text)
	case Binary:
		return appendText(b, v.Bytes())
	case Bool:
		if v.flag {
			return append(b, 1)
		}
		return append(b, 0)
	case List, StringSet, NumberSet, BinarySet:
		b = binary.AppendUvarint(b, uint64(len(v.List())))
		for _, e := range v.List() {
			b = e.append(b)
		}
	case Map:
		return appendMap(b, v.Map())
	case Null:
	}
	return b
}

var errBinary = errors.New("not an item in its stored form")

// ParseBinary is the inverse of Item.Binary.
func ParseBinary(b []byte) (Item, error) {
	if b == nil {
		return nil, nil
	}
	d := decoder{b}
	m, err := d.mapping()
	if err == nil && len(d.rest) > 0 {
		err = errBinary
	}
	return m, err
}

// decoder reads a stored item, which it does not keep.
type decoder struct{ rest []byte }

// count reads the number of the bytes or elements that follow, each of which takes a byte at least.
func (d *decoder) count() (int, error) {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 || n > uint64(len(d.rest)-size) { //nolint:gosec // not negative
		return 0, errBinary
	}
	d.rest = d.rest[size:]
	return int(n), nil //nolint:gosec // at most len(d.rest)
}

func (d *decoder) text() (string, error) {
	n, err := d.count()
	if err != nil {
		return "", err
	}
	text := string(d.rest[:n])
	d.rest = d.rest[n:]
	return text, nil
}

func (d *decoder) octet() (byte, error) {
	if len(d.rest) == 0 {
		return 0, errBinary
	}
	first := d.rest[0]
	d.rest = d.rest[1:]
	return first, nil
}

func (d *decoder) mapping() (map[string]Value, error) {
	n, err := d.count()
	m := make(map[string]Value, n)
	for i := 0; err == nil && i < n; i++ {
		var name string
		if name, err = d.text(); err == nil {
			m[name], err = d.value()
		}
	}
	return m, err
}

func (d *decoder) value() (v Value, err error) {
	kind, err := d.octet()
	if err != nil {
		return Value{}, err
	}
	v.kind = Kind(kind)
	switch v.kind {
	case String, Number:
		v.text, err = d.text()
	case Binary:
		var text string
		text, err = d.text()
		v.rest = &content{data: []byte(text)}
	case Bool:
		var flag byte
		flag, err = d.octet()
		v.flag = flag == 1
	case Null:
	case List, StringSet, NumberSet, BinarySet:
		v.rest = &content{}
		v.rest.list, err = d.list()
	case Map:
		v.rest = &content{}
		v.rest.m, err = d.mapping()
	default:
		err = errBinary
	}
	return v, err
}

func (d *decoder) list() ([]Value, error) {
	n, err := d.count()
	list := make([]Value, n)
	for i := 0; err == nil && i < n; i++ {
		list[i], err = d.value()
	}
	return list, err
}
