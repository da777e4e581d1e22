package commands_test

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/dryrun"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
	"github.com/leftfold/leftfold/services/command-api/internal/commands"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ann     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"
	ben     = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e58"
	auditor = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e59"
)

// world is a Handler with its store and metrics.
type world struct {
	t *testing.T
	*commands.Handler
	store    *memstore.Store
	registry *prometheus.Registry
}

// newWorld makes a Handler whose store may be wrapped; nil leaves it as it is.
func newWorld(t *testing.T, wrap func(dryrun.Log) dryrun.Log) *world {
	t.Helper()
	w := &world{t: t, store: &memstore.Store{}, registry: prometheus.NewRegistry()}
	var store dryrun.Log = w.store
	if wrap != nil {
		store = wrap(store)
	}
	var err error
	w.Handler, err = commands.NewHandler(commands.Config{
		Store: store, Now: time.Now, MaxAttempts: 3, Timeout: time.Minute, Cache: 4, Metrics: w.registry,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	return w
}

// annAndAuditor creates the user and the role that most tests need.
func (w *world) annAndAuditor() {
	w.t.Helper()
	_, err := w.User(w.t.Context(), "register", ann, user.Register{ID: ann, Email: "ann@example.com"}, commands.Options{})
	require.NoError(w.t, err)
	_, err = w.Role(w.t.Context(), "create", auditor, role.Create{ID: auditor, Name: "auditor"}, commands.Options{})
	require.NoError(w.t, err)
}

// events are a user's.
func (w *world) events(id string) (records []eventsourcing.Record) {
	w.t.Helper()
	for r, err := range w.store.Read(w.t.Context(), eventsourcing.StreamID{Category: user.Category, ID: id}, 0) {
		require.NoError(w.t, err)
		records = append(records, r)
	}
	return records
}

// counted is a counter's value, or how many values a histogram observed, at the given label values.
func (w *world) counted(name string, labels ...string) (n float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	require.NoError(w.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if f.GetName() == name && assert.ObjectsAreEqual(labels, values) {
				n += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return n
}

func TestAddRoleGrantsAnExistingRoleByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.annAndAuditor()
	_, err := w.Role(t.Context(), "rename", auditor, role.Rename{Name: "Chief"}, commands.Options{})
	require.NoError(t, err)

	version, err := w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(2), version)
	granted := w.events(ann)[1]
	assert.Equal(t, "org/iam/user/roleAdded", granted.Name)
	assert.JSONEq(t, `{"roleId":"`+auditor+`"}`, string(granted.Data))
	assert.Equal(t, []eventsourcing.Enrichment{{
		Aggregate: role.Category, ID: auditor, Data: json.RawMessage(`{"name":"Chief"}`),
	}}, granted.Enrichment)
}

// between is a store with something that happens once, before scopes are read.
type between struct {
	dryrun.Log
	once func()
}

func (b *between) Scopes(ctx context.Context, scopes []eventsourcing.Scope) (eventsourcing.ScopeStates, error) {
	if once := b.once; once != nil {
		b.once = nil
		once()
	}
	return b.Log.Scopes(ctx, scopes)
}

// A role's limit and its members are two reads. Whatever changes between them, the answer is right at one moment.
func TestAGrantIsDecidedOnTheLimitAndTheMembersOfOneMoment(t *testing.T) {
	t.Parallel()
	const limit = 2
	for name, tt := range map[string]struct {
		limits []int64 // the limit becomes, between the reads
		grants bool    // ben gets the role then
		want   error
	}{
		"nothing changes":                             {},
		"another one takes the last seat":             {grants: true, want: user.ErrNoSeatLeft},
		"the limit is raised, and one seat is taken":  {limits: []int64{limit + 1}, grants: true},
		"the limit is dropped, and one seat is taken": {limits: []int64{0}, grants: true},
		"the limit is lowered to the members":         {limits: []int64{limit - 1}, want: user.ErrNoSeatLeft},
		"the limit is raised and lowered again":       {limits: []int64{limit + 1, limit - 1}, want: user.ErrNoSeatLeft},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &between{}
			w := newWorld(t, func(s dryrun.Log) dryrun.Log {
				store.Log = s
				return store
			})
			w.annAndAuditor()
			do := func(err error) { require.NoError(t, err) }
			setLimit := func(to int64) {
				_, err := w.Role(t.Context(), "setRules", auditor, role.SetRules{Rules: role.Rules{MaxMembers: to}}, commands.Options{})
				do(err)
			}
			register := func(id user.ID, email user.Email) {
				_, err := w.User(t.Context(), "register", string(id), user.Register{ID: id, Email: email}, commands.Options{})
				do(err)
			}
			grant := func(id string) error {
				_, err := w.AddRole(t.Context(), id, auditor, time.Time{}, commands.Options{})
				return err
			}
			const carl, dan = "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e60", "01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e61"
			register(ben, "ben@example.com")
			register(carl, "carl@example.com")
			register(dan, "dan@example.com")
			setLimit(limit)
			do(grant(carl))

			store.once = func() {
				for _, to := range tt.limits {
					setLimit(to)
				}
				if tt.grants {
					do(grant(ben))
				}
			}
			require.ErrorIs(t, grant(dan), tt.want)
			assert.Nil(t, store.once)
		})
	}
}

func TestAddRoleIsRefused(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		user, role string
		given      func(w *world)
		want       *eventsourcing.Refusal
	}{
		"an unknown role": {user: ann, role: ben, want: user.ErrRoleNotFound},
		"an unknown user": {user: ben, role: auditor, want: user.ErrNotFound},
		"a disabled role": {user: ann, role: auditor, want: user.ErrRoleDisabled, given: func(w *world) {
			_, err := w.Role(t.Context(), "disable", auditor, role.Disable{}, commands.Options{})
			require.NoError(t, err)
		}},
		"a disabled user": {user: ann, role: auditor, want: user.ErrDisabled, given: func(w *world) {
			_, err := w.User(t.Context(), "disable", ann, user.Disable{}, commands.Options{})
			require.NoError(t, err)
		}},
		"a role already held": {user: ann, role: auditor, want: user.ErrRoleHeld, given: func(w *world) {
			_, err := w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
			require.NoError(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			w.annAndAuditor()
			if tt.given != nil {
				tt.given(w)
			}
			before := w.events(tt.user)
			_, err := w.AddRole(t.Context(), tt.user, tt.role, time.Time{}, commands.Options{})
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, before, w.events(tt.user))
			assert.InDelta(t, 1, w.counted("commands_total", "addRole", tt.want.Code), 0)
		})
	}
}

// meddling runs an operation right before an append to a user's stream, as a competitor might.
type meddling struct {
	dryrun.Log
	before func(ctx context.Context)
}

func (s *meddling) Append(ctx context.Context, c eventsourcing.Commit) error {
	if before := s.before; before != nil && c.Stream.Category == user.Category {
		s.before = nil
		before(ctx)
	}
	return s.Log.Append(ctx, c)
}

func TestARoleDisabledBeforeTheAppendIsNotGranted(t *testing.T) {
	t.Parallel()
	m := &meddling{}
	w := newWorld(t, func(s dryrun.Log) dryrun.Log { m.Log = s; return m })
	w.annAndAuditor()
	m.before = func(ctx context.Context) {
		_, err := w.Role(ctx, "disable", auditor, role.Disable{}, commands.Options{})
		require.NoError(t, err)
	}
	_, err := w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.ErrorIs(t, err, user.ErrRoleDisabled)
	assert.Len(t, w.events(ann), 1)
	assert.InDelta(t, 1, w.counted("command_conflicts_total", "guard"), 0)
}

func TestARoleRenamedBeforeTheAppendIsGrantedByItsNewName(t *testing.T) {
	t.Parallel()
	m := &meddling{}
	w := newWorld(t, func(s dryrun.Log) dryrun.Log { m.Log = s; return m })
	w.annAndAuditor()
	m.before = func(ctx context.Context) {
		_, err := w.Role(ctx, "rename", auditor, role.Rename{Name: "chief"}, commands.Options{})
		require.NoError(t, err)
	}
	version, err := w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(2), version)
	assert.JSONEq(t, `{"name":"chief"}`, string(w.events(ann)[1].Enrichment[0].Data))
}

func TestASeatThatIsTakenBeforeTheAppendIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	m := &meddling{}
	w := newWorld(t, func(s dryrun.Log) dryrun.Log { m.Log = s; return m })
	w.annAndAuditor()
	_, err := w.Role(t.Context(), "setRules", auditor, role.SetRules{Rules: role.Rules{MaxMembers: 1}}, commands.Options{})
	require.NoError(t, err)
	_, err = w.User(t.Context(), "register", ben, user.Register{ID: ben, Email: "ben@example.com"}, commands.Options{})
	require.NoError(t, err)
	m.before = func(ctx context.Context) {
		_, err := w.AddRole(ctx, ben, auditor, time.Time{}, commands.Options{})
		require.NoError(t, err)
	}
	_, err = w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.ErrorIs(t, err, user.ErrNoSeatLeft)
	assert.Len(t, w.events(ann), 1)
	assert.InDelta(t, 1, w.counted("command_conflicts_total", "scope"), 0, "of the scope, not of the user's stream")
	assert.Zero(t, w.counted("command_conflicts_total", "stream"))
}

func TestAGrantThatIsPreparedAgainIsDecidedAtTheTimeOfThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &meddling{}
		w := newWorld(t, func(s dryrun.Log) dryrun.Log { m.Log = s; return m })
		w.annAndAuditor()
		m.before = func(ctx context.Context) {
			time.Sleep(time.Minute / 2) // a slow store
			_, err := w.Role(ctx, "rename", auditor, role.Rename{Name: "chief"}, commands.Options{})
			require.NoError(t, err)
		}
		_, err := w.AddRole(t.Context(), ann, auditor, time.Now().Add(time.Second), commands.Options{})
		require.ErrorIs(t, err, user.ErrUntilPassed)
		assert.Len(t, w.events(ann), 1)
	})
}

func TestMetadataNamesTheActorAndTheRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	ctx := telemetry.WithCorrelation(t.Context(), telemetry.Correlation{CorrelationID: "request-7"})
	for id, email := range map[string]user.Email{ann: "ann@example.com", ben: "ben@example.com"} {
		_, err := w.User(ctx, "register", id, user.Register{ID: user.ID(id), Email: email}, commands.Options{})
		require.NoError(t, err)
	}
	first, second := w.events(ann)[0], w.events(ben)[0]
	for _, r := range []eventsourcing.Record{first, second} {
		assert.Equal(t, "request-7", r.Metadata.CorrelationID)
		assert.Equal(t, "anonymous", r.Metadata.Actor)
		require.NoError(t, uuid.Validate(r.Metadata.CausationID))
		require.NoError(t, uuid.Validate(r.ID))
		assert.NotEqual(t, r.ID, r.Metadata.CausationID)
	}
	assert.NotEqual(t, first.Metadata.CausationID, second.Metadata.CausationID, "each command has an id of its own")
}

// failing answers every append by err.
type failing struct {
	dryrun.Log
	err error
}

func (s failing) Append(context.Context, eventsourcing.Commit) error { return s.err }

func TestOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	claim := eventsourcing.Claim{Category: user.Category, Name: "email", Value: "ann@example.com"}
	for outcome, tt := range map[string]struct {
		err       error
		moved     string
		conflicts float64
	}{
		"accepted":    {nil, "stream", 0},
		"email_taken": {&eventsourcing.ClaimTakenError{Claim: claim}, "stream", 0},
		"busy":        {eventsourcing.ErrScopeMoved, "scope", 3},
		"unavailable": {eventsourcing.ErrUnavailable, "scope", 0},
	} {
		t.Run(outcome, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(s dryrun.Log) dryrun.Log {
				if tt.err == nil {
					return s
				}
				return failing{s, tt.err}
			})
			_, err := w.User(t.Context(), "register", ann, user.Register{ID: ann, Email: "ann@example.com"}, commands.Options{})
			require.ErrorIs(t, err, tt.err)
			assert.InDelta(t, 1, w.counted("commands_total", "register", outcome), 0)
			assert.InDelta(t, tt.conflicts, w.counted("command_conflicts_total", tt.moved), 0)
			assert.InDelta(t, 1, w.counted("command_seconds", "register"), 0)
		})
	}
}

// stuck never answers a read.
type stuck struct{ dryrun.Log }

func (stuck) Read(ctx context.Context, _ eventsourcing.StreamID, _ eventsourcing.Version) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		<-ctx.Done()
		yield(eventsourcing.Record{}, context.Cause(ctx))
	}
}

func TestACommandTimesOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(s dryrun.Log) dryrun.Log { return stuck{s} })
		started := time.Now()
		_, err := w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(started))
		assert.InDelta(t, 1, w.counted("commands_total", "addRole", "unavailable"), 0)
	})
}

// TestACommandThatMeetsAnEventOfALaterBuildIsRefused: what cannot be folded is not decided on, and an alert sees it.
func TestACommandThatMeetsAnEventOfALaterBuildIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	assert.Zero(t, w.counted("unknown_events_total"))
	w.annAndAuditor()
	events := w.events(ann)
	later := events[len(events)-1]
	later.ID, later.Version, later.Schema = "later", later.Version+1, 99
	require.NoError(t, w.store.Append(t.Context(), eventsourcing.Commit{
		Stream: later.Stream, Expected: later.Version - 1, Records: []eventsourcing.Record{later},
	}))
	_, err := w.User(t.Context(), "disable", ann, user.Disable{}, commands.Options{})
	require.ErrorIs(t, err, eventsourcing.ErrUnknownEvent)
	_, err = w.AddRole(t.Context(), ann, auditor, time.Time{}, commands.Options{})
	require.ErrorIs(t, err, eventsourcing.ErrUnknownEvent)
	assert.InDelta(t, 2, w.counted("unknown_events_total"), 0)
	assert.InDelta(t, 1, w.counted("commands_total", "disable", "unknown_event"), 0)
	assert.Len(t, w.events(ann), len(events)+1, "nothing is written")
}
