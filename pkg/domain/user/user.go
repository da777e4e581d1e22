// Package user holds the rules of the user aggregate and nothing else.
package user

import (
	"slices"

	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Category is the category of every user's stream.
const Category = "org/iam/user"

// MaxRoles bounds the roles of one user, so that a change of the user and its row in each role's collection fit into
// one DynamoDB transaction with room to spare for the user's own row and the fence. A transaction takes 100 items:
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
const MaxRoles = 90

// ID names a user; it never changes and is never reused. Make one with ParseID.
type ID string

// ParseID refuses what is not a UUID with value.ErrInvalidID.
func ParseID(text string) (ID, error) {
	id, err := value.ParseID(text)
	return ID(id), err
}

// RoleID names a role; users know roles by ID only. Make one with ParseRoleID.
type RoleID string

// ParseRoleID refuses what is not a UUID with value.ErrInvalidID.
func ParseRoleID(text string) (RoleID, error) {
	id, err := value.ParseID(text)
	return RoleID(id), err
}

// State is what decisions need to know of a user; the zero State is a user nobody has registered.
type State struct {
	registered, disabled bool
	id                   ID
	email                Email
	firstName, lastName  Name
	roles                []RoleID
}

// Registered reports whether there is such a user, disabled or not.
func (s State) Registered() bool { return s.registered }

// Disabled reports whether the user is disabled at present.
func (s State) Disabled() bool { return s.disabled }

// ID is "" before registration.
func (s State) ID() ID { return s.id }

// Email is "" before registration.
func (s State) Email() Email { return s.email }

// FirstName is "" until the first update.
func (s State) FirstName() Name { return s.firstName }

// LastName is "" until the first update.
func (s State) LastName() Name { return s.lastName }

// Roles returns a copy of the roles held, in the order they were granted.
func (s State) Roles() []RoleID { return slices.Clone(s.roles) }

// Evolve returns s after e. It never fails and never judges: the event happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s.registered, s.id, s.email = true, e.UserID, e.Email
	case Updated:
		s.firstName, s.lastName = e.FirstName, e.LastName
	case EmailChanged:
		s.email = e.Email
	case Disabled:
		s.disabled = true
	case Enabled:
		s.disabled = false
	case RoleAdded:
		s.roles = append(slices.Clip(s.roles), e.RoleID)
	case RoleRemoved:
		s.roles = slices.DeleteFunc(s.Roles(), func(id RoleID) bool { return id == e.RoleID })
	}
	return s
}

// Claims holds the user's e-mail, disabled or not: nobody may take over an identity that the log still names.
func Claims(s State) []eventsourcing.Claim {
	if !s.registered {
		return nil
	}
	return []eventsourcing.Claim{{Category: Category, Name: "email", Value: value.Fold(string(s.email))}}
}

// Aggregate binds the user's parts for a Repository.
func Aggregate() eventsourcing.Aggregate[State, Event] {
	codec := NewCodec()
	return eventsourcing.Aggregate[State, Event]{
		Category: Category, Evolve: Evolve, Claims: Claims, Enrich: Enrich, Codec: codec, States: newStates(codec),
	}
}

func (s State) requireRegistered() error {
	if !s.registered {
		return ErrNotFound
	}
	return nil
}

func (s State) requireEnabled() error {
	if err := s.requireRegistered(); err != nil {
		return err
	}
	if s.disabled {
		return ErrDisabled
	}
	return nil
}
