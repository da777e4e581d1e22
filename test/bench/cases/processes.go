package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// grantFor is how long a grant lasts whose end is measured: long enough for all of them to be given before.
const grantFor = 10 * time.Second

// processSteps lets grants end by themselves beside grants that a client takes back, and retires a role beside a loop that takes one from
// as many.
func processSteps(ctx context.Context, b Bench) (report.Section, error) {
	var byHand, byTime, loop, retirement perCommand
	var loops, retirements measure.Sample
	unlimited := map[string]string{"RETIREMENT_RATE": "0"}
	err := b.with(ctx, plan{env: unlimited, services: processes.ServiceNames()}, func(s *system) error {
		users, err := s.registered(ctx, b.Size.Members)
		if err != nil {
			return err
		}
		some := users[:max(1, len(users)/10)]
		return b.rounds("processes", func(round int) error {
			roles, err := s.withRoles(ctx, 4, 0)
			if err != nil {
				return err
			}
			b.Say("processes: grants taken back")
			hand, err := s.steps(ctx, len(some), func() error { return s.grantAndRemove(ctx, some, roles[0]) })
			if err != nil {
				return err
			}
			b.Say("processes: grants that end")
			end, err := s.steps(ctx, len(some), func() error { return s.grantUntil(ctx, some, roles[1]) })
			if err != nil {
				return err
			}
			b.Say("processes: a role taken from each, in a loop and by a retirement")
			for _, role := range roles[2:] {
				if err := s.grantAll(ctx, users, role); err != nil {
					return err
				}
			}
			bare, err := s.steps(ctx, len(users), func() error { return s.removeAll(ctx, users, roles[2]) })
			if err != nil {
				return err
			}
			retired, err := s.steps(ctx, len(users), func() error { return s.retire(ctx, roles[3]) })
			if err != nil || round == untilWarm {
				return err
			}
			byHand.add(hand)
			byTime.add(end)
			loop.add(bare)
			retirement.add(retired)
			loops = append(loops, float64(len(users))/bare.took.Seconds())
			retirements = append(retirements, float64(len(users))/retired.took.Seconds())
			return nil
		})
	})
	cost := report.Table{Columns: []string{"for each user, until all read models show it", "AWS calls", "write units", "read units"}}
	cost.Add("a grant, and its removal by a client", byHand.calls, byHand.write, byHand.read)
	cost.Add("a grant that ends: timer, command and answer", byTime.calls, byTime.write, byTime.read)
	cost.Add("of it", byTime.calls.Over(byHand.calls), byTime.write.Over(byHand.write), byTime.read.Over(byHand.read))
	retire := report.Table{Columns: []string{"taking a role from each", "users a second", "AWS calls", "write units", "read units"}}
	retire.Add(fmt.Sprintf("bare loop: %d clients that remove it", clients), loops, loop.calls, loop.write, loop.read)
	retire.Add("retirement", retirements, retirement.calls, retirement.write, retirement.read)
	retire.Add("of the loop", retirements.Over(loops), retirement.calls.Over(loop.calls), retirement.write.Over(loop.write),
		retirement.read.Over(loop.read))
	return report.Section{
		Case: "processes", Title: "Processes",
		Text: fmt.Sprintf("Every service runs. First %s users get a role and lose it, by the requests of a client and then by a grant that ends "+
			"after %s. Then %s users lose a role that all of them hold: in a loop of requests, and by the retirement of the role, with "+
			"`RETIREMENT_RATE=0`. All calls of AWS are counted, from the first command until every read model shows the last event; at rest "+
			"they are polls.", measure.Number(float64(max(1, b.Size.Members/10))), grantFor, measure.Number(float64(b.Size.Members))),
		Tables: []report.Table{cost, retire},
	}, err
}

// steps are what was done for each of some users, and how long it took.
type steps struct {
	took               time.Duration
	calls, write, read float64
}

// perCommand are the steps of several rounds.
type perCommand struct{ calls, write, read measure.Sample }

func (p *perCommand) add(s steps) {
	p.calls, p.write, p.read = append(p.calls, s.calls), append(p.write, s.write), append(p.read, s.read)
}

// steps measures what do does for n users until every read model shows all of it.
func (s *system) steps(ctx context.Context, n int, do func() error) (steps, error) {
	if err := s.still(ctx); err != nil {
		return steps{}, err
	}
	before, err := s.usage(ctx)
	if err != nil {
		return steps{}, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return steps{}, err
	}
	if err := s.still(ctx); err != nil {
		return steps{}, err
	}
	out := steps{took: time.Since(began)}
	after, err := s.usage(ctx)
	if err != nil {
		return steps{}, err
	}
	for _, u := range after.Since(before) {
		out.calls, out.write, out.read = out.calls+float64(u.Calls), out.write+u.WriteUnits, out.read+u.ReadUnits
	}
	out.calls, out.write, out.read = out.calls/float64(n), out.write/float64(n), out.read/float64(n)
	return out, nil
}

// still waits until the read models have applied nothing for a while.
func (s *system) still(ctx context.Context) error {
	const looks = 25
	seen := -1.0
	for same := 0; same < looks; same++ {
		now, err := s.applied(ctx)
		if err != nil {
			return err
		}
		if now != seen {
			seen, same = now, 0
		}
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
	return nil
}

func (s *system) grantAll(ctx context.Context, users []string, role string) error {
	return s.flat(ctx, len(users), func(ctx context.Context, i int) error {
		return s.insist(ctx, addRole(users[i], role))
	})
}

func (s *system) removeAll(ctx context.Context, users []string, role string) error {
	return s.flat(ctx, len(users), func(ctx context.Context, i int) error {
		return s.insist(ctx, command{method: http.MethodDelete, path: "/users/" + users[i] + "/roles/" + role})
	})
}

// insist sends a command again for as long as the answer is that too many others change the same at once: all of these change what the
// members of one role have in common.
func (s *system) insist(ctx context.Context, c command) error {
	for {
		_, err := s.send(ctx, c)
		if r, ok := errors.AsType[*refusal](err); !ok || r.status != http.StatusConflict || r.code != httpapi.CodeBusy {
			return err
		}
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
}

func (s *system) grantAndRemove(ctx context.Context, users []string, role string) error {
	if err := s.grantAll(ctx, users, role); err != nil {
		return err
	}
	return s.removeAll(ctx, users, role)
}

// grantUntil grants a role until some seconds later, and waits until nobody holds it.
func (s *system) grantUntil(ctx context.Context, users []string, role string) error {
	until := time.Now().UTC().Add(grantFor).Format(time.RFC3339Nano) // nobody holds the role from then on
	_, err := load.Flat(ctx, clients, len(users), func(ctx context.Context, i int) error {
		c := addRole(users[i], role)
		c.body = object{"roleId": role, "until": until}
		return s.insist(ctx, c)
	})
	if err != nil {
		return err
	}
	if err := s.still(ctx); err != nil { // the grants are seen
		return err
	}
	return s.awaitAnswer(ctx, "/roles/"+role+"/users?limit=1", func(answer []byte) bool { return string(bytes.TrimSpace(answer)) == "[]" })
}

// retire retires a role and waits until it is done.
func (s *system) retire(ctx context.Context, role string) error {
	if _, err := s.send(ctx, command{method: http.MethodPut, path: "/roles/" + role + "/retire"}); err != nil {
		return err
	}
	return s.awaitAnswer(ctx, "/roles/"+role+"/retirement", func(answer []byte) bool {
		var r struct {
			State string `json:"state"`
		}
		return json.Unmarshal(answer, &r) == nil && r.State == "done"
	})
}

// awaitAnswer reads until the answer is as it is to be.
func (s *system) awaitAnswer(ctx context.Context, path string, is func([]byte) bool) error {
	for {
		answer, err := s.ask(ctx, http.StatusOK, http.MethodGet, path, nil, nil)
		if err != nil && !refused(err, http.StatusServiceUnavailable) && !refused(err, http.StatusNotFound) {
			return err
		}
		if err == nil && is(answer) {
			return nil
		}
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
}
