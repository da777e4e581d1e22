// Package members is what users and roles count together: the members of a role. Each counter is the sum of what the states of
// users and of the role share, so that it can be computed from the log. Package eventsourcing explains scopes.
package members

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// The counters of a role's members. Their names are stored.
const (
	seats    = "seats"    // users that hold the role
	holders  = "holders"  // those of them that are enabled
	complete = "complete" // 1: everything that the log has is counted
)

// Of returns the scope of the members of a role.
func Of(role eventsourcing.StreamID) eventsourcing.Scope {
	return eventsourcing.Scope{Subject: role.String(), Name: "members"}
}

// OfUser is what a user who holds the role shares.
func OfUser(role eventsourcing.StreamID, enabled bool) []eventsourcing.Share {
	shares := []eventsourcing.Share{{Scope: Of(role), Counter: seats, Amount: 1}}
	if enabled {
		shares = append(shares, eventsourcing.Share{Scope: Of(role), Counter: holders, Amount: 1})
	}
	return shares
}

// OfRole is what a role shares from its creation on. For a role that a former build created, an audit of the scopes adds it, after
// it has counted the members.
func OfRole(role eventsourcing.StreamID) []eventsourcing.Share {
	return []eventsourcing.Share{{Scope: Of(role), Counter: complete, Amount: 1}}
}
