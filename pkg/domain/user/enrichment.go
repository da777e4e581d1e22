package user

import (
	"encoding/json"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Profile is what a role's readers show of a member; it goes with RoleAdded and RoleRemoved.
type Profile struct {
	Email     Email `json:"email"`
	FirstName Name  `json:"firstName"`
	LastName  Name  `json:"lastName"`
}

// Memberships tells whose member rows a change of the user touches; it goes with Updated, EmailChanged, Disabled and
// Enabled.
type Memberships struct {
	Roles []RoleID `json:"roles"`
}

// Enrich gives e's readers one fact of the user as it is after e: its Profile, its Memberships, or nothing.
func Enrich(after State, e Event) []eventsourcing.Enrichment {
	switch e.(type) {
	case RoleAdded, RoleRemoved:
		return after.fact(Profile{Email: after.email, FirstName: after.firstName, LastName: after.lastName})
	case Updated, EmailChanged, Disabled, Enabled:
		return after.fact(Memberships{Roles: append([]RoleID{}, after.roles...)}) // never null
	case Registered:
	}
	return nil
}

func (s State) fact(about any) []eventsourcing.Enrichment {
	data, _ := json.Marshal(about) // cannot fail: strings only
	return []eventsourcing.Enrichment{{Aggregate: Category, ID: string(s.id), Data: data}}
}
