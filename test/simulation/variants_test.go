package simulation_test

import (
	"fmt"
	"os"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/simulation"
)

// TestTheJudgeSeesTheWeaknessOfEachVariant: the faults that a read side does not stand, and the same ones for Leftfold, which does.
func TestTheJudgeSeesTheWeaknessOfEachVariant(t *testing.T) { //nolint:paralleltest // each run seeds the process's random bytes
	fault := func(kind localaws.FaultKind, operation string, probability float64) localaws.Fault {
		return localaws.Fault{Kind: kind, Operation: operation, Probability: probability}
	}
	weaknesses := map[string]struct {
		plan simulation.Plan
		seen func(simulation.Tally) bool
	}{
		"FIFO queue, no fence": {
			simulation.Plan{Faults: []localaws.Fault{fault(localaws.FaultLoseAnswer, "DynamoDB.UpdateItem", 0.2)}, Pause: 10},
			func(c simulation.Tally) bool { return c.Repeated > 0 },
		},
		"Kinesis, no fence": {
			simulation.Plan{Kill: 10, Pause: 10, Every: 2 * time.Second, Moves: []string{"kill"}},
			func(c simulation.Tally) bool { return c.Repeated > 0 },
		},
		"Lambda, defaults": {
			simulation.Plan{Every: 5 * time.Second, Moves: []string{"poison"}},
			func(c simulation.Tally) bool { return c.Stuck > 0 && c.Wrong > 0 },
		},
		"Lambda, 10 retries of a batch": {
			simulation.Plan{Every: 5 * time.Second, Moves: []string{"poison"}},
			func(c simulation.Tally) bool { return c.Lost > 0 },
		},
		"Lambda, partial failures, bisect": {
			simulation.Plan{Faults: []localaws.Fault{fault(localaws.FaultReorder, "DynamoDBStreams.GetRecords", 0.5)}},
			func(c simulation.Tally) bool { return c.Lost > 0 },
		},
		"standard queue, idempotency table": {
			simulation.Plan{Kill: 5, Faults: []localaws.Fault{fault(localaws.FaultThrottle, "DynamoDB.PutItem", 0.4)}},
			func(c simulation.Tally) bool { return c.Disordered > 0 && c.Wrong > 0 },
		},
	}
	for _, name := range simulation.Variants()[1:] {
		if raceDetector && name != "Lambda, defaults" {
			continue // only this one has goroutines that share something
		}
		of, known := weaknesses[name]
		require.True(t, known, "%s has a weakness here", name)
		seen := false
		for seed := uint64(1); seed <= 10 && !seen; seed++ {
			p := of.plan
			p.Seed, p.Clients, p.Commands = seed, 5, 15
			r := keeps(t, p.As(name)) // of the log
			seen = of.seen(r.Tally)
			if raceDetector || testing.Short() {
				continue
			}
			assert.True(t, keeps(t, p.As(simulation.Leftfold)).Tally.Clean(), "Leftfold, with the faults for %q, seed %d", name, seed)
		}
		assert.True(t, seen, "%s stands its faults", name)
	}
}

// TestTheTallyOfLeftfoldIsNotBlind: without its fence it is not clean.
func TestTheTallyOfLeftfoldIsNotBlind(t *testing.T) { //nolint:paralleltest // each run seeds the process's random bytes
	if raceDetector {
		return
	}
	seen := simulation.Tally{}
	for seed := uint64(1); seed <= 10 && seen.Repeated == 0; seed++ {
		p := simulation.Plan{Seed: seed, Clients: 5, Commands: 15, Kill: 5, Pause: 10, Mutant: "no fence"}.As(simulation.Leftfold)
		seen.Add(simulation.Run(t, p).Tally)
	}
	assert.Positive(t, seen.Repeated)
}

// runVariants plays every variant of a read side with the same seeds, and prints what went wrong with each.
func runVariants() (exit int) {
	began, names := time.Now(), simulation.Variants()
	jobs := make(chan job)
	go func() {
		defer close(jobs)
		for n := range *compare {
			for _, name := range names {
				jobs <- job{Seed: *first + n, Variant: name}
			}
		}
	}()
	type row struct {
		simulation.Tally

		seeds, unclean, wrong int
	}
	table, done := map[string]*row{}, 0
	for _, name := range names {
		table[name] = &row{}
	}
	shareOut(jobs, func(j job, r result, err error) {
		if err != nil || r.Failed { // the log, of which no variant is a part, or Leftfold
			printFailure(j, r, err)
			exit = 1
		}
		of := table[j.Variant]
		of.seeds++
		of.Add(r.Tally)
		if !r.Tally.Clean() {
			of.unclean++
		}
		if r.Tally.Wrong > 0 {
			of.wrong++
		}
		if done++; done%max(1, int(*compare)*len(names)/10) == 0 {
			say("%5d of %d runs, %.0f s", done, int(*compare)*len(names), time.Since(began).Seconds())
		}
	})
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\nread side\tseeds\tnot clean\tevents\tlost\tapplied twice\tout of order\t"+
		"aggregates\tstuck\twrong rows\tseeds with wrong rows") // a failed write shows at Flush
	for _, name := range names {
		of := table[name]
		_, _ = fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", name, of.seeds, of.unclean,
			of.Events, of.Lost, of.Repeated, of.Disordered, of.Aggregates, of.Stuck, of.Wrong, of.wrong)
	}
	if t.Flush() != nil || !table[simulation.Leftfold].Clean() {
		return 1
	}
	return exit
}
