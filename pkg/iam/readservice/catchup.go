package readservice

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// CatchUps brings a projection up to the log's heads on request: one run at a time, and after the request was answered,
// because reading the whole log takes longer than any request may.
type CatchUps struct {
	name      string
	run       func(ctx context.Context, records *atomic.Int64) (projection.CaughtUp, error)
	now       func() time.Time
	log       *slog.Logger
	requested chan struct{} // holds one: no run is requested during a run

	read atomic.Int64 // by the run that is under way
	mu   sync.Mutex
	last catchUp
}

// NewCatchUps returns the CatchUps of the projection of that name; run performs one, and counts the records that it has read so far.
func NewCatchUps(
	name string, run func(ctx context.Context, records *atomic.Int64) (projection.CaughtUp, error), now func() time.Time, log *slog.Logger,
) *CatchUps {
	return &CatchUps{
		name: name, run: run, now: now, log: log, requested: make(chan struct{}, 1),
		last: catchUp{Projection: name, State: neverRan},
	}
}

// States of a catch-up.
const (
	neverRan   = "never"
	running    = "running"
	done       = "done"
	incomplete = "incomplete" // done, but for holes
	failed     = "failed"
)

type catchUp struct {
	Projection string     `json:"projection" doc:"the projection" example:"users"`
	State      string     `json:"state" enum:"never,running,done,incomplete,failed" doc:"of the last run that this process was asked for"`
	StartedAt  *time.Time `json:"startedAt,omitempty" doc:"when it began"`
	EndedAt    *time.Time `json:"endedAt,omitempty" doc:"when it ended"`
	Records    int64      `json:"records" doc:"events compared; during a run those that were read so far"`
	Behind     int64      `json:"behind" doc:"aggregates that were behind and are not any more"`
	Applied    int64      `json:"applied" doc:"events that they had missed"`
	Parked     int64      `json:"parked" doc:"aggregates left as they are because they are parked: redrive those"`
	Holes      int64      `json:"holes" doc:"items of the log that are no events, and aggregates that lack an event; the log has each"`
}

type catchUpOutput struct{ Body catchUp }

// Run carries out requested runs until ctx ends.
func (c *CatchUps) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.requested:
			c.once(ctx)
		}
	}
}

func (c *CatchUps) once(ctx context.Context) {
	result, err := c.run(ctx, &c.read)
	ended, state := c.now().UTC(), done
	if result.Holes > 0 {
		state = incomplete
	}
	if err != nil {
		state = failed
		c.log.ErrorContext(ctx, "catch-up failed", slog.String("projection", c.name), slog.Any(telemetry.KeyError, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.State, c.last.EndedAt = state, &ended
	c.last.Records, c.last.Behind, c.last.Applied, c.last.Parked = result.Records, result.Behind, result.Applied, result.Parked
	c.last.Holes = result.Holes
}

// start requests a run unless one is under way.
func (c *CatchUps) start() catchUp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last.State != running {
		started := c.now().UTC()
		c.read.Store(0)
		c.last = catchUp{Projection: c.name, State: running, StartedAt: &started}
		c.requested <- struct{}{}
	}
	return c.last
}

func (c *CatchUps) state() catchUp {
	c.mu.Lock()
	defer c.mu.Unlock()
	shown := c.last
	if shown.State == running {
		shown.Records = c.read.Load()
	}
	return shown
}

// Register adds starting and showing a catch-up to an API. Like RegisterParked it is for operators.
func (c *CatchUps) Register(api huma.API) {
	path := "/projections/" + c.name + "/catch-up"
	httpapi.Register(api, c.log, huma.Operation{
		OperationID: "catchUp-" + c.name, Method: http.MethodPost, Path: path, Tags: []string{"catch-up"},
		Summary:       "Compare projection " + c.name + " with the whole log and apply what it missed",
		DefaultStatus: http.StatusAccepted,
	}, func(context.Context, *struct{}) (*catchUpOutput, error) { return &catchUpOutput{c.start()}, nil })
	httpapi.Register(api, c.log, huma.Operation{
		OperationID: "showCatchUp-" + c.name, Method: http.MethodGet, Path: path, Tags: []string{"catch-up"},
		Summary: "Show how the last catch-up of projection " + c.name + " in this process went",
	}, func(context.Context, *struct{}) (*catchUpOutput, error) { return &catchUpOutput{c.state()}, nil })
}
