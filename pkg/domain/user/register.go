package user

// Register asks for a new user. That nobody else holds the e-mail is the store's to check: see Claims.
type Register struct {
	ID    ID
	Email Email
}

// Decide refuses a user that exists.
func (c Register) Decide(s State) ([]Event, error) {
	if s.registered {
		return nil, ErrExists
	}
	return []Event{Registered{UserID: c.ID, Email: c.Email}}, nil
}
