package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// spent is what one command has used of AWS.
type spent struct {
	what        string
	calls       map[string]int64 // by operation
	write, read float64          // units
}

func (s spent) String() string {
	var calls []string
	for _, operation := range slices.Sorted(maps.Keys(s.calls)) {
		call := strings.TrimPrefix(operation, "DynamoDB.")
		if n := s.calls[operation]; n > 1 {
			call += fmt.Sprintf(" ×%d", n)
		}
		calls = append(calls, call)
	}
	dollars := 0.625*s.write + 0.125*s.read // of a million of them: docs/costs.md has the sources
	return fmt.Sprintf("| %s | %s | %.0f | %.0f | %.3g |\n", s.what, strings.Join(calls, ", "), s.write, s.read, dollars)
}

// spend sends a command and returns what it used. Only command-api runs.
func (a api) spend(what string, r systemtest.Request) spent {
	a.t.Helper()
	s := spent{what: what, calls: map[string]int64{}}
	add := func(sign int64) {
		for _, u := range a.AWS.Usage() {
			s.calls[u.Operation] += sign * u.Calls
			s.write += float64(sign) * u.WriteUnits
			s.read += float64(sign) * u.ReadUnits
		}
	}
	add(-1)
	a.accept(r.Method, r.Path, r.Body)
	add(1)
	maps.DeleteFunc(s.calls, func(_ string, n int64) bool { return n == 0 })
	return s
}

// TestAUserOfTheMostRolesIsDisabledInOneTransaction: 90 roles are 90 scopes, each essential, and all of them are decided on and moved.
// What it and other commands use is in docs/costs.md; -update writes the table.
func TestAUserOfTheMostRolesIsDisabledInOneTransaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _ := newProxied(t, map[string]string{"SNAPSHOT_EVERY": "0"})
		newUser := func() string {
			return a.accept(http.MethodPost, "/users", object{"email": letters(newID()) + "@example.com"}).ID
		}
		newRole := func(rules object) string {
			rules["name"] = letters(newID())
			return a.accept(http.MethodPost, "/roles", rules).ID
		}
		plain, member, most, other := newUser(), newUser(), newUser(), newUser()
		grant := func(id, role string) systemtest.Request { return post("/users/"+id+"/roles", object{"roleId": role}) }
		must := func(r systemtest.Request) { a.accept(r.Method, r.Path, r.Body) }
		role, limited := newRole(object{}), newRole(object{"maxMembers": 9})
		for range user.MaxRoles {
			essential := newRole(object{"essential": true})
			must(grant(most, essential))
			must(grant(other, essential))
		}
		ends := object{"until": time.Now().Add(time.Hour)}
		held := "/users/" + member + "/roles/"
		bill := []spent{
			a.spend("update a user's names", put("/users/"+plain, object{"firstName": "Ann", "lastName": "Lee"})),
			a.spend("disable a user without roles", put("/users/"+plain+"/disable", nil)),
			a.spend("add a role", grant(member, role)),
			a.spend("add a role that has a limit", grant(member, limited)),
			a.spend("let it end at a time", put(held+role, ends)),
			a.spend("remove a role whose grant ends", systemtest.Request{Method: http.MethodDelete, Path: held + role}),
			a.spend("disable a user with one role", put("/users/"+member+"/disable", nil)),
			a.spend("enable it again", put("/users/"+member+"/enable", nil)),
			a.spend("remove a role", systemtest.Request{Method: http.MethodDelete, Path: held + limited}),
			a.spend("disable a user with 90 roles", put("/users/"+most+"/disable", nil)),
			a.spend("enable it again", put("/users/"+most+"/enable", nil)),
			a.spend("change a role's rules", put("/roles/"+role+"/rules", object{"essential": false, "maxMembers": 9})),
			a.spend("retire a role", put("/roles/"+role+"/retire", nil)),
		}
		disable := bill[9]
		assert.Equal(t, map[string]int64{"DynamoDB.BatchGetItem": 1, "DynamoDB.TransactWriteItems": 1}, disable.calls)
		assert.InDelta(t, 2*(1+user.MaxRoles), disable.write, 0, "the event and each scope")
		a.accept(http.MethodPut, "/users/"+other+"/disable", nil)
		a.refuse(http.MethodPut, "/users/"+most+"/disable", nil, 409, "last_holder")

		table := "| command | calls | write units | read units | $ a million |\n|---|---|---|---|---|\n"
		for _, s := range bill {
			table += s.String()
		}
		text, err := os.ReadFile(costs)
		require.NoError(t, err)
		before, stands, after := section(t, string(text), "scopes")
		if *update {
			require.NoError(t, os.WriteFile(costs, []byte(before+table+after), 0o644))
			return
		}
		assert.Equal(t, table, stands, "run: go test ./test/e2e -run %s -update", t.Name())
	})
}
