package eventsourcing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// StateCodec encodes one aggregate's states for snapshots, as the JSON of S, and decodes them. S must have no part that
// its JSON leaves out. It is immutable and safe for concurrent use.
type StateCodec[S any] struct{ shape string }

// NewStateCodec returns a codec of states that were folded from these events. Its Shape changes with the revision and
// with the names and schema versions of the events. Raise the revision whenever S changes, or whenever Evolve or an
// upcaster makes another state of the same events; aggregatetest.SnapshotShape fails until then.
func NewStateCodec[S any, E Event](revision int, events *Codec[E]) *StateCodec[S] {
	hash := sha256.Sum256(fmt.Appendf(nil, "revision %d %v", revision, events.Names())) // fmt sorts maps
	return &StateCodec[S]{shape: hex.EncodeToString(hash[:16])}
}

// Shape names how a state is kept and how it was folded; states of one shape can stand for each other.
func (c *StateCodec[S]) Shape() string { return c.shape }

// Encode returns the state's text.
func (*StateCodec[S]) Encode(s S) ([]byte, error) { return json.Marshal(s) }

// Decode is the inverse of Encode. It refuses what Encode does not write, such as null and a field missing or unknown,
// which encoding/json overlooks.
func (*StateCodec[S]) Decode(text []byte) (s S, err error) {
	if err := json.Unmarshal(text, &s); err != nil {
		return s, err
	}
	again, err := json.Marshal(s)
	if err != nil {
		return s, err
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, text); err != nil {
		return s, err
	}
	if !bytes.Equal(compact.Bytes(), again) {
		return s, errors.New("not as it would be encoded")
	}
	return s, nil
}
