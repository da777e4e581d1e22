// Package aggregates lists the product's aggregates, for what is done with all of them alike.
package aggregates

import (
	"encoding/json"
	"fmt"
	"path"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/claimsaudit"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/scopesaudit"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/operations"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

// All returns every aggregate: what operators do, and those of the domain.
func All() []Aggregate {
	return []Aggregate{
		newAggregate(operations.Aggregate()),
		newAggregate(user.Aggregate()),
		newAggregate(role.Aggregate()),
	}
}

// Streams returns all whose streams the log has: every aggregate, and the processes, which hold no unique value and count nothing.
func Streams() []Aggregate {
	return append(All(), newProcess(grants.Spec()), newProcess(retirement.Spec()))
}

func newProcess[S any, E eventsourcing.Event](s process.Spec[S, E]) Aggregate {
	a := newAggregate(eventsourcing.Aggregate[struct{}, eventsourcing.Event]{
		Category: s.Category, Codec: s.Events(), Evolve: func(none struct{}, _ eventsourcing.Event) struct{} { return none },
	})
	a.Process = true
	return a
}

// Aggregate is an aggregate without its types.
type Aggregate struct {
	// Category is that of its streams.
	Category string
	// Process: no command of the API is for it, and no read model shows it.
	Process bool
	// Audit folds its streams for an audit of the claims.
	Audit claimsaudit.Category
	// Sums folds its streams for an audit of the scopes.
	Sums scopesaudit.Category
	// Entries returns the source of a projection that has, of each event, what entries makes of its record, and no state.
	Entries func(entries func(eventsourcing.Record) []projection.Row) projection.Source
	// State returns the state of a stream with these records, as JSON.
	State func([]eventsourcing.Record) ([]byte, error)
	// Claims returns what a stream holds after these records, which are all it has.
	Claims func([]eventsourcing.Record) ([]eventsourcing.Claim, error)
	// Shares returns what the stream shares in scopes after these records, which are all it has.
	Shares func(eventsourcing.StreamID, []eventsourcing.Record) ([]eventsourcing.Share, error)
}

func newAggregate[S any, E eventsourcing.Event](a eventsourcing.Aggregate[S, E]) Aggregate {
	return Aggregate{
		Category: a.Category, Audit: claimsaudit.NewCategory(a), Sums: scopesaudit.NewCategory(a),
		Entries: func(entries func(eventsourcing.Record) []projection.Row) projection.Source {
			return projection.NewSource(projection.Spec[struct{}, E]{
				Category: a.Category, Row: path.Base(a.Category), Codec: a.Codec,
				Fold:    func(none struct{}, _ E, _ eventsourcing.Record) struct{} { return none },
				Entries: func(_ E, r eventsourcing.Record) []projection.Row { return entries(r) },
			})
		},
		State: func(records []eventsourcing.Record) ([]byte, error) {
			state, err := Fold(a, records)
			if err != nil {
				return nil, err
			}
			return json.Marshal(state)
		},
		Claims: func(records []eventsourcing.Record) ([]eventsourcing.Claim, error) {
			state, err := Fold(a, records)
			if err != nil || a.Claims == nil {
				return nil, err
			}
			return a.Claims(state), nil
		},
		Shares: func(stream eventsourcing.StreamID, records []eventsourcing.Record) ([]eventsourcing.Share, error) {
			state, err := Fold(a, records)
			if err != nil || a.Shares == nil {
				return nil, err
			}
			return a.Shares(stream, state), nil
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
