// Package view folds the events of users and roles into what every read model shows of them.
package view

import (
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
	case user.RoleAdded, user.RoleRemoved:
	}
	return u
}

// Role is what others see of a role, beside its members.
type Role struct {
	Name     string `dynamodbav:"name" json:"name" doc:"unique ignoring case and spelling in Unicode" example:"auditor"`
	Disabled bool   `dynamodbav:"disabled" json:"disabled" doc:"it cannot be given to others" example:"false"`
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
	}
	return r
}
