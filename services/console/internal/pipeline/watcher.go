package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/leftfold/leftfold/pkg/service/adminclient"
)

const (
	every  = 2 * time.Second
	window = 60 * time.Second
	kept   = int(window/every) + 1
)

// Asker asks all admin addresses; an *adminclient.Client does.
type Asker interface {
	All(ctx context.Context, path string) []adminclient.Answer
}

// Process is a process that an admin address belongs to.
type Process struct {
	Address string
	// Status is what /readyz says, such as ready, or why there is no answer.
	Status string
	Ready  bool
	// Away are the dependencies that do not answer, each with the reason.
	Away []string
}

// Watcher asks the services every two seconds as long as somebody watches, and remembers a minute. It is safe for concurrent use.
type Watcher struct {
	services  Asker
	now       func() time.Time
	consumers []Consumer

	mu        sync.Mutex
	readings  []reading // the oldest first
	processes []Process
	watching  map[chan struct{}]bool
	woken     chan struct{} // somebody watches
}

// Consumer is where an event comes to at last: a read model, or the processes.
type Consumer struct{ Name, Service, Queue, Does string }

// NewWatcher returns a Watcher of the services, with these consumers.
func NewWatcher(services Asker, now func() time.Time, consumers []Consumer) *Watcher {
	return &Watcher{
		services: services, now: now, consumers: consumers, watching: map[chan struct{}]bool{}, woken: make(chan struct{}, 1),
	}
}

// Watch returns a channel that has something after each look at the services, until stop is called.
func (w *Watcher) Watch() (looked <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watching[c] = true
	select {
	case w.woken <- struct{}{}:
	default:
	}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.watching, c)
	}
}

// Run looks at the services while somebody watches, until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.woken:
		case <-tick.C:
		}
		if w.watched() {
			w.Look(ctx)
		}
	}
}

func (w *Watcher) watched() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.watching) > 0
}

// Look asks the services once.
func (w *Watcher) Look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*every)
	defer cancel()
	r := reading{at: w.now()}
	var ready []adminclient.Answer
	var wg sync.WaitGroup
	wg.Go(func() { ready = w.services.All(ctx, "/readyz") })
	metrics := w.services.All(ctx, "/metrics")
	wg.Wait()
	for _, a := range metrics {
		if a.Err == nil && a.Status == http.StatusOK {
			_ = r.add(bytes.NewReader(a.Body)) // what is no metrics shows as a process without any
		}
	}
	processes := make([]Process, len(ready))
	for i, a := range ready {
		processes[i] = processOf(a)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes = processes
	w.readings = slices.DeleteFunc(append(w.readings, r), func(old reading) bool { return r.at.Sub(old.at) > window })
	w.readings = w.readings[max(0, len(w.readings)-kept):]
	for c := range w.watching {
		select {
		case c <- struct{}{}:
		default: // it has not seen the one before
		}
	}
}

func processOf(a adminclient.Answer) Process {
	p := Process{Address: a.Address}
	var said struct {
		Status       string            `json:"status"`
		Waiting      map[string]string `json:"waiting"`
		Dependencies map[string]string `json:"dependencies"`
	}
	switch {
	case a.Err != nil:
		p.Status = "does not answer"
	case json.Unmarshal(a.Body, &said) != nil || said.Status == "":
		p.Status = "is no service of Leftfold"
	default:
		p.Status, p.Ready = said.Status, a.Status == http.StatusOK
	}
	for name, why := range said.Waiting {
		p.Away = append(p.Away, name+": "+why)
	}
	for name, state := range said.Dependencies {
		if state != "ok" {
			p.Away = append(p.Away, name+": "+state)
		}
	}
	slices.Sort(p.Away)
	return p
}
