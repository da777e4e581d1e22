package cases

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/retry"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// growth is that of the rate, from one step to the next.
const growth = 1.25

// mostWait is how many seconds of load may wait at the end of a step: never as many as a step has.
func (b Bench) mostWait() float64 { return min(1, b.Size.Spell.Seconds()/2) }

// saturation raises the rate of registrations until too much of the load waits at the end of a step, to be answered or to be shown.
func saturation(ctx context.Context, b Bench) (report.Section, error) {
	var held, floor measure.Sample
	waits := report.Line{Name: "waiting"}
	byRate := map[float64]measure.Sample{}
	var rates []float64
	err := b.rounds("saturation", func(round int) error {
		return b.with(ctx, plan{services: processes.ServiceNames()}, func(s *system) error {
			f, err := newFloor(ctx, s.db)
			if err != nil {
				return err
			}
			took, err := load.Flat(ctx, clients, b.Size.Commands, f.transact)
			if err != nil {
				return err
			}
			rate := b.Size.From
			for sent := 0; ; rate *= growth {
				n := b.spell(rate)
				waiting, err := s.step(ctx, rate, &sent, n)
				if err != nil {
					return err
				}
				if round > untilWarm {
					if byRate[rate] == nil {
						rates = append(rates, rate)
					}
					byRate[rate] = append(byRate[rate], waiting)
				}
				if waiting > b.mostWait() || round == untilWarm {
					break
				}
			}
			if round > untilWarm {
				held, floor = append(held, rate/growth), append(floor, float64(b.Size.Commands)/took.Seconds())
			}
			return nil
		})
	})
	for _, rate := range rates {
		waits.Add(rate, byRate[rate])
	}
	t := report.Table{Columns: []string{"held", "a second", "of the floor's rate"}}
	t.Add("registrations, until visible", held, held.Over(floor))
	t.Add("floor: "+transaction+", nobody reading", floor, nil)
	return report.Section{
		Case: "saturation", Title: "Saturation",
		Text: fmt.Sprintf("The rate of registrations begins at %g a second and grows by a quarter every %s, until more than %g s of load "+
			"waits at the end. Everything shares the cores: all services, the clients and the embedded AWS, so this is the rate of a machine, "+
			"and of AWS it says nothing.", b.Size.From, b.Size.Spell, b.mostWait()),
		Tables: []report.Table{t},
		Plots: []report.Plot{{
			Name: "saturation", Title: "Load that waits at the end of a step", X: "registrations a second", Y: "seconds of load",
			Lines: []report.Line{waits},
		}},
	}, err
}

// step sends registrations at a rate, and returns for how many seconds of load the read models are behind when the last one was due. What
// command-api refuses or drops because it has too much to do is behind as well. It returns once the read models show all.
func (s *system) step(ctx context.Context, rate float64, before *int, n int) (seconds float64, err error) {
	began := time.Now()
	var turnedAway atomic.Int64
	var sending errgroup.Group
	sending.Go(func() error {
		return load.Open(ctx, rate, n, func(ctx context.Context, _ int, _ time.Time) error {
			if _, err := s.send(ctx, register(newID())); err != nil {
				turnedAway.Add(1)
			}
			return ctx.Err()
		})
	})
	due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
	err = retry.Sleep(ctx, time.Until(due))
	applied, failed := s.applied(ctx)
	if err := errors.Join(err, failed, sending.Wait()); err != nil {
		return 0, err
	}
	waiting := float64(*before+n) - applied
	*before += n - int(turnedAway.Load())
	return max(0, waiting) / rate, s.shown(ctx, float64(*before))
}
