package eventsourcing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Snapshot is an aggregate's state at a version, kept so that a load need not read all events before it. It is a copy: the
// log decides what is true, and any snapshot may be lost at any time.
type Snapshot struct {
	Stream  StreamID
	Version Version
	EventID string // of the record at Version; if the log has another ID there, the snapshot is of another log
	Shape   string // StateCodec.Shape
	State   json.RawMessage
}

// StateCodec encodes one aggregate's states for snapshots and decodes them. Package snapshot has one.
type StateCodec[S any] interface {
	// Shape identifies encoding and fold: snapshots of one shape are interchangeable.
	Shape() string
	Encode(s S) ([]byte, error)
	// Decode is the inverse of Encode and refuses what Encode does not write.
	Decode(text []byte) (S, error)
}

// Snapshots is the port to where snapshots are kept, one of each stream. Every implementation must pass
// eventstoretest.RunSnapshots.
type Snapshots interface {
	// Load returns the stream's snapshot, or ErrNoSnapshot. It sees every Save that ended before the call.
	Load(ctx context.Context, s StreamID) (Snapshot, error)

	// Save keeps s in place of an earlier version, or of the same one in another shape. If the kept one is at least as
	// new, nothing changes and there is no error.
	Save(ctx context.Context, s Snapshot) error

	// Forget removes s, known by its version, event and shape. Where something else is kept, nothing changes.
	Forget(ctx context.Context, s Snapshot) error
}

// ErrNoSnapshot means that the stream has no snapshot.
var ErrNoSnapshot = errors.New("no snapshot of that stream")

// SnapshotUse says how a snapshot was used.
type SnapshotUse string

// The uses of snapshots. One that a load ignores costs the load time only.
const (
	SnapshotLoaded      SnapshotUse = "loaded"              // a load began with it
	SnapshotNone        SnapshotUse = "none"                // a load found none, or one no newer than the state it had
	SnapshotOtherShape  SnapshotUse = "ignored_shape"       // written by a build with other events, states or folds
	SnapshotOtherLog    SnapshotUse = "ignored_log"         // the log does not have its event at its version, and maybe no such version
	SnapshotUndecodable SnapshotUse = "ignored_undecodable" // does not decode as its shape says
	SnapshotUnread      SnapshotUse = "load_failed"
	SnapshotSaved       SnapshotUse = "saved"
	SnapshotForgotten   SnapshotUse = "forgotten" // a wrong one was removed
	SnapshotUnsaved     SnapshotUse = "save_failed"
	SnapshotDropped     SnapshotUse = "dropped" // too many were waiting to be saved
)

// snapshotTimeout bounds the wait for a snapshot in a command's path; after it, reading the log is not slower.
const snapshotTimeout = 500 * time.Millisecond

// snapshotEvery is 0 where no snapshots are kept.
func (r *Repository[S, E]) snapshotEvery() Version {
	if r.cfg.Snapshots == nil || r.cfg.Aggregate.States == nil {
		return 0
	}
	return Version(r.cfg.SnapshotEvery) //nolint:gosec // NewRepository makes it positive
}

var errUndecodable = errors.New("does not decode as its shape says")

// loadSnapshot returns the stream's snapshot if it is of this build's shape and of more events than m.
func (r *Repository[S, E]) loadSnapshot(ctx context.Context, m versioned[S]) (s Snapshot, at versioned[S], found bool) {
	loadCtx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	s, err := r.cfg.Snapshots.Load(loadCtx, r.stream(m.id))
	switch {
	case errors.Is(err, ErrNoSnapshot):
		r.cfg.OnSnapshot(SnapshotNone, nil)
		return s, m, false
	case err != nil:
		r.cfg.OnSnapshot(SnapshotUnread, err)
		return s, m, false
	case s.Shape != r.cfg.Aggregate.States.Shape():
		r.cfg.OnSnapshot(SnapshotOtherShape, nil)
		return s, m, false
	case s.Version <= m.version:
		r.cfg.OnSnapshot(SnapshotNone, nil)
		return s, m, false
	}
	state, err := r.cfg.Aggregate.States.Decode(s.State)
	if err != nil || s.EventID == "" {
		r.refuteSnapshot(ctx, s, SnapshotUndecodable, errUndecodable) // whose text might be personal
		return s, m, false
	}
	return s, versioned[S]{id: m.id, state: state, version: s.Version, last: s.EventID}, true
}

// saveSnapshot saves the state. Errors are reported to OnSnapshot and otherwise ignored.
func (r *Repository[S, E]) saveSnapshot(ctx context.Context, m versioned[S]) {
	state, err := r.cfg.Aggregate.States.Encode(m.state)
	if err == nil {
		err = r.cfg.Snapshots.Save(ctx, Snapshot{
			Stream: r.stream(m.id), Version: m.version, EventID: m.last, Shape: r.cfg.Aggregate.States.Shape(), State: state,
		})
	}
	if err != nil {
		r.cfg.OnSnapshot(SnapshotUnsaved, err)
	}
}

// refuteSnapshot removes a wrong snapshot, which would keep right ones from being saved.
func (r *Repository[S, E]) refuteSnapshot(ctx context.Context, s Snapshot, why SnapshotUse, err error) {
	r.cfg.OnSnapshot(why, fmt.Errorf("snapshot of %s at version %d: %w", s.Stream, s.Version, err))
	if err := r.cfg.Snapshots.Forget(ctx, s); err != nil {
		r.cfg.OnSnapshot(SnapshotUnsaved, err)
	}
}
