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

// load always reads from the store, though only from the cached state's last event on: if that is not where it was, the log
// has lost its end or been replaced, and the error is an ErrLogHole. It looks for a snapshot only where more
// than SnapshotEvery records follow: short streams, which most are, pay nothing. A load that fails, or runs out of time,
// saves how far it came, so that the next one, here or elsewhere, continues from there.
func (r *Repository[S, E]) load(ctx context.Context, id string) (versioned[S], error) {
	known, _ := r.cfg.Cache.newest(id)
	f, err := r.fold(ctx, progress[S]{versioned: known}, r.snapshotEvery())
	if err == nil && f.more {
		f, err = r.foldFromSnapshot(ctx, f)
	}
	if every := r.snapshotEvery(); every > 0 && f.count >= every {
		r.saveSnapshot(context.WithoutCancel(ctx), f.versioned)
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

	confirmed bool    // the log has been seen to have the state's last event
	count     Version // of records folded since the state that was known
	more      bool    // the stream has more
}

// foldFromSnapshot continues f, from a later snapshot if the log confirms one.
func (r *Repository[S, E]) foldFromSnapshot(ctx context.Context, f progress[S]) (progress[S], error) {
	s, m, found := r.loadSnapshot(ctx, f.versioned)
	if !found {
		return r.fold(ctx, f, 0)
	}
	onward, err := r.fold(ctx, progress[S]{versioned: m}, 0)
	if errors.Is(err, errOtherLog) {
		r.refuteSnapshot(ctx, s, SnapshotOtherLog, err)
		return r.fold(ctx, f, 0)
	}
	if err == nil {
		r.cfg.OnSnapshot(SnapshotLoaded, nil)
	}
	return onward, err
}

// errOtherLog: the log does not have the event that a state ends with at the state's version.
var errOtherLog = fmt.Errorf("%w: that of a known state", ErrLogHole)

// fold continues f by at most that many records; 0: all. If f is not confirmed, it begins with the last record of f, and the
// error is errOtherLog if the log does not have it.
func (r *Repository[S, E]) fold(ctx context.Context, f progress[S], most Version) (progress[S], error) {
	stream, from, after := r.stream(f.id), f.version, f.version
	f.confirmed = f.confirmed || from == 0
	if !f.confirmed {
		after--
	}
	for rec, err := range r.cfg.Store.Read(ctx, stream, after) {
		if err != nil {
			return f, fmt.Errorf("load %s: %w", stream, err)
		}
		if !f.confirmed {
			if f.confirmed = rec.Version == from && rec.ID == f.last; !f.confirmed {
				break
			}
			continue
		}
		if rec.Version != f.version+1 {
			return f, fmt.Errorf("load %s: %w: version %d follows %d", stream, ErrLogHole, rec.Version, f.version)
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
	if !f.confirmed {
		return f, fmt.Errorf("load %s at version %d: %w", stream, from, errOtherLog)
	}
	return f, nil
}
