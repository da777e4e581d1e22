package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/buildtest"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// fleetOfBuilds is a system whose services are of several builds.
type fleetOfBuilds struct {
	api

	builds map[string]buildtest.Build // by service: of its next start
}

func newFleetOfBuilds(t *testing.T) fleetOfBuilds {
	t.Helper()
	builds := map[string]buildtest.Build{}
	s := systemtest.New(t, map[string]string{"SNAPSHOT_EVERY": "2"}, func(p *service.Platform) {
		for name, b := range builds {
			if client, ok := p.AWS.HTTPClient.(*http.Client); ok && strings.HasPrefix(p.Instance, name+"-") {
				p.AWS.HTTPClient = &http.Client{Transport: buildtest.Transport(b, client.Transport)}
			}
		}
	})
	return fleetOfBuilds{api{s, t}, builds}
}

// run replaces services by those of a build.
func (f fleetOfBuilds) run(b buildtest.Build, services ...*systemtest.Service) {
	f.t.Helper()
	for _, s := range services {
		require.NoError(f.t, s.Stop())
		f.builds[s.Name] = b
		require.NoError(f.t, s.Start(f.t.Context()))
	}
}

func (f fleetOfBuilds) schemas(id string) (schemas []int) {
	f.t.Helper()
	for r, err := range f.EventLog.Read(f.t.Context(), eventsourcing.StreamID{Category: user.Category, ID: id}, 0) {
		require.NoError(f.t, err)
		schemas = append(schemas, r.Schema)
	}
	return schemas
}

func (f fleetOfBuilds) parked() (n int) {
	f.t.Helper()
	for _, s := range f.Projectors() {
		n += int(sum(f.t, s, "leftfold_projection_parked_total"))
	}
	return n
}

// TestASchemaChangeIsSmooth: two releases change a shape, the first reads it and the second writes it. Between any neighbouring two of the
// three builds every service may be upgraded and rolled back, in any order, under commands and reads: none fails, nothing is parked.
func TestASchemaChangeIsSmooth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleetOfBuilds(t)
		id := f.accept(http.MethodPost, "/users", object{"email": "zoe@example.com"}).ID
		version := uint64(1)
		use := func() {
			t.Helper()
			for _, r := range []systemtest.Request{
				{Method: http.MethodPut, Path: "/users/" + id, Body: object{"firstName": "Ann", "lastName": "Lee"}},
				{Method: http.MethodPut, Path: "/users/" + id, Body: object{"firstName": "Zoë", "lastName": "Lee"}},
				{Method: http.MethodPut, Path: "/users/" + id + "/disable"},
				{Method: http.MethodPut, Path: "/users/" + id + "/enable"},
			} {
				version++
				require.Equal(t, version, f.accept(r.Method, r.Path, r.Body).Version)
			}
			assert.Equal(t, "Zoë", userAt(f.api, id, version).FirstName)
		}
		steps := [][2]buildtest.Build{
			{buildtest.Old, buildtest.Reader}, {buildtest.Reader, buildtest.Old}, {buildtest.Old, buildtest.Reader}, // a roll-back
			{buildtest.Reader, buildtest.Writer}, {buildtest.Writer, buildtest.Reader}, {buildtest.Reader, buildtest.Writer},
		}
		for i, step := range steps {
			order := []*systemtest.Service{f.ProjectorUser, f.CommandAPI, f.ProjectorAudit, f.ProjectorRole}
			if i%2 == 1 {
				order = []*systemtest.Service{f.CommandAPI, f.ProjectorRole, f.ProjectorUser, f.ProjectorAudit}
			}
			for _, s := range order {
				f.run(step[1], s)
				use()
			}
		}
		assert.Contains(t, f.schemas(id), 3, "the new shape was written")
		assert.Zero(t, f.parked())
	})
}

// TestAnOlderBuildRefusesAndWaits: the new shape is written before every build reads it, which nobody should do. Until the upgrade is over,
// the older command-api refuses commands on that user alone, and the older projectors set the user aside. The newer projectors take it up
// by themselves.
func TestAnOlderBuildRefusesAndWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleetOfBuilds(t)
		id := f.accept(http.MethodPost, "/users", object{"email": "zoe@example.com"}).ID
		other := f.accept(http.MethodPost, "/users", object{"email": "ann@example.com"}).ID
		f.run(buildtest.Writer, f.CommandAPI)
		for _, r := range []systemtest.Request{
			{Method: http.MethodPut, Path: "/users/" + id, Body: object{"firstName": "Zoë", "lastName": "Lee"}},
			{Method: http.MethodPut, Path: "/users/" + id + "/disable"}, // more than SNAPSHOT_EVERY
			{Method: http.MethodPut, Path: "/users/" + id + "/enable"},
		} {
			f.accept(r.Method, r.Path, r.Body)
		}

		f.run(buildtest.Old, f.CommandAPI)
		refused := f.send(http.MethodPut, "/users/"+id+"/disable", nil)
		assert.Equal(t, http.StatusServiceUnavailable, refused.Status)
		f.problem(refused, "unknown_event")
		assert.Equal(t, "5", refused.Header.Get("Retry-After"))
		assert.InDelta(t, 1, sum(t, f.CommandAPI, "leftfold_unknown_events_total"), 0)
		f.accept(http.MethodPut, "/users/"+other+"/disable", nil)
		assert.True(t, userAt(f.api, other, 2).Disabled, "all others go on")
		require.Eventually(t, func() bool { return f.parked() == 3 }, time.Minute, time.Second, "in each projection")

		f.run(buildtest.Writer, f.CommandAPI, f.ProjectorUser, f.ProjectorRole, f.ProjectorAudit)
		f.accept(http.MethodPut, "/users/"+id+"/disable", nil)
		time.Sleep(time.Minute)
		shown := userAt(f.api, id, 5)
		assert.Equal(t, "Zoë", shown.FirstName)
		assert.True(t, shown.Disabled)
		for _, s := range f.Projectors() {
			assert.InDelta(t, 1, sum(t, s, "leftfold_projection_redriven_total"), 0, s.Name)
		}
		_, err := f.Audit(t.Context())
		require.ErrorIs(t, err, eventsourcing.ErrUnknownEvent, "this build cannot fold the log of a later one")
	})
}
