package claimsaudit

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Category folds the streams of one category.
type Category struct {
	name string
	// newFold returns the functions to fold one stream.
	newFold func() (evolve func(eventsourcing.Record) error, claims func() []eventsourcing.Claim)
}

// NewCategory returns the category of an aggregate's streams.
func NewCategory[S any, E eventsourcing.Event](aggregate eventsourcing.Aggregate[S, E]) Category {
	return Category{
		name: aggregate.Category,
		newFold: func() (func(eventsourcing.Record) error, func() []eventsourcing.Claim) {
			var state S
			evolve := func(r eventsourcing.Record) error {
				event, err := aggregate.Codec.Decode(r.Name, r.Schema, r.Data)
				if err == nil {
					state = aggregate.Evolve(state, event)
				}
				return err
			}
			claims := func() []eventsourcing.Claim {
				if aggregate.Claims == nil {
					return nil
				}
				return aggregate.Claims(state)
			}
			return evolve, claims
		},
	}
}

// folded is the claims that a stream holds at its last version.
type folded struct {
	stream eventsourcing.StreamID
	head   []eventsourcing.Guard // its last version; empty if no stream can have that name
	holds  map[string]bool       // by the claim's key
}

// emptied reports whether the stream could have events and has none. A claim is written with an event, so one that names
// such a stream as its owner shows that the log lost events, or is older than the claims.
func (f folded) emptied() bool { return len(f.head) > 0 && f.head[0].Version == 0 }

// illegible says why a stream cannot be folded. Its text is free of personal data.
type illegible struct {
	kind           Kind // Illegible or Hole
	stream, detail string
	permanent      bool // false: the next attempt may succeed
}

func (i *illegible) Error() string { return fmt.Sprintf("stream %s: %s", i.stream, i.detail) }

// fold folds the stream of that name. It returns an *illegible, or the error of a call to DynamoDB.
func (a *auditor) fold(ctx context.Context, stream string) (folded, error) {
	id, err := eventsourcing.ParseStreamID(stream)
	if err != nil {
		return folded{}, nil // no stream can have this name
	}
	category, known := a.categories[id.Category]
	if !known {
		return folded{}, &illegible{Illegible, stream, "its category is not known to this program", true}
	}
	evolve, claims := category.newFold()
	var head eventsourcing.Version
	for r, err := range a.Claims.EventLog().Read(ctx, id, 0) {
		if err != nil {
			if _, isCall := errors.AsType[*smithy.OperationError](err); isCall || ctx.Err() != nil {
				return folded{}, err
			}
			if _, isItem := errors.AsType[*dynamostore.ItemError](err); !isItem && errors.Is(err, eventsourcing.ErrLogHole) {
				return folded{}, &illegible{Hole, stream, err.Error(), false} // it has the versions
			}
			return folded{}, &illegible{Illegible, stream, fmt.Sprintf("what follows version %d cannot be read", head), false}
		}
		if err := evolve(r); err != nil {
			return folded{}, &illegible{Illegible, stream, fmt.Sprintf("version %d cannot be decoded as %s", r.Version, r.Name), true}
		}
		head = r.Version
	}
	f := folded{stream: id, head: []eventsourcing.Guard{{Stream: id, Version: head}}, holds: map[string]bool{}}
	for _, claim := range claims() {
		f.holds[claim.Key()] = true
	}
	return f, nil
}
