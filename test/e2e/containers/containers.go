// Package containers starts LocalStack and the services' images in containers, as docker-compose.yml does.
//
// Testcontainers also starts a reaper, from an image of its own, unless TESTCONTAINERS_RYUK_DISABLED is true; within a container it
// may have to be told by TESTCONTAINERS_HOST_OVERRIDE where published ports are.
package containers

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/stretchr/testify/require"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
	"go.yaml.in/yaml/v3"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// patience bounds the start of a container; LocalStack downloads parts of itself then. A strategy has to be given it as well: its own
// limit is 60 s.
const patience = 3 * time.Minute

// LocalStack starts the LocalStack of docker-compose.yml until the test's end. Its name on nw is "aws"; the endpoint returned
// is for this machine.
func LocalStack(t testing.TB, nw *testcontainers.DockerNetwork) (endpoint string) {
	t.Helper()
	image, env := service(t, "localstack")
	c, err := testcontainers.Run(t.Context(), image,
		testcontainers.WithEnv(env),
		testcontainers.WithExposedPorts("4566/tcp"),
		network.WithNetwork([]string{"aws"}, nw),
		testcontainers.WithWaitStrategyAndDeadline(patience,
			wait.ForHTTP("/_localstack/health").WithPort("4566/tcp").WithStartupTimeout(patience).
				WithStatusCodeMatcher(func(status int) bool { return status == http.StatusOK })),
	)
	testcontainers.CleanupContainer(t, c)
	require.NoError(t, err)
	endpoint, err = c.PortEndpoint(t.Context(), "4566/tcp", "http")
	require.NoError(t, err)
	return endpoint
}

// Network creates a network until the test's end.
func Network(t testing.TB) *testcontainers.DockerNetwork {
	t.Helper()
	nw, err := network.New(t.Context())
	testcontainers.CleanupNetwork(t, nw)
	require.NoError(t, err)
	return nw
}

// service returns the image and the environment of a service in docker-compose.yml.
func service(t testing.TB, name string) (image string, env map[string]string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../../docker-compose.yml"))
	require.NoError(t, err)
	var compose struct {
		Services map[string]struct {
			Image       string
			Environment map[string]string
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &compose))
	s, ok := compose.Services[name]
	require.True(t, ok && s.Image != "", "docker-compose.yml has no image of a service %s", name)
	return s.Image, s.Environment
}

// Fleet is one container of each service, from existing images. It is an http.RoundTripper: the edge in front of their APIs.
type Fleet struct {
	// ReadyAfter is the time from the start of each container until its service was ready.
	ReadyAfter map[string]time.Duration

	containers map[string]*testcontainers.DockerContainer
	apis       map[string]string // host:port
	transport  *http.Transport
}

// environment returns the variables of a service whose AWS is "aws" on its network.
func environment() map[string]string {
	return map[string]string{
		"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0",
		"AWS_ENDPOINT_URL": "http://aws:4566", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	}
}

// hardened restricts a container as docker-compose.yml and ECS do.
func hardened(host *container.HostConfig) {
	host.ReadonlyRootfs = true
	host.CapDrop = []string{"ALL"}
	host.SecurityOpt = []string{"no-new-privileges:true"}
}

// Provision runs leftfold provision in its image, to its end.
func Provision(t testing.TB, nw *testcontainers.DockerNetwork, tag string) {
	t.Helper()
	c, err := testcontainers.Run(t.Context(), "leftfold/leftfold:"+tag,
		testcontainers.WithCmd("provision"),
		testcontainers.WithEnv(environment()),
		testcontainers.WithHostConfigModifier(hardened),
		network.WithNetwork(nil, nw),
		testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForExit()),
	)
	testcontainers.CleanupContainer(t, c)
	require.NoError(t, err)
	state, err := c.State(t.Context())
	require.NoError(t, err)
	require.Zero(t, state.ExitCode, "provision: %s", logs(t, c))
}

// Start starts every service from the images leftfold/<service>:tag, one after the other, and returns once all are ready. They
// are removed at the test's end.
func Start(t testing.TB, nw *testcontainers.DockerNetwork, tag string) *Fleet {
	t.Helper()
	f := &Fleet{
		ReadyAfter: map[string]time.Duration{}, containers: map[string]*testcontainers.DockerContainer{}, apis: map[string]string{},
		transport: &http.Transport{MaxIdleConnsPerHost: 64},
	}
	t.Cleanup(f.transport.CloseIdleConnections)
	for _, name := range processes.ServiceNames() {
		begun := time.Now()
		c, err := testcontainers.Run(t.Context(), "leftfold/"+name+":"+tag,
			testcontainers.WithEnv(environment()),
			testcontainers.WithHostConfigModifier(hardened),
			testcontainers.WithExposedPorts("8080/tcp", "9090/tcp"),
			network.WithNetwork([]string{name}, nw),
			testcontainers.WithWaitStrategyAndDeadline(patience,
				wait.ForHTTP("/readyz").WithPort("9090/tcp").WithStartupTimeout(patience).WithPollInterval(20*time.Millisecond)),
		)
		testcontainers.CleanupContainer(t, c)
		require.NoError(t, err, name)
		f.ReadyAfter[name] = time.Since(begun)
		f.containers[name] = c
		f.apis[name], err = c.PortEndpoint(t.Context(), "8080/tcp", "")
		require.NoError(t, err)
	}
	return f
}

// RoundTrip implements http.RoundTripper.
func (f *Fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Host, out.Host = f.apis[topology.ServiceFor(r.Method, r.URL.Path)], ""
	return f.transport.RoundTrip(out)
}

// Stop stops a service's container as Docker and ECS do, by SIGTERM and, 30 s later, SIGKILL. It returns the exit code and how
// long that took.
func (f *Fleet) Stop(t testing.TB, name string) (exitCode int, took time.Duration) {
	t.Helper()
	grace, begun := 30*time.Second, time.Now()
	require.NoError(t, f.containers[name].Stop(t.Context(), &grace))
	took = time.Since(begun)
	state, err := f.containers[name].State(t.Context())
	require.NoError(t, err)
	return state.ExitCode, took
}

func logs(t testing.TB, c *testcontainers.DockerContainer) string {
	t.Helper()
	r, err := c.Logs(t.Context())
	if err != nil {
		return err.Error()
	}
	defer func() { _ = r.Close() }()
	var b strings.Builder
	_, err = io.Copy(&b, r)
	require.NoError(t, err)
	return b.String()
}
