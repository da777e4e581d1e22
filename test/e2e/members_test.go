package e2e_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// membersRace is random commands of many clients on the members of few roles, two of them essential and one limited.
type membersRace struct {
	api

	users, roles []string // the last role is limited
	answers      map[string]*atomic.Int64
}

// racing are the commands, each with the codes that may refuse it beside those of any command.
func racing() map[string][]string {
	return map[string][]string{
		"disable": {"user_disabled", "last_holder"},
		"enable":  {"user_enabled"},
		"remove":  {"role_not_held", "last_holder"},
		"grant":   {"user_disabled", "role_already_held", "no_seat_left", "until_passed"},
		"until":   {"user_disabled", "role_not_held", "last_holder", "until_passed"},
		"rules":   {"no_holder", "too_many_members"},
		"expire":  {"role_not_held", "grant_changed", "grant_not_ended"},
	}
}

// next is a random command.
func (m *membersRace) next(random *rand.Rand) (name string, r systemtest.Request) {
	names := slices.Sorted(maps.Keys(racing()))
	name = names[random.IntN(len(names))]
	of, i := "/users/"+m.users[random.IntN(len(m.users))], random.IntN(len(m.roles))
	held, limited := of+"/roles/"+m.roles[i], i == len(m.roles)-1
	second := time.Now().Truncate(time.Second) // all ends are at whole ones, so that some are met
	end := any(nil)
	if random.IntN(2) == 0 {
		end = second.Add(time.Duration(1+random.IntN(2)) * time.Second)
	}
	switch name {
	case "remove":
		r = systemtest.Request{Method: http.MethodDelete, Path: held}
	case "grant":
		r = post(of+"/roles", object{"roleId": m.roles[i], "until": end})
	case "until":
		r = put(held, object{"until": end})
	case "rules":
		rules := object{"essential": random.IntN(4) > 0, "maxMembers": 0}
		if limited {
			rules = object{"essential": false, "maxMembers": 1 + random.IntN(3)}
		}
		r = put("/roles/"+m.roles[i]+"/rules", rules)
	case "expire":
		r = put(held+"/expire", object{"until": second.Add(time.Duration(random.IntN(2)) * time.Second)})
	default:
		r = put(of+"/"+name, nil)
	}
	r.Correlation = newID()
	return name, r
}

// client sends commands until there have been enough.
func (m *membersRace) client(random *rand.Rand, more func() bool) error {
	refusals := racing()
	for more() {
		name, r := m.next(random)
		answer, err := m.Do(m.t.Context(), r)
		if err != nil {
			return err
		}
		if answer.Status == http.StatusAccepted {
			m.answers["accepted"].Add(1)
			continue
		}
		problem, err := systemtest.Decode[systemtest.Problem](answer)
		if err != nil {
			return err
		}
		if !slices.Contains(append(refusals[name], "busy"), problem.Code) {
			return fmt.Errorf("%s was answered %s", name, answer.Body)
		}
		m.answers[problem.Code].Add(1)
	}
	return nil
}

// rulesBroken folds the records in the order of their commits and returns each breach of a rule, at whatever version.
func rulesBroken(t *testing.T, commits [][]eventsourcing.Record) (breaches []string) {
	t.Helper()
	users, roles, hadHolder := map[string]user.State{}, map[string]role.State{}, map[string]bool{}
	ofUser, ofRole := user.NewCodec(), role.NewCodec()
	for n, records := range commits {
		for _, r := range records {
			if r.Stream.Category == user.Category {
				e, err := ofUser.Decode(r.Name, r.Schema, r.Data)
				require.NoError(t, err)
				users[r.Stream.ID] = user.Evolve(users[r.Stream.ID], e)
				continue
			}
			e, err := ofRole.Decode(r.Name, r.Schema, r.Data)
			require.NoError(t, err)
			roles[r.Stream.ID] = role.Evolve(roles[r.Stream.ID], e)
		}
		holders, seats := map[string]int64{}, map[string]int64{}
		for _, u := range users {
			for _, g := range u.Roles {
				seats[string(g.RoleID)]++
				if !u.Disabled && g.Until.IsZero() {
					holders[string(g.RoleID)]++
				}
			}
		}
		for id, r := range roles {
			hadHolder[id] = hadHolder[id] || holders[id] > 0
			if r.Rules.Essential && hadHolder[id] && holders[id] == 0 {
				breaches = append(breaches, fmt.Sprintf("commit %d, %s: an essential role has no holder", n, records[0].Name))
			}
			if limit := r.Rules.MaxMembers; limit > 0 && seats[id] > limit {
				breaches = append(breaches, fmt.Sprintf("commit %d, %s: %d of %d seats are taken", n, records[0].Name, seats[id], limit))
			}
		}
	}
	return breaches
}

// TestNoInterleavingBreaksARuleOfMembers lets 16 clients race everything that concerns the members of roles. Each call of AWS comes
// after a random time, and writes come one after another, so that their order is known.
func TestNoInterleavingBreaksARuleOfMembers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, proxy := newProxied(t, nil)
		m := &membersRace{api: a, answers: map[string]*atomic.Int64{"accepted": {}, "busy": {}}}
		for _, codes := range racing() {
			for _, code := range codes {
				m.answers[code] = new(atomic.Int64)
			}
		}
		turn := make(chan struct{}, 1) // no mutex, for the bubble's clock has to go on
		var order []string             // of all IDs that are written, those of events among them
		ids := regexp.MustCompile(`"id":\{"S":"([0-9a-f-]{36})"\}`)
		proxy.handle(func(c call, send sending) (*http.Response, error) {
			time.Sleep(rand.N(20 * time.Millisecond))
			if !(step{call: c.String()}).writes() {
				return send()
			}
			turn <- struct{}{}
			defer func() { <-turn }()
			res, err := send()
			if err == nil && res.StatusCode == http.StatusOK {
				for _, id := range ids.FindAllSubmatch(c.body, -1) {
					order = append(order, string(id[1]))
				}
			}
			return res, err
		})
		for i := range 6 {
			m.users = append(m.users, a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("racer%d@example.com", i)}).ID)
		}
		for _, rules := range []object{{"essential": true}, {"essential": true}, {"maxMembers": 2}} {
			rules["name"] = letters(newID())
			m.roles = append(m.roles, a.accept(http.MethodPost, "/roles", rules).ID)
		}

		const commands = 2000
		var sent atomic.Int64
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var clients errgroup.Group
		for client := range 16 {
			clients.Go(func() error {
				return m.client(rand.New(rand.NewPCG(seed, uint64(client))), func() bool { return sent.Add(1) <= commands })
			})
		}
		require.NoError(t, clients.Wait())
		proxy.handle(nil)
		for answer, n := range m.answers {
			t.Logf("%s: %d", answer, n.Load())
		}
		for _, code := range []string{"accepted", "last_holder", "no_seat_left"} {
			assert.Positive(t, m.answers[code].Load(), code)
		}
		assert.Positive(t, sum(t, a.CommandAPI, "leftfold_command_conflicts_total", "moved", "scope"), "decided again")
		assert.Empty(t, rulesBroken(t, m.inOrder(order)))
		a.settled()
	})
}

// inOrder returns the log, by commits; order has the IDs of all events, and those of other things.
func (m *membersRace) inOrder(order []string) (commits [][]eventsourcing.Record) {
	m.t.Helper()
	records := map[string]eventsourcing.Record{}
	for r, err := range m.EventLog.All(m.t.Context(), 1) {
		require.NoError(m.t, err)
		records[r.ID] = r
	}
	seen, last := 0, ""
	for _, id := range order {
		r, isEvent := records[id]
		switch {
		case !isEvent:
			continue
		case r.Metadata.CausationID == last:
			commits[len(commits)-1] = append(commits[len(commits)-1], r)
		default:
			commits = append(commits, []eventsourcing.Record{r})
		}
		seen, last = seen+1, r.Metadata.CausationID
	}
	require.Equal(m.t, len(records), seen, "each event was seen once")
	return commits
}
