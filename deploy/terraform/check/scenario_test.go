package check_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	broker "github.com/leftfold/leftfold/services/broker/app"
	commandapi "github.com/leftfold/leftfold/services/command-api/app"
	"github.com/leftfold/leftfold/services/leftfold/app"
	projectorrole "github.com/leftfold/leftfold/services/projector-role/app"
	projectoruser "github.com/leftfold/leftfold/services/projector-user/app"
	streamer "github.com/leftfold/leftfold/services/streamer/app"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// patience bounds waiting for what usually takes milliseconds.
const patience = 10 * time.Second

// runScenario uses every function of the services: every command, refusals, reads, lists, and an unknown event, which parks the
// aggregate that it returns.
func runScenario(t *testing.T, s *systemtest.System) eventsourcing.StreamID {
	t.Helper()
	send := func(status int, method, path string, body any) string {
		in := systemtest.Request{Method: method, Path: path, Body: body, Header: http.Header{"Idempotency-Key": {uuid.NewString()}}}
		a, err := s.Do(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, status, a.Status, "%s %s: %s", method, path, a.Body)
		if method == http.MethodGet || status >= 300 {
			return ""
		}
		again, err := s.Do(t.Context(), in)
		require.NoError(t, err)
		require.Equal(t, a.Body, again.Body, "the same key gives the same answer")
		receipt, err := systemtest.Decode[systemtest.Receipt](a)
		require.NoError(t, err)
		return receipt.ID
	}
	type object map[string]any
	dan := send(202, http.MethodPost, "/users", object{"email": "dan@example.com"})
	role := send(202, http.MethodPost, "/roles", object{"name": "auditor"})
	for range 3 {
		send(202, http.MethodPut, "/users/"+dan+"/disable", nil)
		send(202, http.MethodPut, "/users/"+dan+"/enable", nil)
	}
	send(202, http.MethodPut, "/users/"+dan, object{"firstName": "Dan", "lastName": "Lee"})
	send(202, http.MethodPut, "/users/"+dan+"/email", object{"email": "d@example.com"})
	send(409, http.MethodPost, "/users", object{"email": "d@example.com"})
	send(202, http.MethodPost, "/users/"+dan+"/roles", object{"roleId": role})
	var seen struct{ projection.Fence }
	_, err := s.Roles().Await(t.Context(), dan, "user", 10, patience, &seen) // it has a member
	require.NoError(t, err)
	send(200, http.MethodGet, "/users/"+dan+"?min_version=10&wait=10s", nil)
	send(200, http.MethodGet, "/users", nil)
	send(200, http.MethodGet, "/roles/"+role, nil)
	send(202, http.MethodPut, "/roles/"+role, object{"name": "examiner"})
	send(202, http.MethodDelete, "/users/"+dan+"/roles/"+role, nil)
	send(200, http.MethodGet, "/users/"+dan+"?min_version=11&wait=10s", nil)
	send(200, http.MethodGet, "/roles/"+role+"?min_version=2&wait=10s", nil)
	for _, path := range []string{"/users", "/users?contains=email:d", "/roles", "/roles/" + role + "/users"} {
		send(200, http.MethodGet, path, nil)
	}
	_, err = s.Roles().Await(t.Context(), dan, "user", 11, patience, &seen)
	require.NoError(t, err)

	ill := eventsourcing.StreamID{Category: user.Category, ID: send(202, http.MethodPost, "/users", object{"email": "ill@example.com"})}
	require.NoError(t, s.EventLog.Append(t.Context(), eventsourcing.Commit{Stream: ill, Expected: 1, Records: []eventsourcing.Record{{
		ID: uuid.NewString(), Stream: ill, Version: 2, Name: "org/iam/user/teleported", Schema: 1, Data: []byte(`{}`),
		RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
	}}}))
	for _, model := range []projection.Reader{s.Users(), s.Roles()} {
		var parked projection.Parked
		_, err := model.Await(t.Context(), ill.ID, "parked#user", 2, patience, &parked)
		require.NoError(t, err)
	}
	return ill
}

// operate calls the admin API of every service as an operator does: health, and the parked aggregates of the projectors.
func operate(t *testing.T, s *systemtest.System, env map[string]string, record func(*service.Platform), ill eventsourcing.StreamID) {
	t.Helper()
	var cfg app.Config
	require.NoError(t, service.LoadConfig(app.Lookup(service.Fixed(env)), &cfg))
	for name, newApp := range newApps(cfg) {
		p, _, err := service.NewPlatform(cfg.Config, t.Output())
		require.NoError(t, err)
		p.AWS, p.Instance = s.AWS.Config(), name+"-0"
		record(&p)
		a, err := newApp(t.Context(), p.For(name))
		require.NoError(t, err, name)
		for _, check := range a.Checks {
			require.NoError(t, check.Probe(t.Context()), "%s: %s", name, check.Name)
		}
		if a.Admin == nil {
			continue
		}
		router := httpapi.NewRouter(p.Log)
		a.Admin(httpapi.NewAPI(router))
		path := "/projections/" + map[string]string{"projector-user": "users", "projector-role": "roles"}[name] + "/parked"
		for status, r := range map[int]*http.Request{
			200: httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody),
			409: httptest.NewRequestWithContext(t.Context(), http.MethodPost, path+"/"+ill.String()+"/redrive", http.NoBody),
		} {
			w := httptest.NewRecorder()
			router.ServeHTTP(w, r)
			require.Equal(t, status, w.Code, "%s %s: %s", name, r.URL.Path, w.Body)
		}
	}
}

// newApps returns the constructor of each service.
func newApps(cfg app.Config) map[string]func(context.Context, service.Platform) (service.App, error) {
	return map[string]func(context.Context, service.Platform) (service.App, error){
		"command-api": func(ctx context.Context, p service.Platform) (service.App, error) {
			return commandapi.New(ctx, cfg.CommandAPI, p)
		},
		"streamer": func(ctx context.Context, p service.Platform) (service.App, error) {
			return streamer.New(ctx, cfg.Streamer, p)
		},
		"broker": func(ctx context.Context, p service.Platform) (service.App, error) {
			return broker.New(ctx, cfg.Broker, p)
		},
		"projector-user": func(ctx context.Context, p service.Platform) (service.App, error) {
			return projectoruser.New(ctx, cfg.ProjectorUser, p)
		},
		"projector-role": func(ctx context.Context, p service.Platform) (service.App, error) {
			return projectorrole.New(ctx, cfg.ProjectorRole, p)
		},
	}
}
