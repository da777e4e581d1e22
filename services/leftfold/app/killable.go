package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// killable is a service without an API that can be killed while its process goes on: from one moment to the next nothing of it reaches
// AWS, so it stores no position and releases no lease. Then it lives again, wired anew, as another instance.
type killable struct {
	Service

	grace time.Duration // of a stop
	kill  chan struct{}
	dead  atomic.Bool
}

func newKillable(s Service, grace time.Duration) *killable {
	return &killable{Service: s, grace: grace, kill: make(chan struct{}, 1)}
}

// Kill kills the service, unless it is being killed.
func (k *killable) Kill() {
	select {
	case k.kill <- struct{}{}:
	default:
	}
}

// app wires the first life of the service. Its parts go on with those of the others. p is the platform of the whole process.
func (k *killable) app(ctx context.Context, p service.Platform) (service.App, error) {
	p.AWS.HTTPClient = mortal{p.AWS.HTTPClient, &k.dead}
	now, metrics, err := k.life(ctx, p)
	if err != nil {
		return now, err
	}
	whole := now
	whole.Parts = []service.Part{{Name: k.Name, Run: func(ctx context.Context) error {
		for lives := 1; ; lives++ {
			killed, err := k.live(ctx, p.Logger, now.Parts)
			if !killed || ctx.Err() != nil {
				return err
			}
			metrics.forget()
			k.dead.Store(false)
			next := p
			next.Instance = fmt.Sprintf("%s-%d", p.Instance, lives)
			if now, metrics, err = k.again(ctx, next); err != nil {
				return service.IgnoreStop(ctx, err)
			}
		}
	}}}
	return whole, nil
}

// live runs the parts until ctx ends or the service is killed.
func (k *killable) live(ctx context.Context, log *slog.Logger, parts []service.Part) (killed bool, err error) {
	life, end := context.WithCancel(ctx)
	defer end()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-k.kill:
			k.dead.Store(true)
			end()
		case <-life.Done():
		}
	}()
	err = service.RunParts(life, log, k.grace, parts...)
	end()
	<-watched
	return k.dead.Load(), err
}

// again wires the next life, however often AWS refuses what that takes.
func (k *killable) again(ctx context.Context, p service.Platform) (service.App, *registrations, error) {
	for failures := 1; ; failures++ {
		app, metrics, err := k.life(ctx, p)
		if err == nil {
			return app, metrics, nil
		}
		metrics.forget()
		p.Logger.WarnContext(ctx, "service could not be started again, retrying",
			slog.String(telemetry.KeyService, k.Name), slog.Any(telemetry.KeyError, err))
		if err := (retry.Backoff{Jitter: p.Jitter}).Wait(ctx, failures); err != nil {
			return app, metrics, err
		}
	}
}

func (k *killable) life(ctx context.Context, p service.Platform) (service.App, *registrations, error) {
	metrics := &registrations{Registerer: p.Metrics}
	p.Metrics = metrics
	app, err := k.New(ctx, p.For(k.Name))
	return app, metrics, err
}

// mortal is a client that a kill cuts off.
type mortal struct {
	aws.HTTPClient

	dead *atomic.Bool
}

var errKilled = errors.New("this service was killed")

// Do implements aws.HTTPClient. The answer to what was sent just before comes too late.
func (m mortal) Do(r *http.Request) (*http.Response, error) {
	if m.dead.Load() {
		return nil, errKilled
	}
	answer, err := m.HTTPClient.Do(r)
	if err == nil && m.dead.Load() {
		return nil, errors.Join(errKilled, answer.Body.Close())
	}
	return answer, err
}

// registrations are the metrics of one life.
type registrations struct {
	prometheus.Registerer

	mu  sync.Mutex
	all []prometheus.Collector
}

// Register implements prometheus.Registerer.
func (r *registrations) Register(c prometheus.Collector) error {
	err := r.Registerer.Register(c)
	if err == nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all = append(r.all, c)
	}
	return err
}

// MustRegister implements prometheus.Registerer.
func (r *registrations) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err) // as its interface says
		}
	}
}

// forget lets the next life register its own.
func (r *registrations) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		r.Unregister(c)
	}
	r.all = nil
}
