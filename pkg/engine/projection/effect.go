package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Effect is what the events of one category bring about elsewhere, such as the steps of a process. It happens once for each event, in
// version order per stream: the own row, which has the fence and no other data, is written in the transaction of the effect. A fence that
// is missing or cannot be read is derived from what the effects have left, before the next event is applied.
type Effect struct {
	Category string
	// Row is the name of each stream's own row.
	Row string
	// Knows reports whether this build can decode an event.
	Knows func(name string, schema int) bool
	// Concerns reports whether an event has an effect. It must be pure. All others only move the fence, many in one write.
	Concerns func(eventsourcing.Record) (bool, error)
	// Apply brings the effect of an event about by a transaction of its own, which has fence in it. If nothing is to be done, it
	// returns false, and the fence moves alone. The error is ErrMoved if the condition of fence fails or another transaction
	// concerns it, an ErrNoEffect if another attempt will fail in the same way, and otherwise a passing fault.
	Apply func(ctx context.Context, rec eventsourcing.Record, fence types.TransactWriteItem) (written bool, err error)
	// Had returns how many of a stream's records, the first ones, are known to have had their effect, by what it has left elsewhere: up
	// to the last one that has left something. All of the records concern the effect.
	Had func(ctx context.Context, records []eventsourcing.Record) (n int, err error)
}

// ErrNoEffect means that an Effect cannot be brought about; the stream is parked.
var ErrNoEffect = errors.New("event without its effect")

// NewEffectSource returns a Source of e. NewProjector reports mistakes in it.
func NewEffectSource(e Effect) Source {
	src := NewSource(Spec[struct{}, eventsourcing.Event]{
		Category: e.Category, Row: e.Row, Codec: eventsourcing.NewCodec[eventsourcing.Event](),
		Fold: func(none struct{}, _ eventsourcing.Event, _ eventsourcing.Record) struct{} { return none },
	})
	if e.Knows == nil || e.Concerns == nil || e.Apply == nil || e.Had == nil {
		src.mistakes = append(src.mistakes, fmt.Errorf("source %q: knows, concerns, apply or had is missing", e.Category))
	}
	src.knows, src.effect = e.Knows, &e
	src.fold = func(_ string, _ Item, records []eventsourcing.Record) (change, error) {
		for at, rec := range records {
			if _, err := e.Concerns(rec); err != nil {
				return change{}, &unappliableError{at, err}
			}
		}
		return change{state: Item{}}, nil
	}
	return src
}

// upToEffect is the beginning of run up to the first event that has an effect, of which there is one in a write.
func (s Source) upToEffect(run []eventsourcing.Record) []eventsourcing.Record {
	if s.effect == nil {
		return run
	}
	for i, rec := range run {
		if concerned, err := s.effect.Concerns(rec); concerned || err != nil {
			return run[:i+1]
		}
	}
	return run
}

// bringAbout applies the last record of a run and moves the fence.
func (a *applier) bringAbout(ctx context.Context, last eventsourcing.Record, was, item Item) error {
	fence := a.fencedPut(was, item)
	written, err := false, error(nil)
	if concerned, _ := a.src.effect.Concerns(last); concerned { // fold has seen that it does not fail
		written, err = a.src.effect.Apply(ctx, last, types.TransactWriteItem{Put: fence})
	}
	switch {
	case errors.Is(err, ErrMoved):
		return errRaced
	case err != nil || written:
		return err
	}
	_, err = a.config.DB.PutItem(ctx, dynamo.PutItem(fence))
	return writeError("write the fence", err)
}

// derive writes the fence of a stream that has none, or one that cannot be read, as what the effects have left shows it. Without any such
// trace the stream has no fence. An event that this build does not know is none that is known to have had its effect.
func (a *applier) derive(ctx context.Context, was Item) (written bool, err error) {
	last, err := a.lastEffect(ctx)
	switch {
	case err != nil, last.Version == 0 && was == nil:
		return false, err
	case last.Version == 0:
		err = (&rewriting{applier: a, own: was}).withdraw(ctx)
		return err == nil, err
	}
	item, err := a.ownItem(Item{}, last)
	if err == nil {
		err = a.send(ctx, was, item, nil)
	}
	if err != nil {
		return false, err
	}
	a.derived = last.Version
	a.metrics.rebuilt.WithLabelValues(a.src.category).Inc()
	a.config.Logger.WarnContext(ctx, "fence derived from the log", slog.String("stream", a.stream.String()),
		slog.Uint64("version", uint64(last.Version)))
	return true, nil
}

// lastEffect returns the last record of the stream that is known to have had its effect; the zero Record if there is none.
func (a *applier) lastEffect(ctx context.Context) (last eventsourcing.Record, err error) {
	var concerned []eventsourcing.Record
	for rec, err := range a.config.EventLog.Read(ctx, a.stream, 0) {
		if err != nil {
			return last, a.logError(err)
		}
		if is, err := a.src.effect.Concerns(rec); is && err == nil {
			concerned = append(concerned, rec)
		}
	}
	if len(concerned) == 0 {
		return last, nil
	}
	n, err := a.src.effect.Had(ctx, concerned)
	if err != nil || n == 0 {
		return last, err
	}
	return concerned[n-1], nil
}
