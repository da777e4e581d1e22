package simulation

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/iam/buildtest"
	"github.com/leftfold/leftfold/pkg/service"
)

// errDown is what clients get from a replica that does not run, or died before it answered.
var errDown = errors.New("connection refused or reset")

// replica is one replica of a service. It has many lives, each wired as a new process would be.
type replica struct {
	world  *world
	kind   string
	name   string // "broker-1"
	newApp func(context.Context, service.Platform) (service.App, error)

	mu    sync.Mutex
	lives int
	now   *life
	held  bool            // down until released: an outage
	build buildtest.Build // of its next life
}

// life is a replica from one start to its end.
type life struct {
	replica  *replica
	instance string // "broker-1.3"
	build    buildtest.Build
	api      http.Handler
	died     chan struct{}
	stop     context.CancelFunc
	ended    chan struct{} // closed when its parts have returned
	requests sync.WaitGroup
	registry *prometheus.Registry
	hangs    atomic.Bool // a call waits for ever, by a planted bug

	// Used by the scheduler's goroutine only:
	pausedUntil time.Time
	held        []func() // until then
}

func (l *life) dead() bool {
	select {
	case <-l.died:
		return true
	default:
		return false
	}
}

// start begins a life. If the service cannot be wired, the process ends and is started again soon.
func (r *replica) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now != nil || r.held || r.world.closing() {
		return
	}
	r.lives++
	l := &life{
		replica: r, instance: fmt.Sprintf("%s.%d", r.name, r.lives), build: r.build, died: make(chan struct{}), ended: make(chan struct{}),
	}
	ctx, stop := context.WithCancel(r.world.ctx)
	l.stop = stop
	r.now = l
	r.world.addLife(l)
	go l.run(ctx)
}

func (l *life) run(ctx context.Context) {
	defer close(l.ended)
	w := l.replica.world
	platform, registry, err := service.NewPlatform(w.config.Config, w.logs)
	if err != nil {
		w.crash(l, err)
		return
	}
	platform.Instance, platform.AWS, platform.Jitter, platform.Peers = l.instance, l.aws(), l.jitter, &peers{l}
	platform = platform.For(l.replica.kind)
	app, err := l.replica.newApp(ctx, platform)
	if err != nil {
		w.crash(l, err)
		return
	}
	l.replica.mu.Lock()
	l.registry = registry
	if app.Routes != nil {
		l.api, _, err = app.Handler(platform) //nolint:contextcheck // every request brings its own
	}
	l.replica.mu.Unlock()
	if err != nil {
		w.crash(l, err)
		return
	}
	if err := service.RunParts(ctx, platform.Logger, w.config.StopTimeout, app.Parts...); err != nil && ctx.Err() == nil {
		w.crash(l, err)
	}
	<-ctx.Done() // a service without parts serves
}

// aws returns a configuration that reaches AWS through the scheduler.
func (l *life) aws() aws.Config {
	cfg := l.replica.world.aws.Config()
	cfg.Credentials = signedBy(l.replica.kind)
	cfg.HTTPClient = &http.Client{Transport: l.connected(&connection{scheduler: l.replica.world.scheduler, life: l})}
	return repeatable(cfg, l.jitter)
}

// repeatable gives the SDK's retries a jitter that is the same in every run.
func repeatable(cfg aws.Config, jitter func(time.Duration) time.Duration) aws.Config {
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) {
				return jitter(min(time.Second<<attempt, 20*time.Second)), nil
			})
		})
	}
	return cfg
}

// jitter depends only on the process and the time, not on how its goroutines run.
func (l *life) jitter(longest time.Duration) time.Duration {
	return l.replica.world.jitter(l.instance, longest)
}

func (w *world) jitter(who string, longest time.Duration) time.Duration {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, w.plan.Seed, who, time.Now().UnixNano(), longest)
	return time.Duration(h.Sum64() % uint64(longest+1))
}

// kill ends the life as SIGKILL does: what its goroutines still do has no effect.
func (l *life) kill(why string) {
	r := l.replica
	r.mu.Lock()
	if r.now == l {
		r.now = nil
	}
	alive := !l.dead()
	if alive {
		close(l.died)
	}
	r.mu.Unlock()
	l.stop()
	if alive && why != "" {
		r.world.scheduler.trace.note("%s ends: %s", l.instance, why)
	}
	if alive {
		r.world.scheduleRestart(l)
	}
}

// terminate ends the life as SIGTERM does: requests and batches in flight are finished.
func (l *life) terminate() {
	r := l.replica
	r.mu.Lock()
	if r.now == l {
		r.now = nil
	}
	r.mu.Unlock()
	l.requests.Wait()
	l.stop()
	<-l.ended
	l.kill("")
}

// current returns the life that a load balancer would find, or nil.
func (r *replica) current() *life {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || r.now.dead() || (r.now.registry == nil) {
		return nil
	}
	return r.now
}

// RoundTrip lets the replica answer one request.
func (r *replica) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	l := r.now
	if l == nil || l.api == nil || l.dead() {
		r.mu.Unlock()
		return nil, errDown
	}
	l.requests.Add(1)
	r.mu.Unlock()
	defer l.requests.Done()
	ctx, cancel := context.WithCancel(req.Context())
	defer cancel()
	in := req.Clone(ctx)
	in.RequestURI, in.RemoteAddr, in.Host = req.URL.RequestURI(), "192.0.2.1:1234", req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	answers := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		out := httptest.NewRecorder()
		l.api.ServeHTTP(out, in)
		answers <- out
	}()
	select {
	case out := <-answers:
		if l.dead() {
			return nil, errDown
		}
		res := out.Result()
		res.Request = req
		return res, nil
	case <-l.died:
		return nil, errDown
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
