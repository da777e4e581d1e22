package process

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// state is a process: the author's state, and what the engine's events say.
type state[S any] struct {
	of S
	pending
}

// pending is what the engine's events say. Its JSON is stored in snapshots: see pendingRevision.
type pending struct {
	Version   eventsourcing.Version `json:"version"`
	Open      []asked               `json:"open"` // without an answer, in the order in which they were asked
	Timers    map[string]time.Time  `json:"timers"`
	Renewed   eventsourcing.Version `json:"renewed"` // of the last event by which all timers were put anew
	Parked    Parked                `json:"parked"`
	Cancelled bool                  `json:"cancelled"`
}

// asked is a command as the event of that version asked it.
type asked struct {
	Command

	Version       eventsourcing.Version `json:"version"`
	Number        int                   `json:"number"`
	At            time.Time             `json:"at"`
	CorrelationID string                `json:"correlationId"`
}

func (a asked) is(version eventsourcing.Version, number int) bool {
	return a.Version == version && a.Number == number
}

// Parked says why a process is parked, and since when. The zero value: it is not.
type Parked struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

func (p pending) isParked() bool { return !p.Parked.At.IsZero() }

// pendingRevision is raised whenever pending changes, or its fold: snapshots of another one are not read.
const pendingRevision = 1

// states encodes what is known of a process for snapshots.
type states[S any] struct {
	of     eventsourcing.StateCodec[S]
	stored *snapshot.Codec[stored]
}

type stored struct {
	Of json.RawMessage `json:"of"`
	pending
}

// snapshots returns the codec of the states, or none if the author has none.
func (s Spec[S, E]) snapshots() eventsourcing.StateCodec[state[S]] {
	if s.States == nil {
		return nil
	}
	return states[S]{s.States, snapshot.NewCodec[stored](pendingRevision, s.engineEvents())}
}

// Shape implements eventsourcing.StateCodec. It changes with the author's and with the engine's.
func (c states[S]) Shape() string { return c.of.Shape() + "+" + c.stored.Shape() }

// Encode implements eventsourcing.StateCodec.
func (c states[S]) Encode(st state[S]) ([]byte, error) {
	of, err := c.of.Encode(st.of)
	if err != nil {
		return nil, fmt.Errorf("encode the state of a process: %w", err)
	}
	return c.stored.Encode(stored{of, st.pending})
}

// Decode implements eventsourcing.StateCodec.
func (c states[S]) Decode(text []byte) (st state[S], err error) {
	s, err := c.stored.Decode(text)
	if err != nil {
		return st, err
	}
	of, err := c.of.Decode(s.Of)
	return state[S]{of, s.pending}, err
}
