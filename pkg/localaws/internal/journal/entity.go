package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// Key is the key of an entity: a list of parts of any bytes, each after its length.
type Key []byte

// With returns the key with more parts.
func (k Key) With(parts ...string) Key {
	out := slices.Clone(k)
	for _, p := range parts {
		out = append(binary.AppendUvarint(out, uint64(len(p))), p...)
	}
	return out
}

// Number is a part that sorts as the number does.
func Number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// ParseNumber is the inverse of Number; 0 for another part.
func ParseNumber(part string) uint64 {
	if len(part) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(part))
}

var errKey = errors.New("not a key of parts")

// parts is the inverse of With.
func (k Key) parts() (out []string, err error) {
	for len(k) > 0 {
		n, size := binary.Uvarint(k)
		if size <= 0 || n > uint64(len(k)-size) { //nolint:gosec // not negative
			return nil, errKey
		}
		end := size + int(n) //nolint:gosec // at most len(k)
		out, k = append(out, string(k[size:end])), k[end:]
	}
	return out, nil
}

// encoding keeps times to the nanosecond. Fields are stored under their Go names, which are part of the format.
var encoding = mode(cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.EncMode())

func mode(m cbor.EncMode, err error) cbor.EncMode {
	if err != nil {
		panic(err)
	}
	return m
}

// Batch is a list of changes that are stored together.
type Batch []Change

// Put stores a value, which is a struct, a number or bytes.
func (b *Batch) Put(k Key, value any) {
	encoded, err := encoding.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("encode an entity: %v", err)) // a type that CBOR does not have
	}
	*b = append(*b, Change{k, encoded})
}

// Delete removes an entity.
func (b *Batch) Delete(k Key) { *b = append(*b, Change{Key: k}) }

// Each calls f with the entities whose keys begin with k, in the order of their keys. id is the rest of the key.
func Each[V any](j *Journal, k Key, f func(id []string, value V) error) error {
	return j.store.Each(k, func(key, value []byte) error {
		var v V
		id, err := Key(key[len(k):]).parts()
		if err == nil {
			err = cbor.Unmarshal(value, &v)
		}
		if err == nil {
			err = f(id, v)
		}
		if err != nil {
			return fmt.Errorf("entity %q: %w", key, err)
		}
		return nil
	})
}
