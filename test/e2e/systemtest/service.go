package systemtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// Service is one service that can be killed, stopped and started again. Each start is wired as a new process, with a new instance
// name and metrics from zero. Safe for concurrent use.
type Service struct {
	Name string

	aws       aws.Config
	transport http.RoundTripper // what aws' calls go through
	peers     http.RoundTripper // what requests to other services go through
	cfg       service.Config
	logs      io.Writer
	with      []func(*service.Platform)
	newApp    func(context.Context, service.Platform) (service.App, error)

	mu         sync.Mutex
	starts     int
	now        *life         // nil: down
	pending    *killSwitch   // of the next life; nil: none
	up         chan struct{} // closed while it runs
	registries []*prometheus.Registry
	ending     sync.WaitGroup // goroutines of killed lives
}

// life is a service from one start to its end.
type life struct {
	connection *connection
	api        http.Handler // nil: it serves none
	admin      http.Handler
	stop       context.CancelFunc
	ended      chan struct{}
	err        error // once ended
	requests   sync.WaitGroup
}

// Start wires the service and lets it run. It must be down.
func (s *Service) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil {
		return fmt.Errorf("start %s: it runs already", s.Name)
	}
	platform, registry, err := service.NewPlatform(s.cfg, s.logs)
	if err != nil {
		return err
	}
	s.starts++
	l := &life{connection: &connection{next: s.transport}, ended: make(chan struct{})}
	platform.AWS = s.aws
	platform.AWS.HTTPClient = &http.Client{Transport: l.connection}
	platform.Instance, platform.Peers = fmt.Sprintf("%s-%d", s.Name, s.starts), &peers{s.peers, l.connection}
	for _, change := range s.with {
		change(&platform)
	}
	platform = platform.For(s.Name)
	app, err := s.newApp(ctx, platform)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	parts := app.Parts
	if app.Routes != nil {
		api, guard, err := app.Handler(platform) //nolint:contextcheck // every request brings its own
		if err != nil {
			return fmt.Errorf("start %s: %w", s.Name, err)
		}
		l.api, parts = api, append(slices.Clip(parts), service.Part{Name: "issuer's keys", Run: guard.Run})
	}
	admin := service.App{Admin: app.Admin, First: app.First, Checks: app.Checks, Info: app.Info}
	endpoints, err := service.Endpoints(s.cfg, platform, registry, admin) //nolint:contextcheck // as above
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Name, err)
	}
	l.admin, parts = endpoints[0].Handler, append(slices.Clip(parts), endpoints[0].Parts...)
	if f := s.pending; f != nil {
		s.pending = nil
		s.arm(l, f)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	go func() {
		defer close(l.ended)
		l.err = service.RunParts(running, platform.Logger, s.cfg.StopTimeout, parts...)
	}()
	s.registries = append(s.registries, registry)
	s.now = l
	close(s.up)
	return nil
}

// peers carries what a life requests of other services, until it is killed.
type peers struct {
	next       http.RoundTripper
	connection *connection
}

// RoundTrip implements http.RoundTripper.
func (p *peers) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.connection.dead.Load() {
		return nil, processes.ErrDown
	}
	res, err := p.next.RoundTrip(r)
	if p.connection.dead.Load() {
		return nil, processes.ErrDown
	}
	return res, err
}

// Admin sends a request to the service's admin address, by localhost. It must be up.
func (s *Service) Admin(r *http.Request) *http.Response {
	s.mu.Lock()
	l := s.now
	s.mu.Unlock()
	r.Host = "localhost" // httptest's is refused
	answer := httptest.NewRecorder()
	l.admin.ServeHTTP(answer, r)
	return answer.Result()
}

// Kill ends the service as SIGKILL does. What its goroutines still do has no effect.
func (s *Service) Kill() {
	if l := s.takeDown(nil); l != nil {
		s.kill(l)
	}
}

// KillAfter kills the service after AWS has carried out its next call of one of the operations, such as "PutRecords", and before the
// answer arrives: the effect is there, but the service has not recorded it. The channel is closed then. It applies to the
// current life of the service or, if it is down, to the next.
func (s *Service) KillAfter(operations ...string) (killed <-chan struct{}) {
	f := &killSwitch{operations: operations, fired: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil {
		s.pending = f
	} else {
		s.arm(s.now, f)
	}
	return f.fired
}

func (s *Service) arm(l *life, f *killSwitch) {
	f.kill = func() {
		if s.takeDown(l) != nil {
			s.kill(l)
		}
		close(f.fired)
	}
	l.connection.killSwitch.Store(f)
}

func (s *Service) kill(l *life) {
	l.connection.dead.Store(true)
	l.stop()
	s.ending.Go(func() {
		l.requests.Wait()
		<-l.ended // its error is ignored: a killed process reports none
	})
}

// Stop ends the service as SIGTERM does: requests and batches in flight are finished. It returns the error that the process
// would exit with.
func (s *Service) Stop() error {
	l := s.takeDown(nil)
	if l == nil {
		return nil
	}
	l.stop()
	l.requests.Wait()
	if <-l.ended; l.err != nil {
		return fmt.Errorf("stop %s: %w", s.Name, l.err)
	}
	return nil
}

// takeDown marks the service as down if which is its current life, or nil.
func (s *Service) takeDown(which *life) *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.now
	if l == nil || (which != nil && which != l) {
		return nil
	}
	s.now, s.up = nil, make(chan struct{})
	return l
}

// Restart starts the service unless it runs.
func (s *Service) Restart(ctx context.Context) error {
	s.mu.Lock()
	running := s.now != nil
	s.mu.Unlock()
	if running {
		return nil
	}
	return s.Start(ctx)
}

// AwaitUp returns once the service runs, or ctx ends.
func (s *Service) AwaitUp(ctx context.Context) error {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Starts returns how often the service was started.
func (s *Service) Starts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts
}

// RoundTrip lets the service answer one request, without a socket.
func (s *Service) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	l := s.now
	if l != nil {
		l.requests.Add(1)
	}
	s.mu.Unlock()
	if l == nil {
		return nil, processes.ErrDown
	}
	defer l.requests.Done()
	in := r.Clone(r.Context()) // as a server sees it
	in.RequestURI, in.RemoteAddr, in.Host = r.URL.RequestURI(), "192.0.2.1:1234", r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	l.api.ServeHTTP(out, in)
	if l.connection.dead.Load() {
		return nil, processes.ErrDown
	}
	res := out.Result()
	res.Request = r
	return res, nil
}
