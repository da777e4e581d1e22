package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// processing is a system in a bubble of virtual time, whose processor may be killed.
type processing struct{ api }

func newProcessing(t *testing.T, env map[string]string) processing {
	t.Helper()
	all := map[string]string{"STREAM_POLL": "1s", "RETIREMENT_RATE": "0"}
	maps.Copy(all, env)
	return processing{api{systemtest.New(t, all), t}}
}

func (p processing) user(n int) string {
	return p.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("user-%d@example.com", n)}).ID
}

func (p processing) role() string {
	return p.accept(http.MethodPost, "/roles", object{"name": "auditor"}).ID
}

func (p processing) grant(userID, roleID string, until time.Time) {
	body := object{"roleId": roleID}
	if !until.IsZero() {
		body["until"] = until
	}
	p.accept(http.MethodPost, "/users/"+userID+"/roles", body)
}

// names are those of the stream's events, the last ones.
func (p processing) names(category, id string, last int) (names []string) {
	p.t.Helper()
	for rec, err := range p.EventLog.Read(p.t.Context(), eventsourcing.StreamID{Category: category, ID: id}, 0) {
		require.NoError(p.t, err)
		names = append(names, rec.Name)
	}
	return names[max(0, len(names)-last):]
}

// killing kills the processor after up to n calls of an operation, from do on, and starts it again each time. It ends when none comes for
// minutes, and leaves a processor that is not killed any more.
func (p processing) killing(n int, operation string, do func()) {
	p.t.Helper()
	killed := p.Processor.KillAfter(operation)
	do()
	for range n {
		select {
		case <-killed:
		case <-time.After(5 * time.Minute):
			p.Processor.Kill()
		}
		require.NoError(p.t, p.Processor.Start(p.t.Context()))
		killed = p.Processor.KillAfter(operation)
	}
	p.Processor.Kill()
	require.NoError(p.t, p.Processor.Start(p.t.Context()))
}

type retiring struct {
	State  retirement.Phase
	Total  int
	Done   int
	Failed []retirement.Failure
}

// retired waits until the retirement of a role is over. What it waits for is a matter of virtual time.
func (p processing) retired(roleID string) (r retiring) {
	p.t.Helper()
	for range 600 {
		time.Sleep(time.Second)
		answer := p.send(http.MethodGet, "/roles/"+roleID+"/retirement", nil)
		if answer.Status == http.StatusNotFound {
			continue // not heard yet
		}
		require.Equal(p.t, http.StatusOK, answer.Status, "%s", answer.Body)
		var err error
		r, err = systemtest.Decode[retiring](answer)
		require.NoError(p.t, err)
		if r.State != retirement.Running {
			break
		}
	}
	return r
}

// audited judges the log, the read models, the claims and the scopes.
func (p processing) audited() {
	p.t.Helper()
	_, err := p.Audit(p.t.Context())
	require.NoError(p.t, err)
}

func TestAccessEndsAtItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcessing(t, nil)
		ann, auditor := p.user(1), p.role()
		end := time.Now().Add(10 * time.Minute)
		p.grant(ann, auditor, end)
		time.Sleep(9 * time.Minute)
		assert.Equal(t, []string{user.RoleGranted{}.EventName()}, p.names(user.Category, ann, 1), "none ends early")
		time.Sleep(time.Minute + 5*time.Second)
		assert.Equal(t, []string{user.RoleExpired{}.EventName()}, p.names(user.Category, ann, 1))
		time.Sleep(10 * time.Minute)
		assert.Len(t, p.names(user.Category, ann, 99), 3, "it ends once")
		p.audited()
	})
}

func TestATimerOfAFormerGrantEndsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcessing(t, nil)
		ann, auditor := p.user(1), p.role()
		at := "/users/" + ann + "/roles/" + auditor
		soon := time.Now().Add(5 * time.Minute)
		p.grant(ann, auditor, soon)
		p.accept(http.MethodPut, at, object{"until": soon.Add(5 * time.Minute)})
		time.Sleep(6 * time.Minute)
		assert.Equal(t, []string{user.RoleUntilChanged{}.EventName()}, p.names(user.Category, ann, 1), "it was extended")

		p.accept(http.MethodDelete, at, nil)
		p.grant(ann, auditor, time.Time{})
		time.Sleep(6 * time.Minute)
		assert.Equal(t, []string{user.RoleAdded{}.EventName()}, p.names(user.Category, ann, 1), "it was granted again, without an end")

		p.accept(http.MethodPut, at, object{"until": time.Now().Add(time.Minute)})
		p.accept(http.MethodPut, at, object{"until": nil})
		time.Sleep(2 * time.Minute)
		assert.Equal(t, []string{user.RoleUntilChanged{}.EventName()}, p.names(user.Category, ann, 1), "it has no end any more")
		p.audited()
	})
}

// TestAGrantEndsOnceWhereverTheProcessorDies kills it after calls of each kind, from the grant until its end.
func TestAGrantEndsOnceWhereverTheProcessorDies(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"ReceiveMessage", "GetItem", "TransactWriteItems", "DeleteMessageBatch", "Query"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newProcessing(t, nil)
				ann, auditor := p.user(1), p.role()
				p.killing(5, operation, func() { p.grant(ann, auditor, time.Now().Add(time.Minute)) })
				time.Sleep(5 * time.Minute) // the last one takes the lease over
				assert.Equal(t, []string{user.RoleGranted{}.EventName(), user.RoleExpired{}.EventName()}, p.names(user.Category, ann, 99)[1:])
				p.audited()
			})
		})
	}
}

func TestARoleIsRetiredFromEverybody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcessing(t, nil)
		auditor := p.role()
		const members = 2*retirement.PageSize + 7
		for n := range members {
			var until time.Time
			if n%3 == 0 {
				until = time.Now().Add(30 * time.Minute)
			}
			p.grant(p.user(n), auditor, until)
		}
		p.accept(http.MethodPut, "/users/"+p.user(members)+"/disable", nil)
		p.killing(9, "TransactWriteItems", func() {
			p.accept(http.MethodPut, "/roles/"+auditor+"/retire", nil)
			p.refuse(http.MethodPost, "/users/"+p.user(members+1)+"/roles", object{"roleId": auditor},
				http.StatusConflict, role.ErrRetiring.Code)
		})

		r := p.retired(auditor)
		assert.Equal(t, retiring{State: retirement.Done, Total: members, Done: members, Failed: []retirement.Failure{}}, r)
		assert.Equal(t, []string{role.RetirementRequested{}.EventName(), role.Retired{}.EventName()}, p.names(role.Category, auditor, 2))
		p.refuse(http.MethodPut, "/roles/"+auditor+"/enable", nil, http.StatusConflict, role.ErrRetired.Code)
		time.Sleep(30 * time.Minute) // beyond the ends of the grants
		p.audited()
		left, _ := read[[]object](p.api, "/roles/"+auditor+"/users")
		assert.Empty(t, left)
	})
}

func TestARetirementStopsMidway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProcessing(t, map[string]string{"RETIREMENT_RATE": "1"})
		auditor := p.role()
		for n := range retirement.PageSize + 1 {
			p.grant(p.user(n), auditor, time.Time{})
		}
		time.Sleep(time.Minute) // the list shows all of them, so that the first page has not all that are left
		p.accept(http.MethodPut, "/roles/"+auditor+"/retire", nil)
		time.Sleep(20 * time.Second)
		p.accept(http.MethodPut, "/roles/"+auditor+"/retire/cancel", nil)
		r := p.retired(auditor)
		assert.Equal(t, retirement.Cancelled, r.State)
		time.Sleep(5 * time.Minute)
		left, _ := read[[]object](p.api, "/roles/"+auditor+"/users?limit=100")
		assert.NotEmpty(t, left, "it stops at the page that is being revoked")
		p.accept(http.MethodPut, "/roles/"+auditor+"/enable", nil)

		p.accept(http.MethodPut, "/roles/"+auditor+"/retire", nil)
		time.Sleep(10 * time.Second)
		r = p.retired(auditor)
		assert.Equal(t, retiring{State: retirement.Done, Total: len(left), Done: len(left), Failed: []retirement.Failure{}}, r)
		p.audited()
	})
}
