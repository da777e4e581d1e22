package e2e_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// barrier holds the first wanted calls of one kind. Later ones pass.
type barrier struct {
	wanted   int64
	is       func(call) bool
	arrived  atomic.Int64
	all, let chan struct{} // closed when all have arrived, and when they may go
}

func newBarrier(wanted int64, is func(call) bool) *barrier {
	return &barrier{wanted: wanted, is: is, all: make(chan struct{}), let: make(chan struct{})}
}

// release waits until all have arrived, calls action and lets them go.
func (c *barrier) release(t *testing.T, action func()) {
	t.Helper()
	defer close(c.let)
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	select {
	case <-c.all:
		action()
	case <-patience.C:
		assert.Fail(t, "too few calls arrived", "%d of %d", c.arrived.Load(), c.wanted)
	}
}

func (c *barrier) handle(now call, send sending) (*http.Response, error) {
	if c.is(now) {
		n := c.arrived.Add(1)
		if n == c.wanted {
			close(c.all)
		}
		if n <= c.wanted {
			<-c.let
		}
	}
	return send()
}

// atOnce sends requests at once; release, if any, comes before the answers are waited for.
func (a api) atOnce(requests []systemtest.Request, release func()) []systemtest.Answer {
	a.t.Helper()
	answers := make([]systemtest.Answer, len(requests))
	var all sync.WaitGroup
	for i, r := range requests {
		all.Go(func() {
			var err error
			answers[i], err = a.Do(a.t.Context(), r)
			assert.NoError(a.t, err)
		})
	}
	release()
	all.Wait()
	return answers
}

// TestRequestsAtOnceUnderOneKeyGetOneAnswer repeats a request before it is answered: all of them are about to write before the
// first one may. Only one can; the others get its answer, or one that asks the client to retry.
func TestRequestsAtOnceUnderOneKeyGetOneAnswer(t *testing.T) {
	t.Parallel()
	const clients = 8
	for name, conflicts := range map[string]float64{"as they come": 0, "with conflicts": 0.7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, proxy := newProxied(t, map[string]string{"COMMAND_CACHE": "0"})
				wrote, later := map[string]string{}, 0
				for i, k := range kinds() {
					if k.idle {
						continue
					}
					s := newSubject()
					for _, build := range k.given {
						r := build(s)
						a.accept(r.Method, r.Path, r.Body)
					}
					requests := make([]systemtest.Request, clients+1)
					for i := range requests {
						requests[i] = k.request(s)
						requests[i].Correlation, requests[i].Header = newID(), http.Header{"Idempotency-Key": {s.word}}
						wrote[requests[i].Correlation] = k.name
					}
					if conflicts > 0 {
						require.NoError(t, a.AWS.SetFaults(localaws.Faults{Seed: uint64(i) + 1, Faults: []localaws.Fault{
							{Kind: localaws.FaultTransactionConflict, Operation: "DynamoDB.TransactWriteItems", Probability: conflicts},
						}}))
					}
					barrier := newBarrier(clients, func(c call) bool { return step{call: c.String()}.writes() })
					proxy.handle(barrier.handle)
					answers := a.atOnce(requests[:clients], func() { barrier.release(t, func() {}) })
					proxy.handle(nil)
					require.NoError(t, a.AWS.SetFaults(localaws.Faults{}))
					last, err := a.Do(t.Context(), requests[clients])
					require.NoError(t, err)
					later += oneAnswer(t, k.name, append(answers, last))
				}
				t.Logf("%d of %d were asked to retry", later, len(wrote))
				records, err := a.Records(t.Context())
				require.NoError(t, err)
				events := map[string]int{}
				for correlation, name := range wrote {
					events[name] += len(records[correlation])
				}
				for name, n := range events {
					assert.Equal(t, 1, n, name)
				}
				a.settled()
			})
		})
	}
}

// oneAnswer asserts that all accepted answers are equal and exactly one is no replay; it counts those that request a retry.
func oneAnswer(t *testing.T, kind string, answers []systemtest.Answer) (later int) {
	t.Helper()
	first := 0
	last := answers[len(answers)-1]
	assert.Equal(t, http.StatusAccepted, last.Status, "%s: %s", kind, last.Body)
	for _, answer := range answers {
		if answer.Status != http.StatusAccepted {
			later++
			assert.Contains(t, []int{http.StatusConflict, http.StatusServiceUnavailable}, answer.Status, kind)
			assert.NotEmpty(t, answer.Header.Get("Retry-After"), "%s: %s", kind, answer.Body)
			continue
		}
		assert.Equal(t, answered(last), answered(answer), kind)
		if answer.Header.Get("Idempotent-Replayed") == "" {
			first++
		}
	}
	assert.Equal(t, 1, first, "%s: answers that are no replay", kind)
	return later
}

// TestARoleDisabledAtTheSameMomentIsNeverGranted races grants of a role with disabling it: all have found the role enabled and
// are about to write.
func TestARoleDisabledAtTheSameMomentIsNeverGranted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, proxy := newProxied(t, nil)
		grants := func(c call) bool { return bytes.Contains(c.body, []byte(`"org/iam/user/roleAdded"`)) }
		goes := func(c call) bool { return bytes.Contains(c.body, []byte(`"org/iam/role/disabled"`)) }
		users := make([]string, racers)
		for i := range users {
			users[i] = a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("racer%d@example.com", i)}).ID
		}
		granted := map[string]bool{} // "user role"
		race := func(name string, with ...systemtest.Request) (role string, requests []systemtest.Request) {
			role = a.accept(http.MethodPost, "/roles", object{"name": name}).ID
			for _, user := range users {
				requests = append(requests, post("/users/"+user+"/roles", object{"roleId": role}))
			}
			return role, append(requests, with...)
		}
		judge := func(role string, answers []systemtest.Answer) (n int) {
			for i, answer := range answers[:racers] {
				if answer.Status == http.StatusAccepted {
					granted[users[i]+" "+role] = true
					n++
					continue
				}
				assert.Equal(t, http.StatusConflict, answer.Status)
				a.problem(answer, "role_disabled")
			}
			return n
		}

		role, requests := race("gone")
		barrier := newBarrier(racers, grants)
		proxy.handle(barrier.handle)
		answers := a.atOnce(requests, func() {
			barrier.release(t, func() { a.accept(http.MethodPut, "/roles/"+role+"/disable", nil) })
		})
		assert.Zero(t, judge(role, answers), "granted after it was disabled")

		const rounds = 10
		won, ended := 0, 0
		for round := range rounds {
			role, requests := race("going" + letters(newID()))
			requests = append(requests, put("/roles/"+role+"/disable", nil))
			var ticks, gone atomic.Int64
			gone.Store(math.MaxInt64)
			late := make(chan int64, racers)
			barrier := newBarrier(racers+1, func(c call) bool { return grants(c) || goes(c) })
			proxy.handle(func(c call, send sending) (*http.Response, error) {
				return barrier.handle(c, func() (*http.Response, error) {
					began := ticks.Add(1)
					res, err := send()
					switch {
					case err != nil || res.StatusCode != http.StatusOK:
					case goes(c):
						gone.Store(ticks.Add(1))
					case grants(c):
						late <- began
					}
					return res, err
				})
			})
			answers := a.atOnce(requests, func() { barrier.release(t, func() {}) })
			close(late)
			for began := range late {
				assert.Less(t, began, gone.Load(), "round %d: a grant was sent after the role had been disabled", round)
			}
			won += judge(role, answers)
			if answers[racers].Status == http.StatusAccepted { // else it lost to the grants and was refused
				ended++
			}
		}
		proxy.handle(nil)
		assert.Positive(t, ended)
		t.Logf("%d of %d grants came before their role was disabled, as %d of %d roles were", won, rounds*racers, ended, rounds)
		records, err := a.Records(t.Context())
		require.NoError(t, err)
		for _, written := range records {
			for _, r := range written {
				if r.Name == "org/iam/user/roleAdded" {
					key := r.Stream.ID + " " + r.Enrichment[0].ID
					assert.True(t, granted[key], "in the log, but refused: %s", key)
					delete(granted, key)
				}
			}
		}
		assert.Empty(t, granted, "accepted, but not in the log")
		a.settled()
	})
}
