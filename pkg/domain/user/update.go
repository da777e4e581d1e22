package user

// Update asks that the user have these names. A user that has them already is left as it is.
type Update struct{ FirstName, LastName Name }

// Decide refuses a user that is unknown or disabled.
func (c Update) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.firstName == c.FirstName && s.lastName == c.LastName {
		return nil, nil
	}
	return []Event{Updated{FirstName: c.FirstName, LastName: c.LastName}}, nil
}
