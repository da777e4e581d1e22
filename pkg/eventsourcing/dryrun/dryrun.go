// Package dryrun finds out what a command would do. A Repository runs the command on a Store as on any other; what it would append is
// checked and kept, and nothing is written.
package dryrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Log is what a dry run needs of an event store.
type Log interface {
	eventsourcing.Store
	// Check returns the error for which Append would send nothing: that of Commit.Validate, or an ErrTooLarge.
	Check(c eventsourcing.Commit) error
	// Owner returns the stream that holds the claim at that moment, or the zero StreamID if none does.
	Owner(ctx context.Context, c eventsourcing.Claim) (eventsourcing.StreamID, error)
}

// ErrNoVersion means that the stream has not come to the version that the command is to be decided on.
var ErrNoVersion = errors.New("stream has not come to that version")

// Outcome is what an append would do. The zero Outcome is that of a command that has nothing to append.
type Outcome struct {
	// Commit is what would be appended. Take has only what the stream does not hold yet, Release only what it holds.
	Commit eventsourcing.Commit
	// Scopes are those that the commit checks or moves, as they were before it.
	Scopes eventsourcing.ScopeStates
}

// Store is an eventsourcing.Store for the dry run of one command. Its Repository must have no Cache, which would take for true what is
// not written, and no Snapshots but those of the Store.
type Store struct {
	Log

	stream  eventsourcing.StreamID
	at      eventsourcing.Version
	outcome Outcome
}

// New returns a Store for a command on the stream, to be decided on that version of it; 0: on the version it is at. All else is as it
// is: other streams, scopes and claims.
func New(log Log, stream eventsourcing.StreamID, at eventsourcing.Version) *Store {
	return &Store{Log: log, stream: stream, at: at}
}

// Outcome returns what the last accepted Append would have done.
func (s *Store) Outcome() Outcome { return s.outcome }

// Read implements eventsourcing.Store. The command's stream ends with the version that is decided on; the error is ErrNoVersion if it
// has not come to that.
func (s *Store) Read(
	ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	if s.at == 0 || stream != s.stream {
		return s.Log.Read(ctx, stream, after)
	}
	return func(yield func(eventsourcing.Record, error) bool) {
		last := after
		for record, err := range s.Log.Read(ctx, stream, after) {
			if err == nil && record.Version > s.at {
				return
			}
			if !yield(record, err) || err != nil {
				return
			}
			last = record.Version
		}
		if last < s.at {
			yield(eventsourcing.Record{}, ErrNoVersion)
		}
	}
}

// Append implements eventsourcing.Store, but for writing. It refuses what the log would refuse at that moment, in the same order. It
// does not look at the command's result: a command that is only tried is never a repetition.
func (s *Store) Append(ctx context.Context, c eventsourcing.Commit) error {
	if err := s.Check(c); err != nil {
		return err
	}
	if err := s.unmoved(ctx, c); err != nil {
		return err
	}
	scopes, err := s.scopes(ctx, c.Scopes)
	if err != nil {
		return err
	}
	if c.Take, err = s.without(ctx, c.Take, c.Stream); err != nil {
		return err
	}
	if c.Release, err = s.held(ctx, c.Release, c.Stream); err != nil {
		return err
	}
	s.outcome = Outcome{Commit: c, Scopes: scopes}
	return nil
}

// Remember implements eventsourcing.Store, but for writing.
func (s *Store) Remember(context.Context, eventsourcing.CommandResult) error { return nil }

// unmoved refuses a commit whose stream, or one that it guards, is not at the version that was decided on.
func (s *Store) unmoved(ctx context.Context, c eventsourcing.Commit) error {
	if is, err := s.isAt(ctx, c.Stream, c.Expected); err != nil || !is {
		return cmp.Or(err, eventsourcing.ErrConflict)
	}
	for _, g := range c.Guards {
		if is, err := s.isAt(ctx, g.Stream, g.Version); err != nil || !is {
			return cmp.Or(err, fmt.Errorf("%w: %s", eventsourcing.ErrGuardMoved, g.Stream))
		}
	}
	return nil
}

// isAt reports whether the stream has an event of that version and none after it.
func (s *Store) isAt(ctx context.Context, stream eventsourcing.StreamID, version eventsourcing.Version) (bool, error) {
	last := max(version, 1) - 1
	for record, err := range s.Read(ctx, stream, last) {
		if err != nil {
			return false, err
		}
		if last = record.Version; last > version {
			break
		}
	}
	return last == version, nil
}

// scopes returns the scopes of a commit, or an error if one of those that were decided on has moved.
func (s *Store) scopes(ctx context.Context, moves []eventsourcing.ScopeMove) (eventsourcing.ScopeStates, error) {
	if len(moves) == 0 {
		return nil, nil
	}
	named := make([]eventsourcing.Scope, len(moves))
	for i, m := range moves {
		named[i] = m.Scope
	}
	states, err := s.Scopes(ctx, named)
	if err != nil {
		return nil, err
	}
	for _, m := range moves {
		if m.Read != nil && *m.Read != states[m.Scope].Version {
			return nil, fmt.Errorf("%w: %s", eventsourcing.ErrScopeMoved, m.Scope.Key())
		}
	}
	return states, nil
}

// without returns those of the claims that the stream does not hold, or an error if another one holds one. As of an earlier version of
// the stream it returns all, for what the stream held then is not known.
func (s *Store) without(
	ctx context.Context, claims []eventsourcing.Claim, stream eventsourcing.StreamID,
) (free []eventsourcing.Claim, err error) {
	for _, claim := range claims {
		switch owner, err := s.Owner(ctx, claim); {
		case err != nil:
			return nil, err
		case owner != (eventsourcing.StreamID{}) && owner != stream:
			return nil, &eventsourcing.ClaimTakenError{Claim: claim}
		case owner != stream || s.at > 0:
			free = append(free, claim)
		}
	}
	return free, nil
}

// held returns those of the claims that the stream holds, all of them as of an earlier version.
func (s *Store) held(
	ctx context.Context, claims []eventsourcing.Claim, stream eventsourcing.StreamID,
) (held []eventsourcing.Claim, err error) {
	if s.at > 0 {
		return claims, nil
	}
	for _, claim := range claims {
		owner, err := s.Owner(ctx, claim)
		if err != nil {
			return nil, err
		}
		if owner == stream {
			held = append(held, claim)
		}
	}
	return held, nil
}

// Snapshots returns the snapshots that the dry run may begin with. Nothing is written to them.
func (s *Store) Snapshots(of eventsourcing.Snapshots) eventsourcing.Snapshots {
	return snapshots{s, of}
}

type snapshots struct {
	store *Store
	of    eventsourcing.Snapshots
}

// Load implements eventsourcing.Snapshots: one of a version after the one that is decided on is none.
func (s snapshots) Load(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Snapshot, error) {
	found, err := s.of.Load(ctx, stream)
	if err == nil && s.store.at > 0 && stream == s.store.stream && found.Version > s.store.at {
		return eventsourcing.Snapshot{}, eventsourcing.ErrNoSnapshot
	}
	return found, err
}

// Save implements eventsourcing.Snapshots, but for writing.
func (snapshots) Save(context.Context, eventsourcing.Snapshot) error { return nil }

// Forget implements eventsourcing.Snapshots, but for writing.
func (snapshots) Forget(context.Context, eventsourcing.Snapshot) error { return nil }
