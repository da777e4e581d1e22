package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestOneParkedAggregateDelaysNoOther writes an event that no projection knows, bypassing the services.
func TestOneParkedAggregateDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := api{systemtest.New(t, nil), t}
		ill := a.accept(http.MethodPost, "/users", object{"email": "ill@example.com"}).ID
		var others []string
		for i := range 20 {
			others = append(others, a.accept(http.MethodPost, "/users", object{"email": fmt.Sprintf("user%d@example.com", i)}).ID)
		}
		stream := eventsourcing.StreamID{Category: user.Category, ID: ill}
		write := func(version eventsourcing.Version, name, data string) {
			require.NoError(t, a.EventLog.Append(t.Context(), eventsourcing.Commit{
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

		for name, model := range map[string]projection.Reader{"users": a.Users(), "roles": a.Roles(), "audit-trail": a.Trail()} {
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
		for _, s := range a.Projectors() {
			assert.InDelta(t, 1, sum(t, s, "leftfold_projection_parked_total", "category", user.Category), 0, s.Name)
		}
		assert.Equal(t, uint64(1), userAt(a, ill, 1).Version, "it is shown as of the last known event")
		a.refuse(http.MethodGet, "/users/"+ill+"?min_version=2", nil, 412, "not_yet")

		// New events of others still arrive, and those of the parked one are acknowledged.
		write(4, "org/iam/user/enabled", `{}`)
		a.accept(http.MethodPut, "/users/"+others[0]+"/disable", nil)
		assert.True(t, userAt(a, others[0], 3).Disabled)
	})
}

// TestParkedAggregatesDelayNoOther measures the same, on virtual time.
func TestParkedAggregatesDelayNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, d := range delays(t) {
			t.Logf("%s: from commit to visible %s before, %s with every sixth aggregate parked", d.projector, d.before.Mean(), d.parked.Mean())
			assert.InDelta(t, d.before.Mean().Seconds(), d.parked.Mean().Seconds(), d.before.Mean().Seconds()/10, d.projector)
		}
	})
}

// delay is the time from the commit of an event until a projector made it visible.
type delay struct {
	projector      string
	before, parked systemtest.Histogram // with none parked, and with some
}

// delays sends the same traffic, 100 events a second to 60 users in turn, twice; the second time ten of the users start with an
// event that no projection knows. Call it in a bubble of synctest.
func delays(t *testing.T) []delay {
	t.Helper()
	const users, ill, rounds = 60, 10, 10
	sys := systemtest.New(t, map[string]string{"STREAM_POLL": "50ms"})
	w := newWriter(sys.Inspector)
	ids := make([]string, users)
	for i := range ids {
		ids[i] = newID()
	}
	require.NoError(t, sys.AWS.SetFaults(likeAWS()))
	traffic := func(before eventsourcing.Version, first func(i int) error) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		var writes errgroup.Group
		for n := range users * rounds {
			<-tick.C
			i, version := n%users, before+eventsourcing.Version(n/users)
			writes.Go(func() error {
				if version == before && i < ill {
					return first(i)
				}
				return w.Append(t.Context(), ids[i], version, 1)
			})
		}
		require.NoError(t, writes.Wait())
	}
	projectors := sys.Projectors()
	out := make([]delay, len(projectors))
	look := func() (all []systemtest.Histogram) {
		for _, s := range projectors {
			h, err := s.Histogram("leftfold_project_seconds")
			require.NoError(t, err)
			all = append(all, h)
		}
		return all
	}
	traffic(0, func(i int) error { return w.Append(t.Context(), ids[i], 0, 1) })
	settled(t, sys.Inspector, rounds, ids...)
	healthy := look()
	traffic(rounds, func(i int) error { return w.AppendUnknown(t.Context(), ids[i], rounds) })
	settled(t, sys.Inspector, 2*rounds, ids[ill:]...)
	for i, s := range projectors {
		await(t, s, "leftfold_fifoqueue_deleted_total", 2*users*rounds)
		out[i] = delay{s.Name, healthy[i], look()[i].Since(healthy[i])}
		assert.Equal(t, uint64(users*rounds), out[i].before.Count, s.Name)
		assert.Equal(t, uint64((users-ill)*rounds), out[i].parked.Count, "%s: every event of the others is applied, none of the parked", s.Name)
		for metric, want := range map[string]int{
			"projection_parked": ill, "fifoqueue_received": 2 * users * rounds, "fifoqueue_failures": 0,
			"projection_duplicates": 0, "projection_healed": 0,
		} {
			assert.InDelta(t, want, sum(t, s, "leftfold_"+metric+"_total"), 0, "%s: %s", s.Name, metric)
		}
	}
	return out
}
