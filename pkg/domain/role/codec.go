package role

import (
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// snapshotRevision names the shape and the meaning of stored States: raise it whenever State changes, or Evolve or an
// upcaster makes another state of the same events. A test fails until it is raised.
const snapshotRevision = 3

// Aggregate binds the role's parts for a Repository.
func Aggregate() eventsourcing.Aggregate[State, Event] {
	codec := NewCodec()
	return eventsourcing.Aggregate[State, Event]{
		Category: Category, Evolve: Evolve, Claims: Claims, Shares: Shares, Codec: codec,
		States: snapshot.NewCodec[State](snapshotRevision, codec),
	}
}
