package generation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Difference is something that the next generation lacks.
type Difference struct {
	Stream string `json:"stream"`
	What   string `json:"what"`
}

// A stream that moves while it is compared is compared again, after pauses that double up to a second.
const maxComparisons = 20

// parity compares the next generation with the current one and with the log: it has come to every version that the current one
// has, and its rows of each stream are the fold of the log at the version that it has.
func (o *Operator) parity(ctx context.Context, s State) error {
	if err := o.level(ctx, s); err != nil {
		return err
	}
	next, err := s.Other.projector(o.Config)
	if err != nil {
		return err
	}
	c := comparer{Operator: o, next: next}
	group, groupCtx := errgroup.WithContext(ctx)
	for segment := range s.Segments {
		group.Go(func() error { return c.segment(groupCtx, segment, s.Segments) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("compare %s: %w", s.Other.Name(o.Projection.Name), err)
	}
	if c.differences > 0 {
		return fmt.Errorf("%w: %d streams of %d", ErrDiffers, c.differences, c.streams.Load())
	}
	return nil
}

type comparer struct {
	*Operator
	next    *projection.Projector
	streams atomic.Int64

	mu          sync.Mutex
	differences int
}

func (c *comparer) segment(ctx context.Context, segment, total int) error {
	var last eventsourcing.StreamID
	for p := range ahead(ctx, c.Log.Segment(ctx, segment, total, dynamostore.Position{})) {
		if p.err != nil {
			return p.err
		}
		comparing, comparingCtx := errgroup.WithContext(ctx)
		comparing.SetLimit(c.Parallel)
		for run := range runs(p.page.Records) {
			if run[0].Stream == last {
				continue
			}
			last = run[0].Stream
			comparing.Go(func() error { return c.stream(comparingCtx, run[0].Stream) })
		}
		if err := comparing.Wait(); err != nil {
			return err
		}
		c.mu.Lock()
		c.progress(Progress{Doing: Comparing, Streams: c.streams.Load()})
		c.mu.Unlock()
	}
	return context.Cause(ctx)
}

// stream compares one stream.
func (c *comparer) stream(ctx context.Context, stream eventsourcing.StreamID) error {
	backoff := retry.Backoff{First: 10 * time.Millisecond, Max: time.Second}
	for n := 1; ; n++ {
		what, err := c.compare(ctx, stream)
		switch {
		case errors.Is(err, projection.ErrNoSource):
			return nil
		case err != nil && !errors.Is(err, projection.ErrMoved):
			return err
		case err == nil && what == "":
			c.streams.Add(1)
			return nil
		case n == maxComparisons && err != nil:
			return err
		case n == maxComparisons:
			c.found(Difference{stream.String(), what})
			return nil
		}
		if err := backoff.Wait(ctx, n); err != nil {
			return err
		}
	}
}

// compare says what the next generation lacks of a stream.
func (c *comparer) compare(ctx context.Context, stream eventsourcing.StreamID) (what string, err error) {
	is, err := c.next.Compare(ctx, stream)
	if err == nil && len(is.Wrong) > 0 {
		what = fmt.Sprintf("%d rows differ from the log", len(is.Wrong))
	}
	return what, err
}

func (c *comparer) found(d Difference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams.Add(1)
	c.differences++
	if c.OnDifference != nil {
		c.OnDifference(d)
	}
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
	done, err := other.CatchUp(ctx, current.Heads(ctx))
	if err == nil && done.Parked+done.Holes > 0 {
		err = fmt.Errorf("%w: %d streams are parked in it at an event that %s has applied, and %d lack an event of the log", ErrDiffers,
			done.Parked, s.Current.Name(o.Projection.Name), done.Holes)
	}
	if err != nil {
		return fmt.Errorf("bring %s up to %s: %w", s.Other.Name(o.Projection.Name), s.Current.Name(o.Projection.Name), err)
	}
	return nil
}
