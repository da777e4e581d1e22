package cases

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

const eventsPerUser = 10

// backlog lets the services work off backlogs, ten times as large the second time, and watches their heaps.
func backlog(ctx context.Context, b Bench) (report.Section, error) {
	readers := slices.DeleteFunc(processes.ServiceNames(), func(name string) bool { return name == topology.CommandAPI })
	sizes := []int{b.Size.Backlog / 10, b.Size.Backlog}
	heaps := report.Table{Columns: []string{"MB, at most"}}
	rows := make([]report.Row, len(readers)+1)
	plot := report.Plot{Name: "backlog", Title: "Heap while a backlog is worked off", X: "events of the backlog", Y: "MB at most", LogX: true}
	speed := report.Table{Columns: []string{"events a second"}}
	worked, bare := report.Row{Name: "worked off"}, report.Row{Name: "floor: scanned in parallel, a row put for each stream"}
	ratio := report.Row{Name: "of the floor"}
	for _, events := range sizes {
		heaps.Columns = append(heaps.Columns, measure.Number(float64(events))+" events: heap", "resident")
		speed.Columns = append(speed.Columns, measure.Number(float64(events))+" events")
		b.Say("backlog: %d events", events)
		err := b.with(ctx, plan{}, func(s *system) error {
			if err := s.load(ctx, events/eventsPerUser, eventsPerUser); err != nil {
				return err
			}
			loop, err := s.scanned(ctx)
			if err != nil {
				return err
			}
			if err := s.add(ctx, 1, readers...); err != nil {
				return err
			}
			began := time.Now()
			heap, ended, err := s.watch(ctx, readers, events, func(done float64) {
				b.Say("backlog: %.0f of %d events applied", done, events)
			})
			if err != nil {
				return err
			}
			took := ended.Sub(began).Seconds()
			rate, floor := measure.Sample{float64(events) / took}, measure.Sample{float64(events) / loop.Seconds()}
			worked.Samples, bare.Samples = append(worked.Samples, rate), append(bare.Samples, floor)
			ratio.Samples = append(ratio.Samples, rate.Over(floor))
			for i, name := range readers {
				resident, err := s.of(name)[0].PeakMemory()
				if err != nil {
					return err
				}
				rows[i].Name = name
				rows[i].Samples = append(rows[i].Samples, heap[name].Times(1e-6), measure.Sample{float64(resident) / 1e6})
			}
			resident, err := s.AWSPeakMemory()
			rows[len(readers)].Name = ofAWS + ", which keeps all"
			rows[len(readers)].Samples = append(rows[len(readers)].Samples, nil, measure.Sample{float64(resident) / 1e6})
			return err
		})
		if err != nil {
			return report.Section{}, err
		}
	}
	for i, name := range readers {
		line := report.Line{Name: name}
		for s, events := range sizes {
			line.Add(float64(events), rows[i].Samples[2*s])
		}
		plot.Lines = append(plot.Lines, line)
	}
	heaps.Rows, speed.Rows = rows, []report.Row{worked, bare, ratio}
	return report.Section{
		Case: "backlog", Title: "Backlogs",
		Text: fmt.Sprintf("Events, %d of each user, are written into the log while no service runs, past the API. Then streamer, broker, "+
			"processor and the three projectors start, one process each, with the settings that they are shipped with. Heap is what Go has in "+
			"use, looked at ten times a second; each size is measured once.", eventsPerUser),
		Tables: []report.Table{speed, heaps}, Plots: []report.Plot{plot},
	}, nil
}

// inParallel is how many commits are written at once, and how many parts of a table are read.
const inParallel = 8

// load writes so many events of so many new users into the log.
func (s *system) load(ctx context.Context, users, events int) error {
	_, err := s.loaded(ctx, users, events)
	return err
}

// loaded is load, and returns the users.
func (s *system) loaded(ctx context.Context, users, events int) (ids []string, err error) {
	for range users {
		ids = append(ids, newID())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(inParallel)
	for _, id := range ids {
		group.Go(func() error { return s.commit(ctx, id, events) })
	}
	return ids, group.Wait()
}

// watch returns the largest heap of each service until the read models have applied so many events, and when they had.
func (s *system) watch(
	ctx context.Context, services []string, events int, say func(applied float64),
) (heaps map[string]measure.Sample, at time.Time, err error) {
	const every, sayEvery = 100 * time.Millisecond, 50
	heaps = map[string]measure.Sample{}
	looks := 0
	at, err = s.await(ctx, float64(events), every, func(applied float64) error {
		for _, name := range services {
			heap, err := s.sum(ctx, name, "go_memstats_heap_inuse_bytes")
			if err != nil {
				return err
			}
			heaps[name] = measure.Sample{max(heap, heaps[name].Max())}
		}
		if looks++; looks%sayEvery == 0 {
			say(applied)
		}
		return nil
	})
	return heaps, at, err
}
