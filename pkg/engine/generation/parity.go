package generation

import (
	"context"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/projectionaudit"
	"github.com/leftfold/leftfold/pkg/retry"
)

// confirmAfter is when a difference is looked at again: by then the write that a process had begun is whole.
const confirmAfter = time.Second

// parity compares the next generation with the current one and with the log: it has come to every version that the current one
// has, its rows are the fold of the log at the versions that they have, and it has no others.
func (o *Operator) parity(ctx context.Context, s State) error {
	if err := o.level(ctx, s); err != nil {
		return err
	}
	next, err := s.Other.projector(o.Config)
	if err != nil {
		return err
	}
	name := s.Other.Name(o.Projection.Name)
	r, err := projectionaudit.Run(ctx, projectionaudit.Config{
		Projector: next, Log: o.Log, Lagging: true, Settle: confirmAfter, Now: o.Projection.Now,
		Segments: min(s.Segments, MaxSegments), Parallel: o.Parallel,
		Backoff: retry.Backoff{First: 10 * time.Millisecond, Max: time.Second},
		OnFinding: func(f projectionaudit.Finding) {
			if f.Kind != projectionaudit.Parked && o.OnDifference != nil {
				o.OnDifference(f)
			}
		},
		OnPage: func(r projectionaudit.Result) {
			o.progress(Progress{Doing: Comparing, Streams: int64(r.Streams), Rows: int64(r.Rows)})
		},
	})
	switch {
	case err != nil:
		return fmt.Errorf("compare %s: %w", name, err)
	case r.Differences > 0:
		return fmt.Errorf("%w: %d differences in %d streams and %d rows", ErrDiffers, r.Differences, r.Streams, r.Rows)
	case r.Undecided > 0:
		return fmt.Errorf("compare %s: %w: %d streams changed at every attempt", name, projection.ErrMoved, r.Undecided)
	}
	return nil
}

// level brings the other generation up to every version that the current one has now. It returns an ErrDiffers if that is not
// possible, because the other one has parked a stream, or the log lacks something.
func (o *Operator) level(ctx context.Context, s State) error {
	current, err := s.Current.projector(o.Config)
	if err != nil {
		return err
	}
	other, err := s.Other.projector(o.Config)
	if err != nil {
		return err
	}
	done, err := other.CatchUpTo(ctx, current.Heads(ctx))
	if err == nil && done.Parked+done.Holes > 0 {
		err = fmt.Errorf("%w: %d streams are parked in it at an event that %s has applied, and %d lack an event of the log", ErrDiffers,
			done.Parked, s.Current.Name(o.Projection.Name), done.Holes)
	}
	if err != nil {
		return fmt.Errorf("bring %s up to %s: %w", s.Other.Name(o.Projection.Name), s.Current.Name(o.Projection.Name), err)
	}
	return nil
}
