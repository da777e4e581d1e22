package user

// Enable asks that the user be disabled no more.
type Enable struct{}

// Decide refuses a user that is unknown or not disabled.
func (Enable) Decide(s State) ([]Event, error) {
	if err := s.requireRegistered(); err != nil {
		return nil, err
	}
	if !s.disabled {
		return nil, ErrEnabled
	}
	return []Event{Enabled{}}, nil
}
