// Command compare does the same work with several event sourcing libraries on the same embedded AWS, each by its own documentation, and
// writes what it saw into docs/comparison.md and docs/comparison.json. That page says what is compared and how.
//
// Each library has a folder in peers, with a driver and a peer.json; package peer describes both. What is not installed is skipped.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/test/compare/internal/peer"
	"github.com/leftfold/leftfold/test/compare/internal/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := program(ctx, os.Args[1:], os.Stderr); err != nil {
		stop()
		_, _ = fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

// patience is for how many seconds a driver may do without a call of AWS: the start of a large program on a busy machine takes some.
const patience = 180

func program(ctx context.Context, args []string, log io.Writer) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	flags.SetOutput(log)
	folder := flags.String("peers", "test/compare/peers", "the libraries' drivers")
	scratch := flags.String("scratch", "bin/compare", "where the libraries are installed")
	out := flags.String("out", "docs", "where comparison.md and comparison.json are; \"\" writes nothing")
	install := flags.Bool("install", false, "install the libraries, and compare nothing")
	rounds := flags.Int("rounds", 5, "how often each task is run with each library")
	updates := flags.Int("updates", 1000, "updates of a round")
	streams := flags.Int("streams", 50, "aggregates that are updated in turn")
	flags.Usage = func() {
		_, _ = fmt.Fprintln(log, "Usage: compare [flags] [libraries, by default all]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	peers, err := peer.Load(*folder)
	if err != nil {
		return err
	}
	if names := flags.Args(); len(names) > 0 {
		if peers, err = only(peers, names); err != nil {
			return err
		}
	}
	if *install {
		return installAll(ctx, peers, *scratch, log)
	}
	contenders, skipped, err := installed(ctx, peers, *scratch, log)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	c := comparison{rounds: *rounds, updates: *updates, streams: *streams, log: log, ticks: ticker.C, patience: patience}
	if err := c.run(ctx, contenders); err != nil {
		return err
	}
	results := report.Results{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: report.Machine(), Command: strings.Join(append([]string{"compare"}, args...), " "),
		Rounds: *rounds, Updates: *updates, Streams: *streams, Writers: writers, BigEvents: bigEvents, Skipped: skipped,
	}
	for _, each := range contenders {
		results.Contenders = append(results.Contenders, each.seen)
	}
	if *out != "" {
		err = results.Write(*out)
	}
	return errors.Join(err, results.Failures())
}

func only(peers []peer.Peer, names []string) ([]peer.Peer, error) {
	for _, name := range names {
		if !slices.ContainsFunc(peers, func(p peer.Peer) bool { return p.Name == name }) {
			return nil, fmt.Errorf("there is no library %q", name)
		}
	}
	return slices.DeleteFunc(peers, func(p peer.Peer) bool { return !slices.Contains(names, p.Name) }), nil
}

// installAll installs what can be installed. A missing program, such as npm, is no error.
func installAll(ctx context.Context, peers []peer.Peer, scratch string, log io.Writer) (err error) {
	for _, p := range peers {
		_, _ = fmt.Fprintf(log, "installing %s %s\n", p.Name, p.Version)
		failed := p.Install(ctx, scratch, log)
		if missing, ok := errors.AsType[*peer.MissingError](failed); ok {
			_, _ = fmt.Fprintf(log, "%s: skipped: %v\n", p.Name, missing)
		} else if failed != nil {
			err = errors.Join(err, fmt.Errorf("install %s: %w", p.Name, failed))
		}
	}
	return err
}

// installed returns the drivers of what is installed, and the names of what is not.
func installed(ctx context.Context, peers []peer.Peer, scratch string, log io.Writer) (found []*contender, skipped []string, err error) {
	for _, p := range peers {
		err := p.Installed(scratch)
		if errors.Is(err, peer.ErrNotInstalled) {
			_, _ = fmt.Fprintf(log, "%s: skipped: %v (make compare-install)\n", p.Name, err)
			skipped = append(skipped, p.Name)
			continue
		}
		version, failed := p.RuntimeVersion(ctx, scratch)
		if err := errors.Join(err, failed); err != nil {
			return nil, nil, err
		}
		for _, driver := range p.Drivers(scratch) {
			found = append(found, &contender{driver, report.Contender{
				Name: p.Name, Variant: driver.Variant, Version: p.Version, Language: p.Language, Homepage: p.Homepage, Licence: p.Licence,
				Runtime: version, Strengths: p.Strengths, Notes: p.Notes, Command: strings.Join(driver.Command(), " "),
			}})
		}
	}
	return found, skipped, nil
}
