package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/leftfold/leftfold/pkg/engine/internal/dynamo"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Effect is what the events of one category bring about elsewhere, such as the steps of a process. It happens once for each event, in
// version order per stream: the own row, which has the fence and no other data, is written in the transaction of the effect.
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
}

// ErrNoEffect means that an Effect cannot be brought about; the stream is parked.
var ErrNoEffect = errors.New("event without its effect")

// NewEffectSource returns a Source of e. NewProjector reports mistakes in it. Its rows cannot be rebuilt from the log: nobody may
// bring an effect about again.
func NewEffectSource(e Effect) Source {
	src := NewSource(Spec[struct{}, eventsourcing.Event]{
		Category: e.Category, Row: e.Row, Codec: eventsourcing.NewCodec[eventsourcing.Event](),
		Fold: func(none struct{}, _ eventsourcing.Event, _ eventsourcing.Record) struct{} { return none },
	})
	if e.Knows == nil || e.Concerns == nil || e.Apply == nil {
		src.mistakes = append(src.mistakes, fmt.Errorf("source %q: knows, concerns or apply is missing", e.Category))
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
