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

var (
	created   = role.Created{RoleID: "r1", Name: "Admin"}
	requested = role.RetirementRequested{Members: 2}
	essential = role.RulesChanged{Rules: role.Rules{Essential: true}}
)

func limited(to int64) role.RulesChanged { return role.RulesChanged{Rules: role.Rules{MaxMembers: to}} }

func TestCreate(t *testing.T) {
	t.Parallel()
	c := role.Create{ID: "r1", Name: "Admin"}
	aggregatetest.Decide(t, role.Aggregate(), cases{
		"a new role":      {When: c, Then: events{created}},
		"twice":           {Given: events{created}, When: c, Refused: role.ErrExists},
		"a disabled role": {Given: events{created, role.Disabled{}}, When: c, Refused: role.ErrExists},
		"a retired role":  {Given: events{created, requested, role.Retired{}}, When: c, Refused: role.ErrExists},
		"with rules": {
			When: role.Create{ID: "r1", Name: "Admin", Rules: role.Rules{Essential: true, MaxMembers: 5}},
			Then: events{created, role.RulesChanged{Rules: role.Rules{Essential: true, MaxMembers: 5}}},
		},
		"with a limit that is none": {
			When: role.Create{ID: "r1", Name: "Admin", Rules: role.Rules{MaxMembers: -1}}, Refused: role.ErrInvalidLimit,
		},
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
		"a retiring role": {Given: events{created, requested}, When: c, Refused: role.ErrRetiring},
		"a retired role":  {Given: events{created, requested, role.Retired{}}, When: c, Refused: role.ErrRetired},
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
		"an unknown role":   {When: c, Refused: role.ErrNotFound},
		"a role":            {Given: events{created}, When: c, Then: events{role.Disabled{}}},
		"twice":             {Given: events{created, role.Disabled{}}, When: c, Refused: role.ErrDisabled},
		"an essential role": {Given: events{created, essential}, When: c, Refused: role.ErrEssential},
		"a role that was essential": {
			Given: events{created, essential, role.RulesChanged{}}, When: c, Then: events{role.Disabled{}},
		},
		"a retiring role": {Given: events{created, requested}, When: c, Refused: role.ErrRetiring},
		"a role whose retirement was cancelled": {
			Given: events{created, requested, role.RetirementCancelled{}}, When: c, Refused: role.ErrDisabled,
		},
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
		"a retiring role": {Given: events{created, requested}, When: c, Refused: role.ErrRetiring},
		"a retired role":  {Given: events{created, requested, role.Retired{}}, When: c, Refused: role.ErrRetired},
		"a role whose retirement was cancelled": {
			Given: events{created, requested, role.RetirementCancelled{}}, When: c, Then: events{role.Enabled{}},
		},
		"twice": {
			Given: events{created, role.Disabled{}, role.Enabled{}}, When: c, Refused: role.ErrEnabled,
		},
	})
}
