// Package commands carries out the bounded context's commands: it looks up what a decision needs of other aggregates,
// lets the domain decide, and counts what came of it.
package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/telemetry"
)

// Handler carries out commands.
type Handler struct {
	users *eventsourcing.Repository[user.State, user.Event]
	roles *eventsourcing.Repository[role.State, role.Event]

	now      func() time.Time
	timeout  time.Duration
	outcomes *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

// Config sets a Handler up.
type Config struct {
	Store eventsourcing.Store
	Now   func() time.Time
	// Jitter draws a pause from zero up to its argument. Defaults to a uniform draw.
	Jitter func(time.Duration) time.Duration
	// MaxAttempts bounds the decisions of one command under conflicts.
	MaxAttempts int
	// Timeout bounds one command, conflicts included.
	Timeout time.Duration
	Metrics prometheus.Registerer
}

// New returns a Handler.
func New(c Config) *Handler {
	conflicts := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "leftfold_command_conflicts_total", Help: "Attempts lost to another writer and decided again.",
	})
	h := &Handler{
		now: c.Now, timeout: c.Timeout,
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "leftfold_commands_total", Help: "Commands by what came of them: accepted, a refusal's code, busy, failed.",
		}, []string{"command", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "leftfold_command_seconds", Help: "Time from a command's arrival to its answer.", Buckets: telemetry.LatencyBuckets(),
		}, []string{"command"}),
	}
	h.users = repository(c, user.Aggregate(), conflicts.Inc)
	h.roles = repository(c, role.Aggregate(), conflicts.Inc)
	c.Metrics.MustRegister(conflicts, h.outcomes, h.seconds)
	return h
}

func repository[S any, E eventsourcing.Event](c Config, a eventsourcing.Aggregate[S, E], onConflict func()) *eventsourcing.Repository[S, E] {
	return &eventsourcing.Repository[S, E]{
		Aggregate: a, Store: c.Store, NewID: newID, Now: c.Now, Jitter: c.Jitter, MaxAttempts: c.MaxAttempts,
		OnConflict: onConflict,
	}
}

// newID returns a UUID that sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// User carries out a command on one user. It returns the user's version afterwards.
func (h *Handler) User(ctx context.Context, name, id string, d eventsourcing.Decision[user.State, user.Event]) (eventsourcing.Version, error) {
	return run(ctx, h, h.users, name, id, eventsourcing.Just(d))
}

// Role carries out a command on one role. It returns the role's version afterwards.
func (h *Handler) Role(ctx context.Context, name, id string, d eventsourcing.Decision[role.State, role.Event]) (eventsourcing.Version, error) {
	return run(ctx, h, h.roles, name, id, eventsourcing.Just(d))
}

// AddRole grants a role. A guard makes sure that the role is still what the decision saw when the event is written.
func (h *Handler) AddRole(ctx context.Context, userID, roleID string) (eventsourcing.Version, error) {
	return run(ctx, h, h.users, "addRole", userID, func(ctx context.Context) (eventsourcing.Attempt[user.State, user.Event], error) {
		state, version, err := h.roles.Load(ctx, roleID)
		if err != nil {
			return eventsourcing.Attempt[user.State, user.Event]{}, err
		}
		named, err := json.Marshal(map[string]role.Name{"name": state.Name()})
		if err != nil {
			return eventsourcing.Attempt[user.State, user.Event]{}, fmt.Errorf("encode the role's name: %w", err)
		}
		return eventsourcing.Attempt[user.State, user.Event]{
			Decision: user.AddRole{Role: user.Grantable{
				ID: user.RoleID(roleID), Exists: state.Exists(), Enabled: !state.Disabled(),
			}},
			Enrichment: []eventsourcing.Enrichment{{Aggregate: role.Category, ID: roleID, Data: named}},
			Guards: []eventsourcing.Guard{{
				Stream: eventsourcing.StreamID{Category: role.Category, ID: roleID}, Version: version,
			}},
		}, nil
	})
}

func run[S any, E eventsourcing.Event](
	ctx context.Context, h *Handler, r *eventsourcing.Repository[S, E], name, id string, prepare eventsourcing.Prepare[S, E],
) (eventsourcing.Version, error) {
	started := h.now()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	version, err := r.Execute(ctx, id, prepare, eventsourcing.Metadata{
		CorrelationID: telemetry.CorrelationOf(ctx).CorrelationID,
		CausationID:   newID(), // the command's own ID
		Actor:         "anonymous",
	})
	h.seconds.WithLabelValues(name).Observe(h.now().Sub(started).Seconds())
	h.outcomes.WithLabelValues(name, outcome(err)).Inc()
	return version, err
}

func outcome(err error) string {
	if r, ok := errors.AsType[*eventsourcing.Refusal](err); ok {
		return r.Code
	}
	if c, ok := errors.AsType[*eventsourcing.ClaimTakenError](err); ok {
		return c.Code()
	}
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, eventsourcing.ErrConflict), errors.Is(err, eventsourcing.ErrGuardMoved):
		return "busy"
	default:
		return "failed"
	}
}
