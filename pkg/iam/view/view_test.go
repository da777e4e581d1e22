package view_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

func TestEachEventOfAUserChangesOnlyItsFields(t *testing.T) {
	t.Parallel()
	on := view.User{Email: "ann@example.com", FirstName: "Ann", LastName: "Lee"}
	off := on
	off.Disabled = true
	for _, tt := range []struct {
		before view.User
		event  user.Event
		after  view.User
	}{
		{view.User{}, user.Registered{UserID: "1", Email: "ann@example.com"}, view.User{Email: "ann@example.com"}},
		{on, user.Updated{FirstName: "Bo", LastName: "Ek"}, view.User{Email: "ann@example.com", FirstName: "Bo", LastName: "Ek"}},
		{on, user.EmailChanged{Email: "bo@example.com"}, view.User{Email: "bo@example.com", FirstName: "Ann", LastName: "Lee"}},
		{on, user.Disabled{}, off},
		{off, user.Enabled{}, on},
		{off, user.RoleAdded{RoleID: "2"}, off},
		{off, user.RoleRemoved{RoleID: "2"}, off},
	} {
		assert.Equal(t, tt.after, tt.before.Fold(tt.event), tt.event.EventName())
	}
}

func TestEachEventOfARoleChangesOnlyItsFields(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before view.Role
		event  role.Event
		after  view.Role
	}{
		{view.Role{}, role.Created{RoleID: "1", Name: "auditor"}, view.Role{Name: "auditor"}},
		{view.Role{Name: "auditor", Disabled: true}, role.Renamed{Name: "chief"}, view.Role{Name: "chief", Disabled: true}},
		{view.Role{Name: "auditor"}, role.Disabled{}, view.Role{Name: "auditor", Disabled: true}},
		{view.Role{Name: "auditor", Disabled: true}, role.Enabled{}, view.Role{Name: "auditor"}},
	} {
		assert.Equal(t, tt.after, tt.before.Fold(tt.event), tt.event.EventName())
	}
}
