package role

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// Event is a fact about one role. The set is closed; linters hold every switch over it to name each kind.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isRoleEvent()
}

// Created opens a role's stream.
type Created struct {
	RoleID ID `json:"roleId"`
	// Name is what the role is called from now on; no other role can be, whatever the case of its letters.
	Name Name `json:"name"`
}

// Renamed gives the role another name and the old one up.
type Renamed struct {
	// Name is what the role is called from now on.
	Name Name `json:"name"`
}

// Disabled bars the role from being granted until it is enabled.
type Disabled struct{}

// Enabled ends the role's being disabled.
type Enabled struct{}

func (Created) EventName() string  { return "org/iam/role/created" }
func (Renamed) EventName() string  { return "org/iam/role/renamed" }
func (Disabled) EventName() string { return "org/iam/role/disabled" }
func (Enabled) EventName() string  { return "org/iam/role/enabled" }

func (Created) isRoleEvent()  {}
func (Renamed) isRoleEvent()  {}
func (Disabled) isRoleEvent() {}
func (Enabled) isRoleEvent()  {}

// NewCodec knows every role event ever stored.
func NewCodec() *eventsourcing.Codec[Event] {
	c := eventsourcing.NewCodec[Event]()
	eventsourcing.Register[Created](c)
	eventsourcing.Register[Renamed](c)
	eventsourcing.Register[Disabled](c)
	eventsourcing.Register[Enabled](c)
	return c
}
