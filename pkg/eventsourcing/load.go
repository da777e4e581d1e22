package eventsourcing

import (
	"context"
	"errors"
	"fmt"
)

// Load folds the stream and returns the state and its version. It sees every append that ended before the call. An absent
// stream gives the zero state at version 0.
func (r *Repository[S, E]) Load(ctx context.Context, id string) (S, Version, error) {
	m, err := r.load(ctx, id)
	return m.state, m.version, err
}

// load always reads from the store, though only what follows the cached state. It looks for a snapshot only where more
// than SnapshotEvery records follow: short streams, which most are, pay nothing. A load that fails, or runs out of time,
// saves how far it came, so that the next one, here or elsewhere, continues from there.
func (r *Repository[S, E]) load(ctx context.Context, id string) (versioned[S], error) {
	known, _ := r.cfg.Cache.newest(id)
	f, err := r.fold(ctx, progress[S]{versioned: known}, "", r.snapshotEvery())
	if err == nil && f.more {
		f, err = r.foldFromSnapshot(ctx, f)
	}
	if every := r.snapshotEvery(); every > 0 && f.count >= every {
		r.saveSnapshot(context.WithoutCancel(ctx), f.versioned, f.last)
	}
	if err != nil {
		return f.versioned, err // not for the cache: an append that relies on it would not see a hole in the log behind it
	}
	r.cfg.Cache.keep(f.versioned)
	return f.versioned, nil
}

// progress is how far a load has come.
type progress[S any] struct {
	versioned[S]

	last  string  // the ID of the last record folded
	count Version // of records folded since the state that was known
	more  bool    // the stream has more
}

// foldFromSnapshot continues f, from a later snapshot if the log confirms one.
func (r *Repository[S, E]) foldFromSnapshot(ctx context.Context, f progress[S]) (progress[S], error) {
	s, m, found := r.loadSnapshot(ctx, f.versioned)
	if !found {
		return r.fold(ctx, f, "", 0)
	}
	onward, err := r.fold(ctx, progress[S]{versioned: m}, s.EventID, 0)
	if errors.Is(err, errOtherLog) {
		r.refuteSnapshot(ctx, s, SnapshotOtherLog, err)
		return r.fold(ctx, f, "", 0)
	}
	if err == nil {
		r.cfg.OnSnapshot(SnapshotLoaded, nil)
	}
	return onward, err
}

// errOtherLog: the log does not have a snapshot's event at the snapshot's version.
var errOtherLog = errors.New("not the snapshot's log")

// fold continues f by at most that many records; 0: all. If confirm is an event's ID, the log must have that event at f's
// version, or the error is errOtherLog.
func (r *Repository[S, E]) fold(ctx context.Context, f progress[S], confirm string, most Version) (progress[S], error) {
	stream, from, after := r.stream(f.id), f.version, f.version
	if confirm != "" {
		after--
	}
	for rec, err := range r.cfg.Store.Read(ctx, stream, after) {
		if err != nil {
			return f, fmt.Errorf("load %s: %w", stream, err)
		}
		if confirm != "" {
			if rec.ID != confirm {
				return f, errOtherLog
			}
			confirm = ""
			continue
		}
		if rec.Version != f.version+1 {
			return f, fmt.Errorf("load %s: version %d follows %d", stream, rec.Version, f.version)
		}
		if f.more = most > 0 && f.version-from == most; f.more {
			return f, nil
		}
		event, err := r.cfg.Aggregate.Codec.Decode(rec.Name, rec.Schema, rec.Data)
		if err != nil {
			return f, fmt.Errorf("load %s: event %d: %w", stream, rec.Version, err)
		}
		f.state, f.version, f.last, f.count = r.cfg.Aggregate.Evolve(f.state, event), rec.Version, rec.ID, f.count+1
	}
	if confirm != "" {
		return f, errOtherLog // the log ends before that version
	}
	return f, nil
}
