// Package commands carries out the bounded context's commands: it looks up what a decision needs of other aggregates,
// lets the domain decide, and counts what came of it.
package commands

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Handler carries out commands.
type Handler struct {
	users *eventsourcing.Repository[user.State, user.Event]
	roles *eventsourcing.Repository[role.State, role.Event]

	store     eventsourcing.Store
	snapshots *eventsourcing.SnapshotWriter // nil: none are kept
	now       func() time.Time
	timeout   time.Duration
	outcomes  *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	tracer    trace.Tracer
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
	// Cache is of how many users, and of how many roles, the state is kept in memory. Defaults to none.
	Cache int
	// Snapshots keeps states of long streams, as long as WriteSnapshots runs. Defaults to none.
	Snapshots eventsourcing.Snapshots
	// SnapshotEvery is how many events lie between a stream's snapshots. Defaults to 100.
	SnapshotEvery int
	Log           *slog.Logger
	Metrics       prometheus.Registerer
	// Traces makes a span of each command. Defaults to none.
	Traces trace.TracerProvider
}

// New returns a Handler.
func New(c Config) *Handler {
	conflicts := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "command_conflicts_total", Help: "Attempts lost to another writer and decided again.",
	})
	cache := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "state_cache_total", Help: "Commands by what the cache of states was good for: hit (no read), stale (a short one), miss.",
	}, []string{"result"})
	album := newAlbum(c.Log)
	meters := meters{
		onConflict: conflicts.Inc, onCache: func(u eventsourcing.CacheUse) { cache.WithLabelValues(string(u)).Inc() },
		onSnapshot: album.used,
	}
	h := &Handler{
		store: c.Store, now: c.Now, timeout: c.Timeout, tracer: eventtrace.Tracer(c.Traces, "services/command-api"),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "commands_total", Help: "Commands by their outcome: accepted, repeated or the code of the problem that answered.",
		}, []string{"command", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "command_seconds", Help: "Time from a command's arrival to its answer.", Buckets: telemetry.LatencyBuckets(),
		}, []string{"command"}),
	}
	if c.Snapshots != nil {
		h.snapshots = eventsourcing.NewSnapshotWriter(c.Snapshots, album.used)
	}
	h.users = repository(c, user.Aggregate(), meters, h.snapshots)
	h.roles = repository(c, role.Aggregate(), meters, h.snapshots)
	c.Metrics.MustRegister(conflicts, cache, album.uses, h.outcomes, h.seconds)
	return h
}

// meters are told what repositories do.
type meters struct {
	onConflict func()
	onCache    func(eventsourcing.CacheUse)
	onSnapshot func(eventsourcing.SnapshotUse, error)
}

func repository[S any, E eventsourcing.Event](
	c Config, a eventsourcing.Aggregate[S, E], m meters, snapshots *eventsourcing.SnapshotWriter,
) *eventsourcing.Repository[S, E] {
	r := &eventsourcing.Repository[S, E]{
		Aggregate: a, Store: c.Store, NewID: newID, Now: c.Now, Jitter: c.Jitter, MaxAttempts: c.MaxAttempts,
		OnConflict: m.onConflict, OnCache: m.onCache, SnapshotEvery: c.SnapshotEvery, OnSnapshot: m.onSnapshot,
	}
	if snapshots != nil {
		r.Snapshots = snapshots
	}
	if c.Cache > 0 {
		r.Cache = eventsourcing.NewCache[S](c.Cache)
	}
	return r
}

// newID returns a UUID that sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// User carries out a command on one user. It returns the user's version afterwards.
func (h *Handler) User(
	ctx context.Context, name, id string, d eventsourcing.Decision[user.State, user.Event], demand Demand,
) (eventsourcing.Version, error) {
	return run(ctx, h, h.users, name, id, eventsourcing.Just(d), demand)
}

// Role carries out a command on one role. It returns the role's version afterwards.
func (h *Handler) Role(
	ctx context.Context, name, id string, d eventsourcing.Decision[role.State, role.Event], demand Demand,
) (eventsourcing.Version, error) {
	return run(ctx, h, h.roles, name, id, eventsourcing.Just(d), demand)
}

// AddRole grants a role. A guard makes sure that the role is still what the decision saw when the event is written.
func (h *Handler) AddRole(ctx context.Context, userID, roleID string, demand Demand) (eventsourcing.Version, error) {
	prepare := func(ctx context.Context) (eventsourcing.Attempt[user.State, user.Event], error) {
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
	}
	return run(ctx, h, h.users, "addRole", userID, prepare, demand)
}

func run[S any, E eventsourcing.Event](
	ctx context.Context, h *Handler, r *eventsourcing.Repository[S, E], name, id string, prepare eventsourcing.Prepare[S, E], demand Demand,
) (eventsourcing.Version, error) {
	started := h.now()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	ctx, span := eventtrace.Start(ctx, h.tracer, name)
	actor := auth.Of(ctx).Subject
	result := demand.result(actor, started)
	version, err := r.Execute(ctx, id, demanding(prepare, id, demand, result), eventsourcing.Metadata{
		CorrelationID: telemetry.CorrelationOf(ctx).CorrelationID,
		CausationID:   newID(), // the command's own ID
		Actor:         actor,
		Traceparent:   eventtrace.Traceparent(ctx),
	})
	if errors.Is(err, eventsourcing.ErrCommandRepeated) {
		err = h.firstAnswer(ctx, result)
	}
	eventtrace.Observe(h.seconds.WithLabelValues(name), h.now().Sub(started).Seconds(), span.SpanContext())
	outcome, failed := outcomeOf(err)
	h.outcomes.WithLabelValues(name, outcome).Inc()
	end(span, outcome, failed)
	return version, err
}

// end records a command's outcome by its code alone, for an error may quote values.
func end(span trace.Span, outcome string, failed bool) {
	if span.IsRecording() {
		span.SetAttributes(attribute.String("leftfold.outcome", outcome))
	}
	if failed {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// outcomeOf is accepted, repeated or the code of the problem that answers err; failed says that it is our fault or AWS's.
func outcomeOf(err error) (outcome string, failed bool) {
	if err == nil {
		return "accepted", false
	}
	if _, ok := errors.AsType[*RepeatedError](err); ok {
		return "repeated", false
	}
	p := httpapi.ProblemOf(err)
	return p.Code, p.Status >= http.StatusInternalServerError
}
