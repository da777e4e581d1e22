package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/leftfold/leftfold/pkg/iam/capacity"
	"github.com/leftfold/leftfold/pkg/iam/topology"
	"github.com/leftfold/leftfold/services/leftfold/internal/output"
)

const aboutCapacity = `Calculate what a load needs of AWS, what that costs a month at list price in
us-east-1, and which limit is met first. It asks nothing and measures nothing:
docs/capacity.md says where each number comes from.

Exit codes: 0 within every limit of AWS's defaults, 1 beyond one, 2 trouble.`

// price is the sum, as it is printed.
type price struct {
	Monthly float64 `json:"monthlyUSD"`
	AsOf    string  `json:"pricesAsOf"`
}

// newCapacity returns the command that calculates what a load needs.
func newCapacity(con *console) *cobra.Command {
	l := capacity.Load{Queues: len((topology.Names{}).Projections()), Listed: 1, Entries: 3}
	c := con.command("capacity", task{
		use: "capacity", short: "Calculate what a load needs, and what it costs", long: aboutCapacity,
		do: func(context.Context, []string) (bool, error) { return con.capacity(l) },
	})
	c.Flags().Float64Var(&l.EventsPerSecond, "events-per-second", 10, "commands, of one event each")
	c.Flags().IntVar(&l.EventBytes, "event-bytes", 1000, "of an event in the log")
	c.Flags().IntVar(&l.Streams, "streams", 1_000_000, "aggregates")
	c.Flags().IntVar(&l.EventsPerStream, "events-per-stream", 10, "events that each has in the end")
	c.Flags().BoolVar(&l.Keyed, "keyed", true, "clients send an Idempotency-Key")
	return con.alone(c, failure("capacity"))
}

func (con *console) capacity(l capacity.Load) (beyond bool, err error) {
	if err := l.Validate(); err != nil {
		return false, err
	}
	plan := l.Plan()
	needs := con.printer(output.Column{Name: "NEEDED", Width: 22}, output.Column{Name: "AMOUNT", Width: 36},
		output.Column{Name: "$ A MONTH", Width: 10}, output.Column{Name: "CALCULATED AS"})
	for _, n := range plan.Needs {
		needs.Row(n, n.Resource, n.Amount, fmt.Sprintf("%.0f", n.Monthly), n.As)
	}
	con.printer().Line(price{plan.Monthly, capacity.PricesAsOf},
		fmt.Sprintf("together about $%.0f a month, at list prices of %s\n", plan.Monthly, capacity.PricesAsOf))
	limits := con.printer(output.Column{Name: "AT EVENTS/S", Width: 11}, output.Column{Name: "LIMIT", Width: 74},
		output.Column{Name: "HOW TO RAISE IT"})
	for _, limit := range plan.Limits {
		beyond = beyond || limit.EventsPerSecond < l.EventsPerSecond
		limits.Row(limit, fmt.Sprintf("%.0f", limit.EventsPerSecond), limit.Limit, limit.Raise)
	}
	return beyond, nil
}
