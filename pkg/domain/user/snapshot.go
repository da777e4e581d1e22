package user

import (
	"slices"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// revision is to be raised whenever Evolve makes another state of the same events; a test tells.
const revision = 1

// snapshot is all of a State.
type snapshot struct {
	Registered bool     `json:"registered"`
	Disabled   bool     `json:"disabled"`
	ID         ID       `json:"id"`
	Email      Email    `json:"email"`
	FirstName  Name     `json:"firstName"`
	LastName   Name     `json:"lastName"`
	Roles      []RoleID `json:"roles"`
}

func newStates(events *eventsourcing.Codec[Event]) *eventsourcing.StateCodec[State] {
	return eventsourcing.NewStateCodec(revision, events, keep, restore)
}

func keep(s State) snapshot {
	return snapshot{
		Registered: s.registered, Disabled: s.disabled, ID: s.id, Email: s.email,
		FirstName: s.firstName, LastName: s.lastName, Roles: slices.Clone(s.roles),
	}
}

func restore(s snapshot) State {
	return State{
		registered: s.Registered, disabled: s.Disabled, id: s.ID, email: s.Email,
		firstName: s.FirstName, lastName: s.LastName, roles: s.Roles,
	}
}
