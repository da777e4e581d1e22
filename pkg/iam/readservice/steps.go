package readservice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Operator moves a projection from generation to generation; *generation.Operator does.
type Operator interface {
	State(ctx context.Context) (generation.State, error)
	Rebuild(ctx context.Context) (generation.State, error)
	Switch(ctx context.Context) (generation.State, error)
	Rollback(ctx context.Context) (generation.State, error)
	Retire(ctx context.Context) (generation.State, error)
}

// Steps move a projection between generations on request, one step at a time, in the background. A step that a stop of the process breaks
// off is continued by the same request to another one.
type Steps struct {
	name      string
	operator  func(on func(generation.Progress), differs func(projectionaudit.Finding)) Operator
	now       func() time.Time
	log       *slog.Logger
	requested chan generation.Step

	mu   sync.Mutex
	last step
}

// NewSteps returns the Steps of the projection of that name. operator returns a new Operator that says how far it comes, and what differs.
func NewSteps(
	name string, operator func(on func(generation.Progress), differs func(projectionaudit.Finding)) Operator,
	now func() time.Time, log *slog.Logger,
) *Steps {
	return &Steps{
		name: name, operator: operator, now: now, log: log, requested: make(chan generation.Step, 1),
		last: step{Projection: name, State: neverRan},
	}
}

// newStepsOf returns the Steps of a service's projection.
func newStepsOf(c Config, p service.Platform) *Steps {
	db, log := newScanned(c.EventLog, p)
	backoff := retry.Backoff{Jitter: p.Jitter}
	return NewSteps(c.Name, func(on func(generation.Progress), differs func(projectionaudit.Finding)) Operator {
		return generation.NewOperator(generation.OperatorConfig{
			Config: generation.Config{
				Projection: projection.Config{Name: c.Name, Table: c.Table, DB: db, EventLog: log, Now: p.Now, Backoff: backoff, Logger: p.Logger},
				Shapes:     c.Shapes, States: c.Generations,
			},
			DB: db, Log: log, EventLog: c.EventLog, OnProgress: on, OnDifference: differs,
		})
	}, p.Now, p.Logger)
}

type step struct {
	Projection string           `json:"projection" doc:"the projection" example:"users"`
	Step       generation.Step  `json:"step,omitempty" enum:"rebuild,switch,rollback,retire" doc:"the last step that this process was asked for"`
	State      string           `json:"state" enum:"never,running,done,failed" doc:"how it is with that"`
	StartedAt  *time.Time       `json:"startedAt,omitempty" doc:"when it began"`
	EndedAt    *time.Time       `json:"endedAt,omitempty" doc:"when it ended"`
	Doing      generation.Doing `json:"doing,omitempty" enum:"waiting,reading,comparing" doc:"waiting until every process knows, reading the log, or comparing"`
	Events     int64            `json:"events" doc:"events read, of about as many as expected"`
	Fresh      int64            `json:"fresh" doc:"those of them that were read since it began"`
	Expected   int64            `json:"expected" doc:"about as many as the log has"`
	Streams    int64            `json:"streams" doc:"aggregates written, or compared"`
	Rows       int64            `json:"rows" doc:"rows compared"`
	Phase      generation.Phase `json:"phase,omitempty" enum:"settled,filling,ready,switching,retiring" doc:"the phase that the step has led to"`
	Problem    string           `json:"problem,omitempty" doc:"why it failed"`
}

type stepOutput struct{ Body step }

// Run carries out requested steps until ctx ends.
func (s *Steps) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case what := <-s.requested:
			s.once(ctx, what)
		}
	}
}

func (s *Steps) once(ctx context.Context, what generation.Step) {
	led, err := take(ctx, s.operator(s.follow, func(f projectionaudit.Finding) {
		s.log.ErrorContext(ctx, "next generation differs from the log", slog.String("projection", s.name), slog.String("stream", f.Stream),
			slog.Uint64("version", uint64(f.Version)), slog.String("reason", f.String()))
	}), what)
	if err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "step to another generation failed", slog.String("projection", s.name), slog.String("step", string(what)),
			slog.Any(telemetry.KeyError, err))
	}
	ended := s.now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.State, s.last.EndedAt, s.last.Phase = done, &ended, led.Phase
	if err != nil {
		s.last.State, s.last.Problem = failed, err.Error()
	}
}

func take(ctx context.Context, o Operator, what generation.Step) (generation.State, error) {
	switch what {
	case generation.Rebuild:
		return o.Rebuild(ctx)
	case generation.Switch:
		return o.Switch(ctx)
	case generation.Rollback:
		return o.Rollback(ctx)
	case generation.Retire:
		return o.Retire(ctx)
	default:
		return generation.State{}, fmt.Errorf("no step is called %q", what)
	}
}

func (s *Steps) follow(p generation.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last.Doing = p.Doing
	switch p.Doing {
	case generation.Waiting:
	case generation.Reading:
		s.last.Events, s.last.Fresh, s.last.Expected, s.last.Streams = p.Events, p.Fresh, p.Expected, p.Streams
	case generation.Comparing:
		s.last.Streams, s.last.Rows = p.Streams, p.Rows
	}
}

// start requests a step, unless one is under way: then it returns that one.
func (s *Steps) start(ctx context.Context, what generation.Step) (step, error) {
	now, err := s.operator(nil, nil).State(ctx)
	if err != nil {
		return step{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last.State == running {
		return s.last, nil
	}
	if err := now.Allows(what); errors.Is(err, generation.ErrPhase) {
		return step{}, problems.ErrStepNotPossible
	} else if err != nil {
		return step{}, err
	}
	started := s.now().UTC()
	s.last = step{Projection: s.name, Step: what, State: running, StartedAt: &started}
	s.requested <- what
	return s.last, nil
}

func (s *Steps) state() step {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

type stepInput struct {
	Step generation.Step `path:"step" enum:"rebuild,switch,rollback,retire" doc:"what to do" example:"rebuild"`
}

// Register adds beginning and showing a step to an API. Like RegisterParked it is for operators.
func (s *Steps) Register(api huma.API) {
	path := "/projections/" + s.name + "/generations/"
	httpapi.Register(api, s.log, huma.Operation{
		OperationID: "step-" + s.name, Method: http.MethodPost, Path: path + "{step}", Tags: []string{"generations"},
		Summary:       "Move projection " + s.name + " towards another generation",
		Description:   "One step at a time is under way: if one is, the answer shows that one.",
		DefaultStatus: http.StatusAccepted, Metadata: httpapi.MayAnswer(problems.ErrStepNotPossible),
	}, func(ctx context.Context, in *stepInput) (*stepOutput, error) {
		begun, err := s.start(ctx, in.Step)
		if err != nil {
			return nil, err
		}
		return &stepOutput{begun}, nil
	})
	httpapi.Register(api, s.log, huma.Operation{
		OperationID: "showStep-" + s.name, Method: http.MethodGet, Path: path + "step", Tags: []string{"generations"},
		Summary: "Show how the last step of projection " + s.name + " in this process goes",
	}, func(context.Context, *struct{}) (*stepOutput, error) { return &stepOutput{s.state()}, nil })
}
