package role

// Enable asks that the role be disabled no more.
type Enable struct{}

// Decide refuses a role that is unknown or not disabled.
func (Enable) Decide(s State) ([]Event, error) {
	if err := s.requireExisting(); err != nil {
		return nil, err
	}
	if !s.disabled {
		return nil, ErrEnabled
	}
	return []Event{Enabled{}}, nil
}
