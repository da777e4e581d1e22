// Package app wires processor from its configuration.
package app

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/services/processor/internal/calls"
	"github.com/leftfold/leftfold/services/processor/internal/retirements"
)

func newDynamoDB(p service.Platform) *dynamodb.Client { return dynamodb.NewFromConfig(p.AWS) }

func newStoreConfig(cfg Config, p service.Platform) dynamostore.Config {
	return dynamostore.Config{
		Tables: newTables(cfg), Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter},
	}
}

func newTables(cfg Config) dynamostore.Tables {
	return dynamostore.Tables{Events: cfg.EventLog, Snapshots: cfg.Snapshots}
}

// newSnapshots returns what saves the states of long streams.
func newSnapshots(cfg Config, p service.Platform, db *dynamodb.Client) *snapshot.Writer {
	return snapshot.NewWriter(dynamostore.NewSnapshots(db, newTables(cfg)), func(_ eventsourcing.SnapshotUse, err error) {
		if err != nil {
			p.Logger.Warn("write of a process's snapshot failed", slog.Any(telemetry.KeyError, err))
		}
	})
}

func newClient(cfg Config, p service.Platform) *calls.Client {
	peers := p.Peers
	if peers == nil {
		peers = http.DefaultTransport
	}
	return calls.NewClient(cfg.Calls, cfg.Transport(cfg.Auth, peers, calls.Scopes()...), cfg.RevokeRate, p.Logger, p.Metrics)
}

// Of both kinds of processes.
type (
	grantsManager     = process.Manager[grants.State, grants.Event]
	retirementManager = process.Manager[retirement.State, retirement.Event]
)

func newProcessConfig(
	cfg Config, p service.Platform, db *dynamodb.Client, log *dynamostore.Store, snapshots *snapshot.Writer,
) process.Config {
	return process.Config{
		Log: log, Timers: timers.Table{DB: db, Name: cfg.Timers}, Snapshots: snapshots, Backoff: retry.Backoff{Jitter: p.Jitter},
		NewID: newID, Now: p.Now, Logger: p.Logger, Metrics: p.Metrics,
	}
}

// newID returns a UUIDv7, as all events of the product have.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func newGrants(c process.Config, client *calls.Client) (*grantsManager, error) {
	c.Send = client.Grants
	return process.NewManager(grants.Spec(), c)
}

// revokeTimeout is for a page of a role's members, while as many other roles are retired as a poller handles at once, and all of them
// wait for the same rate.
func revokeTimeout(rate float64) time.Duration {
	const requests = 2 * time.Minute
	if rate == 0 {
		return requests
	}
	members := float64(retirement.PageSize * (timers.DefaultParallel + timers.DefaultLong))
	return requests + time.Duration(members/rate*float64(time.Second))
}

func newRetirement(cfg Config, c process.Config, client *calls.Client) (*retirementManager, error) {
	c.Send, c.SendTimeout = client.Retirement, revokeTimeout(cfg.RevokeRate)
	return process.NewManager(retirement.Spec(), c)
}

// newEar hears what all processes hear.
func newEar(
	cfg Config, p service.Platform, db *dynamodb.Client, log *dynamostore.Store, g *grantsManager, r *retirementManager,
) (*projection.Projector, error) {
	return projection.NewProjector(projection.Config{
		Name: processes, Table: cfg.Heard, DB: db, EventLog: log, Sources: append(g.Sources(), r.Sources()...),
		Cache: cfg.Cache.Bytes, Backoff: retry.Backoff{Jitter: p.Jitter}, Now: p.Now, Journey: p.Journey, Logger: p.Logger,
		Metrics: p.Metrics,
	})
}

// processes is their name among the consumers of the log.
var processes = (topology.Names{}).Processes().Name //nolint:gochecknoglobals // read only

func newCatchUps(cfg Config, p service.Platform, ear *projection.Projector) *readservice.CatchUps {
	return readservice.NewCatchUps(processes, readservice.NewWholeLog(cfg.EventLog, p), ear.CatchUp, p.Now, p.Logger)
}

func newConsumer(ctx context.Context, cfg Config, p service.Platform, ear *projection.Projector) (*fifoqueue.Consumer, error) {
	return readservice.NewConsumer(ctx, processes, cfg.ProcessQueue, ear, nil, cfg.Visibility, p)
}

func newPoller(cfg Config, p service.Platform, db *dynamodb.Client, g *grantsManager, r *retirementManager) (*timers.Poller, error) {
	return timers.NewPoller(timers.Config{
		Table: timers.Table{DB: db, Name: cfg.Timers}, Handle: timers.Handler(g, r), Leases: shards.NewDynamoDBLeases(db, cfg.Leases),
		Consumer: topology.Processor, Owner: p.Instance, StuckAfter: cfg.StuckAfter, Backoff: retry.Backoff{Jitter: p.Jitter},
		Now: p.Now, Logger: p.Logger, Loops: p.Loops, Metrics: p.Metrics,
	})
}

func newApp(
	cfg Config, p service.Platform, db *dynamodb.Client,
	ear *projection.Projector, consumer *fifoqueue.Consumer, catchUps *readservice.CatchUps, poller *timers.Poller,
	snapshots *snapshot.Writer, r *retirementManager,
) service.App {
	checks := []health.Check{awsconfig.QueueCheck(sqs.NewFromConfig(p.AWS), cfg.ProcessQueue)}
	for _, table := range []string{cfg.EventLog, cfg.Heard, cfg.Timers, cfg.Leases} {
		checks = append(checks, awsconfig.TableCheck(db, table))
	}
	return service.App{
		Parts: []service.Part{
			{Name: "ear of the processes", Run: consumer.Run},
			{Name: "catch-up of processes", Run: catchUps.Run},
			{Name: "timers", Run: poller.Run},
			{Name: "snapshots of processes", Run: snapshots.Run},
			{Name: "redrive of processes", Run: func(ctx context.Context) error {
				return readservice.RedriveKnown(ctx, func(ctx context.Context) error {
					_, err := ear.RedriveKnown(ctx)
					return err
				}, p)
			}},
		},
		First:  []health.Check{{Name: "receive from " + cfg.ProcessQueue, Probe: consumer.Ready}},
		Checks: checks, API: cfg.API, Info: problems.Info(),
		Routes: func(api huma.API) { retirements.Register(api, r.Show, p.Logger) },
		Admin: func(api huma.API) {
			readservice.RegisterParked(api, processes, ear, readservice.RedriveTimeout, p.Logger)
			catchUps.Register(api)
		},
	}
}
