package topology_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/iam/aggregates"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
)

// byVariable are names that are each the variable that sets it, with the end that a queue needs.
func byVariable(t *testing.T) (n topology.Names) {
	t.Helper()
	require.NoError(t, service.LoadConfig(func(variable string) (string, bool) { return variable + ".fifo", true }, &n))
	return n
}

// TestUsersAndRolesShowEachOther: a fence that misses versions would heal for ever.
func TestUsersAndRolesShowEachOther(t *testing.T) {
	t.Parallel()
	n := byVariable(t)
	for _, p := range n.Projections()[:2] {
		assert.ElementsMatch(t, []string{user.Category, role.Category}, p.Categories, p.Name)
	}
	subscriptions := n.Subscriptions()
	require.Len(t, subscriptions, len(n.Consumers()))
	for i, c := range n.Consumers() {
		assert.Equal(t, topology.Subscription{Queue: c.Queue, Categories: c.Categories}, subscriptions[i])
	}
}

// TestEveryNameOfAConsumerIsInTheList, once: what has a variable and is not in the list would never be created.
func TestEveryNameOfAConsumerIsInTheList(t *testing.T) {
	t.Parallel()
	n := byVariable(t)
	var listed, declared []string
	for _, c := range n.Consumers() {
		listed = append(listed, c.Table, c.Queue)
	}
	for _, v := range service.Variables(&n) {
		if strings.HasPrefix(v.Name, "TABLE_PROJECTION_") || v.Name == "TABLE_PROCESS_FENCES" || strings.HasPrefix(v.Name, "QUEUE_") {
			declared = append(declared, v.Name+".fifo")
		}
	}
	assert.ElementsMatch(t, declared, listed)
}

func TestANameThatAWSRefusesIsReportedAtTheStart(t *testing.T) {
	t.Parallel()
	for _, v := range service.Variables(&topology.Names{}) {
		for _, name := range []string{"a b", "ä", "a/b.fifo", strings.Repeat("x", 256)} {
			err := service.LoadConfig(service.Fixed(map[string]string{v.Name: name}), &topology.Names{})
			require.ErrorContains(t, err, v.Name+"="+name+": no name of a ")
		}
	}
}

// TestConsumersShareNothing, and each category is the log's of an aggregate.
func TestConsumersShareNothing(t *testing.T) {
	t.Parallel()
	known, seen := map[string]bool{}, map[string]bool{}
	for _, a := range aggregates.All() {
		known[a.Category] = true
	}
	takes := func(name string, all ...string) {
		for _, own := range all {
			assert.NotEmpty(t, own, name)
			assert.False(t, seen[own], "%s: %s belongs to another one", name, own)
			seen[own] = true
		}
	}
	for _, p := range byVariable(t).Projections() {
		takes(p.Name, "/"+p.Collection, p.ExampleID)
	}
	for _, c := range byVariable(t).Consumers() {
		takes(c.Name, c.Name, c.Service, c.Table, c.Queue)
		assert.NotEmpty(t, c.Categories, c.Name)
		for _, category := range c.Categories {
			assert.True(t, known[category], "%s is fed by %s, which is no aggregate's", c.Name, category)
		}
	}
}

// TestTheTrailHasEveryAggregate: an event that is not in it did not happen, for who reads it.
func TestTheTrailHasEveryAggregate(t *testing.T) {
	t.Parallel()
	var all []string
	for _, a := range aggregates.All() {
		all = append(all, a.Category)
	}
	of := byVariable(t).Projections()
	trail := of[slices.IndexFunc(of, func(p topology.Projection) bool { return p.Name == "audit-trail" })]
	assert.ElementsMatch(t, all, trail.Categories)
}

func TestReadsGoToTheirProjection(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]string{
		"GET /users/x/events": "projector-user", "GET /roles/x/events": "projector-role",
		"GET /users": "projector-user", "HEAD /users/x": "projector-user", "GET /roles/x/users": "projector-role",
		"PUT /users/x": "command-api", "DELETE /users/x/roles/y": "command-api", "GET /usersx": "command-api", "GET /docs": "command-api",
		"GET /": "command-api", "GET /events": "projector-audit", "POST /events": "command-api",
		"GET /roles/x/retirement": "processor", "HEAD /roles/x/retirement": "processor", "PUT /roles/x/retirement": "command-api",
		"GET /users/x/retirement": "projector-user", "GET /roles/x/retirement/y": "projector-role", "GET /roles/retirement": "projector-role",
	} {
		method, path, _ := strings.Cut(request, " ")
		assert.Equal(t, want, topology.ServiceFor(method, path), request)
	}
	assert.Equal(t, topology.CommandAPI, topology.ServiceFor(http.MethodPost, "/roles"))
}

func TestADeadLetterQueueIsNamedAfterItsQueue(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "IamUserQueue-dlq.fifo", topology.DeadLetters("IamUserQueue.fifo"))
}
