// Package health answers whether a process must be restarted (Live) and whether it may get requests (Readiness).
package health

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/progress"
)

// timeout bounds one check; a dependency that hangs is reported as away.
const timeout = 2 * time.Second

// Check probes one thing that a process needs.
type Check struct {
	Name string
	// Probe returns nil if it is there. It must honour its context.
	Probe func(context.Context) error
}

// Live answers 503 while a loop of the process hangs, and names it; else 200. Only a restart helps then. A loop that fails again
// and again does not hang: if AWS is away, a restart helps nobody.
func Live(loops *progress.Loops) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		out, status := report{Status: "live"}, http.StatusOK
		for _, l := range loops.Stuck() {
			out.Status, status = "stuck", http.StatusServiceUnavailable
			out.Stuck = append(out.Stuck, fmt.Sprintf("%s: no turn for %s, %s is the most that one may take",
				l.Name, l.Age.Round(time.Second), l.Deadline.Round(time.Second)))
		}
		answer(w, status, out)
	})
}

// Readiness answers 200 from the first time on at which each of the first checks has passed, until its Run is told to stop; else 503.
// Dependencies that become unavailable later are shown, and change nothing: the process answers for them, and another replica
// would, too.
type Readiness struct {
	first, dependencies []Check
	draining            atomic.Bool

	mu     sync.Mutex
	passed map[string]bool
}

// NewReadiness returns the Readiness of a process that needs first once. A process that needs nothing is ready at once.
func NewReadiness(first, dependencies []Check) *Readiness {
	return &Readiness{first: first, dependencies: dependencies, passed: map[string]bool{}}
}

// Run returns when ctx ends. From then on the process is not ready.
func (r *Readiness) Run(ctx context.Context) error {
	<-ctx.Done()
	r.draining.Store(true)
	return nil
}

// ServeHTTP implements http.Handler.
func (r *Readiness) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	out, status := report{Status: "ready"}, http.StatusOK
	waiting := map[string]string{}
	for name, err := range probe(request.Context(), r.waiting()) {
		if err != nil {
			waiting[name] = err.Error()
		} else {
			r.pass(name)
		}
	}
	switch {
	case r.draining.Load():
		out.Status, status = "stopping", http.StatusServiceUnavailable
	case len(waiting) > 0:
		out.Status, out.Waiting, status = "not ready", waiting, http.StatusServiceUnavailable
	}
	out.Dependencies = map[string]string{}
	for name, err := range probe(request.Context(), r.dependencies) {
		out.Dependencies[name] = "ok"
		if err != nil {
			out.Dependencies[name] = "away: " + err.Error()
		}
	}
	answer(w, status, out)
}

func (r *Readiness) pass(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed[name] = true
}

// waiting are the first checks that have never passed.
func (r *Readiness) waiting() []Check {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.first), func(c Check) bool { return r.passed[c.Name] })
}

// probe returns the error of each check, by name; nil if it passed.
func probe(ctx context.Context, checks []Check) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	results := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { results[i] = c.Probe(ctx) })
	}
	wg.Wait()
	out := map[string]error{}
	for i, c := range checks {
		out[c.Name] = results[i]
	}
	return out
}

type report struct {
	Status       string            `json:"status"`
	Stuck        []string          `json:"stuck,omitempty"`
	Waiting      map[string]string `json:"waiting,omitempty"`
	Dependencies map[string]string `json:"dependencies,omitempty"`
}

func answer(w http.ResponseWriter, status int, r report) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(r) // the prober may have gone
}
