package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/deploy/e2e/systemtest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/projection"
)

// TestOneParkedAggregateDelaysNoOther writes an event that no projection knows past the services.
func TestOneParkedAggregateDelaysNoOther(t *testing.T) {
	t.Parallel()
	a := api{systemtest.New(t, nil), t}
	ill := a.accept(http.MethodPost, "/users", object{"email": "ill@example.com"}).ID
	var others []string
	for i := range 20 {
		others = append(others, a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("user%d@example.com", i)}).ID)
	}
	stream := eventsourcing.StreamID{Category: user.Category, ID: ill}
	write := func(version eventsourcing.Version, name, data string) {
		require.NoError(t, a.Log.Append(t.Context(), eventsourcing.Commit{
			Stream: stream, Expected: version - 1, Records: []eventsourcing.Record{{
				ID: newID(), Stream: stream, Version: version, Name: name, Schema: 1, Data: json.RawMessage(data),
				RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
			}},
		}))
	}
	write(2, "org/iam/user/teleported", `{"to":"Mars"}`)
	write(3, "org/iam/user/disabled", `{}`)
	for _, id := range others {
		a.accept(http.MethodPut, "/users/"+id, object{"firstName": "Ann", "lastName": "Lee"})
	}
	for _, id := range others {
		userAt(a, id, 2)
		userInRoles(a, id, 2)
	}

	for name, model := range map[string]projection.Reader{"users": a.Users(), "roles": a.Roles()} {
		var parked projection.Parked
		_, err := model.Await(t.Context(), ill, "parked#user", 2, 30*time.Second, &parked)
		require.NoError(t, err, name)
		assert.Equal(t, "org/iam/user/teleported", parked.Event, name)
		assert.Equal(t, eventsourcing.Version(2), parked.Version, name)
		assert.Eventually(t, func() bool {
			_, err := model.Get(t.Context(), ill, "parked#user", &parked)
			return err == nil && parked.Latest == 3
		}, 10*time.Second, 10*time.Millisecond, "%s: the event after it is acknowledged", name)
	}
	for _, s := range []*systemtest.Service{a.ProjectorUser, a.ProjectorRole} {
		assert.InDelta(t, 1, sum(t, s, "leftfold_projection_parked_total", "category", user.Category), 0, s.Name)
	}
	assert.Equal(t, uint64(1), userAt(a, ill, 1).Version, "it is shown as it last was understood")
	a.refuse(http.MethodGet, "/users/"+ill+"?min_version=2", nil, 412, "not_yet")

	// New events of others still arrive, and those of the parked one are let pass.
	write(4, "org/iam/user/enabled", `{}`)
	a.accept(http.MethodPut, "/users/"+others[0]+"/disable", nil)
	assert.True(t, userAt(a, others[0], 3).Disabled)
}
