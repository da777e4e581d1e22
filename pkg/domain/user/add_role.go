package user

import "slices"

// Grantable is what the caller found out about a role. Guard the append by the version it was found at.
type Grantable struct {
	ID      RoleID
	Exists  bool
	Enabled bool
}

// AddRole asks that the user hold a role.
type AddRole struct{ Role Grantable }

// Decide refuses a user that is unknown or disabled, holds the role or holds MaxRoles already; then a role that is
// unknown or disabled.
func (c AddRole) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	switch {
	case slices.Contains(s.roles, c.Role.ID):
		return nil, ErrRoleHeld
	case len(s.roles) >= MaxRoles:
		return nil, ErrTooManyRoles
	case !c.Role.Exists:
		return nil, ErrRoleNotFound
	case !c.Role.Enabled:
		return nil, ErrRoleDisabled
	}
	return []Event{RoleAdded{RoleID: c.Role.ID}}, nil
}
