// Package route fans events out to the queues that subscribe to their category, each stream's in order.
package route

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/telemetry"
)

// Queue is where events go; *fifoqueue.Publisher is one.
type Queue interface {
	Publish(ctx context.Context, messages []fifoqueue.Outgoing) error
}

// Log yields the whole log.
type Log interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Config sets a Router up.
type Config struct {
	// Queues by category; a category without any is passed over.
	Queues  map[string][]Queue
	Log     Log
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Traces makes a span of each batch. Defaults to none.
	Traces trace.TracerProvider
}

// Router relays what Kinesis holds.
type Router struct {
	Config
	seconds     prometheus.Histogram
	undecodable prometheus.Counter
	tracer      trace.Tracer
}

// New returns a Router.
func New(c Config) *Router {
	r := &Router{
		Config: c, tracer: eventtrace.Tracer(c.Traces, "services/broker"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "route_seconds", Help: "Time from an event's recording to its being in every queue.",
			Buckets: telemetry.LatencyBuckets(),
		}),
		undecodable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "route_undecodable_total", Help: "Kinesis records passed over because they are no events of ours.",
		}),
	}
	c.Metrics.MustRegister(r.seconds, r.undecodable)
	return r
}

type event struct {
	eventsourcing.Record
	body []byte
}

// Handle routes a shard's next records; see shards.Config. What is no event of ours is logged and passed over: nothing
// of the log can be lost by that, since the projections heal from it.
func (r *Router) Handle(ctx context.Context, shard string, records []shards.Record[[]byte]) error {
	events := make([]event, 0, len(records))
	for _, rec := range records {
		e, err := envelope.Decode(rec.Value)
		if err != nil {
			r.undecodable.Inc()
			r.Logger.ErrorContext(ctx, "record passed over", slog.String("shard", shard),
				slog.String("sequence", string(rec.Sequence)), slog.Any(telemetry.KeyError, err))
			continue
		}
		events = append(events, event{e, rec.Value})
	}
	return r.route(ctx, events)
}

func (r *Router) route(ctx context.Context, events []event) (err error) {
	ctx, span := eventtrace.Start(ctx, r.tracer, "route", trace.SpanKindProducer, events,
		func(e event) string { return e.Metadata.Traceparent })
	defer func() { eventtrace.End(span, err) }()
	messages := map[Queue][]fifoqueue.Outgoing{}
	for _, e := range events {
		for _, q := range r.Queues[e.Stream.Category] {
			messages[q] = append(messages[q], fifoqueue.Outgoing{
				Group: e.Stream.String(), DeduplicationID: fmt.Sprintf("%s#%d", e.Stream, e.Version), Body: e.body,
			})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for q, m := range messages {
		group.Go(func() error { return q.Publish(ctx, m) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, e := range events {
		eventtrace.Observe(r.seconds, r.Now().Sub(e.RecordedAt).Seconds(), eventtrace.Parse(e.Metadata.Traceparent))
	}
	return nil
}

// again is how many records of the log are routed at a time.
const again = 500

// Again routes the whole log: the way back when Kinesis has trimmed what was not read. What was routed before is
// repeated, which the projections' fences see.
func (r *Router) Again(ctx context.Context, _ string) error {
	return ordered.InBatches(r.Log.All(ctx, 1), again, func(batch []eventsourcing.Record) error {
		events := make([]event, 0, len(batch))
		for _, rec := range batch {
			body, err := envelope.Encode(rec)
			if err != nil {
				return err
			}
			events = append(events, event{rec, body})
		}
		return r.route(ctx, events)
	})
}
