package systemtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// ServiceNames returns all services, in the order in which an event passes them.
func ServiceNames() (names []string) {
	for _, s := range (app.Services{}).All() {
		names = append(names, s.Name)
	}
	return names
}

// Fleet is an embedded AWS and any number of replicas of the services, each an operating system process. It is an
// http.RoundTripper: the load balancer in front of the services' APIs.
type Fleet struct {
	// Inspector sends its requests to the Fleet itself.
	Inspector

	// Config reaches the AWS.
	Config aws.Config

	t         testing.TB
	programs  string
	aws       *run
	env       []string
	transport *http.Transport
	turn      atomic.Uint64

	mu       sync.Mutex
	replicas map[string][]*Process
	changed  chan struct{} // closed at the next start of a process
}

// answerWithin bounds every request of a test, so that a process that hangs fails it, and one on a busy machine does not.
const answerWithin = 2 * time.Minute

// NewFleet starts an AWS from the programs that Build put in that directory, and no service; env is for the services. What
// still runs at the test's end is killed.
func NewFleet(t testing.TB, programs string, env map[string]string) *Fleet {
	t.Helper()
	var names topology.Names
	require.NoError(t, service.LoadConfig(service.Fixed(env), &names))
	f := &Fleet{
		t: t, programs: programs, transport: &http.Transport{MaxIdleConnsPerHost: 64},
		replicas: map[string][]*Process{}, changed: make(chan struct{}),
	}
	t.Cleanup(f.transport.CloseIdleConnections)
	endpoint := f.startAWS()
	f.env = environment(endpoint, env)
	f.Config = aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: &http.Client{Transport: f.transport, Timeout: answerWithin},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}
	f.Inspector = NewInspector(f.Config, names, Client{HTTP: &http.Client{Transport: f, Timeout: answerWithin}, Base: "http://leftfold.test"})
	return f
}

// startAWS starts the AWS and returns the endpoint that it prints.
func (f *Fleet) startAWS() (endpoint string) {
	f.t.Helper()
	r := &run{cmd: exec.CommandContext(context.WithoutCancel(f.t.Context()), filepath.Join(f.programs, "leftfold"), "aws")}
	f.aws = r
	r.cmd.Env = environment("", map[string]string{"AWS_ADDR": "127.0.0.1:0"})
	out, err := r.cmd.StdoutPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, r.start())
	f.t.Cleanup(func() {
		select {
		case <-r.ended:
			f.t.Errorf("the AWS ended unexpectedly: %v\n%s", r.err, r.stderr)
		default:
			r.kill()
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, after, ok := strings.Cut(lines.Text(), "AWS_ENDPOINT_URL="); ok {
			endpoint, _, _ = strings.Cut(after, " ")
			return endpoint
		}
	}
	<-r.ended
	require.FailNow(f.t, "the AWS did not start", "%v\n%s", r.err, r.stderr)
	return ""
}

// Via lets replicas that are added later call a service of AWS, such as "DYNAMODB_STREAMS", over the network returned.
func (f *Fleet) Via(awsService string) *Network {
	f.t.Helper()
	n, addr := newNetwork(f.t, strings.TrimPrefix(aws.ToString(f.Config.BaseEndpoint), "http://"))
	f.env = append(f.env, "AWS_ENDPOINT_URL_"+awsService+"=http://"+addr)
	return n
}

// Add starts n more replicas of each of the services and returns them once all are ready.
func (f *Fleet) Add(n int, services ...string) (added []*Process) {
	f.t.Helper()
	return f.AddOf(f.programs, n, services...)
}

// AddOf is Add for a build whose programs are in that directory.
func (f *Fleet) AddOf(programs string, n int, services ...string) (added []*Process) {
	f.t.Helper()
	var starting sync.WaitGroup
	errs := make([]error, n*len(services))
	for i := range errs {
		p := &Process{
			Service: services[i%len(services)], env: f.env, client: &http.Client{Transport: f.transport}, changed: f.announce,
		}
		p.program = filepath.Join(programs, p.Service)
		f.mu.Lock()
		f.replicas[p.Service] = append(f.replicas[p.Service], p)
		f.mu.Unlock()
		f.t.Cleanup(func() {
			if r := p.running(); r != nil && f.t.Failed() && r.stderr.String() != "" {
				f.t.Logf("last output of %s:\n%s", p.Service, r.stderr)
			}
			if err := p.Kill(); err != nil {
				f.t.Error(err)
			}
		})
		added = append(added, p)
		starting.Go(func() { errs[i] = p.Start(f.t.Context()) })
	}
	starting.Wait()
	require.NoError(f.t, errors.Join(errs...))
	return added
}

// Command is a run of the program leftfold.
type Command struct {
	run *run
	out bytes.Buffer
}

// Leftfold starts the program of the build in that directory with these arguments, for the fleet's AWS.
func (f *Fleet) Leftfold(programs string, args ...string) *Command {
	f.t.Helper()
	c := &Command{run: &run{cmd: exec.CommandContext(context.WithoutCancel(f.t.Context()), filepath.Join(programs, "leftfold"), args...)}}
	c.run.cmd.Env, c.run.cmd.Stdout = f.env, &c.out
	require.NoError(f.t, c.run.start())
	f.t.Cleanup(c.Kill)
	return c
}

// Finished is how a command has ended.
type Finished struct {
	Out, Errors string // the latter's end
	Code        int
	// PeakMemory is the most resident memory that it was seen to have, in bytes. Linux only.
	PeakMemory int64
}

// Wait waits until the command has ended.
func (c *Command) Wait() (f Finished) {
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-c.run.ended:
			f.Out, f.Errors, f.Code = c.out.String(), c.run.stderr.String(), c.run.cmd.ProcessState.ExitCode()
			return f
		case <-look.C:
			if peak, err := c.run.peakMemory(); err == nil {
				f.PeakMemory = peak
			}
		}
	}
}

// Kill ends the command by SIGKILL, if it runs.
func (c *Command) Kill() { c.run.kill() }

// AWSPeakMemory returns the most resident memory of the AWS so far; see Process.PeakMemory.
func (f *Fleet) AWSPeakMemory() (int64, error) { return f.aws.peakMemory() }

func (f *Fleet) announce() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.changed)
	f.changed = make(chan struct{})
}

// up are the addresses of a service's replicas that run.
func (f *Fleet) up(service string) (addrs []string, changed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.replicas[service] {
		if r := p.running(); r != nil {
			addrs = append(addrs, r.api)
		}
	}
	return addrs, f.changed
}

// AwaitUp returns once a replica of the service is ready, or ctx ends.
func (f *Fleet) AwaitUp(ctx context.Context, service string) error {
	for {
		addrs, changed := f.up(service)
		if len(addrs) > 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// RoundTrip implements http.RoundTripper. The replicas take turns; a request that none of them saw goes to the next.
func (f *Fleet) RoundTrip(r *http.Request) (*http.Response, error) {
	addrs, _ := f.up(topology.ServiceFor(r.Method, r.URL.Path))
	first := int(f.turn.Add(1) % uint64(max(1, len(addrs))))
	for i := range addrs {
		out := r.Clone(r.Context())
		out.URL.Host, out.Host = addrs[(first+i)%len(addrs)], ""
		if r.GetBody != nil {
			body, err := r.GetBody()
			if err != nil {
				return nil, fmt.Errorf("read the request again: %w", err)
			}
			out.Body = body
		}
		res, err := f.transport.RoundTrip(out)
		if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
			return res, err
		}
	}
	return nil, ErrDown
}
