// Package role holds the rules of the role aggregate. Read this file from the top: events, state, evolve, claims, shares,
// decisions. Decisions on the role's members are in members.go. Snapshots are bound in codec.go, names parsed in name.go, refusals in
// refusals.go, and what other aggregates' events say of a role in reference.go.
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

// RulesChanged gives the role rules in place of those before.
type RulesChanged struct {
	fact
	Rules
}

// RetirementRequested bars the role from being granted. A process takes it from everybody.
type RetirementRequested struct {
	fact

	// Members is how many users hold the role.
	Members int64 `json:"members"`
}

// RetirementCancelled ends the retirement midway. The role is disabled; from whom it was taken, it stays taken.
type RetirementCancelled struct{ fact }

// Retired ends the role for good. Nobody holds it, and it keeps its name.
type Retired struct{ fact }

// EventName implements eventsourcing.Event, as do those below.
func (Created) EventName() string             { return "org/iam/role/created" }
func (Renamed) EventName() string             { return "org/iam/role/renamed" }
func (Disabled) EventName() string            { return "org/iam/role/disabled" }
func (Enabled) EventName() string             { return "org/iam/role/enabled" }
func (RulesChanged) EventName() string        { return "org/iam/role/rulesChanged" }
func (RetirementRequested) EventName() string { return "org/iam/role/retirementRequested" }
func (RetirementCancelled) EventName() string { return "org/iam/role/retirementCancelled" }
func (Retired) EventName() string             { return "org/iam/role/retired" }

// NewCodec returns the codec of every role event that was ever stored.
func NewCodec() *eventsourcing.Codec[Event] {
	return eventsourcing.NewCodec[Event](
		Created{}, Renamed{}, Disabled{}, Enabled{}, RulesChanged{}, RetirementRequested{}, RetirementCancelled{}, Retired{},
	)
}

// Rules bound who may hold the role. The zero Rules bound nothing.
type Rules struct {
	// Essential says that one user who is enabled and holds the role without an end must remain, once there is one.
	Essential bool `json:"essential"`
	// MaxMembers is the most users that may hold the role, disabled or not. 0: any number.
	MaxMembers int64 `json:"maxMembers"`
}

// MaxLimit bounds Rules.MaxMembers.
const MaxLimit = 1_000_000_000

// State.

// State is what decisions need to know of a role; the zero State is a role that was never created. Snapshots keep it as
// JSON.
type State struct {
	Exists   bool  `json:"exists"` // disabled or not
	ID       ID    `json:"id"`
	Disabled bool  `json:"disabled"`
	Name     Name  `json:"name"`
	Rules    Rules `json:"rules"`
	Retiring bool  `json:"retiring"` // requested, and neither done nor cancelled
	Retired  bool  `json:"retired"`
}

// Evolve returns s after e. It never fails and never judges: the event happened.
func Evolve(s State, e Event) State {
	switch e := e.(type) {
	case Created:
		s.Exists, s.ID, s.Name = true, e.RoleID, e.Name
	case Renamed:
		s.Name = e.Name
	case Disabled:
		s.Disabled = true
	case Enabled:
		s.Disabled = false
	case RulesChanged:
		s.Rules = e.Rules
	case RetirementRequested:
		s.Retiring = true
	case RetirementCancelled:
		s.Retiring, s.Disabled = false, true
	case Retired:
		s.Retiring, s.Retired = false, true
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

// Shares makes the members of the role countable from its creation on, and says whether a holder must remain.
func Shares(stream eventsourcing.StreamID, s State) []eventsourcing.Share {
	if !s.Exists {
		return nil
	}
	return members.OfRole(stream, s.Rules.Essential)
}

// Decisions.

// requireInUse refuses a role that retires or is retired.
func (s State) requireInUse() error {
	switch {
	case !s.Exists:
		return ErrNotFound
	case s.Retired:
		return ErrRetired
	case s.Retiring:
		return ErrRetiring
	}
	return nil
}

func (s State) requireEnabled() error {
	if err := s.requireInUse(); err != nil {
		return err
	}
	if s.Disabled {
		return ErrDisabled
	}
	return nil
}

// Create makes a new role. That no other role has the name is checked by the store: see Claims.
type Create struct {
	ID    ID
	Name  Name
	Rules Rules
}

// Opens implements eventsourcing.Opening.
func (Create) Opens() {}

// Decide refuses a role that exists, and rules that are none. A new role may be essential, though nobody holds it yet.
func (c Create) Decide(s State) ([]Event, error) {
	if s.Exists {
		return nil, ErrExists
	}
	if err := c.Rules.validate(); err != nil {
		return nil, err
	}
	events := []Event{Created{RoleID: c.ID, Name: c.Name}}
	if c.Rules != (Rules{}) {
		events = append(events, RulesChanged{Rules: c.Rules})
	}
	return events, nil
}

func (r Rules) validate() error {
	if r.MaxMembers < 0 || r.MaxMembers > MaxLimit {
		return ErrInvalidLimit
	}
	return nil
}

// Rename gives the role another name. A role that has it already, to the case, is left as it is.
type Rename struct{ Name Name }

// Decide refuses a role that is unknown, retiring, retired or disabled.
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

// Decide refuses a role that is unknown, retiring, retired, disabled already or essential.
func (Disable) Decide(s State) ([]Event, error) {
	if err := s.requireEnabled(); err != nil {
		return nil, err
	}
	if s.Rules.Essential {
		return nil, ErrEssential
	}
	return []Event{Disabled{}}, nil
}

// Enable ends the role's being disabled.
type Enable struct{}

// Decide refuses a role that is unknown, retiring, retired or not disabled.
func (Enable) Decide(s State) ([]Event, error) {
	if err := s.requireInUse(); err != nil {
		return nil, err
	}
	if !s.Disabled {
		return nil, ErrEnabled
	}
	return []Event{Enabled{}}, nil
}
