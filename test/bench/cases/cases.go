// Package cases measures the real system: the services' programs and an embedded AWS, each a process of its own. A case answers one
// question, with what is the least possible measured beside it in the same run.
package cases

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/test/bench/report"
)

// Case is one of the benchmarks.
type Case struct {
	Name string
	// Asks is the question that it answers.
	Asks string
	// Run measures.
	Run func(context.Context, Bench) (report.Section, error)
}

// All returns the cases, in the order of the report.
func All() []Case {
	return []Case{
		{"commands", "How many commands a second does command-api take, of each kind, and how long does one take?", commands},
		{"settings", "What do a key, a token, traces and a directory for the AWS cost a command?", settings},
		{"event", "What does an event cost: calls, units, bytes, dollars, CPU and allocations, by service?", event},
		{"visible", "How long after a command is due is its event at each hop, and visible?", visible},
		{"saturation", "At which rate does the backlog begin to grow?", saturation},
		{"backlog", "How fast is a backlog worked off, and how much memory does that take?", backlog},
		{"rebuild", "How fast is a read model rebuilt, alone and beside load?", rebuild},
		{"processes", "What do a grant that ends and the retirement of a role cost, beside a client that does it?", processSteps},
		{"handoff", "How long is a shard without a reader whose process stops or is killed?", handoff},
		{"growth", "What changes with ten times as many streams or events, with more shards and replicas?", growing},
	}
}

// Bench is what all cases use.
type Bench struct {
	// Programs is the directory of the services' programs.
	Programs string
	Size     Size
	// Say is told how far the run is.
	Say func(format string, args ...any)
}

// Size is how much is measured.
type Size struct {
	// Rounds are how often each quantity is measured, after one round that warms up.
	Rounds int
	// Commands are sent in one round, of each kind, as fast as they go.
	Commands int
	// Spell is how long a load of a fixed rate lasts.
	Spell time.Duration
	// Rate is a rate that the system holds easily, in commands a second; Rates are those at which the hops are timed.
	Rate  float64
	Rates []float64
	// From is the rate with which the search for saturation begins.
	From float64
	// Backlog is the number of events of the larger backlog; the smaller one has a tenth.
	Backlog int
	// Log is the number of events that a rebuild reads, and Rebuilds how often it does.
	Log, Rebuilds int
	// Members is how many users a role has that is retired.
	Members int
	// Streams is the number of users at the beginning of a growth, each of 10 events.
	Streams int
	// Shards and Replicas are how many there are of each.
	Shards, Replicas []int
}

// Tiny takes seconds: for tests.
func Tiny() Size {
	return Size{
		Rounds: 1, Commands: 20, Spell: 300 * time.Millisecond, Rate: 50, Rates: []float64{50}, From: 500, Backlog: 200, Log: 300, Rebuilds: 1,
		Members: 20, Streams: 20,
		Shards: []int{1, 2}, Replicas: []int{1, 2},
	}
}

// Quick takes some minutes: enough to see that everything works, and rough numbers.
func Quick() Size {
	return Size{
		Rounds: 2, Commands: 200, Spell: 2 * time.Second, Rate: 100, Rates: []float64{50, 200}, From: 150,
		Backlog: 20_000, Log: 20_000, Rebuilds: 1,
		Members: 200, Streams: 200,
		Shards: []int{1, 4}, Replicas: []int{1, 2},
	}
}

// Normal takes less than 20 minutes on two cores.
func Normal() Size {
	return Size{
		Rounds: 3, Commands: 500, Spell: 4 * time.Second, Rate: 100, Rates: []float64{50, 100, 200}, From: 150,
		Backlog: 50_000, Log: 20_000, Rebuilds: 2,
		Members: 1_000, Streams: 500, Shards: []int{1, 4, 16}, Replicas: []int{1, 2, 4},
	}
}

// Long makes the report of the documentation: an hour on two cores.
func Long() Size {
	s := Normal()
	s.Rounds, s.Commands, s.Spell, s.Rebuilds = 5, 1_000, 8*time.Second, 1
	s.Rates, s.Backlog, s.Log, s.Members = []float64{50, 100, 200, 400}, 1_000_000, 1_000_000, 10_000
	return s
}

// untilWarm is the round that warms up.
const untilWarm = -1

// rounds calls measure once to warm up and then once for each round, told which. What is measured in the round untilWarm does not count.
func (b Bench) rounds(name string, measure func(round int) error) error {
	for round := untilWarm; round < b.Size.Rounds; round++ {
		if round == untilWarm {
			b.Say("%s: warming up", name)
		} else {
			b.Say("%s: round %d of %d", name, round+1, b.Size.Rounds)
		}
		if err := measure(round); err != nil {
			return err
		}
	}
	return nil
}

// spell is how many commands a load of that rate has.
func (b Bench) spell(rate float64) int { return max(1, int(rate*b.Size.Spell.Seconds())) }
