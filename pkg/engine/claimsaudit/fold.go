package claimsaudit

import (
	"context"

	"github.com/leftfold/leftfold/pkg/engine/internal/audit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Category folds the streams of one category.
type Category struct {
	streams audit.Category[[]eventsourcing.Claim]
}

// NewCategory returns the category of an aggregate's streams.
func NewCategory[S any, E eventsourcing.Event](aggregate eventsourcing.Aggregate[S, E]) Category {
	return Category{audit.NewCategory(aggregate, func(_ eventsourcing.StreamID, state S) []eventsourcing.Claim {
		if aggregate.Claims == nil {
			return nil
		}
		return aggregate.Claims(state)
	})}
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

// fold folds the stream of that name. It returns an *audit.Illegible, or the error of a call to DynamoDB.
func (a *auditor) fold(ctx context.Context, stream string) (folded, error) {
	id, err := eventsourcing.ParseStreamID(stream)
	if err != nil {
		return folded{}, nil //nolint:nilerr // no stream can have this name
	}
	category, known := a.categories[id.Category]
	if !known {
		return folded{}, audit.Unknown(stream)
	}
	claims, head, err := category.streams.Fold(ctx, a.Claims.EventLog(), id)
	if err != nil {
		return folded{}, err
	}
	f := folded{stream: id, head: []eventsourcing.Guard{{Stream: id, Version: head}}, holds: map[string]bool{}}
	for _, claim := range claims {
		f.holds[claim.Key()] = true
	}
	return f, nil
}
