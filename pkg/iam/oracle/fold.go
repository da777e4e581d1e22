// Package oracle compares what the API of a running system shows with its event log: it folds the log, waits until the read
// models have applied every event, reads everything through the API and returns the differences.
package oracle

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// EventLog yields every record, in any order.
type EventLog interface {
	All(ctx context.Context, segments int) iter.Seq2[eventsourcing.Record, error]
}

// Fold is the state of every aggregate, folded from the log by the domain's own rules.
type Fold struct {
	Users  map[string]user.State
	Roles  map[string]role.State
	Heads  map[eventsourcing.StreamID]eventsourcing.Version
	Events int
	// Faults are breaches in the log itself: a gap, a repeated event, a unique value held twice.
	Faults []string
}

// FoldLog reads the whole log.
func FoldLog(ctx context.Context, log EventLog) (*Fold, error) {
	streams := map[eventsourcing.StreamID][]eventsourcing.Record{}
	for rec, err := range log.All(ctx, 4) {
		if err != nil {
			return nil, err
		}
		streams[rec.Stream] = append(streams[rec.Stream], rec)
	}
	f := &Fold{
		Users: map[string]user.State{}, Roles: map[string]role.State{},
		Heads: map[eventsourcing.StreamID]eventsourcing.Version{},
	}
	for stream, records := range streams {
		slices.SortFunc(records, func(a, b eventsourcing.Record) int { return int(a.Version) - int(b.Version) }) //nolint:gosec // far below 2^63
		f.Events += len(records)
		f.Heads[stream] = records[len(records)-1].Version
		f.checkStream(stream, records)
		if err := f.fold(stream, records); err != nil {
			return nil, err
		}
	}
	f.checkClaims()
	slices.Sort(f.Faults)
	return f, nil
}

func (f *Fold) fold(stream eventsourcing.StreamID, records []eventsourcing.Record) (err error) {
	switch stream.Category {
	case user.Category:
		f.Users[stream.ID], err = foldStream(user.Aggregate(), records)
	case role.Category:
		f.Roles[stream.ID], err = foldStream(role.Aggregate(), records)
	default:
		err = fmt.Errorf("stream %s: unknown category", stream)
	}
	return err
}

func foldStream[S any, E eventsourcing.Event](a eventsourcing.Aggregate[S, E], records []eventsourcing.Record) (S, error) {
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

func (f *Fold) checkStream(stream eventsourcing.StreamID, records []eventsourcing.Record) {
	ids := map[string]bool{}
	for i, rec := range records {
		if want := eventsourcing.Version(i) + 1; rec.Version != want {
			f.Faults = append(f.Faults, fmt.Sprintf("stream %s: version %d is where %d belongs", stream, rec.Version, want))
			return
		}
		if ids[rec.ID] {
			f.Faults = append(f.Faults, fmt.Sprintf("stream %s: event %s is in the log twice", stream, rec.ID))
		}
		ids[rec.ID] = true
	}
}

func (f *Fold) checkClaims() {
	owners := map[eventsourcing.Claim]string{}
	check := func(id string, claims []eventsourcing.Claim) {
		for _, c := range claims {
			if other, taken := owners[c]; taken {
				f.Faults = append(f.Faults, fmt.Sprintf("%s: held by both %s and %s", c.Constraint(), other, id))
			}
			owners[c] = id
		}
	}
	for id, s := range f.Users {
		check(id, user.Claims(s))
	}
	for id, s := range f.Roles {
		check(id, role.Claims(s))
	}
}

// Settle waits until the read models have applied every stream up to its head, at most that long.
func (f *Fold) Settle(ctx context.Context, atMost time.Duration, models ...projection.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for _, model := range models {
		for _, stream := range slices.SortedFunc(maps.Keys(f.Heads), func(a, b eventsourcing.StreamID) int {
			return strings.Compare(a.String(), b.String())
		}) {
			ownRow := strings.TrimPrefix(stream.Category, "org/iam/")
			if _, err := model.Await(ctx, stream.ID, ownRow, f.Heads[stream], atMost, &struct{}{}); err != nil {
				return fmt.Errorf("wait for %s at version %d in %s: %w", stream, f.Heads[stream], model.Table, err)
			}
		}
	}
	return nil
}
