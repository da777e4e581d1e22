// Package processes runs the services and their AWS as processes of the operating system, each its own program.
package processes

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/leftfold/leftfold/pkg/iam/topology"
)

// Fleet is an embedded AWS and any number of replicas of the services. It is an http.RoundTripper: the load balancer in front of the
// services' APIs. Every service has an access key of its own, its name, so that the AWS tells its calls apart.
type Fleet struct {
	// Config reaches the AWS.
	Config aws.Config

	programs  string
	aws       *run
	edge      *http.Server
	env       []string
	transport *http.Transport
	turn      atomic.Uint64

	mu       sync.Mutex
	replicas map[string][]*Process
	commands []*Command
	changed  chan struct{} // closed at the next start of a process
}

// answerWithin bounds every request, so that a process that hangs is an error, and one on a busy machine is not.
const answerWithin = 2 * time.Minute

// ErrDown is what clients get from a service that does not run, or was killed before it answered.
var ErrDown = errors.New("connection refused or reset")

// NewFleet starts an AWS from the programs that Build put in that directory, and no service; env is for the services, and ofAWS for the
// AWS. The caller closes the fleet.
func NewFleet(ctx context.Context, programs string, env, ofAWS map[string]string) (*Fleet, error) {
	f := &Fleet{
		programs: programs, transport: &http.Transport{MaxIdleConnsPerHost: 64},
		replicas: map[string][]*Process{}, changed: make(chan struct{}),
	}
	endpoint, err := f.startAWS(ctx, ofAWS)
	if err != nil {
		return nil, err
	}
	address, err := f.front()
	if err != nil {
		f.aws.kill()
		return nil, err
	}
	f.env = append(environment(endpoint, env), "COMMAND_API_URL="+address, "ROLES_URL="+address)
	f.Config = aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: f.HTTPClient(f.transport),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
	}
	return f, nil
}

// front serves the fleet as one address, for services that call others.
func (f *Fleet) front() (address string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address = "http://" + listener.Addr().String()
	f.edge = &http.Server{
		ReadHeaderTimeout: answerWithin, ErrorLog: log.New(io.Discard, "", 0), // of services that are killed
		Handler: &httputil.ReverseProxy{
			Transport: f, ErrorLog: log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", listener.Addr().String() },
		},
	}
	go func() { _ = f.edge.Serve(listener) }() // until it is closed
	return address, nil
}

// HTTPClient returns a client of such a transport, which is the fleet itself for the services' APIs. It gives up a request that hangs.
func (*Fleet) HTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{Transport: transport, Timeout: answerWithin}
}

// Close kills what still runs. It returns an error if a process had ended by itself.
func (f *Fleet) Close() error {
	defer f.transport.CloseIdleConnections()
	_ = f.edge.Close() // nobody is served any more
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for _, c := range f.commands {
		c.Kill()
	}
	for _, service := range f.replicas {
		for _, p := range service {
			errs = append(errs, p.Kill())
		}
	}
	select {
	case <-f.aws.ended:
		errs = append(errs, fmt.Errorf("the AWS ended unexpectedly: %w\n%s", f.aws.err, f.aws.stderr))
	default:
		f.aws.kill()
	}
	return errors.Join(errs...)
}

// Output returns the last output of every process that runs and has any, by service.
func (f *Fleet) Output() map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]string{}
	for service, replicas := range f.replicas {
		for _, p := range replicas {
			if r := p.running(); r != nil {
				out[service] += r.stderr.String()
			}
		}
	}
	return out
}

// startAWS starts the AWS and returns the endpoint that it prints.
func (f *Fleet) startAWS(ctx context.Context, env map[string]string) (endpoint string, err error) {
	r := &run{cmd: exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(f.programs, "leftfold"), "aws")}
	f.aws = r
	r.cmd.Env = append(environment("", env), "AWS_ADDR=127.0.0.1:0")
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := r.start(); err != nil {
		return "", err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, after, ok := strings.Cut(lines.Text(), "AWS_ENDPOINT_URL="); ok {
			endpoint, _, _ = strings.Cut(after, " ")
			return endpoint, nil
		}
	}
	<-r.ended
	return "", fmt.Errorf("the AWS did not start: %w\n%s", r.err, r.stderr)
}

// Set gives replicas that are added later another variable.
func (f *Fleet) Set(variable, value string) { f.env = append(f.env, variable+"="+value) }

// Add starts n more replicas of each of the services and returns them once all are ready.
func (f *Fleet) Add(ctx context.Context, n int, services ...string) (added []*Process, err error) {
	return f.AddOf(ctx, f.programs, n, services...)
}

// AddOf is Add for a build whose programs are in that directory.
func (f *Fleet) AddOf(ctx context.Context, programs string, n int, services ...string) (added []*Process, err error) {
	var starting sync.WaitGroup
	errs := make([]error, n*len(services))
	for i := range errs {
		p := &Process{
			Service: services[i%len(services)], client: &http.Client{Transport: f.transport}, changed: f.announce,
		}
		p.program, p.env = filepath.Join(programs, p.Service), append(slices.Clone(f.env), "AWS_ACCESS_KEY_ID="+p.Service)
		f.mu.Lock()
		f.replicas[p.Service] = append(f.replicas[p.Service], p)
		f.mu.Unlock()
		added = append(added, p)
		starting.Go(func() { errs[i] = p.Start(ctx) })
	}
	starting.Wait()
	return added, errors.Join(errs...)
}

// Command is a run of the program leftfold.
type Command struct {
	run *run
	out bytes.Buffer
}

// Leftfold starts the program of the build in that directory with these arguments, for the fleet's AWS.
func (f *Fleet) Leftfold(ctx context.Context, programs string, args ...string) (*Command, error) {
	c := &Command{run: &run{cmd: exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(programs, "leftfold"), args...)}}
	c.run.cmd.Env, c.run.cmd.Stdout = f.env, &c.out
	if err := c.run.start(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commands = append(f.commands, c)
	return c, nil
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

// AWSCPU returns the time of CPU that the AWS has used so far; see Process.CPU.
func (f *Fleet) AWSCPU() (time.Duration, error) { return f.aws.cpu() }

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

// environment returns all variables of a process: nothing of the developer's own settings.
func environment(endpoint string, env map[string]string) []string {
	out := []string{
		"AWS_ENDPOINT_URL=" + endpoint, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=local", "AWS_SECRET_ACCESS_KEY=local",
		"AWS_EC2_METADATA_DISABLED=true", "LOG_LEVEL=warn", "LOG_FORMAT=text", "HOME=" + os.DevNull,
	}
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	return out
}
