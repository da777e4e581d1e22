package process

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Request is a command on its way.
type Request struct {
	// Key is the same for every sending of the command, and of no other one.
	Key     string
	Process eventsourcing.StreamID
	Command Command
	// CorrelationID is that of the input which led to the command.
	CorrelationID string
}

// Config configures a Manager.
type Config struct {
	// Log has the streams of the processes.
	Log *dynamostore.Store
	// Timers is the table of the timers.
	Timers timers.Table
	// Send delivers a command and returns its answer, a refusal included. An error means that there is none: the command is sent again
	// later, with the same key.
	Send func(context.Context, Request) (Answer, error)
	// SendTimeout bounds one call of Send. Defaults to 10 s.
	SendTimeout time.Duration
	// Rate is the most commands a second, of all processes of this Manager. Defaults to no limit.
	Rate rate.Limit
	// Actor is the actor of the processes' events. Defaults to the category.
	Actor string
	// CacheSize is the number of processes whose states are kept in memory. Defaults to 1,000.
	CacheSize int
	// Snapshots keep the states of long streams, if the Spec has States. Defaults to none.
	Snapshots eventsourcing.Snapshots
	// SnapshotEvery is about how many events lie between a stream's snapshots. Defaults to 100.
	SnapshotEvery int
	// OnSnapshot is called with each use of a snapshot, and with the reason where there is one. Defaults to no call.
	OnSnapshot func(eventsourcing.SnapshotUse, error)
	// Backoff is the pause after a lost race. Defaults to 5 ms, doubled up to 80 ms.
	Backoff retry.Backoff
	// NewID makes the IDs of events. Defaults to random text.
	NewID func() string
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Logger logs what operators do. Defaults to none.
	Logger *slog.Logger
	// Metrics registers the Manager's metrics. Defaults to none.
	Metrics prometheus.Registerer
}

// Manager runs the processes of one Spec. It is safe for concurrent use, also by several programs for one process.
type Manager[S any, E eventsourcing.Event] struct {
	spec    Spec[S, E]
	cfg     Config
	states  *eventsourcing.Repository[state[S], eventsourcing.Event]
	codec   *eventsourcing.Codec[eventsourcing.Event]
	limit   *rate.Limiter
	metrics metrics
}

// NewManager validates spec and cfg, reports all mistakes at once and returns a Manager.
func NewManager[S any, E eventsourcing.Event](spec Spec[S, E], cfg Config) (*Manager[S, E], error) {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, fmt.Errorf("process %q: %s", spec.Category, what))
		}
	}
	require(spec.Category != "", "Category is missing")
	require(len(spec.Listens) > 0, "Listens is missing")
	require(spec.React != nil, "React is missing")
	require(spec.Evolve != nil, "Evolve is missing")
	require(spec.Codec != nil, "Codec is missing")
	require(spec.Parallel >= 0 && spec.Parallel <= maxParallel, fmt.Sprintf("Parallel must be 0 to %d", maxParallel))
	require(cfg.Log != nil, "Log is missing")
	require(cfg.Timers.DB != nil, "Timers.DB is missing")
	require(cfg.Send != nil, "Send is missing")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.SendTimeout = cmp.Or(cfg.SendTimeout, 10*time.Second)
	cfg.Rate = cmp.Or(cfg.Rate, rate.Inf)
	cfg.Actor = cmp.Or(cfg.Actor, spec.Category)
	cfg.Backoff = cfg.Backoff.Or(5*time.Millisecond, 80*time.Millisecond)
	if cfg.NewID == nil {
		cfg.NewID = rand.Text
	}
	if cfg.Now == nil {
		cfg.Now = time.Now //nolint:forbidigo // the documented default
	}
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler)).With(slog.String("process", spec.Category))
	spec.Parallel = cmp.Or(spec.Parallel, 1)
	m := &Manager[S, E]{
		spec: spec, cfg: cfg, codec: spec.Events(),
		limit: rate.NewLimiter(cfg.Rate, spec.Parallel), metrics: newMetrics(cfg.Metrics, spec.Category),
	}
	var err error
	m.states, err = eventsourcing.NewRepository(eventsourcing.Config[state[S], eventsourcing.Event]{
		Aggregate: eventsourcing.Aggregate[state[S], eventsourcing.Event]{
			Category: spec.Category, Evolve: spec.evolve, Codec: m.codec, States: spec.snapshots(),
		},
		Store: cfg.Log, Now: cfg.Now, Cache: eventsourcing.NewCache[state[S]](cmp.Or(cfg.CacheSize, 1000)),
		Snapshots: cfg.Snapshots, SnapshotEvery: cfg.SnapshotEvery, OnSnapshot: cfg.OnSnapshot,
	})
	return m, err
}

// Category returns the category of the processes.
func (m *Manager[S, E]) Category() string { return m.spec.Category }

func (m *Manager[S, E]) stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: m.spec.Category, ID: id}
}

func (m *Manager[S, E]) now() time.Time { return m.cfg.Now().UTC().Truncate(time.Millisecond) }

// HeardRow is the name of the row by which a projection of Sources has the fence of a stream of that category.
func HeardRow(category string) string { return "heard/" + category }

// Sources are the sources of the projection by which the processes hear events. Its table has their fences. One that is missing is derived
// from the log: an event that led to events of a process, or is before such a one in its stream, is not heard again.
func (m *Manager[S, E]) Sources() []projection.Source {
	sources := make([]projection.Source, len(m.spec.Listens))
	for i, l := range m.spec.Listens {
		sources[i] = projection.NewEffectSource(projection.Effect{
			Category: l.category, Row: HeardRow(l.category), Knows: l.knows,
			Concerns: func(rec eventsourcing.Record) (bool, error) {
				id, _, err := l.route(rec)
				return id != "", err
			},
			Apply: func(ctx context.Context, rec eventsourcing.Record, fence types.TransactWriteItem) (bool, error) {
				return m.hear(ctx, l, rec, fence)
			},
			Had: func(ctx context.Context, records []eventsourcing.Record) (int, error) {
				return m.heard(ctx, l, records)
			},
		})
	}
	return sources
}

// hear lets the process that an event is for react to it.
func (m *Manager[S, E]) hear(ctx context.Context, l Listener, rec eventsourcing.Record, fence types.TransactWriteItem) (bool, error) {
	id, event, err := l.route(rec)
	if err != nil {
		return false, err
	}
	md := eventsourcing.Metadata{
		CorrelationID: rec.Metadata.CorrelationID, CausationID: rec.ID, Actor: m.cfg.Actor, Traceparent: rec.Metadata.Traceparent,
	}
	moved := dynamostore.Extra{Write: fence, Refused: projection.ErrMoved}
	_, written, err := m.step(ctx, id, md, func(st state[S]) ([]eventsourcing.Event, error) {
		if st.Cancelled {
			return nil, nil
		}
		return m.reaction(st, Heard{Event: event, Record: rec}, md.CorrelationID)
	}, moved)
	switch {
	case cannotReact(err), errors.Is(err, eventsourcing.ErrUnknownEvent):
		return false, fmt.Errorf("%w: %w", projection.ErrNoEffect, err)
	case err == nil:
		m.metrics.inputs.WithLabelValues(inputEvent).Inc()
	}
	return written, err
}

// heard returns how many of a stream's records, the first ones, processes have heard, as their streams say: up to the last one that caused
// an event. Those after it had no effect.
func (m *Manager[S, E]) heard(ctx context.Context, l Listener, records []eventsourcing.Record) (n int, err error) {
	causes := map[string]map[string]bool{} // of a process's events, by the process's ID
	for n = len(records); n > 0; n-- {
		rec := records[n-1]
		id, _, err := l.route(rec)
		if err == nil && causes[id] == nil {
			causes[id], err = m.causes(ctx, id)
		}
		if err != nil || causes[id][rec.ID] {
			return n, err
		}
	}
	return 0, nil
}

// causes returns the IDs of the events that a process has heard and that led to events of its own.
func (m *Manager[S, E]) causes(ctx context.Context, id string) (map[string]bool, error) {
	ids := map[string]bool{}
	for rec, err := range m.cfg.Log.Read(ctx, m.stream(id), 0) {
		if err != nil {
			return nil, fmt.Errorf("read what %s has heard: %w", m.stream(id), err)
		}
		ids[rec.Metadata.CausationID] = true
	}
	return ids, nil
}

// errReaction: React panics, or what it wants cannot be stored.
var errReaction = errors.New("reaction that cannot be carried out")

// cannotReact reports whether the same reaction would fail for ever.
func cannotReact(err error) bool {
	return errors.Is(err, errReaction) || errors.Is(err, eventsourcing.ErrTooLarge)
}

// maxRaces is how many races for one process an input may lose.
const maxRaces = 50

// step decides on the state of a process and appends the events together with the timers that they lead to and other writes. It returns
// the state afterwards. Without events nothing is written.
func (m *Manager[S, E]) step(
	ctx context.Context, id string, md eventsourcing.Metadata,
	decide func(state[S]) ([]eventsourcing.Event, error), others ...dynamostore.Extra,
) (st state[S], written bool, err error) {
	for races := 1; ; races++ {
		st, _, err := m.states.Load(ctx, id)
		if err != nil {
			return st, false, err
		}
		events, err := decide(st)
		if err != nil || len(events) == 0 {
			return st, false, err
		}
		after := st
		commit := eventsourcing.Commit{Stream: m.stream(id), Expected: st.Version}
		for _, e := range events {
			after = m.spec.evolve(after, e)
			rec, err := m.recordOf(commit.Stream, after.Version, e, md)
			if err != nil {
				return st, false, err
			}
			commit.Records = append(commit.Records, rec)
		}
		if err := commit.Validate(); err != nil {
			return st, false, fmt.Errorf("%w: %w", errReaction, err)
		}
		err = m.cfg.Log.AppendWith(ctx, commit, append(m.changed(commit.Stream, st, after), others...)...)
		if err == nil {
			m.states.Appended(ctx, commit, after)
			return after, true, nil
		}
		if !errors.Is(err, eventsourcing.ErrConflict) {
			return st, false, fmt.Errorf("append to %s: %w", commit.Stream, err)
		}
		m.metrics.conflicts.Inc()
		if races >= maxRaces {
			return st, false, fmt.Errorf("append to %s: %w: %w, %d times", commit.Stream, eventsourcing.ErrUnavailable, err, races)
		}
		if err := m.cfg.Backoff.Wait(ctx, races); err != nil {
			return st, false, err
		}
	}
}

// changed are the writes of the timers that differ between two states.
func (m *Manager[S, E]) changed(stream eventsourcing.StreamID, before, after state[S]) (writes []dynamostore.Extra) {
	was, is := before.due(stream), after.due(stream)
	stays := func(name string) bool {
		a, hadIt := was[name]
		b, hasIt := is[name]
		return hadIt && hasIt && a.Due.Equal(b.Due)
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if !stays(name) {
			writes = append(writes, dynamostore.Extra{Write: m.cfg.Timers.Cancel(was[name])})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if !stays(name) || before.Renewed != after.Renewed {
			writes = append(writes, dynamostore.Extra{Write: m.cfg.Timers.Set(is[name])})
		}
	}
	return writes
}

func (m *Manager[S, E]) recordOf(
	stream eventsourcing.StreamID, version eventsourcing.Version, e eventsourcing.Event, md eventsourcing.Metadata,
) (eventsourcing.Record, error) {
	data, schema, err := m.codec.Encode(e)
	if err != nil {
		return eventsourcing.Record{}, fmt.Errorf("%w: encode %s: %w", errReaction, e.EventName(), err)
	}
	return eventsourcing.Record{
		ID: m.cfg.NewID(), Stream: stream, Version: version, Name: e.EventName(), Schema: schema, Data: data,
		Metadata: md, RecordedAt: m.now(),
	}, nil
}
