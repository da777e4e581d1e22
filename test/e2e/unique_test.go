package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

const racers = 40

// race sends one request per racer at once. Exactly one may be accepted; the others get that code. It returns the winner.
func race(a api, code string, request func(racer int) systemtest.Request) (winner int) {
	a.t.Helper()
	statuses, codes := make([]int, racers), make([]string, racers)
	var group errgroup.Group
	for racer := range racers {
		group.Go(func() error {
			answer, err := a.Do(a.t.Context(), request(racer))
			if err != nil {
				return err
			}
			problem, err := systemtest.Decode[systemtest.Problem](answer)
			statuses[racer], codes[racer] = answer.Status, problem.Code
			return err
		})
	}
	require.NoError(a.t, group.Wait())
	winner = -1
	for racer, status := range statuses {
		if status == http.StatusAccepted {
			assert.Equal(a.t, -1, winner, "two were accepted")
			winner = racer
			continue
		}
		assert.Equal(a.t, http.StatusConflict, status)
		assert.Equal(a.t, code, codes[racer])
	}
	require.GreaterOrEqual(a.t, winner, 0, "none was accepted")
	return winner
}

// mixed returns text in a mix of upper and lower case that differs by racer.
func mixed(text string, racer int) string {
	if racer%2 == 0 {
		return strings.ToUpper(text)
	}
	return text
}

// TestOneEmailHasOneOwner races for one address and for one role name, by registering and by changing.
func TestOneEmailHasOneOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		var users, roles []string
		for i := range racers {
			users = append(users, a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("racer%d@example.com", i)}).ID)
			name := "racer" + strings.Repeat("x", i/8) + "-" + strings.Repeat("y", i%8)
			roles = append(roles, a.accept(http.MethodPost, "/roles", object{"name": name}).ID)
		}
		for round := range 5 {
			email, name := fmt.Sprintf("prize%d@example.com", round), "prize"+strings.Repeat("z", round)
			made := newIDs()
			winner := race(a, "email_taken", func(racer int) systemtest.Request {
				return post("/users", object{"id": made[racer], "email": mixed(email, racer)})
			})
			a.accept(http.MethodPut, "/users/"+made[winner]+"/email", object{"email": "other." + email}) // releases it
			winner = race(a, "email_taken", func(racer int) systemtest.Request {
				return put("/users/"+users[racer]+"/email", object{"email": mixed(email, racer)})
			})
			a.accept(http.MethodPut, "/users/"+users[winner]+"/disable", nil) // keeps it
			a.refuse(http.MethodPost, "/users", object{"email": email}, 409, "email_taken")
			a.accept(http.MethodPut, "/users/"+users[winner]+"/enable", nil)

			made = newIDs()
			winner = race(a, "name_taken", func(racer int) systemtest.Request {
				return post("/roles", object{"id": made[racer], "name": mixed(name, racer)})
			})
			a.accept(http.MethodPut, "/roles/"+made[winner], object{"name": "other-" + name})
			race(a, "name_taken", func(racer int) systemtest.Request {
				return put("/roles/"+roles[racer], object{"name": mixed(name, racer)})
			})
		}
		_, err := a.Audit(t.Context())
		require.NoError(t, err)
	})
}

// TestEachSpellingOfAValueIsTheSame registers through the API what Unicode or DNS counts as equal.
func TestEachSpellingOfAValueIsTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		for _, pair := range [][2]string{
			{"\uac00\uac01", "\u1100\u1161\u1100\u1161\u11a8"}, {"\u03ba\u03ac", "\u03ba\u1f71"}, {"\u8c48", "\uf900"}, {"\u00e9", "E\u0301"},
		} {
			a.accept(http.MethodPost, "/users", object{"email": pair[0] + "@example.com"})
			a.refuse(http.MethodPost, "/users", object{"email": pair[1] + "@example.com"}, 409, "email_taken")
			a.accept(http.MethodPost, "/roles", object{"name": pair[0]})
			a.refuse(http.MethodPost, "/roles", object{"name": pair[1]}, 409, "name_taken")
		}
		a.accept(http.MethodPost, "/users", object{"email": "x@b\u00fccher.example"})
		a.refuse(http.MethodPost, "/users", object{"email": "x@xn--bcher-kva.example"}, 409, "email_taken")
		a.accept(http.MethodPost, "/users", object{"email": "\u0130nfo@example.com"})
		a.accept(http.MethodPost, "/users", object{"email": "info@example.com"}) // another mailbox
		_, err := a.Audit(t.Context())
		require.NoError(t, err)
	})
}

func newIDs() (ids []string) {
	for range racers {
		ids = append(ids, newID())
	}
	return ids
}
