package role

// Create asks for a new role. That no other role has the name is the store's to check: see Claims.
type Create struct {
	ID   ID
	Name Name
}

// Decide refuses a role that exists.
func (c Create) Decide(s State) ([]Event, error) {
	if s.exists {
		return nil, ErrExists
	}
	return []Event{Created{RoleID: c.ID, Name: c.Name}}, nil
}
