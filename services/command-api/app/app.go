// Package app wires command-api from its configuration.
package app

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
	"github.com/leftfold/leftfold/pkg/service/health"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
	"github.com/leftfold/leftfold/services/command-api/internal/rest"
)

func newDynamoDB(p service.Platform) *dynamodb.Client { return dynamodb.NewFromConfig(p.AWS) }

func newStoreConfig(cfg Config, p service.Platform) dynamostore.Config {
	contended := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "appends_contended_total",
		Help: "Attempts to append that met another transaction on one of their items, or a table at its limit; they are made again.",
	})
	p.Metrics.MustRegister(contended)
	c := dynamostore.Config{Tables: newTables(cfg), Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter}, OnContended: contended.Inc}
	if cfg.SnapshotEvery > 0 { // a load that meets one more looks for a snapshot
		c.FirstPage = int32(cfg.SnapshotEvery) + 1 //nolint:gosec // Validate bounds it
	}
	return c
}

func newTables(cfg Config) dynamostore.Tables {
	return dynamostore.Tables{
		Events: cfg.EventLog, Claims: cfg.SetValidations, Scopes: cfg.Scopes, Commands: cfg.Commands, Snapshots: cfg.Snapshots,
	}
}

func newCommandsConfig(cfg Config, p service.Platform, db *dynamodb.Client, store *dynamostore.Store) commands.Config {
	c := commands.Config{
		Store: store, Now: p.Now, Backoff: retry.Backoff{Jitter: p.Jitter}, MaxAttempts: cfg.MaxAttempts, Timeout: cfg.Timeout,
		Cache: cfg.Cache, Logger: p.Logger, Metrics: p.Metrics, Traces: p.Traces,
	}
	if cfg.SnapshotEvery > 0 {
		c.Snapshots, c.SnapshotEvery = dynamostore.NewSnapshots(db, newTables(cfg)), cfg.SnapshotEvery
	}
	return c
}

// readLog reads a stream that no aggregate has.
func readLog(log *dynamostore.Store) health.Check {
	return health.Check{Name: "read of the log", Probe: func(ctx context.Context) error {
		for _, err := range log.Read(ctx, eventsourcing.StreamID{Category: user.Category, ID: "none"}, 0) {
			return err
		}
		return nil
	}}
}

func newApp(cfg Config, p service.Platform, db *dynamodb.Client, log *dynamostore.Store, h *commands.Handler) service.App {
	var checks []health.Check
	for _, table := range []string{cfg.EventLog, cfg.SetValidations, cfg.Scopes, cfg.Commands} {
		checks = append(checks, awsconfig.TableCheck(db, table))
	}
	return service.App{
		Parts:  []service.Part{{Name: "snapshots", Run: h.WriteSnapshots}},
		First:  []health.Check{readLog(log)},
		Checks: checks, API: cfg.API, Info: problems.Info(),
		Routes: func(api huma.API) { rest.Register(api, h, p.Logger) },
	}
}
