package simulation

import (
	"context"
	"errors"
	"iter"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// operatorOf rebuilds a read model, and switches between its generations. It never retires generation 1, whose rows are judged in
// any case. In the end it completes the generation that it fills.
func (w *world) operatorOf(p service.Platform, of topology.Projection) (turn, error) {
	db, log := w.storesOf(p)
	backoff := retry.Backoff{Jitter: p.Jitter}
	o := generation.NewOperator(generation.OperatorConfig{
		Config: generation.Config{
			Projection: projection.Config{Name: of.Name, Table: of.Table, DB: db, EventLog: log, Now: p.Now, Backoff: backoff},
			Shapes:     app.Shapes()[of.Name], States: w.names.Generations,
		},
		DB: db, Log: log, EventLog: w.names.EventLog, Segments: 2, Parallel: 2,
	})
	return func(ctx context.Context, last bool) bool {
		s, err := o.State(ctx)
		if err != nil || last && s.Phase != generation.Filling {
			return err == nil
		}
		if err := step(ctx, o, s, p.Jitter(time.Hour)); err == nil {
			w.scheduler.post(func() { w.report.Rebuilds++ })
		}
		return false
	}, nil
}

// step does the next step, or one of those that are possible.
func step(ctx context.Context, o *generation.Operator, s generation.State, pick time.Duration) (err error) {
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
	return err
}

// rows checks that each generation that is fed has the rows that a new fold of the log has, and no others: also what was never
// read.
func (j *judgement) rows() {
	if !j.plan.Rebuilds && !j.plan.Audits {
		return // what is shown is all that matters
	}
	for _, of := range j.names.Projections() {
		state, err := j.control(j.db, of).Read(j.ctx)
		must(err)
		want := j.folded(of)
		for _, g := range state.Fed() {
			if g.Number != state.Current.Number && state.Phase == generation.Filling {
				continue // it says so
			}
			is := j.rowsIn(g.Name(of.Table))
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if !reflect.DeepEqual(is[name], want[name]) {
					j.breach("§8.3", textOf(want[name], "stream"), "generation %d of %s has another %s than the log: %s instead of %s",
						g.Number, of.Name, name, encoded(is[name]), encoded(want[name]))
				}
				delete(is, name)
			}
			for _, name := range slices.Sorted(maps.Keys(is)) {
				j.breach("§8.3", textOf(is[name], "stream"), "generation %d of %s has %s, the log has not", g.Number, of.Name, name)
			}
		}
	}
}

func encoded(row item) string {
	raw, err := attributevalue.MarshalMapJSON(row)
	must(err)
	return string(raw)
}

// folded returns the rows of a new fold of the log.
func (j *judgement) folded(of topology.Projection) map[string]item {
	table := of.Table + "-judged"
	_, err := j.db.CreateTable(j.ctx, projection.CreateTableInput(table))
	must(err)
	p, err := projector(of, table, j.db, readable{j.world.log}, retry.Backoff{})
	must(err)
	_, err = p.CatchUp(j.ctx, healthy{j.world}.All(j.ctx, 1))
	must(err)
	return j.rowsIn(table)
}

// rowsIn returns the rows of a table by their names, without those of streams that are not applied like others.
func (j *judgement) rowsIn(table string) map[string]item {
	out := map[string]item{}
	for _, row := range j.ordinary(table) {
		delete(row, "rebuild") // says only which repair wrote it
		out["row "+textOf(row, "row")+" of "+textOf(row, "id")] = row
	}
	return out
}

// readable is the log with the events of each build as this build knows them.
type readable struct{ log *dynamostore.Store }

func (r readable) Read(
	ctx context.Context, stream eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for rec, err := range r.log.Read(ctx, stream, after) {
			if !yield(known(rec), err) {
				return
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
			shows: rebuilding,
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
			shows: rebuilding,
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
			shows: rebuilding,
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
