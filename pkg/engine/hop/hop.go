// Package hop moves events one transport further: from the event log's stream to Kinesis, and from Kinesis to queues.
//
// A Hop adds to what package shards promises: a record that is not a valid event is logged, counted and skipped, so that
// it does not block the events behind it; nothing is lost by that, since projections read missing events from the event
// log. When the source has trimmed records that were not read, Republish sends the whole event log.
package hop

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Event is an event on its way.
type Event struct {
	eventsourcing.Record

	// Envelope is the record as package envelope encodes it.
	Envelope []byte
}

// EventLog yields all events, each stream's in order.
type EventLog interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Config configures a Hop that reads records of type In. All fields are required but Traces.
type Config[In any] struct {
	// Name is a verb, such as "publish": the name of spans and the prefix of metrics.
	Name string
	// Source and Target are for the help of the metrics.
	Source, Target string
	// Decode reads an event. Its errors are about the record alone: another attempt cannot help. Where it leaves Envelope
	// empty, the record is encoded.
	Decode func(In) (Event, error)
	// Put returns nil when the target holds all events, never none. It keeps the order of each stream's events, and it must
	// not keep the slice.
	Put func(ctx context.Context, events []Event) error

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

	latency prometheus.Histogram
	skipped prometheus.Counter
	tracer  trace.Tracer
}

// New returns a Hop and registers its metrics.
func New[In any](c Config[In]) *Hop[In] {
	register := promauto.With(c.Metrics)
	return &Hop[In]{
		Config: c, tracer: eventtrace.Tracer(c.Traces, "pkg/engine/hop"),
		latency: register.NewHistogram(prometheus.HistogramOpts{
			Name: c.Name + "_seconds", Help: "Time from an event's recording to its being in " + c.Target + ".",
			Buckets: eventtrace.LatencyBuckets(),
		}),
		skipped: register.NewCounter(prometheus.CounterOpts{
			Name: c.Name + "_undecodable_total", Help: "Records of " + c.Source + " skipped because they are not valid events.",
		}),
	}
}

// Handle moves a shard's next records; see shards.Config.
func (h *Hop[In]) Handle(ctx context.Context, shard string, records []shards.Record[In]) error {
	events := make([]Event, 0, len(records))
	for _, r := range records {
		e, err := h.Decode(r.Value)
		if err != nil {
			h.skipped.Inc()
			h.Logger.ErrorContext(ctx, "record skipped: not a valid event", slog.String("operation", h.Name),
				slog.String("shard", shard), slog.String("sequence", string(r.Sequence)), slog.Any("error", err))
			continue
		}
		events = append(events, e)
	}
	return h.move(ctx, events)
}

func (h *Hop[In]) move(ctx context.Context, events []Event) (err error) {
	if len(events) == 0 {
		return nil
	}
	ctx, span := eventtrace.StartBatch(ctx, h.tracer, h.Name, trace.SpanKindProducer, events,
		func(e Event) string { return e.Metadata.Traceparent })
	defer func() { eventtrace.End(span, err) }()
	for i, e := range events {
		if e.Envelope != nil {
			continue
		}
		if events[i].Envelope, err = envelope.Encode(e.Record); err != nil {
			return err
		}
	}
	if err := h.Put(ctx, events); err != nil {
		return err
	}
	for _, e := range events {
		eventtrace.Observe(h.latency, h.Now().Sub(e.RecordedAt).Seconds(), eventtrace.Parse(e.Metadata.Traceparent))
	}
	return nil
}

// batchSize is how many events of the event log Republish moves at a time.
const batchSize = 500

// Republish moves the whole event log; see shards.Config. What was moved before is repeated, which the fences of
// projections ignore.
func (h *Hop[In]) Republish(ctx context.Context, shard string) error {
	batch := make([]Event, 0, batchSize)
	for r, err := range h.EventLog.All(ctx, 1) {
		if err != nil {
			return fmt.Errorf("republish after shard %s was trimmed: %w", shard, err)
		}
		if batch = append(batch, Event{Record: r}); len(batch) == batchSize {
			if err := h.move(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return h.move(ctx, batch)
}
