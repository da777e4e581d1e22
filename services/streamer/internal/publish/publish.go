// Package publish puts the log's records into Kinesis, each stream's in order.
package publish

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/leftfold/leftfold/pkg/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/relay"
	"github.com/leftfold/leftfold/pkg/shards"
	"github.com/leftfold/leftfold/pkg/telemetry"
)

// Target is where records go; *relay.Kinesis is one.
type Target interface {
	Publish(ctx context.Context, records []relay.KinesisRecord) error
}

// Log yields the whole log.
type Log interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Publisher relays records.
type Publisher struct {
	target  Target
	log     Log
	now     func() time.Time
	seconds prometheus.Histogram
}

// New returns a Publisher.
func New(target Target, log Log, now func() time.Time, reg prometheus.Registerer) *Publisher {
	p := &Publisher{target: target, log: log, now: now, seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "leftfold_publish_seconds", Help: "Time from an event's recording to its being in Kinesis.",
		Buckets: telemetry.LatencyBuckets(),
	})}
	reg.MustRegister(p.seconds)
	return p
}

// Handle publishes a shard's next records; see shards.Config.
func (p *Publisher) Handle(ctx context.Context, _ string, records []shards.Record[eventsourcing.Record]) error {
	values := make([]eventsourcing.Record, len(records))
	for i, r := range records {
		values[i] = r.Value
	}
	return p.publish(ctx, values)
}

func (p *Publisher) publish(ctx context.Context, records []eventsourcing.Record) error {
	out := make([]relay.KinesisRecord, len(records))
	for i, rec := range records {
		data, err := envelope.Encode(rec)
		if err != nil {
			return fmt.Errorf("encode %s, version %d: %w", rec.Stream, rec.Version, err)
		}
		out[i] = relay.KinesisRecord{Key: rec.Stream.String(), Data: data}
	}
	if err := p.target.Publish(ctx, out); err != nil {
		return err
	}
	for _, rec := range records {
		p.seconds.Observe(p.now().Sub(rec.RecordedAt).Seconds())
	}
	return nil
}

// again is how many records of the log are published at a time.
const again = 500

// Again publishes the whole log: the way back when the stream has trimmed what was not read. What was published before
// is repeated, which the projections' fences see.
func (p *Publisher) Again(ctx context.Context, _ string) error {
	batch := make([]eventsourcing.Record, 0, again)
	for rec, err := range p.log.All(ctx, 1) {
		if err != nil {
			return err
		}
		if batch = append(batch, rec); len(batch) == again {
			if err := p.publish(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return p.publish(ctx, batch)
}
