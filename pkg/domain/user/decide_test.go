package user_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
)

type (
	cases  = map[string]aggregatetest.Case[user.State, user.Event]
	events = []user.Event
)

var (
	registered = user.Registered{UserID: "u1", Email: "dan@example.com"}
	admin      = user.Grantable{ID: "admin", Exists: true, Enabled: true}
	adminAdded = user.RoleAdded{RoleID: "admin"}
)

func TestRegister(t *testing.T) {
	t.Parallel()
	c := user.Register{ID: "u1", Email: "dan@example.com"}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"a new user":      {When: c, Then: events{registered}},
		"twice":           {Given: events{registered}, When: c, Refused: user.ErrExists},
		"a disabled user": {Given: events{registered, user.Disabled{}}, When: c, Refused: user.ErrExists},
	})
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	c, updated := user.Update{FirstName: "Dan", LastName: "O"}, user.Updated{FirstName: "Dan", LastName: "O"}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"an unknown user": {When: c, Refused: user.ErrNotFound},
		"names":           {Given: events{registered}, When: c, Then: events{updated}},
		"the same names":  {Given: events{registered, updated}, When: c},
		"another first name": {
			Given: events{registered, user.Updated{FirstName: "Ann", LastName: "O"}}, When: c, Then: events{updated},
		},
		"another last name": {
			Given: events{registered, user.Updated{FirstName: "Dan", LastName: "P"}}, When: c, Then: events{updated},
		},
		"a disabled user": {Given: events{registered, user.Disabled{}}, When: c, Refused: user.ErrDisabled},
		"a disabled user of the same names": {
			Given: events{registered, updated, user.Disabled{}}, When: c, Refused: user.ErrDisabled,
		},
		"a user enabled again": {
			Given: events{registered, user.Disabled{}, user.Enabled{}}, When: c, Then: events{updated},
		},
	})
}

func TestChangeEmail(t *testing.T) {
	t.Parallel()
	c, changed := user.ChangeEmail{Email: "dan@example.org"}, user.EmailChanged{Email: "dan@example.org"}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"an unknown user":  {When: c, Refused: user.ErrNotFound},
		"another address":  {Given: events{registered}, When: c, Then: events{changed}},
		"the same address": {Given: events{registered, changed}, When: c},
		"the address of registration": {
			Given: events{registered}, When: user.ChangeEmail{Email: registered.Email},
		},
		"a disabled user": {Given: events{registered, user.Disabled{}}, When: c, Refused: user.ErrDisabled},
		"a disabled user to the same address": {
			Given: events{registered, changed, user.Disabled{}}, When: c, Refused: user.ErrDisabled,
		},
	})
}

func TestDisable(t *testing.T) {
	t.Parallel()
	c := user.Disable{}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"an unknown user": {When: c, Refused: user.ErrNotFound},
		"a user":          {Given: events{registered}, When: c, Then: events{user.Disabled{}}},
		"twice":           {Given: events{registered, user.Disabled{}}, When: c, Refused: user.ErrDisabled},
		"a user enabled again": {
			Given: events{registered, user.Disabled{}, user.Enabled{}}, When: c, Then: events{user.Disabled{}},
		},
	})
}

func TestEnable(t *testing.T) {
	t.Parallel()
	c := user.Enable{}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"an unknown user": {When: c, Refused: user.ErrNotFound},
		"a new user":      {Given: events{registered}, When: c, Refused: user.ErrEnabled},
		"a disabled user": {Given: events{registered, user.Disabled{}}, When: c, Then: events{user.Enabled{}}},
		"twice": {
			Given: events{registered, user.Disabled{}, user.Enabled{}}, When: c, Refused: user.ErrEnabled,
		},
	})
}

func TestAddRole(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 90, user.MaxRoles, "more would not fit into one transaction, fewer would break users there are")
	var (
		c        = user.AddRole{Role: admin}
		unknown  = user.AddRole{Role: user.Grantable{ID: "admin"}}
		phantom  = user.AddRole{Role: user.Grantable{ID: "admin", Enabled: true}}
		disabled = user.AddRole{Role: user.Grantable{ID: "admin", Exists: true}}
		first    = user.AddRole{Role: user.Grantable{ID: "1", Exists: true, Enabled: true}}

		holds   = events{registered, adminAdded}
		removed = user.RoleRemoved{RoleID: "admin"}
		off     = events{registered, user.Disabled{}}
		full    = holding(user.MaxRoles)
	)
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"to a user":                {Given: events{registered}, When: c, Then: events{adminAdded}},
		"a second role":            {Given: holding(1), When: c, Then: events{adminAdded}},
		"removed before":           {Given: append(holds, removed), When: c, Then: events{adminAdded}},
		"to an unknown user":       {When: c, Refused: user.ErrNotFound},
		"to a disabled user":       {Given: off, When: c, Refused: user.ErrDisabled},
		"held":                     {Given: holds, When: c, Refused: user.ErrRoleHeld},
		"unknown":                  {Given: events{registered}, When: unknown, Refused: user.ErrRoleNotFound},
		"unknown, called enabled":  {Given: events{registered}, When: phantom, Refused: user.ErrRoleNotFound},
		"disabled":                 {Given: events{registered}, When: disabled, Refused: user.ErrRoleDisabled},
		"the last a user may hold": {Given: holding(user.MaxRoles - 1), When: c, Then: events{adminAdded}},
		"one more":                 {Given: full, When: c, Refused: user.ErrTooManyRoles},
		"instead of another":       {Given: append(full, user.RoleRemoved{RoleID: "1"}), When: c, Then: events{adminAdded}},
		"unknown, to unknown":      {When: unknown, Refused: user.ErrNotFound},
		"unknown, to a disabled":   {Given: off, When: unknown, Refused: user.ErrDisabled},
		"held, to a disabled":      {Given: append(holds, user.Disabled{}), When: c, Refused: user.ErrDisabled},
		"held, disabled since":     {Given: holds, When: disabled, Refused: user.ErrRoleHeld},
		"held, with no room":       {Given: full, When: first, Refused: user.ErrRoleHeld},
		"unknown, with no room":    {Given: full, When: unknown, Refused: user.ErrTooManyRoles},
		"disabled, with no room":   {Given: full, When: disabled, Refused: user.ErrTooManyRoles},
	})
}

func TestRemoveRole(t *testing.T) {
	t.Parallel()
	c, removed := user.RemoveRole{RoleID: "admin"}, user.RoleRemoved{RoleID: "admin"}
	aggregatetest.Decide(t, user.Aggregate(), cases{
		"from an unknown user": {When: c, Refused: user.ErrNotFound},
		"held":                 {Given: events{registered, adminAdded}, When: c, Then: events{removed}},
		"not held":             {Given: holding(2), When: c, Refused: user.ErrRoleNotHeld},
		"twice":                {Given: events{registered, adminAdded, removed}, When: c, Refused: user.ErrRoleNotHeld},
		"from a disabled user": {Given: events{registered, adminAdded, user.Disabled{}}, When: c, Then: events{removed}},
		"not held, from a disabled user": {
			Given: events{registered, user.Disabled{}}, When: c, Refused: user.ErrRoleNotHeld,
		},
	})
}

// holding is the history of a user with n roles: 1, 2, 3…
func holding(n int) events {
	history := events{registered}
	for i := range n {
		history = append(history, user.RoleAdded{RoleID: user.RoleID(fmt.Sprint(i + 1))})
	}
	return slices.Clip(history) // so that cases do not append into one another's
}
