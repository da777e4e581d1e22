package cases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// handoff lets two streamers and two brokers share the shards, and stops and kills one of each in turn under load.
func handoff(ctx context.Context, b Bench) (report.Section, error) {
	pairs := []string{"streamer", "broker"}
	ways := []struct {
		name  string
		leave func(*processes.Process) error
		took  []measure.Sample // of each of pairs
	}{
		{"stopped by SIGTERM: handed on", (*processes.Process).Stop, make([]measure.Sample, len(pairs))},
		{"killed by SIGKILL: taken over", (*processes.Process).Kill, make([]measure.Sample, len(pairs))},
	}
	meanwhile := report.Table{Columns: []string{"meanwhile", "events written", "repeated and fenced", "gaps healed"}}
	err := b.with(ctx, plan{}, func(s *system) error {
		if err := s.add(ctx, 2, pairs...); err != nil {
			return err
		}
		if err := s.add(ctx, 1, s.projectors()...); err != nil {
			return err
		}
		written := 0.0
		for round := range b.Size.Rounds {
			for _, w := range ways {
				for i, service := range pairs {
					b.Say("handoff: round %d of %d: a %s is %s", round+1, b.Size.Rounds, service, w.name)
					took, n, err := s.without(ctx, b.Size.Rate, s.of(service)[round%2], pairs, w.leave)
					if err != nil {
						return fmt.Errorf("%s %s: %w", service, w.name, err)
					}
					w.took[i], written = append(w.took[i], took.Seconds()), written+float64(n)
				}
			}
		}
		for _, p := range s.projectors() {
			repeated, err := s.sum(ctx, p, "leftfold_projection_duplicates_total")
			if err != nil {
				return err
			}
			healed, err := s.sum(ctx, p, "leftfold_projection_healed_total")
			if err != nil {
				return err
			}
			meanwhile.Add(p, measure.Sample{written}, measure.Sample{repeated}, measure.Sample{healed})
		}
		return nil
	})
	t := report.Table{Columns: []string{"one of two readers is", "streamer, s", "broker, s"}}
	for _, w := range ways {
		t.Add(w.name, w.took...)
	}
	return report.Section{
		Case: "handoff", Title: "Take-over and hand-off",
		Text: fmt.Sprintf("Two streamers and two brokers have half of the shards each, and %g events a second are written. One of them goes, "+
			"and at once %d users register, some in every shard: the time until the read model shows all of them. A stopped reader releases its "+
			"shards; those of a killed one are free when its leases have expired, %s by default, which is the floor of it.", b.Size.Rate, probes,
			shards.DefaultLeaseDuration),
		Tables: []report.Table{t, meanwhile},
	}, err
}

// probes are users that register at once, some in every shard.
const probes = 64

// without lets a process leave under load and returns how long events take then, and how many were written. The process runs again.
func (s *system) without(
	ctx context.Context, rate float64, p *processes.Process, pairs []string, leave func(*processes.Process) error,
) (took time.Duration, written int, err error) {
	table := shards.NewDynamoDBLeases(s.db, s.names.Leases)
	for _, service := range pairs {
		if err := shared(ctx, table, service, len(s.of(service))); err != nil {
			return 0, 0, err
		}
	}
	stop := s.trickle(ctx, rate)
	began := time.Now()
	err = leave(p)
	if err == nil {
		err = s.probe(ctx)
	}
	took = time.Since(began)
	n, failed := stop()
	if err := errors.Join(err, failed); err != nil {
		return 0, 0, err
	}
	return took, n + probes, p.Start(ctx)
}

// shared waits until each of so many readers has as many shards as another.
func shared(ctx context.Context, table shards.Leases, consumer string, readers int) error {
	const patience = 5 * time.Minute
	for began := time.Now(); ; {
		leases, err := table.List(ctx, consumer)
		if err != nil {
			return err
		}
		owned := map[string]int{}
		for _, l := range leases {
			if l.State == shards.StateOpen {
				owned[l.Owner]++
			}
		}
		if even(owned, readers) {
			return nil
		}
		if time.Since(began) > patience {
			return fmt.Errorf("the shards of %s are not shared by %d readers: %v", consumer, readers, owned)
		}
		if err := retry.Sleep(ctx, look); err != nil {
			return err
		}
	}
}

func even(owned map[string]int, readers int) bool {
	least, largest := 1<<30, 0
	for owner, n := range owned {
		if owner == "" {
			return false
		}
		least, largest = min(least, n), max(largest, n)
	}
	return len(owned) == readers && largest-least <= 1
}

// probe registers users and returns when the read model shows all.
func (s *system) probe(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for range probes {
		group.Go(func() error {
			id := newID()
			if err := s.direct.Append(ctx, id, 0, 1); err != nil {
				return err
			}
			return s.awaitUser(ctx, id, 1)
		})
	}
	return group.Wait()
}

// trickle writes events at a rate until stop, which returns how many.
func (s *system) trickle(ctx context.Context, rate float64) (stop func() (int, error)) {
	ids := make([]string, 100)
	for i := range ids {
		ids[i] = newID()
	}
	enough, written := make(chan struct{}), 0
	var writing errgroup.Group
	writing.Go(func() error {
		tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
		defer tick.Stop()
		for {
			select {
			case <-enough:
				return nil
			case <-tick.C:
			}
			if err := s.direct.Append(ctx, ids[written%len(ids)], eventsourcing.Version(written/len(ids)), 1); err != nil {
				return err
			}
			written++
		}
	})
	return func() (int, error) {
		close(enough)
		err := writing.Wait()
		return written, err
	}
}
