package readservice

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// CatchUps brings a projection up to the log's heads on request: one run at a time, and after the request was answered,
// because reading the whole log takes longer than any request may.
type CatchUps struct {
	name      string
	log       WholeLog
	run       CatchUp
	now       func() time.Time
	logger    *slog.Logger
	requested chan struct{} // holds one: no run is requested during a run

	read atomic.Int64 // by the run that is under way
	mu   sync.Mutex
	last catchUp
}

// CatchUp applies what something lacks of the whole log; projection.Projector.CatchUp is one.
type CatchUp func(ctx context.Context, log iter.Seq2[eventsourcing.Record, error]) (projection.CaughtUp, error)

// WholeLog yields every record of a log, in any order.
type WholeLog func(ctx context.Context) iter.Seq2[eventsourcing.Record, error]

// A catch-up runs logSegments scans of the log at once. It repeats each call often, so that what takes hours outlives a busy minute.
const (
	logSegments  = 4
	scanAttempts = 10
)

// NewWholeLog returns the log in a table.
func NewWholeLog(table string, p service.Platform) WholeLog {
	_, log := newScanned(table, p)
	return func(ctx context.Context) iter.Seq2[eventsourcing.Record, error] { return log.All(ctx, logSegments) }
}

// newScanned returns the log in a table, and the client that scans it.
func newScanned(table string, p service.Platform) (*dynamodb.Client, *dynamostore.Store) {
	db := dynamodb.NewFromConfig(p.AWS, func(o *dynamodb.Options) { o.RetryMaxAttempts = scanAttempts })
	return db, dynamostore.NewStore(db, dynamostore.Config{
		Tables: dynamostore.Tables{Events: table}, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
	})
}

// NewCatchUps returns the CatchUps of the projection of that name, each of which is run with the log.
func NewCatchUps(name string, log WholeLog, run CatchUp, now func() time.Time, logger *slog.Logger) *CatchUps {
	return &CatchUps{
		name: name, log: log, run: run, now: now, logger: logger, requested: make(chan struct{}, 1),
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
	result, err := c.run(ctx, c.counted(c.log(ctx)))
	ended, state := c.now().UTC(), done
	if result.Holes > 0 {
		state = incomplete
	}
	if err != nil {
		state = failed
		c.logger.ErrorContext(ctx, "catch-up failed", slog.String("projection", c.name), slog.Any(telemetry.KeyError, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last.State, c.last.EndedAt = state, &ended
	c.last.Records, c.last.Behind, c.last.Applied, c.last.Parked = result.Records, result.Behind, result.Applied, result.Parked
	c.last.Holes = result.Holes
}

// counted is log, and counts what it has yielded.
func (c *CatchUps) counted(log iter.Seq2[eventsourcing.Record, error]) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for r, err := range log {
			if err == nil {
				c.read.Add(1)
			}
			if !yield(r, err) {
				return
			}
		}
	}
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
	httpapi.Register(api, c.logger, huma.Operation{
		OperationID: "catchUp-" + c.name, Method: http.MethodPost, Path: path, Tags: []string{"catch-up"},
		Summary:       "Compare projection " + c.name + " with the whole log and apply what it missed",
		DefaultStatus: http.StatusAccepted,
	}, func(context.Context, *struct{}) (*catchUpOutput, error) { return &catchUpOutput{c.start()}, nil })
	httpapi.Register(api, c.logger, huma.Operation{
		OperationID: "showCatchUp-" + c.name, Method: http.MethodGet, Path: path, Tags: []string{"catch-up"},
		Summary: "Show how the last catch-up of projection " + c.name + " in this process went",
	}, func(context.Context, *struct{}) (*catchUpOutput, error) { return &catchUpOutput{c.state()}, nil })
}
