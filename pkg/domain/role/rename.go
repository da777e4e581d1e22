package role

// Rename asks that the role have another name. A role that has it already, to the case, is left as it is.
type Rename struct{ Name Name }

// Decide refuses a role that is unknown or disabled.
func (c Rename) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.name == c.Name {
		return nil, nil
	}
	return []Event{Renamed{Name: c.Name}}, nil
}
