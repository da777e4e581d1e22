// Package systemtest runs every service in one process, on the embedded AWS or another one. Each service has its own connection
// to AWS and its own metrics, so that it can be killed, stopped and restarted alone, as a process can.
package systemtest

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// System is the whole pipeline. It is an http.RoundTripper that sends each request to the service whose API serves it.
type System struct {
	// Inspector sends its requests to the System itself.
	Inspector

	// AWS is the embedded AWS; nil if the system runs on another.
	AWS *localaws.Server

	CommandAPI, Streamer, Broker, ProjectorUser, ProjectorRole, ProjectorAudit, Processor *Service

	services []*Service // in the order in which an event passes them
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
		"LOG_LEVEL": "error", "LOG_FORMAT": "text", "STREAM_POLL": "10ms", "AUDIT_INTERVAL": "0s",
		"OIDC_CLIENT_ID": topology.Processor, "OIDC_CLIENT_SECRET": "local", // the development issuer takes any
		"LOGIN_CLIENT_ID": topology.Console, "SESSION_KEYS": "of-sessions-on-this-machine-alone",
		"STOP_TIMEOUT": "5m", // a service that is slow to stop on a busy machine does not hang
	}
	maps.Copy(lookup, env)
	var cfg app.Config
	require.NoError(t, service.LoadConfig(service.Fixed(lookup), &cfg))

	names := cfg.Names
	require.NoError(t, provision.Run(t.Context(), target, provision.Config{Names: names}))
	s := new(System)
	s.Inspector = NewInspector(target, names, Client{HTTP: &http.Client{Transport: s}, Base: "http://leftfold.test"})
	all := cfg.All()
	s.services = make([]*Service, len(all))
	for i, a := range slices.Backward(all) { // those behind are there before the first event comes
		svc := &Service{
			Name: a.Name, aws: target, transport: transport, peers: s, cfg: cfg.Config, logs: t.Output(), with: with, newApp: a.New,
			up: make(chan struct{}),
		}
		require.NoError(t, svc.Start(t.Context()))
		t.Cleanup(func() {
			assert.NoError(t, svc.Stop())
			svc.ending.Wait()
		})
		s.services[i] = svc
	}
	s.CommandAPI, s.Streamer, s.Broker = s.service(topology.CommandAPI), s.service("streamer"), s.service("broker")
	s.ProjectorUser, s.ProjectorRole, s.ProjectorAudit = s.service("projector-user"), s.service("projector-role"), s.service("projector-audit")
	s.Processor = s.service(topology.Processor)
	return s
}

// Services returns all services, in the order in which an event passes them.
func (s *System) Services() []*Service { return slices.Clone(s.services) }

// Projectors returns the service of every projection.
func (s *System) Projectors() (all []*Service) {
	for _, p := range s.Names.Projections() {
		all = append(all, s.service(p.Service))
	}
	return all
}

// APIs returns the services that have a REST API.
func (s *System) APIs() (all []*Service) {
	for _, name := range s.Names.APIs() {
		all = append(all, s.service(name))
	}
	return all
}

func (s *System) service(name string) *Service {
	return s.services[slices.IndexFunc(s.services, func(svc *Service) bool { return svc.Name == name })]
}

// RoundTrip implements http.RoundTripper.
func (s *System) RoundTrip(r *http.Request) (*http.Response, error) {
	return s.service(topology.ServiceFor(r.Method, r.URL.Path)).RoundTrip(r)
}
