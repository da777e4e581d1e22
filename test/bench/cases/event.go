package cases

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/bench/load"
	"github.com/leftfold/leftfold/test/bench/measure"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

// spent is what services have spent on events, each of which a command has made.
type spent struct {
	events     float64
	usage      measure.Usage
	cpu, alloc map[string]float64 // of a service, for an event
}

// ofAWS is the name of the embedded AWS in tables.
const ofAWS = "embedded AWS"

// event sends registrations and then updates at a fixed rate and says what each has cost when all read models show it.
func event(ctx context.Context, b Bench) (report.Section, error) {
	registrations, updates := map[string]*perService{}, map[string]*perService{}
	var first, second spent
	err := b.with(ctx, plan{services: processes.ServiceNames()}, func(s *system) error {
		before := 0
		return b.rounds("event", func(round int) error {
			n := b.spell(b.Size.Rate)
			var ids []string
			for range n {
				ids = append(ids, newID())
			}
			r, err := s.spend(ctx, b.Size.Rate, before, n, func(i int) command { return register(ids[i]) })
			if err != nil {
				return err
			}
			u, err := s.spend(ctx, b.Size.Rate, before+n, n, func(i int) command { return rename(ids[i]) })
			if err != nil {
				return err
			}
			before += 2 * n
			if round > untilWarm {
				first, second = first.plus(r), second.plus(u)
				note(registrations, r)
				note(updates, u)
			}
			return nil
		})
	})
	if err != nil {
		return report.Section{}, err
	}
	return report.Section{
		Case: "event", Title: "What an event costs",
		Text: fmt.Sprintf("%g commands a second are due for %s, first registrations (a transaction of the event and the claim on its address) "+
			"and then updates of the same users (a put), until all three read models show them. The embedded AWS counts calls, units and bytes "+
			"of each service; polls, leases and all else that happens meanwhile is in it, so that it is less at a higher rate. Dollars are list "+
			"prices of [costs](costs.md#prices-used), of what is billed by the call, the unit or the record. "+
			"The floor is a put of one item of 1 KB.",
			b.Size.Rate, b.Size.Spell),
		Tables: []report.Table{
			cpuTable("CPU and allocations of an event", registrations, updates),
			first.table("a million registrations"), second.table("a million updates"),
		},
	}, nil
}

// spend sends commands at a rate and returns what all have spent until they are visible, those before being so.
func (s *system) spend(ctx context.Context, rate float64, before, n int, make func(i int) command) (spent, error) {
	used, err := s.usage(ctx)
	if err != nil {
		return spent{}, err
	}
	efforts, err := s.efforts(ctx)
	if err != nil {
		return spent{}, err
	}
	err = load.Open(ctx, rate, n, func(ctx context.Context, i int, _ time.Time) error {
		_, err := s.send(ctx, make(i))
		return err
	})
	if err != nil {
		return spent{}, err
	}
	if err := s.shown(ctx, float64(before+n)); err != nil {
		return spent{}, err
	}
	later, err := s.efforts(ctx)
	if err != nil {
		return spent{}, err
	}
	now, err := s.usage(ctx)
	if err != nil {
		return spent{}, err
	}
	out := spent{events: float64(n), usage: now.Since(used), cpu: map[string]float64{}, alloc: map[string]float64{}}
	for name, e := range later {
		e = e.Since(efforts[name])
		out.cpu[name], out.alloc[name] = float64(e.CPU.Microseconds())/out.events, e.Allocations/out.events
	}
	return out, nil
}

// efforts are those of all services and of the AWS, whose allocations are not known.
func (s *system) efforts(ctx context.Context) (map[string]measure.Effort, error) {
	out := map[string]measure.Effort{}
	for _, name := range processes.ServiceNames() {
		var err error
		if out[name], err = s.effort(ctx, name); err != nil {
			return nil, err
		}
	}
	cpu, err := s.AWSCPU()
	out[ofAWS] = measure.Effort{CPU: cpu}
	return out, err
}

// plus returns the sum of what two rounds have used.
func (s spent) plus(o spent) spent {
	s.events += o.events
	s.usage = s.usage.Plus(o.usage)
	return s
}

// perService is what one service has spent in each round.
type perService struct{ cpu, alloc measure.Sample }

func note(all map[string]*perService, s spent) {
	for name, cpu := range s.cpu {
		if all[name] == nil {
			all[name] = &perService{}
		}
		all[name].cpu, all[name].alloc = append(all[name].cpu, cpu), append(all[name].alloc, s.alloc[name])
	}
}

func cpuTable(title string, registrations, updates map[string]*perService) report.Table {
	t := report.Table{Headline: "all services", Columns: []string{
		title, "a registration: CPU, µs", "allocations", "an update: CPU, µs", "allocations",
	}}
	all := func(of map[string]*perService) (sum perService) {
		for _, name := range processes.ServiceNames() {
			sum.cpu, sum.alloc = sum.cpu.Plus(of[name].cpu), sum.alloc.Plus(of[name].alloc)
		}
		return sum
	}
	r, u := all(registrations), all(updates)
	for _, name := range processes.ServiceNames() {
		t.Add(name, registrations[name].cpu, registrations[name].alloc, updates[name].cpu, updates[name].alloc)
	}
	t.Add("all services", r.cpu, r.alloc, u.cpu, u.alloc)
	t.Add(ofAWS, registrations[ofAWS].cpu, nil, updates[ofAWS].cpu, nil)
	return t
}

// table is the bill of a million events.
func (s spent) table(title string) report.Table {
	t := report.Table{Columns: []string{
		title, "calls, thousands", "write units, thousands", "read units, thousands", "MB sent", "MB received", "$",
	}}
	slices.SortStableFunc(s.usage, func(a, b localaws.Usage) int {
		return cmp.Compare(slices.Index(processes.ServiceNames(), a.AccessKey), slices.Index(processes.ServiceNames(), b.AccessKey))
	})
	one := func(x float64) measure.Sample { return measure.Sample{x} }
	million := 1e6 / s.events
	var sum localaws.Usage
	var dollars float64
	row := func(name string, u localaws.Usage, dollars float64) {
		t.Add(name, one(float64(u.Calls)*million/1e3), one(u.WriteUnits*million/1e3), one(u.ReadUnits*million/1e3),
			one(float64(u.RequestBytes)*million/1e6), one(float64(u.ResponseBytes)*million/1e6), one(dollars))
	}
	for _, u := range s.usage {
		if !slices.Contains(processes.ServiceNames(), u.AccessKey) {
			continue // this process, which sets up
		}
		price := measure.Price(u) * million
		if u.Operation == "Kinesis.PutRecords" {
			price += measure.PutPrice(1e6, float64(u.RequestBytes)/s.events)
		}
		row(u.AccessKey+": "+u.Operation, u, price)
		sum.Calls += u.Calls
		sum.WriteUnits += u.WriteUnits
		sum.ReadUnits += u.ReadUnits
		sum.RequestBytes += u.RequestBytes
		sum.ResponseBytes += u.ResponseBytes
		dollars += price
	}
	row("together", sum, dollars)
	bare := localaws.Usage{Operation: "DynamoDB.PutItem", Calls: int64(s.events), WriteUnits: s.events}
	t.Add("floor: a put of one item for each", one(1e3), one(1e3), nil, nil, nil, one(measure.Price(bare)*million))
	return t
}
