// Package systemtest runs every service in one process, on the embedded AWS or another one. Each service has its own connection
// to AWS and its own metrics, so that it can be killed, stopped and restarted alone, as a process can.
package systemtest

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	broker "github.com/leftfold/leftfold/services/broker/app"
	commandapi "github.com/leftfold/leftfold/services/command-api/app"
	"github.com/leftfold/leftfold/services/leftfold/app"
	projectorrole "github.com/leftfold/leftfold/services/projector-role/app"
	projectoruser "github.com/leftfold/leftfold/services/projector-user/app"
	streamer "github.com/leftfold/leftfold/services/streamer/app"
)

// System is the whole pipeline. It is an http.RoundTripper that sends each request to the service whose API serves it.
type System struct {
	// Inspector sends its requests to the System itself.
	Inspector

	// AWS is the embedded AWS; nil if the system runs on another.
	AWS *localaws.Server

	CommandAPI, Streamer, Broker, ProjectorUser, ProjectorRole *Service
}

// New is On with a new embedded AWS. In a bubble of synctest, where everything is on virtual time, a test does not depend on how busy
// the machine is.
func New(t testing.TB, env map[string]string, with ...func(*service.Platform)) *System {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	s := On(t, server.Config(), server.Transport(), env, with...)
	s.AWS = server
	return s
}

// On provisions an AWS that transport reaches and starts every service. env overrides their defaults; the functions of with
// may change the platform at each start. The services stop at the test's end. What was provisioned stays: see Remove.
func On(t testing.TB, target aws.Config, transport http.RoundTripper, env map[string]string, with ...func(*service.Platform)) *System {
	t.Helper()
	lookup := map[string]string{
		"ENVIRONMENT": auth.Local, "AUTH_MODE": "none", "RATE_LIMIT": "0",
		"LOG_LEVEL": "error", "LOG_FORMAT": "text", "STREAM_POLL": "10ms",
		"STOP_TIMEOUT": "5m", // a service that is slow to stop on a busy machine does not hang
	}
	maps.Copy(lookup, env)
	var cfg app.Config
	require.NoError(t, service.LoadConfig(service.Fixed(lookup), &cfg))

	names := cfg.Names
	require.NoError(t, provision.Run(t.Context(), target, provision.Config{Names: names}))
	s := new(System)
	s.Inspector = NewInspector(target, names, Client{HTTP: &http.Client{Transport: s}, Base: "http://leftfold.test"})
	newService := func(name string, newApp func(context.Context, service.Platform) (service.App, error)) *Service {
		svc := &Service{
			Name: name, aws: target, transport: transport, cfg: cfg.Config, logs: t.Output(), with: with, newApp: newApp, up: make(chan struct{}),
		}
		require.NoError(t, svc.Start(t.Context()))
		t.Cleanup(func() {
			assert.NoError(t, svc.Stop())
			svc.ending.Wait()
		})
		return svc
	}
	s.ProjectorRole = newService("projector-role", func(ctx context.Context, p service.Platform) (service.App, error) {
		return projectorrole.New(ctx, cfg.ProjectorRole, p)
	})
	s.ProjectorUser = newService("projector-user", func(ctx context.Context, p service.Platform) (service.App, error) {
		return projectoruser.New(ctx, cfg.ProjectorUser, p)
	})
	s.Broker = newService("broker", func(ctx context.Context, p service.Platform) (service.App, error) {
		return broker.New(ctx, cfg.Broker, p)
	})
	s.Streamer = newService("streamer", func(ctx context.Context, p service.Platform) (service.App, error) {
		return streamer.New(ctx, cfg.Streamer, p)
	})
	s.CommandAPI = newService("command-api", func(ctx context.Context, p service.Platform) (service.App, error) {
		return commandapi.New(ctx, cfg.CommandAPI, p)
	})
	return s
}

// Services returns all services, in the order in which an event passes them.
func (s *System) Services() []*Service {
	return []*Service{s.CommandAPI, s.Streamer, s.Broker, s.ProjectorUser, s.ProjectorRole}
}

// RoundTrip implements http.RoundTripper.
func (s *System) RoundTrip(r *http.Request) (*http.Response, error) {
	switch ServiceFor(r) {
	case "command-api":
		return s.CommandAPI.RoundTrip(r)
	case "projector-role":
		return s.ProjectorRole.RoundTrip(r)
	default:
		return s.ProjectorUser.RoundTrip(r)
	}
}

// ServiceFor returns the service to which an edge sends a request.
func ServiceFor(r *http.Request) string {
	switch {
	case r.Method != http.MethodGet:
		return "command-api"
	case r.URL.Path == "/roles" || strings.HasPrefix(r.URL.Path, "/roles/"):
		return "projector-role"
	default:
		return "projector-user"
	}
}
