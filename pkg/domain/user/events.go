package user

import "github.com/leftfold/leftfold/pkg/eventsourcing"

// Event is a fact about one user. The set is closed; linters hold every switch over it to name each kind.
//
//sumtype:decl
type Event interface {
	eventsourcing.Event
	isUserEvent()
}

// Registered opens a user's stream.
type Registered struct {
	UserID ID `json:"userId"`
	// Email is the address that the user holds from now on; nobody else can have it.
	Email Email `json:"email"`
}

// Updated gives the user its names.
type Updated struct {
	FirstName Name `json:"firstName"`
	LastName  Name `json:"lastName"`
}

// updatedV1 had the names in an object of their own, unlike all that shows them: requests, rows and enrichment.
type updatedV1 struct {
	Name fullName `json:"name"`
}

type fullName struct {
	First Name `json:"first"`
	Last  Name `json:"last"`
}

// EmailChanged moves the user to another address and gives the old one up.
type EmailChanged struct {
	// Email is the address that the user holds from now on.
	Email Email `json:"email"`
}

// Disabled bars the user from changes until it is enabled.
type Disabled struct{}

// Enabled ends the user's being disabled.
type Enabled struct{}

// RoleAdded records that the user holds a role from now on.
type RoleAdded struct {
	RoleID RoleID `json:"roleId"`
}

// RoleRemoved records that the user holds a role no more.
type RoleRemoved struct {
	RoleID RoleID `json:"roleId"`
}

func (Registered) EventName() string   { return "org/iam/user/registered" }
func (Updated) EventName() string      { return "org/iam/user/updated" }
func (EmailChanged) EventName() string { return "org/iam/user/emailChanged" }
func (Disabled) EventName() string     { return "org/iam/user/disabled" }
func (Enabled) EventName() string      { return "org/iam/user/enabled" }
func (RoleAdded) EventName() string    { return "org/iam/user/roleAdded" }
func (RoleRemoved) EventName() string  { return "org/iam/user/roleRemoved" }

func (Registered) isUserEvent()   {}
func (Updated) isUserEvent()      {}
func (EmailChanged) isUserEvent() {}
func (Disabled) isUserEvent()     {}
func (Enabled) isUserEvent()      {}
func (RoleAdded) isUserEvent()    {}
func (RoleRemoved) isUserEvent()  {}

// NewCodec knows every user event ever stored.
func NewCodec() *eventsourcing.Codec[Event] {
	c := eventsourcing.NewCodec[Event]()
	eventsourcing.Register[Registered](c)
	eventsourcing.Register[Updated](c, eventsourcing.Upcast(func(v1 updatedV1) Updated {
		return Updated{FirstName: v1.Name.First, LastName: v1.Name.Last}
	}))
	eventsourcing.Register[EmailChanged](c)
	eventsourcing.Register[Disabled](c)
	eventsourcing.Register[Enabled](c)
	eventsourcing.Register[RoleAdded](c)
	eventsourcing.Register[RoleRemoved](c)
	eventsourcing.RetireAs[Updated](c, "org/iam/user/renamed", eventsourcing.Upcast(func(same updatedV1) updatedV1 {
		return same // an update was to carry more than names one day, and was renamed
	}))
	return c
}
