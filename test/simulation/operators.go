package simulation

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/services/leftfold/app"
)

// Operators are processes beside the services, which are killed and paused as those are. The next life of one goes on.
const (
	operating = "operator" // rebuilds read models, and switches between their generations
	auditing  = "auditor"  // audits read models, and repairs them
	archiving = "archiver" // writes the archive
	verifying = "verifier" // compares the archive with the log
	restoring = "restorer" // restores a log that was lost
)

// turn is what an operator does at a time. The last one is in calm, and is repeated until it reports that all is done.
type turn func(ctx context.Context, last bool) (done bool)

// task is what an operator does in each life.
type task func(service.Platform) (turn, error)

// addOperator adds an operator with tasks by name, of which each is done turn by turn.
func (w *world) addOperator(kind string, tasks map[string]task) {
	for name := range tasks {
		w.done[name] = false
	}
	w.addReplica(kind, 1, func(_ context.Context, p service.Platform) (out service.App, err error) {
		for _, name := range slices.Sorted(maps.Keys(tasks)) {
			take, err := tasks[name](p)
			if err != nil {
				return out, err
			}
			out.Parts = append(out.Parts, service.Part{Name: name, Run: func(ctx context.Context) error {
				w.operate(ctx, p, name, take)
				<-ctx.Done()
				return nil
			}})
		}
		return out, nil
	})
}

// ofEach returns a task for each projection.
func (w *world) ofEach(what string, of func(service.Platform, topology.Projection) (turn, error)) map[string]task {
	out := map[string]task{}
	for _, each := range w.names.Projections() {
		out[what+" of "+each.Name] = func(p service.Platform) (turn, error) { return of(p, each) }
	}
	return out
}

// operate lets an operator take turns until the last one is done.
func (w *world) operate(ctx context.Context, p service.Platform, name string, take turn) {
	for ctx.Err() == nil {
		last := w.quiet.Load()
		if done := take(ctx, last); done && last && ctx.Err() == nil {
			w.mu.Lock()
			w.done[name] = true
			w.mu.Unlock()
			return
		}
		_ = retry.Sleep(ctx, time.Second+p.Jitter(10*time.Second)) // the loop looks at ctx
	}
}

// undone returns the operators that have not taken their last turn.
func (w *world) undone() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, done := range w.done {
		if !done {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// storesOf are the database and the log of an operator's process.
func (w *world) storesOf(p service.Platform) (*dynamodb.Client, *dynamostore.Store) {
	const attempts = 10 // as the commands of leftfold have it
	db := dynamodb.NewFromConfig(p.AWS, func(o *dynamodb.Options) { o.RetryMaxAttempts = attempts })
	return db, dynamostore.NewStore(db, dynamostore.Config{
		Tables: dynamostore.Tables{Events: w.names.EventLog}, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
	})
}

// projector returns the projector of a table with the rows of a projection.
func projector(
	of topology.Projection, table string, db projection.DynamoDBAPI, log projection.EventLog, backoff retry.Backoff,
) (*projection.Projector, error) {
	return projection.NewProjector(projection.Config{
		Name: of.Name, Table: table, DB: db, EventLog: log, Now: time.Now, Backoff: backoff, Sources: app.Shapes()[of.Name][0].Sources,
	})
}

// control reads the state of a projection's generations.
func (w *world) control(db generation.DynamoDBAPI, of topology.Projection) generation.Control {
	return generation.Control{DB: db, Table: w.names.Generations, Projection: of.Name}
}
