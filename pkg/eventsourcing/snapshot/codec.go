// Package snapshot encodes states for snapshots, and saves snapshots without making commands wait.
//
// A snapshot is a copy of an aggregate's state at one version. A load of a long stream begins with it, after the log has
// confirmed that the snapshot's event is at its version; whatever is wrong with a snapshot, the log is read instead. Any
// snapshot may be deleted at any time.
package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Codec is an eventsourcing.StateCodec that keeps states as the JSON of S, which must leave no part of S out. It is
// immutable and safe for concurrent use.
type Codec[S any] struct{ shape string }

// NewCodec returns a codec of states that were folded from these events. Its shape changes with the revision and with the
// names and schema versions of the events. Raise the revision whenever S changes, or whenever Evolve or an upcaster makes
// another state of the same events; keep a recorded history in a test that fails until then.
func NewCodec[S any, E eventsourcing.Event](revision int, events *eventsourcing.Codec[E]) *Codec[S] {
	hash := sha256.Sum256(fmt.Appendf(nil, "revision %d %v", revision, events.Names())) // fmt sorts maps
	return &Codec[S]{shape: hex.EncodeToString(hash[:16])}
}

// Shape implements eventsourcing.StateCodec.
func (c *Codec[S]) Shape() string { return c.shape }

// Encode implements eventsourcing.StateCodec.
func (*Codec[S]) Encode(s S) ([]byte, error) { return json.Marshal(s) }

// Decode implements eventsourcing.StateCodec. It refuses what encoding/json overlooks, such as null and a field that is
// missing or unknown.
func (*Codec[S]) Decode(text []byte) (s S, err error) {
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
