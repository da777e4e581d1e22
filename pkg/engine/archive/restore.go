package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/leftfold/leftfold/pkg/engine/archive/internal/spill"
	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// EmptyLog is a log that can be filled. *dynamostore.Store is one.
type EmptyLog interface {
	EventLog
	// Append is that of eventsourcing.Store.
	Append(ctx context.Context, c eventsourcing.Commit) error
}

// RestoreConfig configures Restore.
type RestoreConfig struct {
	// Source yields every event that there is to restore, in any order and at least once: Events of an archive, or all of
	// another table. What cannot be read comes as an *UnreadableError or an eventsourcing.ErrLogHole.
	Source iter.Seq2[eventsourcing.Record, error]
	// EventLog is filled. Nothing else may write to it meanwhile.
	EventLog EmptyLog
	// DryRun writes nothing. Defaults to false.
	DryRun bool
	// Rate limits the events that are written in a second. Defaults to no limit.
	Rate int
	// Parallel is how many streams are written at once. Defaults to 1.
	Parallel int
	// TempDir is where events are sorted: whole, with personal data. Defaults to that of the system.
	TempDir string
	// OnFinding is called with each reason why nothing is restored. Optional.
	OnFinding func(Finding)
	// OnProgress is called every now and then: with the events that were read of the source and of the log, then with those
	// that were written. Optional.
	OnProgress func(Restored)
}

// Restored is what Restore has done.
type Restored struct {
	// Read are the source's events, copies included; Streams and Events are those that the log has once all is restored.
	Read, Streams, Events int
	// Present are the events that the log had before; Written those that were written or, in a dry run, would be.
	Present, Written int
	// Findings were reported. If there is one, nothing was written.
	Findings int
}

// Restore writes every event of the source that the log lacks, by the same conditional writes as commands do. It begins only if
// the log will be whole: no stream may have a hole, no event may be there in two versions, and nothing may be unreadable.
// And only if every event that the log has is the source's: so it fills an empty log, continues a Restore that ended
// early, and fills holes, but never mixes two histories. If something else writes to the log meanwhile, the error is an
// eventsourcing.ErrConflict.
//
// It restores events only. Claims are a fold of them, which package claimsaudit writes. The results of commands are not in any
// event.
func Restore(ctx context.Context, c RestoreConfig) (result Restored, err error) {
	sorter, err := spill.New(c.TempDir, memory)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, sorter.Close()) }()
	found := &findings{report: c.OnFinding}
	compared := &comparison{
		sorter: sorter, value: func(_ eventsourcing.Record, body []byte) []byte { return body }, found: found,
		progress: func(read, logged int) { c.progress(Restored{Read: read, Present: logged}) },
	}
	if err := compared.addAll(ofSource, c.Source); err != nil {
		return result, fmt.Errorf("read the source: %w", err)
	}
	if err := compared.addAll(ofLog, c.EventLog.All(ctx, max(c.Parallel, 1))); err != nil {
		return result, fmt.Errorf("read the log: %w", err)
	}
	result = Restored{Read: compared.read, Present: compared.logged}
	for p, err := range compared.pairs(ctx) {
		if err != nil {
			return result, err
		}
		result.judge(p, found)
	}
	found.flush()
	result.Findings = found.count
	if c.DryRun || result.Findings > 0 || result.Written == 0 {
		return result, nil
	}
	planned := result.Written
	result.Written, err = c.write(ctx, result, compared.pairs(ctx))
	if err == nil && result.Written != planned {
		err = fmt.Errorf("%d of %d events written", result.Written, planned)
	}
	return result, err
}

// judge counts an event, and finds why it cannot be restored.
func (r *Restored) judge(p pair, found *findings) {
	if p.version != p.follows+1 {
		found.add(p.hole())
	}
	if p.follows == 0 {
		r.Streams++
	}
	r.Events++
	switch verdict(p) {
	case Contradictory:
		found.add(p.finding(Contradictory))
	case Missing:
		found.add(p.finding(Foreign))
	case Changed:
		found.add(p.finding(Changed))
	case Lost:
		r.Written++
	default: // the log has it
	}
}

func (c RestoreConfig) progress(r Restored) {
	if c.OnProgress != nil {
		c.OnProgress(r)
	}
}

// write appends what the log lacks, each stream's events in order.
func (c RestoreConfig) write(ctx context.Context, plan Restored, pairs iter.Seq2[pair, error]) (written int, err error) {
	limit := rate.Limit(cmp.Or(rate.Limit(c.Rate), rate.Inf))
	limiter := rate.NewLimiter(limit, max(c.Rate/10, 1))
	group, groupCtx := errgroup.WithContext(ctx)
	lanes := make([]chan []byte, max(c.Parallel, 1)) // a stream has one
	var count atomic.Int64
	for i := range lanes {
		lane := make(chan []byte, 16)
		lanes[i] = lane
		group.Go(func() error {
			for body := range lane {
				if err := limiter.Wait(groupCtx); err != nil {
					return err
				}
				if err := c.append(groupCtx, body); err != nil {
					return err
				}
				count.Add(1)
			}
			return nil
		})
	}
	group.Go(func() error {
		defer func() {
			for _, lane := range lanes {
				close(lane)
			}
		}()
		seed, given := maphash.MakeSeed(), 0
		for p, err := range pairs {
			if err != nil {
				return err
			}
			if p.log != nil {
				continue
			}
			if !send(groupCtx, lanes[maphash.String(seed, p.stream)%uint64(len(lanes))], p.source) {
				return groupCtx.Err()
			}
			if given++; given%100 == 0 {
				plan.Written = int(count.Load())
				c.progress(plan)
			}
		}
		return nil
	})
	err = group.Wait()
	return int(count.Load()), err
}

// append writes an event after the one before it.
func (c RestoreConfig) append(ctx context.Context, body []byte) error {
	r, err := envelope.Decode(body)
	if err != nil {
		return err
	}
	err = c.EventLog.Append(ctx, eventsourcing.Commit{Stream: r.Stream, Expected: r.Version - 1, Records: []eventsourcing.Record{r}})
	switch {
	case errors.Is(err, eventsourcing.ErrConflict):
		return fmt.Errorf("write %s version %d: %w: something else writes to the log; stop it, and restore again",
			r.Stream, r.Version, err)
	case err != nil:
		return fmt.Errorf("write %s version %d: %w", r.Stream, r.Version, err)
	}
	return nil
}
