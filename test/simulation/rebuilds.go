package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// operating is the process of an operator who rebuilds read models, switches to them, and back. It is killed and paused as the
// services are, and the next one continues.
const operating = "operator"

// newOperator is the operator as a service. It never retires generation 1, whose rows are judged in any case.
func (w *world) newOperator(_ context.Context, p service.Platform) (service.App, error) {
	var app service.App
	for _, of := range w.names.Projections() {
		o := w.operatorOf(p, of)
		app.Parts = append(app.Parts, service.Part{Name: "rebuild " + of.Name, Run: func(ctx context.Context) error {
			for ctx.Err() == nil && !w.quiet.Load() {
				w.rebuild(ctx, o, p.Jitter(time.Hour))
				_ = retry.Sleep(ctx, time.Second+p.Jitter(10*time.Second)) // the loop looks at ctx
			}
			<-ctx.Done()
			return nil
		}})
	}
	return app, nil
}

func (w *world) operatorOf(p service.Platform, of topology.Projection) *generation.Operator {
	db, backoff := dynamodb.NewFromConfig(p.AWS), retry.Backoff{Jitter: p.Jitter}
	log := dynamostore.NewStore(db, dynamostore.Config{Tables: dynamostore.Tables{Events: w.names.EventLog}, Now: p.Now, Backoff: backoff})
	return generation.NewOperator(generation.OperatorConfig{
		Config: generation.Config{
			Projection: projection.Config{Name: of.Name, Table: of.Table, DB: db, EventLog: log, Now: p.Now, Backoff: backoff},
			Shapes:     app.Shapes()[of.Name], States: w.names.Generations,
		},
		DB: db, Log: log, EventLog: w.names.EventLog, Segments: 2, Parallel: 2,
	})
}

// rebuild does the next step, or one of those that are possible.
func (w *world) rebuild(ctx context.Context, o *generation.Operator, pick time.Duration) {
	s, err := o.State(ctx)
	if err != nil {
		return
	}
	other := s.Other != nil && s.Other.Number > 1
	switch {
	case s.Phase == generation.Settled:
		_, err = o.Rebuild(ctx)
	case s.Phase == generation.Filling:
		if _, err = o.Rebuild(ctx); errors.Is(err, generation.ErrDiffers) {
			_, err = o.Retire(ctx)
		}
	case s.Phase == generation.Retiring, s.Phase == generation.Ready && other && pick%3 == 0:
		_, err = o.Retire(ctx)
	case s.Next() == (s.Phase == generation.Ready || pick%2 == 0):
		_, err = o.Switch(ctx)
	default:
		_, err = o.Rollback(ctx)
	}
	if err == nil {
		w.scheduler.post(func() { w.report.Rebuilds++ })
	}
}

// generations checks that each generation that is fed, and has everything, has it: also what was never read.
func (j *judgement) generations() {
	for _, of := range j.names.Projections() {
		state, err := generation.Control{DB: j.db, Table: j.names.Generations, Projection: of.Name}.Read(j.ctx)
		if err != nil {
			j.breach("harness", "", "read the generations of %s: %v", of.Name, err)
			continue
		}
		if state.Phase == generation.Filling {
			continue
		}
		for _, g := range state.Fed() {
			p, err := projection.NewProjector(projection.Config{
				Name: of.Name, Table: g.Name(of.Table), DB: j.db, EventLog: j.world.log, Now: time.Now, Sources: app.Shapes()[of.Name][0].Sources,
			})
			if err != nil {
				j.breach("harness", "", "%v", err)
				continue
			}
			for text := range j.streams {
				stream, err := eventsourcing.ParseStreamID(text)
				if err != nil {
					continue
				}
				switch is, err := p.Compare(j.ctx, stream); {
				case err != nil:
					j.breach("§8.3", text, "generation %d of %s: %v", g.Number, of.Name, err)
				case is.Fence != is.Head || len(is.Wrong) > 0:
					j.breach("§8.3", text, "generation %d of %s is at version %d of %s, the log at %d; wrong rows: %v",
						g.Number, of.Name, is.Fence, text, is.Head, is.Wrong)
				}
			}
		}
	}
}

// rebuildMutants are bugs in how generations are moved and known.
func rebuildMutants() []mutant {
	states := func(w *world, c *call, op string) bool {
		return c.op == op && text(c.body["TableName"]) == w.names.Generations
	}
	projector := func(c *call) bool {
		return slices.Contains(projectors(), c.life.replica.kind)
	}
	known := map[string]*answer{}
	return []mutant{
		{
			Name: "live traffic missed at start", Means: "a projector never learns that another generation is fed",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				if !states(w, c, "DynamoDB.GetItem") || !projector(c) {
					return next(c)
				}
				key := c.life.instance + string(c.raw)
				if known[key] == nil {
					a := next(c)
					if !a.ok() {
						return a
					}
					known[key] = a
				}
				return known[key].with(object(known[key].body))
			},
		},
		{
			Name: "generation mixed up", Means: "a projector reads the other generation while it is filled",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				a := next(c)
				body := object(a.body)
				item := fields(body["Item"])
				if !states(w, c, "DynamoDB.GetItem") || !projector(c) || !a.ok() || item["other"] == nil {
					return a
				}
				item["current"], item["other"] = item["other"], item["current"]
				return a.with(body)
			},
		},
		{
			Name: "switch before parity", Of: operating, Means: "reads move to the next generation before it has everything",
			call: func(w *world, c *call, next func(*call) *answer) *answer {
				body := object(c.raw)
				item := fields(body["Item"])
				if !states(w, c, "DynamoDB.PutItem") || text(fields(item["phase"])["S"]) != string(generation.Filling) {
					return next(c)
				}
				item["current"], item["other"] = item["other"], item["current"]
				return next(c.with(body))
			},
		},
	}
}
