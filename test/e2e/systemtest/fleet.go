package systemtest

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// Fleet is an embedded AWS and any number of replicas of the services, each an operating system process.
type Fleet struct {
	// Inspector sends its requests to the Fleet itself.
	Inspector
	*processes.Fleet

	t testing.TB
}

// NewFleet starts an AWS from the programs that processes.Build put in that directory, and no service; env is for the services. What
// still runs at the test's end is killed.
func NewFleet(t testing.TB, programs string, env map[string]string) *Fleet {
	t.Helper()
	var names topology.Names
	require.NoError(t, service.LoadConfig(service.Fixed(env), &names))
	f, err := processes.NewFleet(t.Context(), programs, env, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("last output: %v", f.Output())
		}
		assert.NoError(t, f.Close())
	})
	client := Client{HTTP: f.HTTPClient(f), Base: "http://leftfold.test"}
	return &Fleet{NewInspector(f.Config, names, client), f, t}
}

// Via lets replicas that are added later call a service of AWS, such as "DYNAMODB_STREAMS", over the network returned.
func (f *Fleet) Via(awsService string) *Network {
	f.t.Helper()
	n, addr := newNetwork(f.t, strings.TrimPrefix(aws.ToString(f.Config.BaseEndpoint), "http://"))
	f.Set("AWS_ENDPOINT_URL_"+awsService, "http://"+addr)
	return n
}

// Add starts n more replicas of each of the services and returns them once all are ready.
func (f *Fleet) Add(n int, services ...string) (added []*processes.Process) {
	f.t.Helper()
	added, err := f.Fleet.Add(f.t.Context(), n, services...)
	require.NoError(f.t, err)
	return added
}

// AddOf is Add for a build whose programs are in that directory.
func (f *Fleet) AddOf(programs string, n int, services ...string) (added []*processes.Process) {
	f.t.Helper()
	added, err := f.Fleet.AddOf(f.t.Context(), programs, n, services...)
	require.NoError(f.t, err)
	return added
}

// Leftfold starts the program of the build in that directory with these arguments, for the fleet's AWS.
func (f *Fleet) Leftfold(programs string, args ...string) *processes.Command {
	f.t.Helper()
	c, err := f.Fleet.Leftfold(f.t.Context(), programs, args...)
	require.NoError(f.t, err)
	return c
}
