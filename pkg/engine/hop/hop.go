// Package hop moves events one transport further: from the event log's stream to Kinesis, and from Kinesis to queues.
//
// A Hop adds to what package shards promises: one stream's events delay no other stream's. What can never be moved on, a
// record that is not a valid event or one that a target refuses for good, is set aside and delays nothing; nothing is
// lost by that, since projections read missing events from the event log. When the source has trimmed records that were not
// read, Republish sends the whole event log.
package hop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Event is an event on its way.
type Event struct {
	Stream      eventsourcing.StreamID
	Version     eventsourcing.Version
	ID          string
	RecordedAt  time.Time
	Traceparent string
	// Envelope is the record as package envelope encodes it.
	Envelope []byte
}

// Encode returns the event of a record. It fails if the record cannot be encoded.
func Encode(r eventsourcing.Record) (Event, error) {
	body, err := envelope.Encode(r)
	return newEvent(r, body), err
}

// Decode returns the event of an envelope, which stays as it came, with fields that this version does not know.
func Decode(body []byte) (Event, error) {
	r, err := envelope.Decode(body)
	return newEvent(r, body), err
}

func newEvent(r eventsourcing.Record, body []byte) Event {
	return Event{
		Stream: r.Stream, Version: r.Version, ID: r.ID, RecordedAt: r.RecordedAt, Traceparent: r.Metadata.Traceparent, Envelope: body,
	}
}

// Place is where a record came from.
type Place struct {
	// Operation is the Hop's name.
	Operation string
	// Shard and Sequence are those of the source. Sequence is empty if the record was read from the event log.
	Shard    string
	Sequence shards.Position
	// Stream, Version and EventID are as the record has them, valid or not, and empty as far as they are unknown.
	Stream, Version, EventID string
}

// placeOf returns what is known of a record that is no event: by the error if it names an item of the log, as those of
// dynamostore do, by what could be decoded, or else by the key that it came under.
func placeOf(e Event, err error, key string) Place {
	if item, ok := errors.AsType[interface {
		error
		Key() (stream, version string)
	}](err); ok {
		stream, version := item.Key()
		return Place{Stream: stream, Version: version}
	}
	if e.Version > 0 {
		return e.place()
	}
	return Place{Stream: key}
}

func (e Event) place() Place {
	return Place{Stream: e.Stream.String(), Version: strconv.FormatUint(uint64(e.Version), 10), EventID: e.ID}
}

// EventLog yields all events, each stream's in order. An eventsourcing.ErrLogHole is about one item; any other error ends it.
type EventLog interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Config configures a Hop that reads records of type In. All fields are required but MaxPending, MaxTogether and Traces.
type Config[In any] struct {
	// Name is a verb, such as "publish": the name of spans and the prefix of metrics.
	Name string
	// Source and Target are for the help of the metrics.
	Source, Target string
	// Decode reads an event. Its errors are about the record alone: another attempt cannot help.
	Decode func(In) (Event, error)
	// Targets are where an event goes.
	Targets []Target
	// SetAside keeps what can never be moved on, for an operator to look at. It is called until it succeeds; only then is the
	// record done. It may be called again for the same record.
	SetAside func(ctx context.Context, place Place, reason error) error
	// MaxPending is how many bytes of a shard a target may owe: from then on the shard is read no further. Until then a stream
	// with many events, or one that fails for ever, delays no other. After a crash up to that much is repeated. Defaults to
	// 32 MiB, about 60,000 events.
	MaxPending int
	// MaxTogether is how many bytes all targets of all shards may owe together: a process that is behind on many shards reads on more
	// slowly. Each may owe 1 MiB in any case. Defaults to 40 MiB, which take about three times as much memory.
	MaxTogether int
	// Journey remembers what became of each event. Defaults to nothing.
	Journey *journey.Recorder

	EventLog EventLog
	Now      func() time.Time
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
	// Traces makes a span of each batch. Defaults to none.
	Traces trace.TracerProvider
}

// Hop moves events. Safe for concurrent use.
type Hop[In any] struct {
	Config[In]

	instruments
	budget *ordered.Budget
}

// instruments are what a Hop of any type shows of its work.
type instruments struct {
	latency              prometheus.Histogram
	undecodable, refused prometheus.Counter
	retries              *prometheus.CounterVec
	tracer               trace.Tracer
}

// shareOfEach is what a target of a shard may owe whatever the others do.
const shareOfEach = 1 << 20

// New returns a Hop and registers its metrics.
func New[In any](c Config[In]) *Hop[In] {
	c.MaxPending = cmp.Or(c.MaxPending, 32<<20)
	budget := ordered.NewBudget(cmp.Or(c.MaxTogether, 40<<20), shareOfEach)
	register := promauto.With(c.Metrics)
	return &Hop[In]{c, instruments{
		latency: register.NewHistogram(prometheus.HistogramOpts{
			Name: c.Name + "_seconds", Help: "Time from an event's recording to its being in " + c.Target + ".",
			Buckets: eventtrace.LatencyBuckets(),
		}),
		undecodable: register.NewCounter(prometheus.CounterOpts{
			Name: c.Name + "_undecodable_total", Help: "Records of " + c.Source + " set aside because they are not valid events.",
		}),
		refused: register.NewCounter(prometheus.CounterOpts{
			Name: c.Name + "_refused_total", Help: "Events set aside because they were refused for good.",
		}),
		retries: register.NewCounterVec(prometheus.CounterOpts{
			Name: c.Name + "_retries_total", Help: "Batches that failed, at least in part, and are retried, by reason.",
		}, []string{"reason"}),
		tracer: eventtrace.Tracer(c.Traces, "pkg/engine/hop"),
	}, budget}
}

// Open returns the handler of a shard; see shards.Config.
func (h *Hop[In]) Open(ctx context.Context, shard string, held func(context.Context) error) shards.Handler[In] {
	return &handler[In]{h, h.begin(ctx, shard, held)}
}

func (h *Hop[In]) begin(ctx context.Context, shard string, held func(context.Context) error) *run {
	r := &run{
		instruments: h.instruments, name: h.Name, shard: shard, held: held, keep: h.SetAside, maxPending: h.MaxPending, budget: h.budget,
		now: h.Now, log: h.Logger.With(slog.String("operation", h.Name), slog.String("shard", shard)), targets: h.Targets, journey: h.Journey,
	}
	for _, t := range h.Targets {
		r.senders = append(r.senders, t.open(ctx, r, t.Name))
	}
	return r
}

// handler moves the records of a shard during one lease.
type handler[In any] struct {
	hop *Hop[In]
	run *run
}

func (h *handler[In]) Handle(ctx context.Context, records []shards.Record[In], done func(i int)) error {
	items := make([]*item, len(records))
	for i, r := range records {
		it := &item{sequence: r.Sequence, done: done, number: i}
		if it.Event, it.invalid = h.hop.Decode(r.Value); it.invalid != nil {
			it.known = placeOf(it.Event, it.invalid, r.Key)
		}
		items[i] = it
	}
	return h.run.move(ctx, items)
}

func (h *handler[In]) Wait() { h.run.wait() }

// batchSize is how many events of the event log Republish moves at a time.
const batchSize = 500

// Republish moves the whole event log; see shards.Config. What was moved before is repeated, which the fences of
// projections ignore.
func (h *Hop[In]) Republish(ctx context.Context, shard string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := h.begin(ctx, shard, func(context.Context) error { return nil })
	if err := h.republish(ctx, r); err != nil {
		cancel()
		r.wait()
		return fmt.Errorf("republish after shard %s was trimmed: %w", shard, err)
	}
	r.wait()
	return context.Cause(ctx)
}

func (h *Hop[In]) republish(ctx context.Context, r *run) error {
	batch := make([]*item, 0, batchSize)
	for record, err := range h.EventLog.All(ctx, 1) {
		if err != nil && !errors.Is(err, eventsourcing.ErrLogHole) {
			return err
		}
		it := &item{done: func(int) {}}
		if it.Event, it.invalid = Encode(record); err != nil {
			it.invalid = err // of one item
		}
		if it.invalid != nil {
			it.known = placeOf(it.Event, it.invalid, "")
		}
		if batch = append(batch, it); len(batch) == batchSize {
			if err := r.move(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return r.move(ctx, batch)
}
