// Package role holds the rules of the role aggregate. Read this file from the top: events, state, evolve, claims, shares,
// decisions. Snapshots are bound in codec.go, names parsed in name.go, refusals in refusals.go, and what other
// aggregates' events say of a role in reference.go.
package role

import (
	"github.com/leftfold/leftfold/pkg/domain/members"
	"github.com/leftfold/leftfold/pkg/domain/value"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Category is the category of every role's stream.
const Category = "org/iam/role"

// ID names a role; it never changes and is never reused. Make one with ParseID.
type ID string

// ParseID refuses what is not a UUID with value.ErrInvalidID.
func ParseID(text string) (ID, error) {
	id, err := value.ParseID(text)
	return ID(id), err
}

// Events. Their names and JSON are stored: a change of shape is a new schema version, see codec.go.

// Event is a fact about one role. The set is closed; linters require every switch over it to name each kind.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isRoleEvent()
}

// fact makes the type that embeds it a role event.
type fact struct{}

func (fact) isRoleEvent() {}

// Created opens a role's stream.
type Created struct {
	fact

	RoleID ID `json:"roleId"`
	// Name is what the role is called from now on; no other role can be, whatever the case of its letters and their spelling in Unicode.
	Name Name `json:"name"`
}

// Renamed gives the role another name and releases the old one.
type Renamed struct {
	fact

	// Name is what the role is called from now on.
	Name Name `json:"name"`
}

// Disabled bars the role from being granted until it is enabled.
type Disabled struct{ fact }

// Enabled ends the role's being disabled.
type Enabled struct{ fact }

// EventName implements eventsourcing.Event, as do those below.
func (Created) EventName() string  { return "org/iam/role/created" }
func (Renamed) EventName() string  { return "org/iam/role/renamed" }
func (Disabled) EventName() string { return "org/iam/role/disabled" }
func (Enabled) EventName() string  { return "org/iam/role/enabled" }

// NewCodec returns the codec of every role event that was ever stored.
func NewCodec() *eventsourcing.Codec[Event] {
	return eventsourcing.NewCodec[Event](Created{}, Renamed{}, Disabled{}, Enabled{})
}

// State.

// State is what decisions need to know of a role; the zero State is a role that was never created. Snapshots keep it as
// JSON.
type State struct {
	Exists   bool `json:"exists"` // disabled or not
	Disabled bool `json:"disabled"`
	Name     Name `json:"name"`
}

// Evolve returns s after e. It never fails and never judges: the event happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s.Exists, s.Name = true, e.Name
	case Renamed:
		s.Name = e.Name
	case Disabled:
		s.Disabled = true
	case Enabled:
		s.Disabled = false
	}
	return s
}

// Claims holds the role's name whatever its case and spelling in Unicode, disabled or not: no other role may take over an
// identity that the log still names.
func Claims(s State) []eventsourcing.Claim {
	if !s.Exists {
		return nil
	}
	return value.Claims(Category, "name", value.Fold(string(s.Name)), value.FoldCase(string(s.Name)))
}

// Shares makes the members of the role countable from its creation on.
func Shares(stream eventsourcing.StreamID, s State) []eventsourcing.Share {
	if !s.Exists {
		return nil
	}
	return members.OfRole(stream)
}

// Decisions.

func (s State) requireExisting() error {
	if !s.Exists {
		return ErrNotFound
	}
	return nil
}

func (s State) requireEnabled() error {
	if err := s.requireExisting(); err != nil {
		return err
	}
	if s.Disabled {
		return ErrDisabled
	}
	return nil
}

// Create makes a new role. That no other role has the name is checked by the store: see Claims.
type Create struct {
	ID   ID
	Name Name
}

// Opens implements eventsourcing.Opening.
func (Create) Opens() {}

// Decide refuses a role that exists.
func (c Create) Decide(s State) ([]Event, error) {
	if s.Exists {
		return nil, ErrExists
	}
	return []Event{Created{RoleID: c.ID, Name: c.Name}}, nil
}

// Rename gives the role another name. A role that has it already, to the case, is left as it is.
type Rename struct{ Name Name }

// Decide refuses a role that is unknown or disabled.
func (c Rename) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Name == c.Name {
		return nil, nil
	}
	return []Event{Renamed{Name: c.Name}}, nil
}

// Disable bars the role from being granted. Who holds it keeps it.
type Disable struct{}

// Decide refuses a role that is unknown or disabled already.
func (Disable) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	return []Event{Disabled{}}, nil
}

// Enable ends the role's being disabled.
type Enable struct{}

// Decide refuses a role that is unknown or not disabled.
func (Enable) Decide(s State) ([]Event, error) {
	if err := s.requireExisting(); err != nil {
		return nil, err
	}
	if !s.Disabled {
		return nil, ErrEnabled
	}
	return []Event{Enabled{}}, nil
}
