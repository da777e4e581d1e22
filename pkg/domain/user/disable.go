package user

// Disable asks that the user be barred from changes.
type Disable struct{}

// Decide refuses a user that is unknown or disabled already.
func (Disable) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	return []Event{Disabled{}}, nil
}
