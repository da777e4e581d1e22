package e2e_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

const steadyRate = 200 // commands a second

// steadyCeilings are how many calls 1,000 commands may cost at a steady rate, until all read models show them. Those of leases are not
// among them: they are as many at rest. Two shards of the table's stream and two of Kinesis are each read every 200 ms, and what a read of
// the former has found is put into Kinesis at once: 150 calls in the five seconds of 1,000 commands.
func steadyCeilings() []steadyCeiling {
	models, queues := float64(len((topology.Names{}).Projections())), float64(len((topology.Names{}).Consumers()))
	return []steadyCeiling{
		{"to the log", 1050, []string{"append to it", "read the log"}, "writes to the log", 1},
		{"row writes", 1025 * models, []string{"write rows"}, "writes of rows, for each read model", models},
		{"reads", 60, []string{"read the log", "read rows, heal"}, "reads, of the log and of rows, all read models", 1},
		{"SQS", 375 * queues, []string{"send", "receive", "delete", "extend and release"}, "SQS, for each queue", queues},
		{"stream and Kinesis", 150, []string{"read the log's stream", "put into Kinesis", "read Kinesis"}, "stream and Kinesis", 1},
	}
}

type steadyCeiling struct {
	of   string
	most float64
	what []string // purposes
	// documented is the row of docs/costs.md, which has the calls for one of so many models.
	documented string
	models     float64
}

// of sums the calls of these purposes.
func (b bill) of(what []string) (sum float64) {
	for i, p := range purposes() {
		if slices.Contains(what, p.what) {
			sum += b[i]
		}
	}
	return sum
}

// TestAWSCallsOfASteadyLoadStayUnderTheirCeilings: commands arrive evenly, however long each takes, at services with the settings of
// production.
func TestAWSCallsOfASteadyLoadStayUnderTheirCeilings(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms"})
		require.NoError(t, sys.AWS.SetFaults(likeAWS()))
		registrations, updates := 60*steadyRate, 20*steadyRate
		if underRace || testing.Short() {
			registrations, updates = 5*steadyRate, 5*steadyRate
		}
		var users []string
		for range registrations {
			users = append(users, newID())
		}
		steadily(t, sys, "registrations", 0, registrations, func(i int) systemtest.Request {
			return post("/users", object{"id": users[i], "email": fmt.Sprintf("user%d@example.com", i)})
		})
		users = users[len(users)-1000:] // whose state command-api has in memory
		steadily(t, sys, "updates", registrations, updates, func(i int) systemtest.Request {
			return put("/users/"+users[i%len(users)], object{"firstName": "Ann", "lastName": letters(newID())})
		})
	})
}

// steadily sends n commands of one event each, one every 1/steadyRate of a second, and waits until all read models show them, beside the
// events before. It counts the calls of AWS meanwhile.
func steadily(t *testing.T, sys *systemtest.System, of string, before, n int, command func(i int) systemtest.Request) {
	t.Helper()
	billed, counted, seen := billOf(t, sys), callsOf(sys), map[string]systemtest.Histogram{}
	for _, p := range sys.Projectors() {
		seen[p.Name], _ = p.Histogram("leftfold_project_seconds")
	}
	due := time.NewTicker(time.Second / steadyRate)
	defer due.Stop()
	var sending sync.WaitGroup
	for i := range n {
		<-due.C
		sending.Go(func() {
			answer, err := sys.Do(t.Context(), command(i))
			if assert.NoError(t, err) {
				assert.Equal(t, 202, answer.Status, "%s", answer.Body)
			}
		})
	}
	sending.Wait()
	for _, p := range sys.Projectors() {
		await(t, p, "leftfold_projection_applied_total", float64(before+n))
	}
	b := billOf(t, sys).since(billed, float64(n)/1_000)
	const inFlight = 50 // polls, and renewals of leases
	assert.InDelta(t, callsOf(sys)-counted, b.all()*float64(n)/1_000, inFlight, "what the services count is what the AWS counts")
	for i, p := range purposes() {
		t.Logf("%s: %s %s: %.1f", of, p.service, p.what, b[i])
	}
	for _, p := range sys.Projectors() {
		h, err := p.Histogram("leftfold_project_seconds")
		require.NoError(t, err)
		h = h.Since(seen[p.Name])
		t.Logf("%s: from the commit until %s shows it: p50 %v, p99 %v", of, p.Name, h.Quantile(0.5), h.Quantile(0.99))
	}
	for _, c := range steadyCeilings() {
		if seconds := float64(n) / steadyRate; seconds < 60 { // the polls before the first event and after the last are spread over few
			c.most *= 1 + 1.25/seconds
		}
		t.Logf("1,000 %s: %.1f calls: %s", of, b.of(c.what), c.of)
		assert.LessOrEqual(t, b.of(c.what), c.most, "%s: %s", of, c.of)
		if n >= 20*steadyRate {
			column := ofUpdates
			if of == "registrations" {
				column = ofRegistrations
			}
			asDocumented(t, c.documented, column, b.of(c.what)/c.models)
		}
	}
}

// callsOf are all calls that the embedded AWS has had.
func callsOf(sys *systemtest.System) (sum float64) {
	for _, n := range sys.AWS.Calls() {
		sum += float64(n)
	}
	return sum
}

// all sums all calls.
func (b bill) all() (sum float64) {
	for _, n := range b {
		sum += n
	}
	return sum
}
