package eventsourcing

import (
	"context"
	"errors"
	"fmt"
)

// Load folds the stream: the state and the version it is of, as of a moment no earlier than the call. An absent stream
// gives the zero state at version 0.
func (r *Repository[S, E]) Load(ctx context.Context, id string) (S, Version, error) {
	m, err := r.load(ctx, id)
	return m.state, m.version, err
}

// load always asks the store, though only for what follows the cached state. A stream that goes on for more than
// SnapshotEvery records, and only such a one, is worth a look for a snapshot: short ones, which most are, pay nothing.
func (r *Repository[S, E]) load(ctx context.Context, id string) (moment[S], error) {
	known, _ := r.Cache.newest(id)
	f, err := r.fold(ctx, folding[S]{moment: known}, "", r.snapshotEvery())
	if err == nil && f.more {
		f, err = r.foldOn(ctx, f)
	}
	if err != nil {
		return f.moment, err
	}
	r.Cache.keep(f.moment)
	if every := r.snapshotEvery(); every > 0 && f.count >= every {
		r.saveSnapshot(ctx, f.moment, f.last)
	}
	return f.moment, nil
}

// folding is how far a load has come.
type folding[S any] struct {
	moment[S]

	last  string  // the ID of the last record folded
	count Version // of records folded since the state that was known
	more  bool    // there are others
}

// foldOn ends what f began: from a snapshot if the log confirms one that is further on.
func (r *Repository[S, E]) foldOn(ctx context.Context, f folding[S]) (folding[S], error) {
	s, m, found := r.loadSnapshot(ctx, f.moment)
	if !found {
		return r.fold(ctx, f, "", 0)
	}
	onward, err := r.fold(ctx, folding[S]{moment: m}, s.EventID, 0)
	if errors.Is(err, errOtherLog) {
		r.refuteSnapshot(ctx, s, SnapshotOtherLog, err)
		return r.fold(ctx, f, "", 0)
	}
	if err == nil {
		r.usedSnapshot(SnapshotLoaded, nil)
	}
	return onward, err
}

// errOtherLog: the log does not have the record that a snapshot was taken at.
var errOtherLog = errors.New("not the snapshot's log")

// fold adds what follows f, at most that many records; 0: all. Given proof, an event's ID, it adds nothing unless the log
// has that event at f's version: then it is an errOtherLog.
func (r *Repository[S, E]) fold(ctx context.Context, f folding[S], proof string, most Version) (folding[S], error) {
	stream, from, after := r.stream(f.id), f.version, f.version
	if proof != "" {
		after--
	}
	for rec, err := range r.Store.Read(ctx, stream, after) {
		if err != nil {
			return f, fmt.Errorf("load %s: %w", stream, err)
		}
		if proof != "" {
			if rec.ID != proof {
				return f, errOtherLog
			}
			proof = ""
			continue
		}
		if rec.Version != f.version+1 {
			return f, fmt.Errorf("load %s: version %d follows %d", stream, rec.Version, f.version)
		}
		if f.more = most > 0 && f.version-from == most; f.more {
			return f, nil
		}
		event, err := r.Aggregate.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return f, fmt.Errorf("load %s: event %d: %w", stream, rec.Version, err)
		}
		f.state, f.version, f.last, f.count = r.Aggregate.Evolve(f.state, event), rec.Version, rec.ID, f.count+1
	}
	if proof != "" {
		return f, errOtherLog // the log ends before that version
	}
	return f, nil
}
