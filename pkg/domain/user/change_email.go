package user

// ChangeEmail asks that the user move to another address. A user that has it already is left as it is.
type ChangeEmail struct{ Email Email }

// Decide refuses a user that is unknown or disabled.
func (c ChangeEmail) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.email == c.Email {
		return nil, nil
	}
	return []Event{EmailChanged{Email: c.Email}}, nil
}
