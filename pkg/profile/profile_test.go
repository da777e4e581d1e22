package profile_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/profile"
)

func TestEachEventOfAUserChangesWhatItSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	on := profile.User{Email: "ann@example.com", FirstName: "Ann", LastName: "Lee"}
	off := on
	off.Disabled = true
	for _, tt := range []struct {
		before profile.User
		event  user.Event
		after  profile.User
	}{
		{profile.User{}, user.Registered{UserID: "1", Email: "ann@example.com"}, profile.User{Email: "ann@example.com"}},
		{on, user.Updated{FirstName: "Bo", LastName: "Ek"}, profile.User{Email: "ann@example.com", FirstName: "Bo", LastName: "Ek"}},
		{on, user.EmailChanged{Email: "bo@example.com"}, profile.User{Email: "bo@example.com", FirstName: "Ann", LastName: "Lee"}},
		{on, user.Disabled{}, off},
		{off, user.Enabled{}, on},
		{off, user.RoleAdded{RoleID: "2"}, off},
		{off, user.RoleRemoved{RoleID: "2"}, off},
	} {
		assert.Equal(t, tt.after, tt.before.Fold(tt.event), tt.event.EventName())
	}
}

func TestEachEventOfARoleChangesWhatItSaysAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		before profile.Role
		event  role.Event
		after  profile.Role
	}{
		{profile.Role{}, role.Created{RoleID: "1", Name: "auditor"}, profile.Role{Name: "auditor"}},
		{profile.Role{Name: "auditor", Disabled: true}, role.Renamed{Name: "chief"}, profile.Role{Name: "chief", Disabled: true}},
		{profile.Role{Name: "auditor"}, role.Disabled{}, profile.Role{Name: "auditor", Disabled: true}},
		{profile.Role{Name: "auditor", Disabled: true}, role.Enabled{}, profile.Role{Name: "auditor"}},
	} {
		assert.Equal(t, tt.after, tt.before.Fold(tt.event), tt.event.EventName())
	}
}
