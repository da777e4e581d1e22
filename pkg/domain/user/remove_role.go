package user

import "slices"

// RemoveRole asks that the user hold a role no more. A disabled user may lose roles, and any role may be lost.
type RemoveRole struct{ RoleID RoleID }

// Decide refuses a user that is unknown or does not hold the role.
func (c RemoveRole) Decide(s State) ([]Event, error) {
	if err := s.requireRegistered(); err != nil {
		return nil, err
	}
	if !slices.Contains(s.roles, c.RoleID) {
		return nil, ErrRoleNotHeld
	}
	return []Event{RoleRemoved{RoleID: c.RoleID}}, nil
}
