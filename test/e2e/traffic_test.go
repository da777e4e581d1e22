package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// traffic is random commands, valid and invalid, of many clients on the same few users and roles, with the same few e-mail
// addresses and names.
type traffic struct {
	client                       systemtest.Client
	seed                         uint64
	users, roles, emails, titles []string

	// between is called before each command with its number, from 0. Defaults to nothing.
	between func(i int)
	// accepted is called after each accepted command. Defaults to nothing.
	accepted func()
	// down is called when no answer came; it returns once the API answers again. Defaults to giving up.
	down func(context.Context) error
}

// outcome is the result of one command.
type outcome struct {
	operation   string
	correlation string
	status      int // 0: no answer came
	code        string
	version     uint64 // of an accepted one
}

func newTraffic(client systemtest.Client, users, roles int) *traffic {
	tr := &traffic{client: client, seed: rand.Uint64()}
	for i := range users {
		tr.users = append(tr.users, newID())
		tr.emails = append(tr.emails, fmt.Sprintf("user%d@example.com", i), fmt.Sprintf("user%d@example.org", i))
	}
	for range roles {
		tr.roles = append(tr.roles, newID())
		tr.titles = append(tr.titles, "role-"+letters(newID()), "other-"+letters(newID()))
	}
	return tr
}

// enough is what traffic must have of each to prove anything. It goes on until it has.
const enoughAccepted, enoughRefused = 100, 40

// tally counts answers while traffic is sent.
type tally struct{ accepted, refused atomic.Int64 }

func (n *tally) add(o outcome) {
	switch {
	case o.status == http.StatusAccepted:
		n.accepted.Add(1)
	case o.status >= 400 && o.status < 500:
		n.refused.Add(1)
	}
}

func (n *tally) enough() bool {
	return n.accepted.Load() >= enoughAccepted && n.refused.Load() >= enoughRefused
}

// send sends that many commands in all from that many clients, and more if the answers are too few.
func (tr *traffic) send(ctx context.Context, t testing.TB, clients, commands int) []outcome {
	t.Helper()
	return tr.sendWhile(ctx, t, clients, func(i int) bool { return i < commands })
}

// sendUntil sends commands from that many clients until done is closed, and more if the answers are too few.
func (tr *traffic) sendUntil(ctx context.Context, t testing.TB, clients int, done <-chan struct{}) []outcome {
	t.Helper()
	return tr.sendWhile(ctx, t, clients, func(int) bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	})
}

func (tr *traffic) sendWhile(ctx context.Context, t testing.TB, clients int, more func(i int) bool) []outcome {
	t.Helper()
	t.Logf("seed %d", tr.seed)
	var next atomic.Int64
	var answers tally
	var late sync.Once
	sent := make([][]outcome, clients)
	group, ctx := errgroup.WithContext(ctx)
	for client := range clients {
		group.Go(func() error {
			random := rand.New(rand.NewPCG(tr.seed, uint64(client)))
			for {
				i := int(next.Add(1)) - 1
				if !more(i) {
					if answers.enough() {
						return nil
					}
					late.Do(func() {
						t.Logf("after %d commands: %d accepted, %d refused: too few to prove anything, so more are sent",
							i, answers.accepted.Load(), answers.refused.Load())
					})
				}
				if tr.between != nil {
					tr.between(i)
				}
				o, err := tr.one(ctx, i, random)
				if err != nil {
					return err
				}
				answers.add(o)
				if tr.accepted != nil && o.status == http.StatusAccepted {
					tr.accepted()
				}
				sent[client] = append(sent[client], o)
			}
		})
	}
	require.NoError(t, group.Wait())
	return slices.Concat(sent...)
}

func (tr *traffic) one(ctx context.Context, i int, random *rand.Rand) (outcome, error) {
	operation, request := tr.command(i, random)
	request.Correlation = newID()
	o := outcome{operation: operation, correlation: request.Correlation}
	answer, err := tr.client.Do(ctx, request)
	if err != nil {
		if tr.down == nil {
			return o, err
		}
		return o, tr.down(ctx)
	}
	o.status = answer.Status
	if o.status == http.StatusAccepted {
		receipt, err := systemtest.Decode[systemtest.Receipt](answer)
		o.version = receipt.Version
		return o, err
	}
	problem, err := systemtest.Decode[systemtest.Problem](answer)
	o.code = problem.Code
	return o, err
}

func pick(random *rand.Rand, of []string) string { return of[random.IntN(len(of))] }

// command first creates all users and roles, then draws; the weights keep most of them enabled, and about half of the commands
// acceptable.
func (tr *traffic) command(i int, random *rand.Rand) (operation string, r systemtest.Request) {
	if i < len(tr.users) {
		return "register", post("/users", object{"id": tr.users[i], "email": tr.emails[2*i]})
	}
	if i -= len(tr.users); i < len(tr.roles) {
		return "createRole", post("/roles", object{"id": tr.roles[i], "name": tr.titles[2*i]})
	}
	id, role := pick(random, tr.users), pick(random, tr.roles)
	user := "/users/" + id
	switch n := random.IntN(100); {
	case n < 5:
		return "register", post("/users", object{"id": id, "email": pick(random, tr.emails)})
	case n < 30:
		first, last := []string{"Ann", "Bao", "Chloé", "Dmitri"}, []string{"O'Neill", "Nguyễn", "Müller", "Lee"}
		return "update", put(user, object{"firstName": pick(random, first), "lastName": pick(random, last)})
	case n < 42:
		return "changeEmail", put(user+"/email", object{"email": pick(random, tr.emails)})
	case n < 45:
		return "disableUser", put(user+"/disable", nil)
	case n < 52:
		return "enableUser", put(user+"/enable", nil)
	case n < 70:
		return "addRole", post(user+"/roles", object{"roleId": role})
	case n < 80:
		return "removeRole", systemtest.Request{Method: http.MethodDelete, Path: user + "/roles/" + role}
	case n < 85:
		return "createRole", post("/roles", object{"id": role, "name": pick(random, tr.titles)})
	case n < 91:
		return "renameRole", put("/roles/"+role, object{"name": pick(random, tr.titles)})
	case n < 93:
		return "disableRole", put("/roles/"+role+"/disable", nil)
	case n < 97:
		return "enableRole", put("/roles/"+role+"/enable", nil)
	default:
		return "invalid", post("/users", object{"email": "no address", "id": id})
	}
}

func post(path string, body any) systemtest.Request {
	return systemtest.Request{Method: http.MethodPost, Path: path, Body: body}
}

func put(path string, body any) systemtest.Request {
	return systemtest.Request{Method: http.MethodPut, Path: path, Body: body}
}

// changesNothing reports whether a command that would change nothing is accepted without an event.
func (o outcome) changesNothing() bool {
	return o.operation == "update" || o.operation == "changeEmail" || o.operation == "renameRole"
}

// inLog compares answers with the log, where the correlation ID identifies each command: an accepted command is in it exactly
// once, at the version answered; a refused one is not; one without an answer, or with a 5xx, at most once. Nothing else is in the
// log. It returns the number of commands by result.
func inLog(t *testing.T, outcomes []outcome, records map[string][]eventsourcing.Record) (answers map[string]int) {
	t.Helper()
	answers = map[string]int{}
	events, seen := 0, map[string]bool{}
	for _, o := range outcomes {
		found := records[o.correlation]
		events += len(found)
		for _, rec := range found {
			assert.False(t, seen[rec.ID], "event %s is in the log twice", rec.ID)
			seen[rec.ID] = true
		}
		switch {
		case o.status == http.StatusAccepted && len(found) == 0:
			answers["unchanged"]++
			assert.True(t, o.changesNothing(), "%+v was accepted and is not in the log", o)
		case o.status == http.StatusAccepted:
			answers["accepted"]++
			assert.Len(t, found, 1, "%+v", o)
			assert.Equal(t, eventsourcing.Version(o.version), found[0].Version, "%+v", o)
		case o.status >= 400 && o.status < 500:
			answers["refused"]++
			assert.Empty(t, found, "%+v was refused, but is in the log", o)
		case len(found) > 0:
			answers["unknown but in the log"]++
			assert.Len(t, found, 1, "%+v", o)
		default:
			answers["unknown"]++
		}
	}
	total := 0
	for _, r := range records {
		total += len(r)
	}
	assert.Equal(t, total, events, "events without a command")
	t.Logf("commands: %v", answers)
	return answers
}
