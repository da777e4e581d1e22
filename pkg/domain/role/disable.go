package role

// Disable asks that the role be granted no more. Who holds it keeps it.
type Disable struct{}

// Decide refuses a role that is unknown or disabled already.
func (Disable) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	return []Event{Disabled{}}, nil
}
