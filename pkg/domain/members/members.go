// Package members is what users and roles count together: the members of a role. Each counter is the sum of what the states of
// users and of the role share, so that it can be computed from the log. Package eventsourcing explains scopes.
package members

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// The counters of a role's members. Their names are stored.
const (
	seats     = "seats"     // users that hold the role
	holders   = "holders"   // those of them that are enabled and hold it without an end
	essential = "essential" // 1: the role must keep a holder
	complete  = "complete"  // 1: everything that the log has is counted
)

// Of returns the scope of the members of a role.
func Of(role eventsourcing.StreamID) eventsourcing.Scope {
	return eventsourcing.Scope{Subject: role.String(), Name: "members"}
}

// OfUser is what a user who holds the role shares. isHolder: it is enabled, and the grant has no end.
func OfUser(role eventsourcing.StreamID, isHolder bool) []eventsourcing.Share {
	shares := []eventsourcing.Share{{Scope: Of(role), Counter: seats, Amount: 1}}
	if isHolder {
		shares = append(shares, eventsourcing.Share{Scope: Of(role), Counter: holders, Amount: 1})
	}
	return shares
}

// OfRole is what a role shares from its creation on. For a role that a former build created, an audit of the scopes adds it, after
// it has counted the members. That a role is essential is counted, too: who reads the members needs nothing else of the role, and
// is refused by the store if it becomes essential in between.
func OfRole(role eventsourcing.StreamID, isEssential bool) []eventsourcing.Share {
	shares := []eventsourcing.Share{{Scope: Of(role), Counter: complete, Amount: 1}}
	if isEssential {
		shares = append(shares, eventsourcing.Share{Scope: Of(role), Counter: essential, Amount: 1})
	}
	return shares
}

// Count is how many members a role has.
type Count struct {
	// Complete says that all of them are counted. If not, an audit of the scopes must count first.
	Complete bool
	// Seats are the users that hold the role; Holders are those of them that are enabled and hold it without an end.
	Seats, Holders int64
	// Essential says that one holder must remain.
	Essential bool
}

// Counted returns the members of a role as they were read.
func Counted(scopes eventsourcing.ScopeStates, role eventsourcing.StreamID) Count {
	c := scopes[Of(role)].Counters
	return Count{Complete: c[complete] > 0, Seats: c[seats], Holders: c[holders], Essential: c[essential] > 0}
}

// IsLast reports whether the role needs a holder and has no more than one.
func (c Count) IsLast() bool { return c.Essential && c.Holders <= 1 }
