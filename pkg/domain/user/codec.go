package user

import (
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
)

// snapshotRevision names the shape and the meaning of stored States: raise it whenever State changes, or Evolve or an
// upcaster makes another state of the same events. A test fails until it is raised.
const snapshotRevision = 3

// Aggregate binds the user's parts for a Repository.
func Aggregate() eventsourcing.Aggregate[State, Event] {
	codec := NewCodec()
	return eventsourcing.Aggregate[State, Event]{
		Category: Category, Evolve: Evolve, Claims: Claims, Shares: Shares, Codec: codec,
		States: snapshot.NewCodec[State](snapshotRevision, codec),
	}
}

// NewCodec returns the codec of every user event that was ever stored.
func NewCodec() *eventsourcing.Codec[Event] {
	return current().History(Updated{}, eventsourcing.Upcast(func(v1 updatedV1) Updated {
		return Updated{FirstName: v1.Name.First, LastName: v1.Name.Last}
	})).RetireAs("org/iam/user/renamed", Updated{}, eventsourcing.Upcast(func(same updatedV1) updatedV1 {
		return same // an update was to carry more than names one day, and was renamed
	}))
}

// updatedV1 had the names in an object of their own, unlike all that shows them: requests, rows and enrichment.
type updatedV1 struct {
	Name fullName `json:"name"`
}

type fullName struct {
	First Name `json:"first"`
	Last  Name `json:"last"`
}
