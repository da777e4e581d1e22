package commands

import (
	"context"
	"errors"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/iam/problems"
)

// aggregates are what commands are run on: those of the log, or those of a dry run of it.
type aggregates struct {
	users *eventsourcing.Repository[user.State, user.Event]
	roles *eventsourcing.Repository[role.State, role.Event]
}

// do runs a command on one of the aggregates.
type do func(ctx context.Context, on aggregates, with ...eventsourcing.Option) (eventsourcing.Version, error)

// newAggregates returns the aggregates in c.Store.
func newAggregates(c Config, m *metrics) (a aggregates, err error) {
	err = errors.Join(
		repository(&a.users, user.Aggregate(), c, m),
		repository(&a.roles, role.Aggregate(), c, m),
	)
	return a, err
}

func repository[S any, E eventsourcing.Event](
	r **eventsourcing.Repository[S, E], a eventsourcing.Aggregate[S, E], c Config, m *metrics,
) (err error) {
	cfg := eventsourcing.Config[S, E]{
		Aggregate: a, Store: c.Store, NewID: newID, Now: c.Now, Backoff: c.Backoff, MaxAttempts: c.MaxAttempts,
		OnConflict: m.lost, OnCache: func(u eventsourcing.CacheUse) { m.cache.WithLabelValues(string(u)).Inc() },
		Snapshots: c.Snapshots, SnapshotEvery: c.SnapshotEvery, OnSnapshot: m.snapshotUsed,
	}
	if c.Cache > 0 {
		cfg.Cache = eventsourcing.NewCache[S](c.Cache)
	}
	*r, err = eventsourcing.NewRepository(cfg)
	return err
}

// try runs a command on aggregates of which nothing is kept, and sets o.DryRun to what it would do.
func (h *Handler) try(
	ctx context.Context, stream eventsourcing.StreamID, o Options, do do, with []eventsourcing.Option,
) (eventsourcing.Version, error) {
	trial, c := dryrun.New(h.cfg.Store, stream, o.At), h.cfg
	c.Store, c.Cache = trial, 0
	if c.Snapshots != nil {
		c.Snapshots = trial.Snapshots(c.Snapshots)
	}
	on, err := newAggregates(c, h.metrics)
	if err != nil {
		return 0, err
	}
	version, err := do(ctx, on, with...)
	if errors.Is(err, dryrun.ErrNoVersion) {
		err = problems.ErrNoSuchVersion
	}
	*o.DryRun = trial.Outcome()
	return version, err
}
