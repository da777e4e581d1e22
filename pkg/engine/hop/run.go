package hop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/smithy-go"
	"go.opentelemetry.io/otel/trace"

	"github.com/leftfold/leftfold/pkg/engine/eventtrace"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// Target is where events go.
type Target struct {
	// Name is what the journey of an event calls it.
	Name string
	// Takes reports whether the target takes an event. Defaults to all.
	Takes func(Event) bool

	open func(ctx context.Context, r *run, name string) sender
}

// NewTarget returns a Target that sends what as makes of each event. Done, SetAside, OnRetry, MaxPending and Budget of o are not used.
func NewTarget[Out any](o ordered.Options[Out], as func(Event) Out) Target {
	return Target{open: func(ctx context.Context, r *run, name string) sender {
		return outgoing[Out]{as, ordered.NewSender(ctx, optionsOf(ctx, o, r, name))}
	}}
}

// item is an event, or a record that is none, on its way to the targets that take it.
type item struct {
	Event

	sequence shards.Position
	invalid  error // why the record is no event
	known    Place // what is known of it all the same
	left     atomic.Int32
	refused  atomic.Bool // by one of the targets
	done     func(number int)
	number   int
}

// entry is what a target gets of an item.
type entry[Out any] struct {
	*item

	out Out
}

// sender sends items to one target.
type sender interface {
	add(ctx context.Context, items []*item) error
	Wait()
}

type outgoing[Out any] struct {
	as func(Event) Out
	*ordered.Sender[entry[Out]]
}

func (o outgoing[Out]) add(ctx context.Context, items []*item) error {
	entries := make([]entry[Out], len(items))
	for i, it := range items {
		entries[i].item = it
		if it.invalid == nil {
			entries[i].out = o.as(it.Event)
		}
	}
	return o.Add(ctx, entries...)
}

// sizeOfInvalid is what a record that is no event counts while it waits to be set aside.
const sizeOfInvalid = 1 << 10

func optionsOf[Out any](ctx context.Context, o ordered.Options[Out], r *run, target string) ordered.Options[entry[Out]] {
	return ordered.Options[entry[Out]]{
		Key: func(e entry[Out]) string {
			if e.invalid != nil {
				return "\x00" + string(e.sequence) + e.known.Stream + "#" + e.known.Version // no stream's
			}
			return o.Key(e.out)
		},
		Size: func(e entry[Out]) int {
			if e.invalid != nil {
				return sizeOfInvalid
			}
			return o.Size(e.out)
		},
		Check: func(e entry[Out]) error {
			if e.invalid != nil || o.Check == nil {
				return e.invalid
			}
			return o.Check(e.out)
		},
		Put: func(ctx context.Context, batch []entry[Out]) (failed map[int]error, err error) {
			defer progress.Turn(ctx)
			if err := r.held(ctx); err != nil {
				return nil, err
			}
			ctx, span := eventtrace.StartBatch(ctx, r.tracer, r.name, trace.SpanKindProducer, batch,
				func(e entry[Out]) string { return e.Traceparent })
			defer func() { eventtrace.End(span, err) }()
			out := make([]Out, len(batch))
			for i, e := range batch {
				out[i] = e.out
			}
			return o.Put(ctx, out)
		},
		Done:     func(e entry[Out], reason error) { r.done(e.item, target, reason) },
		SetAside: func(ctx context.Context, e entry[Out], reason error) error { return r.setAside(ctx, e.item, reason) },
		OnRetry:  func(reason error, failures int) { r.retry(ctx, reason, failures) },
		MaxCount: o.MaxCount, MaxBytes: o.MaxBytes, InFlight: o.InFlight, MaxPending: r.maxPending, Budget: r.budget, Backoff: o.Backoff,
	}
}

// run moves items from one shard: during one lease, or once through the event log.
type run struct {
	instruments

	name, shard string
	held        func(context.Context) error
	keep        func(context.Context, Place, error) error
	maxPending  int
	budget      *ordered.Budget
	now         func() time.Time
	log         *slog.Logger
	targets     []Target
	senders     []sender // of the targets
	journey     *journey.Recorder
}

// move gives items to the targets that take them. It waits for room only.
func (r *run) move(ctx context.Context, items []*item) error {
	taken := make([][]*item, len(r.senders))
	for _, it := range items {
		for i, t := range r.targets {
			if it.invalid != nil && i > 0 || it.invalid == nil && t.Takes != nil && !t.Takes(it.Event) {
				continue
			}
			it.left.Add(1)
			taken[i] = append(taken[i], it)
		}
		if it.left.Load() == 0 {
			it.done(it.number)
		}
	}
	for i, items := range taken {
		if len(items) == 0 {
			continue
		}
		if err := r.senders[i].add(ctx, items); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) wait() {
	for _, s := range r.senders {
		s.Wait()
	}
}

// done notes that one target has an item, or never will.
func (r *run) done(it *item, target string, reason error) {
	if it.invalid == nil {
		r.remember(it, target, reason)
	}
	if reason != nil {
		it.refused.Store(true)
	}
	if it.left.Add(-1) > 0 {
		return
	}
	if !it.refused.Load() {
		eventtrace.Observe(r.latency, r.now().Sub(it.RecordedAt).Seconds(), eventtrace.Parse(it.Traceparent))
	}
	it.done(it.number)
}

func (r *run) remember(it *item, target string, refused error) {
	step := journey.Step{
		Operation: r.name, Outcome: journey.Sent, Stream: it.Stream, Version: it.Version, EventID: it.ID,
		Sequence: string(it.sequence), To: target,
	}
	if it.sequence != "" {
		step.From = r.shard
	}
	if refused != nil {
		step.Outcome = journey.SetAside
	}
	r.journey.Add(step)
}

func (r *run) setAside(ctx context.Context, it *item, reason error) error {
	defer progress.Turn(ctx)
	if err := r.held(ctx); err != nil {
		return err
	}
	place, counter, log := it.known, r.undecodable, r.log // and no word of what it says: that may be personal
	if it.invalid == nil {
		place = it.place()
		counter, log = r.refused, log.With(slog.String("stream", place.Stream), slog.Uint64("version", uint64(it.Version)))
	}
	place.Operation, place.Shard, place.Sequence = r.name, r.shard, it.sequence
	if err := r.keep(ctx, place, reason); err != nil {
		return fmt.Errorf("set aside: %w", err)
	}
	counter.Inc()
	log.ErrorContext(ctx, "record set aside", slog.String("sequence", string(it.sequence)), slog.Any("error", reason))
	return nil
}

// retry counts a retry, and logs the first since all was well and then each that doubles their number.
func (r *run) retry(ctx context.Context, reason error, failures int) {
	r.retries.WithLabelValues(class(reason)).Inc()
	if failures&(failures-1) == 0 {
		r.log.WarnContext(ctx, "moving events failed, retrying", slog.Any("error", reason), slog.Int("failures", failures))
	}
}

// class returns the kind of reason why a batch is retried, as a label.
func class(err error) string {
	code := ""
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		code = api.ErrorCode()
	}
	switch {
	case errors.Is(err, shards.ErrLeaseLost):
		return "lease"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case strings.Contains(code, "Thrott") || strings.Contains(code, "Exceeded"):
		return "throttled"
	case strings.Contains(code, "AccessDenied"):
		return "denied"
	case strings.Contains(code, "Internal") || strings.Contains(code, "Unavailable"):
		return "unavailable"
	default:
		return "other"
	}
}
