// Package memstore keeps events in memory, for tests and local runs.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Store is an eventsourcing.Store in memory. The zero Store is ready to use. It knows no limits, so it never returns
// ErrTooLarge.
type Store struct {
	// Now decides which command results have expired. Defaults to time.Now.
	Now func() time.Time

	mu      sync.RWMutex
	streams map[eventsourcing.StreamID][]eventsourcing.Record
	owners  map[eventsourcing.Claim]eventsourcing.StreamID
	scopes  eventsourcing.ScopeStates
	results map[string]eventsourcing.CommandResult
}

var _ eventsourcing.Store = (*Store)(nil)

// Read implements eventsourcing.Store.
func (s *Store) Read(
	ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		s.mu.RLock()
		records := s.streams[stream] // never changed, only appended to
		s.mu.RUnlock()
		if err := ctx.Err(); err != nil {
			yield(eventsourcing.Record{}, err)
			return
		}
		for _, r := range records[min(after, eventsourcing.Version(len(records))):] {
			if err := ctx.Err(); err != nil {
				yield(eventsourcing.Record{}, err)
				return
			}
			if !yield(clone(r), nil) {
				return
			}
		}
	}
}

// Append implements eventsourcing.Store.
func (s *Store) Append(ctx context.Context, c eventsourcing.Commit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.written(c) {
		return nil
	}
	if err := s.refuse(c); err != nil {
		return err
	}
	s.write(c)
	return nil
}

// Check implements dryrun.Log. The store knows no limits.
func (s *Store) Check(c eventsourcing.Commit) error { return c.Validate() }

// Owner implements dryrun.Log.
func (s *Store) Owner(ctx context.Context, c eventsourcing.Claim) (eventsourcing.StreamID, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.owners[c], ctx.Err()
}

// Scopes implements eventsourcing.Store.
func (s *Store) Scopes(ctx context.Context, scopes []eventsourcing.Scope) (eventsourcing.ScopeStates, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	states := eventsourcing.ScopeStates{}
	for _, scope := range scopes {
		if state, moved := s.scopes[scope]; moved {
			state.Counters = maps.Clone(state.Counters)
			states[scope] = state
		}
	}
	return states, nil
}

// Remember implements eventsourcing.Store.
func (s *Store) Remember(ctx context.Context, r eventsourcing.CommandResult) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.results[r.ID]; ok && !s.expired(old) {
		return eventsourcing.ErrCommandRepeated
	}
	s.make()
	s.results[r.ID] = remembered(r)
	return nil
}

// remembered is a result as it is kept.
func remembered(r eventsourcing.CommandResult) eventsourcing.CommandResult {
	r.Outcome = bytes.Clone(r.Outcome)
	r.ExpiresAt = r.ExpiresAt.UTC().Truncate(time.Second)
	return r
}

// Result implements eventsourcing.Store.
func (s *Store) Result(ctx context.Context, commandID string) (eventsourcing.CommandResult, error) {
	if err := ctx.Err(); err != nil {
		return eventsourcing.CommandResult{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	result, ok := s.results[commandID]
	if !ok || s.expired(result) {
		return eventsourcing.CommandResult{}, eventsourcing.ErrNoResult
	}
	result.Outcome = bytes.Clone(result.Outcome)
	return result, nil
}

// written reports whether every record of c is already stored at its version.
func (s *Store) written(c eventsourcing.Commit) bool {
	stream := s.streams[c.Stream]
	if eventsourcing.Version(len(stream)) < c.Expected+eventsourcing.Version(len(c.Records)) {
		return false
	}
	return slices.EqualFunc(c.Records, stream[c.Expected:][:len(c.Records)],
		func(a, b eventsourcing.Record) bool { return a.ID == b.ID })
}

func (s *Store) refuse(c eventsourcing.Commit) error {
	if c.Result != nil {
		if old, ok := s.results[c.Result.ID]; ok && !s.expired(old) {
			return eventsourcing.ErrCommandRepeated
		}
	}
	if s.head(c.Stream) != c.Expected {
		return eventsourcing.ErrConflict
	}
	for _, g := range c.Guards {
		if s.head(g.Stream) != g.Version {
			return fmt.Errorf("%w: %s", eventsourcing.ErrGuardMoved, g.Stream)
		}
	}
	for _, m := range c.Scopes {
		if m.Read != nil && s.scopes[m.Scope].Version != *m.Read {
			return fmt.Errorf("%w: %s", eventsourcing.ErrScopeMoved, m.Scope.Key())
		}
	}
	for _, claim := range c.Take {
		if owner, taken := s.owners[claim]; taken && owner != c.Stream {
			return &eventsourcing.ClaimTakenError{Claim: claim}
		}
	}
	return nil
}

// make prepares a zero Store for its first write.
func (s *Store) make() {
	if s.streams == nil {
		s.streams = map[eventsourcing.StreamID][]eventsourcing.Record{}
		s.owners = map[eventsourcing.Claim]eventsourcing.StreamID{}
		s.scopes = eventsourcing.ScopeStates{}
		s.results = map[string]eventsourcing.CommandResult{}
	}
}

func (s *Store) write(c eventsourcing.Commit) {
	s.make()
	for _, r := range c.Records {
		s.streams[c.Stream] = append(s.streams[c.Stream], clone(r))
	}
	for _, claim := range c.Release {
		if s.owners[claim] == c.Stream {
			delete(s.owners, claim)
		}
	}
	for _, m := range c.Scopes {
		if len(m.Add) > 0 {
			s.scopes[m.Scope] = moved(s.scopes[m.Scope], m.Add)
		}
	}
	for _, claim := range c.Take {
		s.owners[claim] = c.Stream
	}
	if c.Result != nil {
		s.results[c.Result.ID] = remembered(*c.Result)
	}
}

func moved(scope eventsourcing.ScopeState, add map[string]int64) eventsourcing.ScopeState {
	counters := maps.Clone(scope.Counters)
	if counters == nil {
		counters = map[string]int64{}
	}
	for counter, amount := range add {
		counters[counter] += amount
	}
	return eventsourcing.ScopeState{Version: scope.Version + 1, Counters: counters}
}

func (s *Store) head(stream eventsourcing.StreamID) eventsourcing.Version {
	return eventsourcing.Version(len(s.streams[stream]))
}

func (s *Store) expired(r eventsourcing.CommandResult) bool {
	now := s.Now
	if now == nil {
		now = time.Now //nolint:forbidigo // the documented default
	}
	return !r.ExpiresAt.After(now())
}

// clone makes r independent of its caller's slices and brings its time to the precision of the contract.
func clone(r eventsourcing.Record) eventsourcing.Record {
	r.Data = bytes.Clone(r.Data)
	r.Enrichment = slices.Clone(r.Enrichment)
	for i, e := range r.Enrichment {
		r.Enrichment[i].Data = bytes.Clone(e.Data)
	}
	r.Metadata.Extra = maps.Clone(r.Metadata.Extra)
	r.RecordedAt = r.RecordedAt.UTC().Truncate(time.Millisecond)
	return r
}
