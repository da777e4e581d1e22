package view_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/view"
)

var friday = time.Date(2026, 12, 4, 17, 0, 0, 0, time.UTC)

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
		{off, user.RoleGranted{RoleID: "2", Until: friday}, off},
		{off, user.RoleUntilChanged{RoleID: "2", Until: friday}, off},
		{off, user.RoleExpired{RoleID: "2", Until: friday}, off},
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
		{
			view.Role{Name: "auditor"},
			role.RulesChanged{Rules: role.Rules{Essential: true, MaxMembers: 3}},
			view.Role{Name: "auditor", Essential: true, MaxMembers: 3},
		},
		{view.Role{Name: "auditor", Essential: true, MaxMembers: 3}, role.RulesChanged{}, view.Role{Name: "auditor"}},
		{view.Role{Name: "auditor"}, role.RetirementRequested{Members: 2}, view.Role{Name: "auditor", Retiring: true}},
		{view.Role{Name: "auditor", Retiring: true}, role.RetirementCancelled{}, view.Role{Name: "auditor", Disabled: true}},
		{view.Role{Name: "auditor", Retiring: true}, role.Retired{}, view.Role{Name: "auditor", Retired: true}},
	} {
		assert.Equal(t, tt.after, tt.before.Fold(tt.event), tt.event.EventName())
	}
}

func TestAnEventSaysWhetherARoleIsHeldAndUntilWhen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		event user.Event
		says  view.Grant
		ok    bool
	}{
		{user.RoleAdded{RoleID: "2"}, view.Grant{RoleID: "2", Held: true}, true},
		{user.RoleGranted{RoleID: "2", Until: friday}, view.Grant{RoleID: "2", Held: true, Until: &friday}, true},
		{user.RoleUntilChanged{RoleID: "2", Until: friday}, view.Grant{RoleID: "2", Held: true, Until: &friday}, true},
		{user.RoleUntilChanged{RoleID: "2"}, view.Grant{RoleID: "2", Held: true}, true},
		{user.RoleExpired{RoleID: "2", Until: friday}, view.Grant{RoleID: "2"}, true},
		{user.RoleRemoved{RoleID: "2"}, view.Grant{RoleID: "2"}, true},
		{user.Disabled{}, view.Grant{}, false},
	} {
		says, ok := view.GrantIn(tt.event)
		assert.Equal(t, tt.ok, ok, tt.event.EventName())
		assert.Equal(t, tt.says, says, tt.event.EventName())
	}
}
