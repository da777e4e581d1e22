// Bench measures Leftfold: each case answers a question, on the real programs and an embedded AWS, with the least possible measured beside
// it. docs/benchmarks.md has what it measured last.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/bench/cases"
	"github.com/leftfold/leftfold/test/bench/report"
	"github.com/leftfold/leftfold/test/e2e/processes"
)

func main() {
	service.Exit("bench", os.Args[1:], func(ctx context.Context, args []string) error {
		return run(ctx, args, os.Stdout, os.Stderr)
	})
}

// options are the flags.
type options struct {
	list, quick, long, json bool
	only, out, programs     string
	command                 string
}

// parse returns the options; its error was shown.
func parse(args []string, errs io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(errs)
	flags.BoolVar(&o.list, "list", false, "list the cases, and end")
	flags.StringVar(&o.only, "only", "", "run these cases, separated by commas, and no other")
	flags.BoolVar(&o.quick, "quick", false, "measure little: some minutes, rough numbers")
	flags.BoolVar(&o.long, "long", false, "measure much: an hour, a backlog of 1,000,000 events, some GB of memory")
	flags.BoolVar(&o.json, "json", false, "write JSON with every round instead of Markdown")
	flags.StringVar(&o.out, "out", "", "write the report into the documentation in this directory, and the headlines into the README above;\n"+
		"goes on where a run of the same commit was ended; with --only, the other cases stay as they are there")
	flags.StringVar(&o.programs, "programs", filepath.Join("bin", "processes"), "build the services' programs into this directory")
	flags.StringVar(&o.command, "command", "", "what the report says was run; by default this command line")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.command == "" {
		o.command = strings.Join(append([]string{"bench"}, args...), " ")
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("%s: not a flag; --help lists them", flags.Arg(0))
	case o.quick && o.long:
		return o, errors.New("--quick and --long: want one of them")
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, errs io.Writer) error {
	o, err := parse(args, errs)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	chosen, err := choose(o.only)
	if err != nil {
		return err
	}
	if o.list {
		for _, c := range chosen {
			_, _ = fmt.Fprintf(out, "%-12s %s\n", c.Name, c.Asks)
		}
		return nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("no go command here to build the services with: %w", err)
	}
	began := time.Now()
	bench := cases.Bench{Size: size(o), Say: func(format string, args ...any) {
		_, _ = fmt.Fprintf(errs, "%8s  %s\n", time.Since(began).Round(time.Second), fmt.Sprintf(format, args...))
	}}
	if bench.Programs, err = build(ctx, o.programs); err != nil {
		return err
	}
	r := report.Report{Command: o.command, At: began.UTC(), Machine: report.ThisMachine(ctx)}
	keep := filepath.Join(bench.Programs, "bench.kept.json")
	all := o.out != "" && o.only == ""
	if all {
		if r, err = r.GoOn(keep); err != nil {
			return err
		}
	}
	before := r.Took
	var failed []error
	for _, c := range chosen {
		if r.Has(c.Name) {
			bench.Say("%s: measured before this run", c.Name)
			continue
		}
		section, err := c.Run(ctx, bench)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil: // the others may take long
			bench.Say("%s failed: %v", c.Name, err)
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, err))
		default:
			r.Sections = append(r.Sections, section)
		}
		r.Took = before + report.Duration(time.Since(began))
		if all {
			if err := r.Keep(keep); err != nil {
				return err
			}
		}
	}
	if len(failed) > 0 {
		o.out = "" // no report without a part
	}
	if err := errors.Join(append(failed, write(r, o, out))...); err != nil || o.out == "" || !all {
		return err
	}
	return os.Remove(keep)
}

func size(o options) cases.Size {
	switch {
	case o.quick:
		return cases.Quick()
	case o.long:
		return cases.Long()
	default:
		return cases.Normal()
	}
}

// choose returns the cases with these names; all if there are none.
func choose(names string) ([]cases.Case, error) {
	all := cases.All()
	if names == "" {
		return all, nil
	}
	var chosen []cases.Case
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(c cases.Case) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("--only %s: no case has this name; --list shows them", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// build compiles the programs into a directory and returns its whole path.
func build(ctx context.Context, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, processes.Build(ctx, dir)
}

func write(r report.Report, o options, out io.Writer) error {
	if o.out != "" {
		if err := document(r, o); err != nil {
			return err
		}
	}
	if o.json {
		return r.JSON(out)
	}
	_, err := io.WriteString(out, r.Markdown("benchmarks"))
	return err
}

// document writes the report into the documentation.
func document(r report.Report, o options) error {
	if o.only != "" {
		var order []string
		for _, c := range cases.All() {
			order = append(order, c.Name)
		}
		var err error
		if r, err = r.Over(o.out, order); err != nil {
			return err
		}
	}
	return r.Write(o.out)
}
