package cases

import (
	"context"
	"fmt"
	"time"

	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// variant is a system of another size.
type variant struct {
	name                                string
	streams, events, shards, replicas   int
	p50, p99, cpu, commandCPU, perEvent measure.Sample
}

// variants differ in one thing from the first.
func (b Bench) variants() []*variant {
	base := variant{name: "as it begins", streams: b.Size.Streams, events: eventsPerUser, shards: 2, replicas: 1}
	all := []*variant{&base}
	add := func(name string, change func(*variant)) {
		v := base
		v.name = name
		change(&v)
		all = append(all, &v)
	}
	add("10 times as many users", func(v *variant) { v.streams *= 10 })
	add("10 times as many events of each user", func(v *variant) { v.events *= 10 })
	for _, n := range b.Size.Shards {
		add(fmt.Sprintf("Kinesis with shards: %d", n), func(v *variant) { v.shards = n })
	}
	for _, n := range b.Size.Replicas[1:] {
		add(fmt.Sprintf("replicas of each service: %d", n), func(v *variant) { v.replicas = n })
	}
	return all
}

// growing sends the same updates at the same rate to systems that differ in one thing each.
func growing(ctx context.Context, b Bench) (report.Section, error) {
	t := report.Table{Columns: []string{
		"updates", "from due to visible: p50, ms", "p99, ms", "CPU of all services, µs an event", "of the first row",
		"CPU of command-api, µs", "AWS calls an event",
	}}
	all := b.variants()
	for _, v := range all {
		if err := v.measure(ctx, b); err != nil {
			return report.Section{}, fmt.Errorf("%s: %w", v.name, err)
		}
		t.Add(v.name, v.p50, v.p99, v.cpu, v.cpu.Over(all[0].cpu), v.commandCPU, v.perEvent)
	}
	return report.Section{
		Case: "growth", Title: "Growth",
		Text: fmt.Sprintf("It begins with %s users of %d events each, two shards of Kinesis and one replica of each service. Each row differs "+
			"from the first in one thing. %g updates a second are due for %s, spread over all users, and each is read when it is visible. Polls "+
			"and leases grow with shards and replicas, and are in the calls and the CPU; the ratio is to the first row, the rows being measured "+
			"one after the other.", measure.Number(float64(b.Size.Streams)), eventsPerUser, b.Size.Rate, b.Size.Spell),
		Tables: []report.Table{t},
	}, nil
}

func (v *variant) measure(ctx context.Context, b Bench) error {
	b.Say("growth: %s", v.name)
	return b.with(ctx, plan{shards: int32(v.shards)}, func(s *system) error {
		users, err := s.loaded(ctx, v.streams, v.events)
		if err != nil {
			return err
		}
		if err := s.add(ctx, v.replicas, processes.ServiceNames()...); err != nil {
			return err
		}
		if err := s.shown(ctx, float64(v.streams*v.events)); err != nil {
			return err
		}
		sent := 0
		return b.rounds("growth, "+v.name, func(round int) error {
			n := b.spell(b.Size.Rate)
			err := v.round(ctx, b, s, round, n, func(i int) command { return rename(users[(sent+i*97)%len(users)]) })
			sent += n
			return err
		})
	})
}

func (v *variant) round(ctx context.Context, b Bench, s *system, round, n int, make func(i int) command) error {
	efforts, err := s.efforts(ctx)
	if err != nil {
		return err
	}
	used, err := s.usage(ctx)
	if err != nil {
		return err
	}
	latencies := load.NewLatencies()
	err = load.Open(ctx, b.Size.Rate, n, func(ctx context.Context, i int, due time.Time) error {
		err := s.see(ctx, make(i), func() {})
		latencies.Add(time.Since(due))
		return err
	})
	if err != nil {
		return err
	}
	now, err := s.usage(ctx)
	if err != nil {
		return err
	}
	later, err := s.efforts(ctx)
	if err != nil || round == untilWarm {
		return err
	}
	var all time.Duration
	for _, name := range processes.ServiceNames() {
		all += later[name].Since(efforts[name]).CPU
	}
	each := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n) }
	v.cpu = append(v.cpu, each(all))
	v.commandCPU = append(v.commandCPU, each(later[topology.CommandAPI].Since(efforts[topology.CommandAPI]).CPU))
	calls := now.Since(used).Calls(func(localaws.Usage) bool { return true })
	v.perEvent = append(v.perEvent, float64(calls)/float64(n))
	v.p50, v.p99 = append(v.p50, latencies.Milliseconds(0.5)), append(v.p99, latencies.Milliseconds(0.99))
	return nil
}
