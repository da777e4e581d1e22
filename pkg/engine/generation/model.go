package generation

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// ErrUnknownShape means that this build has no fold of a generation's shape: a newer build has made it.
var ErrUnknownShape = fmt.Errorf("%w: rows of a shape that this build does not know", eventsourcing.ErrUnavailable)

// ErrNotRead means that reads have moved to another generation while one was audited.
var ErrNotRead = errors.New("reads have moved to another generation meanwhile; audit again")

// Shape is a fold of a projection. A fold that writes other rows than the one before gets the next number.
type Shape struct {
	Number  int
	Sources []projection.Source
}

// Config configures a Model.
type Config struct {
	// Projection configures the projector of each generation. Name and Table are those of generation 1; Sources are ignored.
	Projection projection.Config
	// Shapes are all that this build can write, and read, the newest last.
	Shapes []Shape
	// States is the table of states.
	States string
}

// Model is a projection with all its generations. It is safe for concurrent use.
type Model struct {
	config  Config
	watched *Watched
	due     prometheus.Gauge
	number  prometheus.Gauge

	mu         sync.Mutex
	projectors map[Generation]*projection.Projector
	told       int // the revision whose warning was logged, plus 1
}

// NewModel validates c and returns a Model.
func NewModel(c Config) (*Model, error) {
	if len(c.Shapes) == 0 || c.States == "" {
		return nil, fmt.Errorf("projection %q: want shapes and the table of states", c.Projection.Name)
	}
	m := &Model{config: c, projectors: map[Generation]*projection.Projector{}}
	for _, s := range c.Shapes {
		check := c.Projection
		check.Sources, check.Metrics = s.Sources, nil
		if _, err := projection.NewProjector(check); err != nil {
			return nil, fmt.Errorf("shape %d: %w", s.Number, err)
		}
	}
	control := Control{DB: c.Projection.DB, Table: c.States, Projection: c.Projection.Name}
	m.watched = NewWatched(control, c.Projection.Now)
	register := promauto.With(prometheus.WrapRegistererWith(prometheus.Labels{"projection": c.Projection.Name}, c.Projection.Metrics))
	m.number = register.NewGauge(prometheus.GaugeOpts{
		Name: "projection_generation", Help: "Number of the generation that is read.",
	})
	m.due = register.NewGauge(prometheus.GaugeOpts{
		Name: "projection_rebuild_due", Help: "1 if this build has a newer shape of the rows than the generation that is read.",
	})
	return m, nil
}

// Status is a projection's state as this build sees it.
type Status struct {
	State
	// Newest is the newest shape that this build knows.
	Newest int
	// Unknown are the shapes of fed generations that this build does not know: while there are any, it applies nothing.
	Unknown []int
}

// RebuildDue reports whether this build has a newer shape than the generations there are.
func (s Status) RebuildDue() bool {
	return !slices.ContainsFunc(s.Fed(), func(g Generation) bool { return g.Shape >= s.Newest })
}

// Status returns the state, and how this build relates to it.
func (m *Model) Status(ctx context.Context) (Status, error) {
	state, err := m.watched.State(ctx)
	if err != nil {
		return Status{}, err
	}
	s := Status{State: state, Newest: m.config.Shapes[len(m.config.Shapes)-1].Number}
	for _, g := range state.Fed() {
		if m.shape(g.Shape) == nil {
			s.Unknown = append(s.Unknown, g.Shape)
		}
	}
	m.tell(ctx, s)
	return s, nil
}

// tell says once of each revision what is to be done about it.
func (m *Model) tell(ctx context.Context, s Status) {
	due := 0.0
	if s.RebuildDue() {
		due = 1
	}
	m.due.Set(due)
	m.number.Set(float64(s.Current.Number))
	m.mu.Lock()
	news := m.told <= s.Revision
	m.told = max(m.told, s.Revision+1)
	m.mu.Unlock()
	if !news || m.config.Projection.Logger == nil {
		return
	}
	log := m.config.Projection.Logger.With(slog.String("projection", m.config.Projection.Name),
		slog.Int("generation", s.Current.Number), slog.Int("shape", s.Current.Shape))
	if due > 0 {
		log.WarnContext(ctx, "rows have an older shape than this build writes, rebuild the projection: leftfold projections rebuild",
			slog.Int("newest", s.Newest))
	}
	if len(s.Unknown) > 0 {
		log.ErrorContext(ctx, "rows of a shape that this build does not know, applying nothing: deploy the newer build",
			slog.Any("unknown", s.Unknown))
	}
}

func (m *Model) shape(number int) *Shape {
	for i := range m.config.Shapes {
		if m.config.Shapes[i].Number == number {
			return &m.config.Shapes[i]
		}
	}
	return nil
}

// of returns the projector of a generation.
func (m *Model) of(g Generation) (*projection.Projector, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.projectors[g]; p != nil {
		return p, nil
	}
	p, err := g.projector(m.config)
	if err == nil {
		m.projectors[g] = p
	}
	return p, err
}

func (g Generation) projector(c Config) (*projection.Projector, error) {
	for _, s := range c.Shapes {
		if s.Number == g.Shape {
			of := c.Projection
			of.Name, of.Table, of.Sources = g.Name(of.Name), g.Name(of.Table), s.Sources
			return projection.NewProjector(of)
		}
	}
	return nil, fmt.Errorf("%s: %w: %d", g.Name(c.Projection.Name), ErrUnknownShape, g.Shape)
}

// Current returns the projector of the generation that is read.
func (m *Model) Current(ctx context.Context) (*projection.Projector, error) {
	state, err := m.watched.State(ctx)
	if err != nil {
		return nil, err
	}
	return m.of(state.Current)
}

// fed returns the projectors of all fed generations, the current one first.
func (m *Model) fed(ctx context.Context) ([]*projection.Projector, error) {
	state, err := m.watched.State(ctx)
	if err != nil {
		return nil, err
	}
	var all []*projection.Projector
	for _, g := range state.Fed() {
		p, err := m.of(g)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Open returns nil if this build can apply messages now. Otherwise messages are left to others.
func (m *Model) Open(ctx context.Context) error {
	s, err := m.Status(ctx)
	if err == nil && len(s.Unknown) > 0 {
		err = fmt.Errorf("%w: %v of %s; deploy the newer build", ErrUnknownShape, s.Unknown, m.config.Projection.Name)
	}
	return err
}

// Ready returns nil if this build can read the current generation.
func (m *Model) Ready(ctx context.Context) error {
	_, err := m.Current(ctx)
	return err
}

// Apply applies records of one stream to every fed generation, as projection.Projector.Apply does to one. Those are done that
// are done in each; a generation that fails, or parks the aggregate, delays no other.
func (m *Model) Apply(ctx context.Context, records []eventsourcing.Record) (done int, err error) {
	all, err := m.fed(ctx)
	if err != nil {
		return 0, err
	}
	if len(all) == 1 {
		return all[0].Apply(ctx, records)
	}
	dones, errs := make([]int, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, p := range all {
		group.Go(func() { dones[i], errs[i] = p.Apply(ctx, records) })
	}
	group.Wait()
	return slices.Min(dones), errors.Join(errs...)
}

// Categories returns the categories of all shapes, sorted.
func (m *Model) Categories() []string {
	var all []string
	for _, s := range m.config.Shapes {
		for _, src := range s.Sources {
			all = append(all, src.Category())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Parked lists the aggregates that the current generation has parked.
func (m *Model) Parked(ctx context.Context, limit int, cursor projection.Cursor) ([]projection.Parked, projection.Cursor, error) {
	all, err := m.fed(ctx)
	if err != nil {
		return nil, projection.Cursor{}, err
	}
	return all[0].Parked(ctx, limit, cursor)
}

// ParkedStream returns the parked row of the stream in a generation that is fed; found is false if none has parked it.
func (m *Model) ParkedStream(ctx context.Context, stream eventsourcing.StreamID) (row projection.Parked, found bool, err error) {
	all, err := m.fed(ctx)
	for i := 0; i < len(all) && err == nil && !found; i++ {
		row, found, err = all[i].ParkedStream(ctx, stream)
	}
	return row, found, err
}

// Redrive redrives the stream in every fed generation; the fence is that of the current one.
func (m *Model) Redrive(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error) {
	return m.each(ctx, func(ctx context.Context, p *projection.Projector) (eventsourcing.Version, error) {
		return p.Redrive(ctx, stream)
	})
}

// RedriveKnown redrives, in every fed generation, what a build parked because it did not know an event which this one knows;
// see projection.Projector.RedriveKnown. Generations of a shape that this build does not know are left to others.
func (m *Model) RedriveKnown(ctx context.Context) error {
	all, err := m.fed(ctx)
	if errors.Is(err, ErrUnknownShape) {
		return nil
	}
	errs := []error{err}
	for _, p := range all {
		_, err := p.RedriveKnown(ctx)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Rebuild writes the stream's rows anew in every fed generation; the fence is that of the current one.
func (m *Model) Rebuild(ctx context.Context, stream eventsourcing.StreamID) (eventsourcing.Version, error) {
	return m.each(ctx, func(ctx context.Context, p *projection.Projector) (eventsourcing.Version, error) {
		return p.Rebuild(ctx, stream)
	})
}

func (m *Model) each(
	ctx context.Context, do func(context.Context, *projection.Projector) (eventsourcing.Version, error),
) (fence eventsourcing.Version, err error) {
	all, err := m.fed(ctx)
	if err != nil {
		return 0, err
	}
	var errs []error
	for i, p := range all {
		reached, err := do(ctx, p)
		if i == 0 {
			fence = reached
		}
		errs = append(errs, err)
	}
	return fence, errors.Join(errs...)
}

// CatchUp catches every fed generation up with the log, which it reads once for each; it counts for all of them.
func (m *Model) CatchUp(ctx context.Context, log iter.Seq2[eventsourcing.Record, error]) (total projection.CaughtUp, err error) {
	all, err := m.fed(ctx)
	if err != nil {
		return total, err
	}
	for _, p := range all {
		done, err := p.CatchUp(ctx, log)
		total.Records, total.Holes = max(total.Records, done.Records), max(total.Holes, done.Holes)
		total.Behind, total.Applied, total.Parked = total.Behind+done.Behind, total.Applied+done.Applied, total.Parked+done.Parked
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Audit audits the generation that is read, as c says, whose Projector and Still it sets. It is an ErrNotRead if reads move to another
// one before the end: nothing is found in a generation that may not be fed any more.
func (m *Model) Audit(ctx context.Context, c projectionaudit.Config) (r projectionaudit.Result, err error) {
	state, err := m.watched.control.Read(ctx)
	if err != nil {
		return r, err
	}
	if c.Projector, err = m.of(state.Current); err != nil {
		return r, err
	}
	c.Still = func(ctx context.Context) error {
		now, err := m.watched.control.Read(ctx)
		if err == nil && now.Current != state.Current {
			err = fmt.Errorf("%s: %w", state.Current.Name(m.config.Projection.Name), ErrNotRead)
		}
		return err
	}
	return projectionaudit.Run(ctx, c)
}
