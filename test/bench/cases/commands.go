package cases

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
)

// flat lets clients make calls as fast as they go.
func (s *system) flat(ctx context.Context, n int, call func(context.Context, int) error) error {
	_, err := load.Flat(ctx, clients, n, call)
	return err
}

// kind is a kind of command, or of what is measured beside it.
type kind struct {
	name  string
	floor string // the kind that it is compared with; "" for floors
	send  func(ctx context.Context, i int) error

	sent                             atomic.Int64
	rate, cpu, allocations, p50, p99 measure.Sample
	calls, write, read, dollars      measure.Sample // of AWS, for each; dollars for a million
}

// put and transaction are the floors' names, and update is that of the plain command.
const put, transaction, update = "bare PutItem", "bare TransactWriteItems of two", "update"

const (
	rolesOfAll = 20  // are there to be given to each user
	members    = 100 // are disabled and enabled, each of whom holds rolesOfOne
	rolesOfOne = 5
)

// people are whom commands concern.
type people struct {
	users          []string // registered, and without roles; their number is a multiple of rolesOfAll
	roles, limited []string // to be given to them
	members        []string // who hold roles
}

func (s *system) people(ctx context.Context, users int) (p people, err error) {
	if p.users, err = s.registered(ctx, users); err != nil {
		return p, err
	}
	if p.roles, err = s.withRoles(ctx, rolesOfAll, 0); err != nil {
		return p, err
	}
	if p.limited, err = s.withRoles(ctx, rolesOfAll, 1_000_000); err != nil {
		return p, err
	}
	if p.members, err = s.registered(ctx, members); err != nil {
		return p, err
	}
	held, err := s.withRoles(ctx, rolesOfAll*rolesOfOne, 0)
	if err != nil {
		return p, err
	}
	for i := range members * rolesOfOne { // who is disabled at the same time holds other roles
		_, err := s.send(ctx, addRole(p.members[i/rolesOfOne], held[i%len(held)]))
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// disable disables a user and enables it again, each time one that is not disabled.
func (s *system) disable(users []string) func(context.Context, int) error {
	enabled := make(chan string, len(users))
	for _, id := range users {
		enabled <- id
	}
	return func(ctx context.Context, _ int) error {
		id := <-enabled
		defer func() { enabled <- id }()
		for _, to := range []string{"/disable", "/enable"} {
			if _, err := s.send(ctx, command{method: http.MethodPut, path: "/users/" + id + to}); err != nil {
				return err
			}
		}
		return nil
	}
}

func addRole(user, role string) command {
	return command{method: http.MethodPost, path: "/users/" + user + "/roles", body: object{"roleId": role}}
}

// kinds are what command-api is asked for, and the floors. No call of a kind's send has the number of another.
func (s *system) kinds(p people, f floor) []*kind {
	users, roles := p.users, p.roles
	api := func(make func(i int) command) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			_, err := s.send(ctx, make(i))
			return err
		}
	}
	ofUser := func(i int) string { return "/users/" + users[i%len(users)] }
	return []*kind{
		{name: put, send: f.put},
		{name: update, floor: put, send: api(func(i int) command { return rename(users[i%len(users)]) })},
		{name: "update with an Idempotency-Key", floor: transaction, send: api(func(i int) command {
			c := rename(users[i%len(users)])
			c.header = http.Header{"Idempotency-Key": {newID()}}
			return c
		})},
		{name: transaction, send: f.transact},
		{name: "register", floor: transaction, send: api(func(int) command { return register(newID()) })},
		{name: "change an e-mail address", floor: transaction, send: api(func(i int) command {
			return command{method: http.MethodPut, path: ofUser(i) + "/email", body: object{"email": newID() + "@example.com"}}
		})},
		{name: "add a role", floor: transaction, send: api(func(i int) command {
			return addRole(users[i%len(users)], roles[i/len(users)%len(roles)])
		})},
		{name: "add a role that has a limit", floor: transaction, send: api(func(i int) command {
			// Those that are sent at the same time are decided on other scopes.
			return addRole(users[i%len(users)], p.limited[(i+i/len(users))%len(p.limited)])
		})},
		{name: fmt.Sprintf("disable a user with %d roles, and enable it again", rolesOfOne), floor: transaction, send: s.disable(p.members)},
	}
}

// commands sends each kind of command as fast as it goes and at a fixed rate, in turn with bare calls of the SDK. Only command-api runs.
func commands(ctx context.Context, b Bench) (report.Section, error) {
	var kinds []*kind
	err := b.with(ctx, plan{services: []string{topology.CommandAPI}}, func(s *system) error {
		f, err := newFloor(ctx, s.db)
		if err != nil {
			return err
		}
		people, err := s.people(ctx, 2*b.Size.Commands)
		if err != nil {
			return err
		}
		kinds = s.kinds(people, f)
		return b.rounds("commands", func(round int) error {
			for _, k := range kinds {
				if err := k.measure(ctx, b, s, round); err != nil {
					return fmt.Errorf("%s: %w", k.name, err)
				}
			}
			return nil
		})
	})
	return commandsReport(b, kinds), err
}

// withRoles creates roles that have at most so many members; 0: any number.
func (s *system) withRoles(ctx context.Context, n, maxMembers int) (ids []string, err error) {
	for range n {
		id := newID()
		_, err := s.send(ctx, command{method: http.MethodPost, path: "/roles", body: object{
			"id": id, "name": letters()[:24], "maxMembers": maxMembers,
		}})
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// measure measures one round: as fast as it goes, with the effort of who does it, and then at a fixed rate.
func (k *kind) measure(ctx context.Context, b Bench, s *system, round int) error {
	effort := func() (measure.Effort, error) { return s.effort(ctx, topology.CommandAPI) }
	if k.floor == "" {
		effort = measure.Own
	}
	n := b.Size.Commands
	before, err := effort()
	if err != nil {
		return err
	}
	usedBefore, err := s.usage(ctx)
	if err != nil {
		return err
	}
	took, err := load.Flat(ctx, clients, n, k.next)
	if err != nil {
		return err
	}
	after, err := effort()
	if err != nil {
		return err
	}
	usedAfter, err := s.usage(ctx)
	if err != nil {
		return err
	}
	latencies := load.NewLatencies()
	err = load.Open(ctx, b.Size.Rate, b.spell(b.Size.Rate)/4+1, func(ctx context.Context, i int, due time.Time) error {
		err := k.next(ctx, i)
		latencies.Add(time.Since(due))
		return err
	})
	if err != nil || round == untilWarm {
		return err
	}
	spent := after.Since(before)
	k.rate = append(k.rate, float64(n)/took.Seconds())
	k.cpu = append(k.cpu, float64(spent.CPU.Microseconds())/float64(n))
	k.allocations = append(k.allocations, spent.Allocations/float64(n))
	k.count(usedAfter.Since(usedBefore), float64(n))
	k.p50, k.p99 = append(k.p50, latencies.Milliseconds(0.5)), append(k.p99, latencies.Milliseconds(0.99))
	return nil
}

// count notes what n calls of the kind have used of AWS.
func (k *kind) count(used measure.Usage, n float64) {
	var calls, write, read, dollars float64
	for _, u := range used {
		calls, write, read, dollars = calls+float64(u.Calls), write+u.WriteUnits, read+u.ReadUnits, dollars+measure.Price(u)
	}
	k.calls, k.write, k.read = append(k.calls, calls/n), append(k.write, write/n), append(k.read, read/n)
	k.dollars = append(k.dollars, 1e6*dollars/n)
}

// next is send with the number that comes next.
func (k *kind) next(ctx context.Context, _ int) error { return k.send(ctx, int(k.sent.Add(1)-1)) }

func commandsReport(b Bench, kinds []*kind) report.Section {
	floors := map[string]*kind{}
	for _, k := range kinds {
		floors[k.name] = k
	}
	t := report.Table{Headline: update, Columns: []string{
		"commands", "a second", "of the floor's rate", "CPU, µs each", "of the floor's CPU", "allocations each",
		"answered at a fixed rate: p50, ms", "p99, ms",
	}}
	for _, k := range kinds {
		var rate, cpu measure.Sample
		if f := floors[k.floor]; f != nil {
			rate, cpu = k.rate.Over(f.rate), k.cpu.Over(f.cpu)
		}
		t.Add(k.name, k.rate, rate, k.cpu, cpu, k.allocations, k.p50, k.p99)
	}
	used := report.Table{Columns: []string{
		"what each asks of AWS", "calls", "write units", "read units", "$ a million", "of an update's $",
	}}
	for _, k := range kinds {
		used.Add(k.name, k.calls, k.write, k.read, k.dollars, k.dollars.Over(floors[update].dollars))
	}
	return report.Section{
		Case: "commands", Title: "Commands",
		Text: fmt.Sprintf("%d clients send %d commands of each kind a round, through HTTP, as fast as they go; then %g a second are due. The "+
			"floors are loops of the bare SDK in the process of the benchmark. CPU and allocations are those of command-api, and the loop's own "+
			"for a floor; the clients and the embedded AWS share the cores. Only command-api runs. Roles are [scopes](scopes.md): adding one "+
			"moves a scope, adding one that has a limit is decided on it as well, and so is disabling a user, on those of all its roles. "+
			"Disabling and enabling count as one.",
			clients, b.Size.Commands, b.Size.Rate),
		Tables: []report.Table{t, used},
	}
}
