package role_test

import (
	"testing"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
)

type (
	cases  = map[string]aggregatetest.Case[role.State, role.Event]
	events = []role.Event
)

var created = role.Created{RoleID: "r1", Name: "Admin"}

func TestCreate(t *testing.T) {
	t.Parallel()
	c := role.Create{ID: "r1", Name: "Admin"}
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"a new role":      {When: c, Then: events{created}},
		"twice":           {Given: events{created}, When: c, Refused: role.ErrExists},
		"a disabled role": {Given: events{created, role.Disabled{}}, When: c, Refused: role.ErrExists},
	})
}

func TestRename(t *testing.T) {
	t.Parallel()
	c, renamed := role.Rename{Name: "Auditor"}, role.Renamed{Name: "Auditor"}
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role":      {When: c, Refused: role.ErrNotFound},
		"another name":         {Given: events{created}, When: c, Then: events{renamed}},
		"the same name":        {Given: events{created, renamed}, When: c},
		"the name of creation": {Given: events{created}, When: role.Rename{Name: "Admin"}},
		"another case": {
			Given: events{created}, When: role.Rename{Name: "ADMIN"}, Then: events{role.Renamed{Name: "ADMIN"}},
		},
		"a disabled role": {Given: events{created, role.Disabled{}}, When: c, Refused: role.ErrDisabled},
		"a disabled role to the same name": {
			Given: events{created, renamed, role.Disabled{}}, When: c, Refused: role.ErrDisabled,
		},
		"a role enabled again": {
			Given: events{created, role.Disabled{}, role.Enabled{}}, When: c, Then: events{renamed},
		},
	})
}

func TestDisable(t *testing.T) {
	t.Parallel()
	c := role.Disable{}
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role": {When: c, Refused: role.ErrNotFound},
		"a role":          {Given: events{created}, When: c, Then: events{role.Disabled{}}},
		"twice":           {Given: events{created, role.Disabled{}}, When: c, Refused: role.ErrDisabled},
		"a role enabled again": {
			Given: events{created, role.Disabled{}, role.Enabled{}}, When: c, Then: events{role.Disabled{}},
		},
	})
}

func TestEnable(t *testing.T) {
	t.Parallel()
	c := role.Enable{}
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"an unknown role": {When: c, Refused: role.ErrNotFound},
		"a new role":      {Given: events{created}, When: c, Refused: role.ErrEnabled},
		"a disabled role": {Given: events{created, role.Disabled{}}, When: c, Then: events{role.Enabled{}}},
		"twice": {
			Given: events{created, role.Disabled{}, role.Enabled{}}, When: c, Refused: role.ErrEnabled,
		},
	})
}
