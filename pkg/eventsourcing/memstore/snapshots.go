package memstore

import (
	"bytes"
	"context"
	"sync"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Snapshots is an eventsourcing.Snapshots in memory. The zero Snapshots is ready to use.
type Snapshots struct {
	mu   sync.RWMutex
	kept map[eventsourcing.StreamID]eventsourcing.Snapshot
}

var _ eventsourcing.Snapshots = (*Snapshots)(nil)

// Load implements eventsourcing.Snapshots.
func (s *Snapshots) Load(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return eventsourcing.Snapshot{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	kept, ok := s.kept[stream]
	if !ok {
		return eventsourcing.Snapshot{}, eventsourcing.ErrNoSnapshot
	}
	kept.State = bytes.Clone(kept.State)
	return kept, nil
}

// Save implements eventsourcing.Snapshots.
func (s *Snapshots) Save(ctx context.Context, snapshot eventsourcing.Snapshot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.kept[snapshot.Stream]
	if snapshot.Version < kept.Version || snapshot.Version == kept.Version && snapshot.Shape == kept.Shape {
		return nil
	}
	if s.kept == nil {
		s.kept = map[eventsourcing.StreamID]eventsourcing.Snapshot{}
	}
	snapshot.State = bytes.Clone(snapshot.State)
	s.kept[snapshot.Stream] = snapshot
	return nil
}

// Forget implements eventsourcing.Snapshots.
func (s *Snapshots) Forget(ctx context.Context, snapshot eventsourcing.Snapshot) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.kept[snapshot.Stream]
	if kept.Version == snapshot.Version && kept.EventID == snapshot.EventID && kept.Shape == snapshot.Shape {
		delete(s.kept, snapshot.Stream)
	}
	return nil
}
