package e2e_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// crowd holds as many of those calls as are wanted. Later ones pass.
type crowd struct {
	wanted   int64
	is       func(call) bool
	arrived  atomic.Int64
	all, let chan struct{} // closed when all are there, and when they may go
}

func newCrowd(wanted int64, is func(call) bool) *crowd {
	return &crowd{wanted: wanted, is: is, all: make(chan struct{}), let: make(chan struct{})}
}

// disperse waits until all are there, and lets them go after the deed.
func (c *crowd) disperse(t *testing.T, deed func()) {
	t.Helper()
	defer close(c.let)
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	select {
	case <-c.all:
		deed()
	case <-patience.C:
		assert.Fail(t, "too few came", "%d of %d", c.arrived.Load(), c.wanted)
	}
}

func (c *crowd) hear(heard call, send sending) (*http.Response, error) {
	if c.is(heard) {
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

// TestRequestsAtOnceUnderOneKeyGetOneAnswer lets a client repeat itself before it has an answer: every request has
// decided to write before the first one is let. Only one can; the others get its answer, or are told to ask again.
func TestRequestsAtOnceUnderOneKeyGetOneAnswer(t *testing.T) {
	t.Parallel()
	const clients = 8
	for name, conflicts := range map[string]float64{"as they come": 0, "in each other's way": 0.7} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, tap := newTapped(t, map[string]string{"COMMAND_CACHE": "0"})
			wrote, later := map[string]string{}, 0
			for i, k := range kinds() {
				if k.idle {
					continue
				}
				s := newSubject()
				for _, ask := range k.given {
					r := ask(s)
					a.accept(r.Method, r.Path, r.Body)
				}
				requests := make([]systemtest.Request, clients+1)
				for i := range requests {
					requests[i] = k.ask(s)
					requests[i].Correlation, requests[i].Header = newID(), http.Header{"Idempotency-Key": {s.word}}
					wrote[requests[i].Correlation] = k.name
				}
				if conflicts > 0 {
					require.NoError(t, a.AWS.SetFaults(localaws.Faults{Seed: uint64(i) + 1, Faults: []localaws.Fault{
						{Kind: localaws.FaultTransactionConflict, Operation: "DynamoDB.TransactWriteItems", Probability: conflicts},
					}}))
				}
				group := newCrowd(clients, func(c call) bool { return step{call: c.String()}.writes() })
				tap.listen(group.hear)
				answers := a.atOnce(requests[:clients], func() { group.disperse(t, func() {}) })
				tap.listen(nil)
				require.NoError(t, a.AWS.SetFaults(localaws.Faults{}))
				last, err := a.Do(t.Context(), requests[clients])
				require.NoError(t, err)
				later += oneAnswer(t, k.name, append(answers, last))
			}
			t.Logf("%d of %d were told to ask again", later, len(wrote))
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
	}
}

// oneAnswer holds that all accepted answers are the same and one is the first; it counts those that ask for patience.
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
		assert.Equal(t, told(last), told(answer), kind)
		if answer.Header.Get("Idempotent-Replayed") == "" {
			first++
		}
	}
	assert.Equal(t, 1, first, "%s: how many are no repetition", kind)
	return later
}

// TestARoleDisabledAtTheSameMomentIsNeverGranted races for a role that is going: many have found it enabled and are about
// to write, as the disabling is.
func TestARoleDisabledAtTheSameMomentIsNeverGranted(t *testing.T) {
	t.Parallel()
	a, tap := newTapped(t, nil)
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
	group := newCrowd(racers, grants)
	tap.listen(group.hear)
	answers := a.atOnce(requests, func() {
		group.disperse(t, func() { a.accept(http.MethodPut, "/roles/"+role+"/disable", nil) })
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
		group := newCrowd(racers+1, func(c call) bool { return grants(c) || goes(c) })
		tap.listen(func(c call, send sending) (*http.Response, error) {
			return group.hear(c, func() (*http.Response, error) {
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
		answers := a.atOnce(requests, func() { group.disperse(t, func() {}) })
		close(late)
		for began := range late {
			assert.Less(t, began, gone.Load(), "round %d: a grant began to be written when the role was disabled already", round)
		}
		won += judge(role, answers)
		if answers[racers].Status == http.StatusAccepted { // else it never got through the crowd, and was told so
			ended++
		}
	}
	tap.listen(nil)
	assert.Positive(t, ended)
	t.Logf("%d of %d grants came before the end of their role, which %d of %d had", won, rounds*racers, ended, rounds)
	records, err := a.Records(t.Context())
	require.NoError(t, err)
	for _, written := range records {
		for _, r := range written {
			if r.Name == "org/iam/user/roleAdded" {
				key := r.Stream.ID + " " + r.Enrichment[0].ID
				assert.True(t, granted[key], "in the log, and told that it was not: %s", key)
				delete(granted, key)
			}
		}
	}
	assert.Empty(t, granted, "told that it was granted, and not in the log")
	a.settled()
}
