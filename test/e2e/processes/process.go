package processes

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Process is one replica of a service: one operating system process after the other, each with its own ports. Kill and
// Restart of one Process must not overlap.
type Process struct {
	Service string

	program string
	env     []string
	client  *http.Client
	changed func() // called after each start

	mu     sync.Mutex
	starts int
	now    *run // nil: down, or not ready yet
}

// run is one operating system process.
type run struct {
	cmd        *exec.Cmd
	api, admin string
	stderr     *tail
	ended      chan struct{}
	err        error // once ended
}

// patience bounds the start of a process, however busy the machine.
const patience = 5 * time.Minute

// Start starts the process and returns once it is ready.
func (p *Process) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := p.tryStart(ctx)
		if !errors.Is(err, errPortTaken) {
			return err
		}
	}
}

var errPortTaken = errors.New("a port was taken before the process took it")

func (p *Process) tryStart(ctx context.Context) error {
	ports, err := FreeAddresses(ctx, 2)
	if err != nil {
		return fmt.Errorf("find free ports: %w", err)
	}
	r := &run{api: ports[0], admin: ports[1]}
	r.cmd = exec.CommandContext(context.WithoutCancel(ctx), p.program)
	r.cmd.Env = append(slices.Clone(p.env), "API_ADDR="+r.api, "ADMIN_ADDR="+r.admin)
	if err := r.start(); err != nil {
		return err
	}
	if err := r.awaitReady(ctx, p.client); err != nil {
		r.kill()
		if strings.Contains(r.stderr.String(), syscall.EADDRINUSE.Error()) {
			return errPortTaken
		}
		return fmt.Errorf("start %s: %w\n%s", p.Service, err, r.stderr)
	}
	p.mu.Lock()
	p.now = r
	p.starts++
	p.mu.Unlock()
	p.changed()
	return nil
}

// Kill ends the process by SIGKILL and returns once it is gone. It returns an error if the process had ended before.
func (p *Process) Kill() error {
	r := p.takeDown()
	if r == nil {
		return nil
	}
	select {
	case <-r.ended:
		return fmt.Errorf("%s ended unexpectedly: %w\n%s", p.Service, r.err, r.stderr)
	default:
		r.kill()
		return nil
	}
}

// Stop ends the process by SIGTERM. It returns an error unless the process exits with code 0.
func (p *Process) Stop() error {
	r := p.takeDown()
	if r == nil {
		return nil
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.Service, err)
	}
	if <-r.ended; r.err != nil {
		return fmt.Errorf("stop %s: %w\n%s", p.Service, r.err, r.stderr)
	}
	return nil
}

// Restart starts the process unless it runs.
func (p *Process) Restart(ctx context.Context) error {
	if p.running() != nil {
		return nil
	}
	return p.Start(ctx)
}

// Starts returns how often the process was started.
func (p *Process) Starts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.starts
}

// Metrics returns the metrics of the process, summed over all labels.
func (p *Process) Metrics(ctx context.Context) (map[string]float64, error) {
	r := p.running()
	if r == nil {
		return nil, ErrDown
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("read metrics of %s: %w", p.Service, err)
	}
	defer func() { _ = res.Body.Close() }() // it was read
	out := map[string]float64{}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() { // such as leftfold_aws_calls_total{api="SQS"} 12
		line := lines.Text()
		space := max(0, strings.LastIndexByte(line, ' '))
		if n, err := strconv.ParseFloat(strings.TrimSpace(line[space:]), 64); err == nil {
			name, _, _ := strings.Cut(line[:space], "{")
			out[name] += n
		}
	}
	return out, lines.Err()
}

// PeakMemory returns the most resident memory of the process so far, in bytes. Linux only.
func (p *Process) PeakMemory() (int64, error) {
	r := p.running()
	if r == nil {
		return 0, ErrDown
	}
	return r.peakMemory()
}

// CPU returns the time of CPU that the process has used so far, its system calls included. Linux only.
func (p *Process) CPU() (time.Duration, error) {
	r := p.running()
	if r == nil {
		return 0, ErrDown
	}
	return r.cpu()
}

// APIAddress is where the API of the process answers; "" while none runs.
func (p *Process) APIAddress() string {
	if r := p.running(); r != nil {
		return "http://" + r.api
	}
	return ""
}

// AdminAddress is like APIAddress.
func (p *Process) AdminAddress() string {
	if r := p.running(); r != nil {
		return "http://" + r.admin
	}
	return ""
}

func (p *Process) running() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *Process) takeDown() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.now
	p.now = nil
	return r
}

func (r *run) start() error {
	r.stderr, r.ended = &tail{}, make(chan struct{})
	r.cmd.Stderr, r.cmd.SysProcAttr = r.stderr, dieWithParent()
	if err := r.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(r.ended)
		r.err = r.cmd.Wait()
	}()
	return nil
}

// kill is safe at any time: os.Process never signals a process that was waited for already.
func (r *run) kill() {
	_ = r.cmd.Process.Kill() // it may have ended already
	<-r.ended
}

func (r *run) awaitReady(ctx context.Context, client *http.Client) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-r.ended:
			return fmt.Errorf("it ended before it was ready: %w", r.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for it to be ready: %w", ctx.Err())
		case <-ticker.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			continue // it does not listen yet
		}
		if err := res.Body.Close(); err == nil && res.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// lastPort starts at random and counts up, so that two processes of a test never get the same port.
var lastPort = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(rand.Uint32N(1 << 20))
	return n
}()

// FreeAddresses returns addresses that are free now; another program may still take one before the service does. Their ports are
// below the range of ephemeral ports, so that no outgoing connection takes them.
func FreeAddresses(ctx context.Context, n int) (addrs []string, err error) {
	const lowest, highest = 20000, 30000
	for tries := 0; len(addrs) < n; tries++ {
		addr := fmt.Sprintf("127.0.0.1:%d", lowest+lastPort.Add(1)%(highest-lowest))
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err != nil {
			if tries < 100*n && errors.Is(err, syscall.EADDRINUSE) {
				continue
			}
			return nil, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		addrs = append(addrs, addr)
	}
	return addrs, nil
}

// tail keeps the end of what is written to it. Safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 4 << 10

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
