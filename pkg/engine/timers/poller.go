package timers

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Config configures a Poller.
type Config struct {
	Table Table
	// Handle is called with timers of one stream that are due, the first due first. It deletes each in the transaction that fires it,
	// or by Table.Discard if the stream does not know it. Calls for one stream do not overlap, those for different streams do. After an
	// error it is called again after a pause, for ever. A call that takes long calls progress.Turn(ctx) meanwhile.
	Handle func(ctx context.Context, stream eventsourcing.StreamID, due []Timer) error
	// Leases has the lease of the Poller that works.
	Leases shards.Leases
	// Consumer is the lease's name. Defaults to the table's.
	Consumer string
	// Owner names this Poller; it must be unique for every start. Defaults to a random name.
	Owner string
	// Every is the pause between two rounds, and so the most by which a timer is late. Defaults to 1 s.
	Every time.Duration
	// LeaseDuration is the time without renewal after which another Poller takes over. Defaults to 10 s.
	LeaseDuration time.Duration
	// Parallel is the number of streams that are handled at once. Defaults to DefaultParallel.
	Parallel int
	// Long is the number of streams that are handled besides, each after LongAfter: until then it counts towards Parallel, and so it does
	// later if there are that many. Defaults to DefaultLong.
	Long int
	// Backoff is the pause of a stream after a failure. Defaults to 1 s, doubled up to a minute.
	Backoff retry.Backoff
	// StuckAfter is how long a timer may be overdue before it counts as stuck. Defaults to 10 minutes.
	StuckAfter time.Duration
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Logger logs failures. Defaults to none.
	Logger *slog.Logger
	// Loops gets the Poller's loops while they run. Defaults to none.
	Loops *progress.Loops
	// Metrics registers the Poller's metrics. Defaults to none.
	Metrics prometheus.Registerer
}

// Defaults of Config, and the time after which a call of Handle takes long.
const (
	DefaultParallel = 16
	DefaultLong     = 64
	LongAfter       = 5 * time.Second
)

// Poller fires timers. Any number of Pollers share a table, of which one works.
type Poller struct {
	cfg     Config
	lease   *lease
	metrics metrics
	slots   chan struct{} // as many as may be handled at once
	long    chan struct{} // and as many besides that take long
	running sync.WaitGroup
	counted time.Time // when round counted what is parked

	mu     sync.Mutex
	busy   map[eventsourcing.StreamID]bool
	failed map[eventsourcing.StreamID]failure
}

// failure is how the last calls for a stream failed.
type failure struct {
	times int // in a row
	until time.Time
}

// NewPoller validates c, reports all mistakes at once and returns a Poller that Run starts.
func NewPoller(c Config) (*Poller, error) {
	var errs []error
	for what, wrong := range map[string]bool{
		"Table.DB is required": c.Table.DB == nil, "Handle is required": c.Handle == nil, "Leases is required": c.Leases == nil,
		"Parallel must not be negative": c.Parallel < 0, "Long must not be negative": c.Long < 0, "Every must not be negative": c.Every < 0,
		"LeaseDuration must not be negative": c.LeaseDuration < 0, "StuckAfter must not be negative": c.StuckAfter < 0,
	} {
		if wrong {
			errs = append(errs, errors.New("timers: "+what))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Consumer = cmp.Or(c.Consumer, *c.Table.name())
	c.Owner = cmp.Or(c.Owner, rand.Text()[:12])
	c.Every = cmp.Or(c.Every, time.Second)
	c.LeaseDuration = cmp.Or(c.LeaseDuration, shards.DefaultLeaseDuration)
	c.Parallel = cmp.Or(c.Parallel, DefaultParallel)
	c.Long = cmp.Or(c.Long, DefaultLong)
	c.Backoff = c.Backoff.Or(time.Second, time.Minute)
	c.StuckAfter = cmp.Or(c.StuckAfter, 10*time.Minute)
	if c.Now == nil {
		c.Now = time.Now //nolint:forbidigo // the documented default
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler)).With(slog.String("consumer", c.Consumer))
	return &Poller{
		cfg: c, metrics: newMetrics(c.Metrics), slots: make(chan struct{}, c.Parallel), long: make(chan struct{}, c.Long),
		lease: &lease{
			leases: c.Leases, name: shards.Lease{Consumer: c.Consumer, Shard: "poller"}, owner: c.Owner, duration: c.LeaseDuration, now: c.Now,
		},
		busy: map[eventsourcing.StreamID]bool{}, failed: map[eventsourcing.StreamID]failure{},
	}, nil
}

// loopDeadline is the longest time that a round may take without a turn: a call that fails with all its attempts ends it.
const loopDeadline = 30 * time.Second

// Run fires timers until ctx ends. Then it waits for the calls of Handle, whose contexts have ended, too, and releases the lease.
// Failures are logged and retried. A Poller runs once.
func (p *Poller) Run(ctx context.Context) error {
	var renewing sync.WaitGroup
	renewing.Go(func() { p.loop(ctx, "lease of "+p.cfg.Consumer, p.cfg.LeaseDuration/3, p.lease.round) })
	p.loop(ctx, "rounds of "+p.cfg.Consumer, p.cfg.Every, p.round)
	renewing.Wait()
	p.running.Wait()
	if err := p.lease.release(ctx); err != nil {
		p.cfg.Logger.WarnContext(ctx, "lease release failed", slog.Any("error", err)) // it expires
	}
	return nil
}

// loop calls round until ctx ends.
func (p *Poller) loop(ctx context.Context, name string, every time.Duration, round func(context.Context) error) {
	loop := progress.NewLoop(name, loopDeadline+every, p.cfg.Now)
	defer p.cfg.Loops.Register(loop)()
	ctx = progress.With(ctx, loop)
	for failures := 0; ctx.Err() == nil; loop.Turn() {
		pause := every
		if err := round(ctx); err != nil && ctx.Err() == nil {
			failures++
			pause = max(pause, p.cfg.Backoff.Delay(failures))
			p.cfg.Logger.WarnContext(ctx, "round failed, retrying", slog.String("loop", name), slog.Any("error", err))
		} else {
			failures = 0
		}
		_ = retry.Sleep(ctx, pause) // the end of ctx ends the loop
	}
}

// round begins to handle what is due, if this Poller has the lease.
func (p *Poller) round(ctx context.Context) error {
	if !p.lease.held() {
		p.metrics.none()
		p.counted = time.Time{}
		return nil
	}
	now := p.cfg.Now()
	found := newFindings(now, p.cfg.StuckAfter)
	for bucket := range buckets {
		for page, err := range p.cfg.Table.until(ctx, bucket, now) {
			if err != nil {
				return err
			}
			due, streams := map[eventsourcing.StreamID][]Timer{}, []eventsourcing.StreamID{}
			for _, item := range page {
				t, err := timerOf(item)
				if err != nil {
					p.metrics.unreadable.Inc()
					p.cfg.Logger.ErrorContext(ctx, "timer unreadable", slog.Any("error", err))
					continue
				}
				if found.add(t); due[t.Stream] == nil {
					streams = append(streams, t.Stream)
				}
				due[t.Stream] = append(due[t.Stream], t)
			}
			for _, s := range streams { // in the order of their first timers
				if err := p.begin(ctx, s, due[s]); err != nil {
					return err
				}
			}
		}
	}
	p.metrics.found(found)
	p.forget(found)
	return p.countParked(ctx, now)
}

// countParkedEvery is the pause between two counts of the timers that never fire.
const countParkedEvery = time.Minute

func (p *Poller) countParked(ctx context.Context, now time.Time) error {
	if now.Sub(p.counted) < countParkedEvery {
		return nil
	}
	n, err := p.cfg.Table.parked(ctx)
	if err != nil {
		return fmt.Errorf("count what is parked: %w", err)
	}
	p.metrics.foundParked(n)
	p.counted = now
	return nil
}

// begin handles what is due of a stream in a goroutine, unless the stream is being handled or pauses. It waits for a free slot.
func (p *Poller) begin(ctx context.Context, stream eventsourcing.StreamID, due []Timer) error {
	p.mu.Lock()
	wait := p.busy[stream] || p.cfg.Now().Before(p.failed[stream].until)
	p.busy[stream] = p.busy[stream] || !wait
	p.mu.Unlock()
	if wait {
		return nil
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		p.end(stream, nil)
		return context.Cause(ctx)
	}
	p.running.Go(func() {
		defer p.occupy()()
		defer progress.Turn(ctx)
		p.metrics.lateness.Observe(p.cfg.Now().Sub(due[0].Due).Seconds())
		err := p.cfg.Handle(ctx, stream, due)
		if err != nil && ctx.Err() == nil {
			p.metrics.failures.WithLabelValues(stream.Category).Inc()
			p.cfg.Logger.WarnContext(ctx, "due timers failed, retrying", slog.String("stream", stream.String()), slog.Any("error", err))
		}
		p.end(stream, err)
	})
	return nil
}

// occupy keeps a slot that was taken until leave is called, or exchanges it for one of the long calls' once this one takes long.
func (p *Poller) occupy() (leave func()) {
	var mu sync.Mutex
	taken, over := p.slots, false
	var late *time.Timer
	mu.Lock()
	defer mu.Unlock()
	late = time.AfterFunc(LongAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if over {
			return
		}
		select {
		case p.long <- struct{}{}:
			<-p.slots
			taken = p.long
		default: // as many take long already
			late.Reset(LongAfter)
		}
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		late.Stop()
		over = true
		<-taken
	}
}

func (p *Poller) end(stream eventsourcing.StreamID, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, stream)
	if err == nil {
		delete(p.failed, stream)
		return
	}
	times := p.failed[stream].times + 1
	p.failed[stream] = failure{times: times, until: p.cfg.Now().Add(p.cfg.Backoff.Delay(times))}
}

// forget forgets the failures of streams of which nothing is due any more.
func (p *Poller) forget(found findings) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for stream := range p.failed {
		if !found.streams[stream] {
			delete(p.failed, stream)
		}
	}
}

// Category is what Handler needs to know of those who handle the timers of one category.
type Category interface {
	Category() string
	Handle(ctx context.Context, stream eventsourcing.StreamID, due []Timer) error
}

// Handler returns a Config.Handle that calls the one whose category the stream has.
func Handler(all ...Category) func(ctx context.Context, stream eventsourcing.StreamID, due []Timer) error {
	return func(ctx context.Context, stream eventsourcing.StreamID, due []Timer) error {
		for _, c := range all {
			if c.Category() == stream.Category {
				return c.Handle(ctx, stream, due)
			}
		}
		return fmt.Errorf("timers of %s: this build has nothing of that category", stream)
	}
}
