// Package user holds the rules of the user aggregate. Read this file from the top: events, state, evolve, claims, shares,
// decisions. Decisions on the roles that a user holds are in grants.go, what former builds stored is in codec.go, values are in
// email.go and name.go, refusals in refusals.go.
package user

import (
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Category is the category of every user's stream.
const Category = "org/iam/user"

// MaxRoles bounds the roles of one user. The roles read model writes a user's row and one row for each role it holds in
// one DynamoDB transaction, which takes 100 items:
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

// Events. Their names and JSON are stored: a change of shape is a new schema version, see codec.go.

// Event is a fact about one user. The set is closed; linters require every switch over it to name each kind.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isUserEvent()
}

// fact makes the type that embeds it a user event.
type fact struct{}

func (fact) isUserEvent() {}

// Registered opens a user's stream.
type Registered struct {
	fact

	UserID ID `json:"userId"`
	// Email is the address that the user holds from now on; no other user can have it.
	Email Email `json:"email"`
}

// Updated gives the user its names.
type Updated struct {
	fact

	FirstName Name `json:"firstName"`
	LastName  Name `json:"lastName"`
}

// EmailChanged gives the user another address and releases the old one.
type EmailChanged struct {
	fact

	// Email is the address that the user holds from now on.
	Email Email `json:"email"`
}

// Disabled bars the user from changes until it is enabled.
type Disabled struct{ fact }

// Enabled ends the user's being disabled.
type Enabled struct{ fact }

// RoleAdded records that the user holds a role from now on.
type RoleAdded struct {
	fact

	RoleID RoleID `json:"roleId"`
}

// RoleGranted records that the user holds a role from now on until then.
type RoleGranted struct {
	fact

	RoleID RoleID `json:"roleId"`
	// Until is when the grant ends, in milliseconds.
	Until time.Time `json:"until"`
}

// RoleUntilChanged lets the grant of a role end at another time.
type RoleUntilChanged struct {
	fact

	RoleID RoleID `json:"roleId"`
	// Until is when the grant ends, in milliseconds. Absent: never.
	Until time.Time `json:"until,omitzero"`
}

// RoleExpired records that the user holds a role no more, since its time was over.
type RoleExpired struct {
	fact

	RoleID RoleID `json:"roleId"`
	// Until is when the grant ended.
	Until time.Time `json:"until"`
}

// RoleRemoved records that the user holds a role no more.
type RoleRemoved struct {
	fact

	RoleID RoleID `json:"roleId"`
}

// EventName implements eventsourcing.Event, as do those below.
func (Registered) EventName() string       { return "org/iam/user/registered" }
func (Updated) EventName() string          { return "org/iam/user/updated" }
func (EmailChanged) EventName() string     { return "org/iam/user/emailChanged" }
func (Disabled) EventName() string         { return "org/iam/user/disabled" }
func (Enabled) EventName() string          { return "org/iam/user/enabled" }
func (RoleAdded) EventName() string        { return "org/iam/user/roleAdded" }
func (RoleGranted) EventName() string      { return "org/iam/user/roleGranted" }
func (RoleUntilChanged) EventName() string { return "org/iam/user/roleUntilChanged" }
func (RoleExpired) EventName() string      { return "org/iam/user/roleExpired" }
func (RoleRemoved) EventName() string      { return "org/iam/user/roleRemoved" }

// current is the codec of the events that are written. NewCodec adds those of former builds.
func current() *eventsourcing.Codec[Event] {
	return eventsourcing.NewCodec[Event](
		Registered{}, Updated{}, EmailChanged{}, Disabled{}, Enabled{},
		RoleAdded{}, RoleGranted{}, RoleUntilChanged{}, RoleExpired{}, RoleRemoved{},
	)
}

// State.

// State is what decisions need to know of a user; the zero State is a user that was never registered. Snapshots keep it
// as JSON. Treat it as read-only: caches share it.
type State struct {
	Registered bool    `json:"registered"` // disabled or not
	Disabled   bool    `json:"disabled"`
	ID         ID      `json:"id"`
	Email      Email   `json:"email"`
	FirstName  Name    `json:"firstName"` // "" until the first update
	LastName   Name    `json:"lastName"`
	Roles      []Grant `json:"roles"` // in the order they were granted
}

// Grant is a role that the user holds.
type Grant struct {
	RoleID RoleID `json:"roleId"`
	// Until is when it ends. The zero time: never.
	Until time.Time `json:"until,omitzero"`
}

// Evolve returns s after e. It never fails and never judges: the event happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Registered:
		s.Registered, s.ID, s.Email = true, e.UserID, e.Email
	case Updated:
		s.FirstName, s.LastName = e.FirstName, e.LastName
	case EmailChanged:
		s.Email = e.Email
	case Disabled:
		s.Disabled = true
	case Enabled:
		s.Disabled = false
	case RoleAdded:
		s.Roles = append(slices.Clip(s.Roles), Grant{RoleID: e.RoleID})
	case RoleGranted:
		s.Roles = append(slices.Clip(s.Roles), Grant{RoleID: e.RoleID, Until: e.Until})
	case RoleUntilChanged:
		s.Roles = slices.Clone(s.Roles)
		if i := s.indexOf(e.RoleID); i >= 0 {
			s.Roles[i].Until = e.Until
		}
	case RoleExpired:
		s.Roles = without(s.Roles, e.RoleID)
	case RoleRemoved:
		s.Roles = without(s.Roles, e.RoleID)
	}
	return s
}

func without(roles []Grant, id RoleID) []Grant {
	return slices.DeleteFunc(slices.Clone(roles), func(g Grant) bool { return g.RoleID == id })
}

func (s State) indexOf(id RoleID) int {
	return slices.IndexFunc(s.Roles, func(g Grant) bool { return g.RoleID == id })
}

// Claims holds the user's e-mail, disabled or not: no other user may take over an identity that the log still names.
func Claims(s State) []eventsourcing.Claim {
	if !s.Registered {
		return nil
	}
	return value.Claims(Category, "email", s.Email.key(), value.FoldCase(string(s.Email)))
}

// Shares counts the user among the members of each role that it holds.
func Shares(_ eventsourcing.StreamID, s State) []eventsourcing.Share {
	shares := make([]eventsourcing.Share, 0, 2*len(s.Roles))
	for _, g := range s.Roles {
		shares = append(shares, members.OfUser(g.RoleID.stream(), s.isHolder(g))...)
	}
	return shares
}

// roleCategory is that of the roles' streams, which package role declares.
const roleCategory = "org/iam/role"

func (id RoleID) stream() eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: roleCategory, ID: string(id)}
}

// Decisions.

func (s State) requireRegistered() error {
	if !s.Registered {
		return ErrNotFound
	}
	return nil
}

func (s State) requireEnabled() error {
	if err := s.requireRegistered(); err != nil {
		return err
	}
	if s.Disabled {
		return ErrDisabled
	}
	return nil
}

// Register makes a new user. That no other user holds the e-mail is checked by the store: see Claims.
type Register struct {
	ID    ID
	Email Email
}

// Opens implements eventsourcing.Opening.
func (Register) Opens() {}

// Decide refuses a user that exists.
func (c Register) Decide(s State) ([]Event, error) {
	if s.Registered {
		return nil, ErrExists
	}
	return []Event{Registered{UserID: c.ID, Email: c.Email}}, nil
}

// Update gives the user names. A user that has them already is left as it is.
type Update struct{ FirstName, LastName Name }

// Decide refuses a user that is unknown or disabled.
func (c Update) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.FirstName == c.FirstName && s.LastName == c.LastName {
		return nil, nil
	}
	return []Event{Updated{FirstName: c.FirstName, LastName: c.LastName}}, nil
}

// ChangeEmail moves the user to another address. A user that has it already is left as it is.
type ChangeEmail struct{ Email Email }

// Decide refuses a user that is unknown or disabled.
func (c ChangeEmail) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Email == c.Email {
		return nil, nil
	}
	return []Event{EmailChanged{Email: c.Email}}, nil
}

// Enable ends the user's being disabled.
type Enable struct{}

// Decide refuses a user that is unknown or not disabled.
func (Enable) Decide(s State) ([]Event, error) {
	if err := s.requireRegistered(); err != nil {
		return nil, err
	}
	if !s.Disabled {
		return nil, ErrEnabled
	}
	return []Event{Enabled{}}, nil
}
