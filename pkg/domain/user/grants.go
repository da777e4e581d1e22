package user

import (
	"time"

	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// isHolder reports whether the user counts as a holder of a role that it holds: see members.Count.
func (s State) isHolder(g Grant) bool { return !s.Disabled && g.Until.IsZero() }

// counted makes a command one that is decided on the members of roles, which the caller reads.
type counted struct{ scopes eventsourcing.ScopeStates }

func (c counted) members(id RoleID) members.Count { return members.Counted(c.scopes, id.stream()) }

// refuseLast refuses to end a grant of a user who is the last holder of a role that needs one.
func (c counted) refuseLast(s State, g Grant) error {
	if s.isHolder(g) && c.members(g.RoleID).IsLast() {
		return ErrLastHolder
	}
	return nil
}

// scopesOf are those that refuseLast needs of these grants.
func (s State) scopesOf(grants ...Grant) (scopes []eventsourcing.Scope) {
	for _, g := range grants {
		if s.isHolder(g) {
			scopes = append(scopes, members.Of(g.RoleID.stream()))
		}
	}
	return scopes
}

// granted returns the grant of a role, or none.
func (s State) granted(id RoleID) []Grant {
	if i := s.indexOf(id); i >= 0 {
		return s.Roles[i : i+1]
	}
	return nil
}

// Command is a decision on a user.
type Command = eventsourcing.Command[State, Event]

// Disable bars the user from changes.
type Disable struct{ counted }

// Scopes implements eventsourcing.Scoped.
func (Disable) Scopes(s State) []eventsourcing.Scope { return s.scopesOf(s.Roles...) }

// In implements eventsourcing.Scoped.
func (c Disable) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a user that is unknown or disabled already, and the last holder of a role that needs one.
func (c Disable) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	for _, g := range s.Roles {
		if err := c.refuseLast(s, g); err != nil {
			return nil, err
		}
	}
	return []Event{Disabled{}}, nil
}

// AddRole gives the user a role.
type AddRole struct {
	counted

	Role Grantable
	// Until is when the grant ends, in milliseconds. The zero time: never.
	Until time.Time
	// Now is the time of the decision.
	Now time.Time
}

// Grantable is what the caller found out about a role. Guard the append by the version it was found at.
type Grantable struct {
	ID       RoleID
	Exists   bool
	Enabled  bool
	Retiring bool
	Retired  bool
	// MaxMembers is the most users that may hold the role. 0: any number.
	MaxMembers int64
}

func (g Grantable) refuse() error {
	switch {
	case !g.Exists:
		return ErrRoleNotFound
	case g.Retired:
		return ErrRoleRetired
	case g.Retiring:
		return ErrRoleRetiring
	case !g.Enabled:
		return ErrRoleDisabled
	}
	return nil
}

// Scopes implements eventsourcing.Scoped.
func (c AddRole) Scopes(State) []eventsourcing.Scope {
	if c.Role.MaxMembers == 0 {
		return nil
	}
	return []eventsourcing.Scope{members.Of(c.Role.ID.stream())}
}

// In implements eventsourcing.Scoped.
func (c AddRole) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a user that is unknown or disabled, holds the role or holds MaxRoles already; then a role that is unknown, retired,
// retiring or disabled; then a time that has passed, and a role that has no seat left.
func (c AddRole) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	switch {
	case s.indexOf(c.Role.ID) >= 0:
		return nil, ErrRoleHeld
	case len(s.Roles) >= MaxRoles:
		return nil, ErrTooManyRoles
	}
	if err := c.Role.refuse(); err != nil {
		return nil, err
	}
	switch limit := c.Role.MaxMembers; {
	case hasPassed(c.Until, c.Now):
		return nil, ErrUntilPassed
	case limit > 0 && c.members(c.Role.ID).Seats >= limit:
		return nil, ErrNoSeatLeft
	case c.Until.IsZero():
		return []Event{RoleAdded{RoleID: c.Role.ID}}, nil
	}
	return []Event{RoleGranted{RoleID: c.Role.ID, Until: c.Until}}, nil
}

func hasPassed(until, now time.Time) bool { return !until.IsZero() && !until.After(now) }

// ChangeRoleUntil lets the grant of a role end at another time. One that ends then already is left as it is.
type ChangeRoleUntil struct {
	counted

	RoleID RoleID
	// Until is when the grant ends, in milliseconds. The zero time: never.
	Until time.Time
	// Now is the time of the decision.
	Now time.Time
}

// Scopes implements eventsourcing.Scoped.
func (c ChangeRoleUntil) Scopes(s State) []eventsourcing.Scope {
	if c.Until.IsZero() {
		return nil
	}
	return s.scopesOf(s.granted(c.RoleID)...)
}

// In implements eventsourcing.Scoped.
func (c ChangeRoleUntil) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a user that is unknown or disabled, or does not hold the role; then a time that has passed, and an end for the last
// holder of a role that needs one.
func (c ChangeRoleUntil) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	i := s.indexOf(c.RoleID)
	switch {
	case i < 0:
		return nil, ErrRoleNotHeld
	case s.Roles[i].Until.Equal(c.Until):
		return nil, nil
	case hasPassed(c.Until, c.Now):
		return nil, ErrUntilPassed
	}
	if err := c.refuseLast(s, s.Roles[i]); err != nil {
		return nil, err
	}
	return []Event{RoleUntilChanged{RoleID: c.RoleID, Until: c.Until}}, nil
}

// RemoveRole takes a role from the user. A disabled user may lose roles, and any role may be lost but the last holder's.
type RemoveRole struct {
	counted

	RoleID RoleID
}

// Scopes implements eventsourcing.Scoped.
func (c RemoveRole) Scopes(s State) []eventsourcing.Scope { return s.scopesOf(s.granted(c.RoleID)...) }

// In implements eventsourcing.Scoped.
func (c RemoveRole) In(scopes eventsourcing.ScopeStates) Command {
	c.scopes = scopes
	return c
}

// Decide refuses a user that is unknown or does not hold the role, and the last holder of a role that needs one.
func (c RemoveRole) Decide(s State) ([]Event, error) {
	if err := s.requireRegistered(); err != nil {
		return nil, err
	}
	i := s.indexOf(c.RoleID)
	if i < 0 {
		return nil, ErrRoleNotHeld
	}
	if err := c.refuseLast(s, s.Roles[i]); err != nil {
		return nil, err
	}
	return []Event{RoleRemoved{RoleID: c.RoleID}}, nil
}

// ExpireRole ends a grant whose time is over. The process that waits for the time sends it. A grant that ends never counts as a holder,
// so no rule forbids it.
type ExpireRole struct {
	RoleID RoleID
	// Until is when the grant ends as the sender knows it.
	Until time.Time
	// Now is the time of the decision.
	Now time.Time
}

// Decide refuses a user that is unknown or does not hold the role; then a grant that ends at another time or never, and one that has
// not ended yet.
func (c ExpireRole) Decide(s State) ([]Event, error) {
	if err := s.requireRegistered(); err != nil {
		return nil, err
	}
	i := s.indexOf(c.RoleID)
	switch {
	case i < 0:
		return nil, ErrRoleNotHeld
	case !s.Roles[i].Until.Equal(c.Until) || c.Until.IsZero():
		return nil, ErrGrantChanged
	case c.Now.Before(c.Until):
		return nil, ErrGrantNotEnded
	}
	return []Event{RoleExpired{RoleID: c.RoleID, Until: s.Roles[i].Until}}, nil
}
