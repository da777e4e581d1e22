// Package commands runs the commands on users and roles: it looks up what a command needs of other aggregates, lets the
// domain decide, and counts the outcomes.
package commands

import (
	"context"
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
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/eventsourcing/snapshot"
	"github.com/leftfold/leftfold/pkg/iam/problems"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/pkg/service/auth"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Handler runs commands.
type Handler struct {
	cfg       Config
	log       aggregates
	snapshots *snapshot.Writer // nil: none are kept
	metrics   *metrics
	tracer    trace.Tracer
}

// Config sets a Handler up.
type Config struct {
	Store dryrun.Log
	Now   func() time.Time
	// Backoff paces the attempts of one command under conflicts. Defaults to the repository's.
	Backoff retry.Backoff
	// MaxAttempts bounds the attempts of one command under conflicts.
	MaxAttempts int
	// Timeout bounds one command, all attempts included.
	Timeout time.Duration
	// Cache is of how many users, and of how many roles, the state is kept in memory. Defaults to none.
	Cache int
	// Snapshots keeps states of long streams, as long as WriteSnapshots runs. Defaults to none.
	Snapshots eventsourcing.Snapshots
	// SnapshotEvery is how many events lie between a stream's snapshots. Defaults to 100.
	SnapshotEvery int
	Logger        *slog.Logger
	Metrics       prometheus.Registerer
	// Traces makes a span of each command. Defaults to none.
	Traces trace.TracerProvider
}

// NewHandler returns a Handler.
func NewHandler(c Config) (*Handler, error) {
	h := &Handler{cfg: c, metrics: newMetrics(c), tracer: eventtrace.Tracer(c.Traces, "services/command-api")}
	if c.Snapshots != nil {
		h.snapshots = snapshot.NewWriter(c.Snapshots, h.metrics.snapshotUsed)
		c.Snapshots = h.snapshots
	}
	var err error
	h.log, err = newAggregates(c, h.metrics)
	return h, err
}

// WriteSnapshots saves the snapshots that commands and loads ask for, until ctx ends. One that is not saved by then is
// lost, which costs time only.
func (h *Handler) WriteSnapshots(ctx context.Context) error {
	if h.snapshots == nil {
		<-ctx.Done()
		return nil
	}
	return h.snapshots.Run(ctx)
}

// newID returns a UUID that sorts by time.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// Options holds a request's precondition and idempotency key. The zero Options has neither.
type Options struct {
	// AllowVersion reports whether the command may be decided at this version of the aggregate; if not, the answer is
	// eventsourcing.ErrVersionMismatch. Defaults to any version.
	AllowVersion func(eventsourcing.Version) bool
	// Key names the command among all of its sender's, so that it is run once. Within keptFor, a repetition with the same
	// Fingerprint is a *RepeatedError and one with another a problems.ErrKeyReused.
	//
	// Only what was accepted is remembered, in the write's own transaction where there is one. A refusal wrote nothing, so
	// its repetition is decided by the state as it is then.
	Key, Fingerprint string
	// Outcome is what to remember of the command on that aggregate, which is at that version afterwards. It is required
	// with a Key.
	Outcome func(id string, after eventsourcing.Version) []byte
	// DryRun, unless it is nil, has the command decided and checked as ever, and nothing written: it is set to what the command would
	// do. Key is not looked at.
	DryRun *dryrun.Outcome
	// At is the version of the aggregate that a DryRun decides on; problems.ErrNoSuchVersion if it has not come to that. Defaults to the
	// one it is at.
	At eventsourcing.Version
}

// keptFor is how long a written command's outcome is remembered.
const keptFor = 24 * time.Hour

// RepeatedError means that the command was run before; Outcome is what was remembered then.
type RepeatedError struct{ Outcome []byte }

func (*RepeatedError) Error() string { return "command repeated" }

// User runs a command on one user and returns the user's version afterwards. Name is the command's in metrics and traces.
func (h *Handler) User(
	ctx context.Context, name, id string, c eventsourcing.Command[user.State, user.Event], o Options,
) (eventsourcing.Version, error) {
	stream := eventsourcing.StreamID{Category: user.Category, ID: id}
	return h.run(ctx, name, stream, o, func(
		ctx context.Context, on aggregates, with ...eventsourcing.Option,
	) (eventsourcing.Version, error) {
		return on.users.Do(ctx, id, c, with...)
	})
}

// Role runs a command on one role and returns the role's version afterwards. Name is the command's in metrics and traces.
func (h *Handler) Role(
	ctx context.Context, name, id string, c eventsourcing.Command[role.State, role.Event], o Options,
) (eventsourcing.Version, error) {
	stream := eventsourcing.StreamID{Category: role.Category, ID: id}
	return h.run(ctx, name, stream, o, func(
		ctx context.Context, on aggregates, with ...eventsourcing.Option,
	) (eventsourcing.Version, error) {
		return on.roles.Do(ctx, id, c, with...)
	})
}

// Now is the time of a command that depends on it.
func (h *Handler) Now() time.Time { return h.cfg.Now() }

// AddRole gives a user a role, until that time unless it is zero. A guard makes sure that the role has not changed since it was looked up.
func (h *Handler) AddRole(ctx context.Context, userID, roleID string, until time.Time, o Options) (eventsourcing.Version, error) {
	stream := eventsourcing.StreamID{Category: user.Category, ID: userID}
	return h.run(ctx, "addRole", stream, o, func(
		ctx context.Context, on aggregates, with ...eventsourcing.Option,
	) (eventsourcing.Version, error) {
		return on.users.DoWith(ctx, userID, func(ctx context.Context) (eventsourcing.Prepared[user.State, user.Event], error) {
			state, version, err := on.roles.Load(ctx, roleID)
			return eventsourcing.Prepared[user.State, user.Event]{
				Command: user.AddRole{Until: until, Now: h.cfg.Now(), Role: user.Grantable{
					ID: user.RoleID(roleID), Exists: state.Exists, Enabled: !state.Disabled, Retiring: state.Retiring, Retired: state.Retired,
					MaxMembers: state.Rules.MaxMembers,
				}},
				Enrichment: []eventsourcing.Enrichment{role.NewReference(role.ID(roleID), state.Name)},
				Guards: []eventsourcing.Guard{{
					Stream: eventsourcing.StreamID{Category: role.Category, ID: roleID}, Version: version,
				}},
			}, err
		}, with...)
	})
}

// run runs a command on the aggregate of a stream, or tries it.
func (h *Handler) run(ctx context.Context, name string, stream eventsourcing.StreamID, o Options, do do) (eventsourcing.Version, error) {
	startedAt := h.cfg.Now()
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	ctx, span := eventtrace.Start(ctx, h.tracer, name)
	actor := auth.Of(ctx).Subject
	with := []eventsourcing.Option{
		eventsourcing.WithVersions(o.AllowVersion),
		eventsourcing.WithMetadata(eventsourcing.Metadata{
			CorrelationID: telemetry.CorrelationOf(ctx).CorrelationID,
			CausationID:   newID(), // the command's own ID
			Actor:         actor,
			Traceparent:   eventtrace.Traceparent(ctx),
		}),
	}
	result := eventsourcing.CommandResult{
		ID:          actor + " " + o.Key, // a key has no spaces
		Fingerprint: o.Fingerprint, ExpiresAt: startedAt.Add(keptFor),
	}
	if o.Key != "" && o.DryRun == nil {
		with = append(with, eventsourcing.WithResult(result, func(after eventsourcing.Version) []byte { return o.Outcome(stream.ID, after) }))
	}
	var (
		version eventsourcing.Version
		err     error
	)
	if o.DryRun == nil {
		version, err = do(ctx, h.log, with...)
	} else {
		version, err = h.try(ctx, stream, o, do, with)
	}
	if errors.Is(err, eventsourcing.ErrCommandRepeated) {
		err = h.firstAnswer(ctx, result)
	}
	if errors.Is(err, eventsourcing.ErrLogHole) {
		h.metrics.holes.WithLabelValues(holeSeenByCommand).Inc()
	}
	if errors.Is(err, eventsourcing.ErrUnknownEvent) {
		h.metrics.unknownEvents.Inc()
	}
	eventtrace.Observe(h.metrics.seconds.WithLabelValues(name), h.cfg.Now().Sub(startedAt).Seconds(), span.SpanContext())
	outcome, failed := outcomeOf(err, o.DryRun != nil)
	h.metrics.outcomes.WithLabelValues(name, outcome).Inc()
	end(span, outcome, failed)
	return version, err
}

// firstAnswer returns the error that answers a repeated command.
func (h *Handler) firstAnswer(ctx context.Context, repeated eventsourcing.CommandResult) error {
	first, err := h.cfg.Store.Result(ctx, repeated.ID)
	switch {
	case errors.Is(err, eventsourcing.ErrNoResult): // expired meanwhile; another try is a new command
		return fmt.Errorf("the command's result has expired: %w", eventsourcing.ErrConflict)
	case err != nil:
		return fmt.Errorf("read the command's result: %w", err)
	case first.Fingerprint != repeated.Fingerprint:
		return problems.ErrKeyReused
	default:
		return &RepeatedError{Outcome: first.Outcome}
	}
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

// outcomeOf is accepted, dry_run, repeated or the code of the problem that answers err; failed says that it is our fault or AWS's.
func outcomeOf(err error, tried bool) (outcome string, failed bool) {
	switch {
	case err == nil && tried:
		return "dry_run", false
	case err == nil:
		return "accepted", false
	}
	if _, ok := errors.AsType[*RepeatedError](err); ok {
		return "repeated", false
	}
	p := httpapi.ProblemOf(err)
	return p.Code, p.Status >= http.StatusInternalServerError
}
