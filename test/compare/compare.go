package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/leftfold/leftfold/test/compare/internal/peer"
	"github.com/leftfold/leftfold/test/compare/internal/report"
)

// comparison runs the tasks of all drivers in rounds.
type comparison struct {
	rounds  int
	updates int // of a round; as many aggregates are opened, and as many items put
	streams int // that are updated
	log     io.Writer
	// ticks and patience bound a driver that makes no progress; see peer.Watch.
	ticks    <-chan time.Time
	patience int
}

const (
	writers = 8
	// bigEvents events of 10 KB are more than one page of a Query, which has 1 MB.
	bigEvents = 150
)

// contender is a driver and what was seen of it.
type contender struct {
	peer.Driver

	seen report.Contender
}

// run runs all rounds, each driver once in each, so that what else the machine does falls on all of them. A task that fails or is not
// offered is not run again.
func (c comparison) run(ctx context.Context, contenders []*contender) error {
	for round := range c.rounds {
		for _, each := range contenders {
			_, _ = fmt.Fprintf(c.log, "round %d of %d: %s\n", round+1, c.rounds, each.seen.Title())
			c.round(ctx, each)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c comparison) round(ctx context.Context, d *contender) {
	seen := &d.seen
	if _, start, ok := try[done](ctx, c, d, "update", peer.Work{Streams: c.streams}, nil); ok {
		c.measure(ctx, d, "update", start, &seen.Update)
		c.measure(ctx, d, "open", start, &seen.Open)
		c.measure(ctx, d, "bare", start, &seen.Bare)
	}
	observe(ctx, c, d, "race", peer.Work{Writers: writers}, nil, &seen.Race)
	observe(ctx, c, d, "gap", peer.Work{}, nil, &seen.Gap)
	observe(ctx, c, d, "lost", peer.Work{}, (*embedded).loseAnswer, &seen.Lost)
	observe(ctx, c, d, "unique", peer.Work{Writers: writers}, nil, &seen.Unique)
	observe(ctx, c, d, "big", peer.Work{Events: bigEvents}, nil, &seen.Big)
}

// done is the answer to tasks whose cost is measured.
type done struct{ Done int }

// measure keeps what a task costs beyond the start of its driver.
func (c comparison) measure(ctx context.Context, d *contender, task string, start report.Cost, to *[]report.Cost) {
	did, cost, ok := try[done](ctx, c, d, task, peer.Work{Streams: c.streams, Events: c.updates}, nil)
	switch {
	case ok && did.Done != c.updates:
		d.seen.Fail(task, fmt.Errorf("did %d of %d", did.Done, c.updates))
	case ok:
		*to = append(*to, cost.Minus(start).Per(c.updates))
	}
}

// observe keeps the answer to a task.
func observe[A any](ctx context.Context, c comparison, d *contender, task string, w peer.Work, prepare func(*embedded), to *[]A) {
	if answer, _, ok := try[A](ctx, c, d, task, w, prepare); ok {
		*to = append(*to, answer)
	}
}

// try runs a task on an AWS of its own, where only setup was run before. It returns false if there is no answer, and keeps why.
func try[A any](
	ctx context.Context, c comparison, d *contender, task string, w peer.Work, prepare func(*embedded),
) (answer A, cost report.Cost, ok bool) {
	if d.seen.Failed[task] != "" || ctx.Err() != nil {
		return answer, cost, false
	}
	cost, err := c.trial(ctx, d.Driver, task, w, prepare, &answer)
	if err != nil && !errors.Is(err, peer.ErrNotOffered) {
		_, _ = fmt.Fprintf(c.log, "%s: %s: %v\n", d.seen.Title(), task, err)
		d.seen.Fail(task, err)
	}
	return answer, cost, err == nil
}

func (c comparison) trial(
	ctx context.Context, d peer.Driver, task string, w peer.Work, prepare func(*embedded), answer any,
) (cost report.Cost, err error) {
	aws, err := newEmbedded(ctx)
	if err != nil {
		return cost, err
	}
	defer func() { err = errors.Join(err, aws.close()) }()
	w.Endpoint, w.Table = aws.url, "compare"
	watch := peer.Watch{Progress: aws.calls.Load, Ticks: c.ticks, Patience: c.patience}
	if _, err := d.Run(ctx, "setup", w, watch, &struct{}{}); err != nil {
		return cost, fmt.Errorf("setup: %w", err)
	}
	before := aws.used()
	if prepare != nil {
		prepare(aws)
	}
	cpu, err := d.Run(ctx, task, w, watch, answer)
	cost = aws.used().Minus(before)
	cost.CPU = float64(cpu) / float64(time.Millisecond)
	return cost, err
}
