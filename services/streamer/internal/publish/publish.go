// Package publish puts the log's records into Kinesis, each stream's in order.
package publish

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Target is where records go; *ordered.Kinesis is one.
type Target interface {
	Publish(ctx context.Context, records []ordered.KinesisRecord) error
}

// Log yields the whole log.
type Log interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Config sets a Publisher up.
type Config struct {
	Target  Target
	Log     Log
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Traces makes a span of each batch. Defaults to none.
	Traces trace.TracerProvider
}

// Publisher relays records.
type Publisher struct {
	Config
	seconds     prometheus.Histogram
	undecodable prometheus.Counter
	tracer      trace.Tracer
}

// New returns a Publisher.
func New(c Config) *Publisher {
	p := &Publisher{
		Config: c, tracer: eventtrace.Tracer(c.Traces, "services/streamer"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "publish_seconds", Help: "Time from an event's recording to its being in Kinesis.",
			Buckets: telemetry.LatencyBuckets(),
		}),
		undecodable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "publish_undecodable_total", Help: "Items of the log's table passed over because they are no events of ours.",
		}),
	}
	c.Metrics.MustRegister(p.seconds, p.undecodable)
	return p
}

// Item is what the stream shows of one item of the log: an event, or why it is none.
type Item struct {
	Record eventsourcing.Record
	Err    error
}

// Decoded makes a decoder of items from one of records. It never fails, so that something that is no event of ours in
// the log's table cannot stop the events behind it.
func Decoded[Image any](decode func(Image) (eventsourcing.Record, error)) func(Image) (Item, error) {
	return func(image Image) (Item, error) {
		rec, err := decode(image)
		return Item{Record: rec, Err: err}, nil
	}
}

// Handle publishes a shard's next items; see shards.Config. What is no event is logged and passed over: no reader of
// the log could make anything of it.
func (p *Publisher) Handle(ctx context.Context, shard string, items []shards.Record[Item]) error {
	records := make([]eventsourcing.Record, 0, len(items))
	for _, item := range items {
		if item.Value.Err != nil {
			p.undecodable.Inc()
			p.Logger.ErrorContext(ctx, "item passed over", slog.String("shard", shard),
				slog.String("sequence", string(item.Sequence)), slog.Any(telemetry.KeyError, item.Value.Err))
			continue
		}
		records = append(records, item.Value.Record)
	}
	return p.publish(ctx, records)
}

func (p *Publisher) publish(ctx context.Context, records []eventsourcing.Record) (err error) {
	ctx, span := eventtrace.Start(ctx, p.tracer, "publish", trace.SpanKindProducer, records,
		func(r eventsourcing.Record) string { return r.Metadata.Traceparent })
	defer func() { eventtrace.End(span, err) }()
	out := make([]ordered.KinesisRecord, len(records))
	for i, rec := range records {
		data, err := envelope.Encode(rec)
		if err != nil {
			return err
		}
		out[i] = ordered.KinesisRecord{Key: rec.Stream.String(), Data: data}
	}
	if err := p.Target.Publish(ctx, out); err != nil {
		return err
	}
	for _, rec := range records {
		eventtrace.Observe(p.seconds, p.Now().Sub(rec.RecordedAt).Seconds(), eventtrace.Parse(rec.Metadata.Traceparent))
	}
	return nil
}

// again is how many records of the log are published at a time.
const again = 500

// Again publishes the whole log: the way back when the stream has trimmed what was not read. What was published before
// is repeated, which the projections' fences see.
func (p *Publisher) Again(ctx context.Context, _ string) error {
	return ordered.InBatches(p.Log.All(ctx, 1), again, func(batch []eventsourcing.Record) error { return p.publish(ctx, batch) })
}
