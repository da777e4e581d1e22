// Command readers compares package shards with the Kinesis Client Library: several processes of each read one stream of an embedded
// AWS, while one more joins, one is killed, a shard is split and one is stopped. It writes what it saw into docs/comparison.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/test/compare/internal/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := program(ctx, os.Args[1:], os.Stdin, os.Stderr); err != nil {
		stop()
		_, _ = fmt.Fprintln(os.Stderr, "readers:", err)
		os.Exit(1)
	}
}

func program(ctx context.Context, args []string, stdin io.Reader, log io.Writer) error {
	flags := flag.NewFlagSet("readers", flag.ContinueOnError)
	flags.SetOutput(log)
	var j job
	flags.StringVar(&j.sink, "work", "", "be a worker of package shards that posts to this URL")
	flags.StringVar(&j.stream, "stream", streamName, "the worker's stream")
	flags.DurationVar(&j.failover, "failover", 0, "the worker's failover time")
	kcl := flags.String("kcl", "bin/compare-readers", "the compiled kcl/Worker.java")
	jars := flags.String("jars", "bin/kcl/kinesis", "the Kinesis Client Library and what it needs")
	out := flags.String("out", "docs", "where comparison.md and readers.json are; \"\" writes nothing")
	rounds := flags.Int("rounds", 1, "how often all are run")
	steady := flags.Duration("steady", 30*time.Second, "for which calls are counted")
	patience := flags.Duration("patience", 3*time.Minute, "for each change")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if j.sink != "" {
		return work(ctx, j, stdin)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	results := results{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: report.Machine(), Rounds: *rounds, Steady: steady.String(),
		Patience: patience.String(), Contenders: contenders(self, *kcl, *jars),
	}
	for round := range *rounds {
		_, _ = fmt.Fprintf(log, "round %d of %d\n", round+1, *rounds)
		saw := make([]seen, len(results.Contenders))
		var trials errgroup.Group
		for i, c := range results.Contenders { // at once, so that what else the machine does falls on all of them
			t := trial{contender: c, steady: *steady, patience: *patience, log: log}
			trials.Go(func() (err error) {
				if saw[i], err = t.run(ctx); err != nil {
					err = fmt.Errorf("%s: %w", c, err)
				}
				return err
			})
		}
		if err := trials.Wait(); err != nil {
			return err
		}
		for i := range results.Contenders {
			results.Contenders[i].Seen = append(results.Contenders[i].Seen, saw[i])
		}
	}
	if *out == "" {
		return json.NewEncoder(os.Stdout).Encode(results)
	}
	return results.write(*out)
}

// contender is a library with settings.
type contender struct {
	Name     string        `json:"name"`
	Settings string        `json:"settings"`
	Failover time.Duration `json:"failover"` // 0 leaves all defaults
	Seen     []seen        `json:"seen"`

	command func(j job, worker string) []string
}

func (c contender) String() string { return c.Name + ", " + c.Settings }

// tuned is the failover time of both in their second trial.
const tuned = 2 * time.Second

func contenders(self, kcl, jars string) []contender {
	ours := func(j job, _ string) []string {
		return []string{self, "-work", j.sink, "-stream", j.stream, "-failover", j.failover.String()}
	}
	library := func(j job, worker string) []string {
		classpath := kcl + string(os.PathListSeparator) + filepath.Join(jars, "*")
		return []string{
			"java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", classpath, "Worker",
			j.sink, j.stream, worker, strconv.FormatInt(j.failover.Milliseconds(), 10),
		}
	}
	return []contender{
		{Name: "shards", Settings: "defaults: a lease of 10 s, polling", command: ours},
		{Name: "KCL 3.5.1", Settings: "defaults: failover time of 10 s, fan-out", command: library},
		{Name: "shards", Settings: "a lease of 2 s", Failover: tuned, command: ours},
		{Name: "KCL 3.5.1", Settings: "failover time of 2 s, polling every 200 ms", Failover: tuned, command: library},
	}
}
