// Package aggregates lists the product's aggregates, for what is done with all of them alike.
package aggregates

import (
	"fmt"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// All returns every aggregate.
func All() []Aggregate {
	return []Aggregate{
		newAggregate(user.Aggregate()),
		newAggregate(role.Aggregate()),
	}
}

// Aggregate is an aggregate without its types.
type Aggregate struct {
	// Category is that of its streams.
	Category string
	// Audit folds its streams for an audit of the claims.
	Audit claimsaudit.Category
	// Claims returns what a stream holds after these records, which are all it has.
	Claims func([]eventsourcing.Record) ([]eventsourcing.Claim, error)
}

func newAggregate[S any, E eventsourcing.Event](a eventsourcing.Aggregate[S, E]) Aggregate {
	return Aggregate{
		Category: a.Category, Audit: claimsaudit.NewCategory(a),
		Claims: func(records []eventsourcing.Record) ([]eventsourcing.Claim, error) {
			state, err := Fold(a, records)
			if err != nil || a.Claims == nil {
				return nil, err
			}
			return a.Claims(state), nil
		},
	}
}

// Fold returns the state of a stream with these records.
func Fold[S any, E eventsourcing.Event](a eventsourcing.Aggregate[S, E], records []eventsourcing.Record) (S, error) {
	var state S
	for _, rec := range records {
		event, err := a.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return state, fmt.Errorf("stream %s, version %d: %w", rec.Stream, rec.Version, err)
		}
		state = a.Evolve(state, event)
	}
	return state, nil
}
