package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Illegible says why a stream cannot be folded. Its text is free of personal data.
type Illegible struct {
	Hole           bool // the log lacks an event; false: it has one that this build cannot read
	Stream, Detail string
	Permanent      bool // false: the next attempt may succeed
}

func (i *Illegible) Error() string { return fmt.Sprintf("stream %s: %s", i.Stream, i.Detail) }

// Category folds the streams of one category to the T that an audit wants of their states.
type Category[T any] struct {
	Name string
	// Fold returns what is wanted of a stream's state, and the stream's version. The error is an *Illegible, or that of a call to
	// DynamoDB.
	Fold func(context.Context, *dynamostore.Store, eventsourcing.StreamID) (T, eventsourcing.Version, error)
}

// NewCategory returns the category of an aggregate's streams. want returns what is wanted of a stream's state; nil: nothing is.
func NewCategory[S any, E eventsourcing.Event, T any](
	aggregate eventsourcing.Aggregate[S, E], want func(eventsourcing.StreamID, S) T,
) Category[T] {
	return Category[T]{Name: aggregate.Category, Fold: func(
		ctx context.Context, eventLog *dynamostore.Store, id eventsourcing.StreamID,
	) (wanted T, head eventsourcing.Version, err error) {
		var state S
		head, err = fold(ctx, eventLog, id, func(r eventsourcing.Record) error {
			event, err := aggregate.Codec.Decode(r.Name, r.Schema, r.Data)
			if err == nil {
				state = aggregate.Evolve(state, event)
			}
			return err
		})
		if err == nil && want != nil {
			wanted = want(id, state)
		}
		return wanted, head, err
	}}
}

// fold gives evolve each record of the stream and returns the stream's version.
func fold(
	ctx context.Context, eventLog *dynamostore.Store, id eventsourcing.StreamID, evolve func(eventsourcing.Record) error,
) (head eventsourcing.Version, err error) {
	for r, err := range eventLog.Read(ctx, id, 0) {
		if err != nil {
			if _, isCall := errors.AsType[*smithy.OperationError](err); isCall || ctx.Err() != nil {
				return head, err
			}
			if _, isItem := errors.AsType[*dynamostore.ItemError](err); !isItem && errors.Is(err, eventsourcing.ErrLogHole) {
				return head, &Illegible{Hole: true, Stream: id.String(), Detail: err.Error()} // it has the versions
			}
			return head, &Illegible{Stream: id.String(), Detail: fmt.Sprintf("what follows version %d cannot be read", head)}
		}
		if err := evolve(r); err != nil {
			return head, &Illegible{
				Stream: id.String(), Detail: fmt.Sprintf("version %d cannot be decoded as %s", r.Version, r.Name), Permanent: true,
			}
		}
		head = r.Version
	}
	return head, nil
}

// Unknown is the stream of a category that this program does not know.
func Unknown(stream string) *Illegible {
	return &Illegible{Stream: stream, Detail: "its category is not known to this program", Permanent: true}
}
