// Package view folds the events of users and roles into what every read model shows of them.
package view

import (
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

// User is what others see of a user, beside its roles.
type User struct {
	Email     string `dynamodbav:"email" json:"email" doc:"unique ignoring case and spelling in Unicode" example:"dan@example.com"`
	FirstName string `dynamodbav:"firstName" json:"firstName" doc:"empty until it is given" example:"Dan"`
	LastName  string `dynamodbav:"lastName" json:"lastName" doc:"empty until it is given" example:"O'Neill"`
	Disabled  bool   `dynamodbav:"disabled" json:"disabled" doc:"it is barred from changes" example:"false"`
}

// Fold returns u after the event. Roles given and taken leave it as it is.
func (u User) Fold(event user.Event) User {
	switch e := event.(type) {
	case user.Registered:
		u.Email = string(e.Email)
	case user.Updated:
		u.FirstName, u.LastName = string(e.FirstName), string(e.LastName)
	case user.EmailChanged:
		u.Email = string(e.Email)
	case user.Disabled:
		u.Disabled = true
	case user.Enabled:
		u.Disabled = false
	case user.RoleAdded, user.RoleGranted, user.RoleUntilChanged, user.RoleRemoved, user.RoleExpired:
	}
	return u
}

// Grant is what an event says of a role that a user holds, or holds no more.
type Grant struct {
	RoleID user.RoleID
	Held   bool
	Until  *time.Time // when it ends; nil: never
}

// GrantIn returns what the event says of a role, if it is about one.
func GrantIn(event user.Event) (g Grant, ok bool) {
	switch e := event.(type) {
	case user.RoleAdded:
		return Grant{RoleID: e.RoleID, Held: true}, true
	case user.RoleGranted:
		return Grant{RoleID: e.RoleID, Held: true, Until: Until(e.Until)}, true
	case user.RoleUntilChanged:
		return Grant{RoleID: e.RoleID, Held: true, Until: Until(e.Until)}, true
	case user.RoleRemoved:
		return Grant{RoleID: e.RoleID}, true
	case user.RoleExpired:
		return Grant{RoleID: e.RoleID}, true
	case user.Registered, user.Updated, user.EmailChanged, user.Disabled, user.Enabled:
	}
	return g, false
}

// Until returns when a grant ends as it is shown: the zero time is nil.
func Until(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Role is what others see of a role, beside its members.
type Role struct {
	Name     string `dynamodbav:"name" json:"name" doc:"unique ignoring case and spelling in Unicode" example:"auditor"`
	Disabled bool   `dynamodbav:"disabled" json:"disabled" doc:"it cannot be given to others" example:"false"`
	// What follows is absent where it is not so.
	Essential  bool  `dynamodbav:"essential,omitempty" json:"essential,omitempty" doc:"a user must remain that holds it without an end"`
	MaxMembers int64 `dynamodbav:"maxMembers,omitempty" json:"maxMembers,omitempty" doc:"the most users that may hold it; absent: any number"`
	Retiring   bool  `dynamodbav:"retiring,omitempty" json:"retiring,omitempty" doc:"it is being taken from everybody"`
	Retired    bool  `dynamodbav:"retired,omitempty" json:"retired,omitempty" doc:"nobody holds it, nor ever will"`
}

// Fold returns r after the event.
func (r Role) Fold(event role.Event) Role {
	switch e := event.(type) {
	case role.Created:
		r.Name = string(e.Name)
	case role.Renamed:
		r.Name = string(e.Name)
	case role.Disabled:
		r.Disabled = true
	case role.Enabled:
		r.Disabled = false
	case role.RulesChanged:
		r.Essential, r.MaxMembers = e.Essential, e.MaxMembers
	case role.RetirementRequested:
		r.Retiring = true
	case role.RetirementCancelled:
		r.Retiring, r.Disabled = false, true
	case role.Retired:
		r.Retiring, r.Retired = false, true
	}
	return r
}
