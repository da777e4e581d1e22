// Package health serves liveness and readiness, and names the dependency that does not answer.
package health

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// timeout bounds one check; a dependency that hangs is reported as away.
const timeout = 2 * time.Second

// Check probes one dependency.
type Check struct {
	Name string
	// Probe returns nil while the dependency answers. It must honour its context.
	Probe func(context.Context) error
}

// Live answers 200 whenever the process can answer.
func Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, report{Status: "live"}) })
}

// Ready answers 200 when every check passes, else 503; either way it names each dependency and its state.
func Ready(checks []Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		results := make([]string, len(checks))
		var wg sync.WaitGroup
		for i, c := range checks {
			wg.Go(func() {
				results[i] = "ok"
				if err := c.Probe(ctx); err != nil {
					results[i] = "away: " + err.Error()
				}
			})
		}
		wg.Wait()
		out, status := report{Status: "ready", Dependencies: map[string]string{}}, http.StatusOK
		for i, c := range checks {
			out.Dependencies[c.Name] = results[i]
			if results[i] != "ok" {
				out.Status, status = "not ready", http.StatusServiceUnavailable
			}
		}
		answer(w, status, out)
	})
}

type report struct {
	Status       string            `json:"status"`
	Dependencies map[string]string `json:"dependencies,omitempty"`
}

func answer(w http.ResponseWriter, status int, r report) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(r) // the prober may have gone
}
