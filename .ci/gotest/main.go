// Command gotest runs the tests of all modules as go test does, those that build fast first. It prints go test's closing line of each
// package as it ends, with a running count; what is running, if nothing has ended for a while; and last what failed and why.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// beat is the longest silence.
	beat = 20 * time.Second
	// stalled is how long no test may begin, end or print anything. How long tests take in all is not limited: machines differ.
	stalled = 15 * time.Minute
)

func main() {
	race := flag.Bool("race", false, "use the race detector, which needs a C compiler")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), "Usage: gotest [-race] [packages, by default all of go.work]\n")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, *race, flag.Args())
	if err != nil && !errors.Is(err, errFailed) {
		_, _ = fmt.Fprintln(os.Stderr, "gotest:", err)
	}
	if err != nil {
		os.Exit(1)
	}
}

var (
	errFailed  = errors.New("tests failed") // and all that failed has been reported
	errStalled = errors.New("nothing moves")
)

func run(ctx context.Context, race bool, patterns []string) error {
	args := []string{"test", "-json", "-timeout", "0", "-vet", "off"} // make lint vets
	if race {
		if err := canDetectRaces(ctx); err != nil {
			return err
		}
		args = append(args, "-race")
	} else { // the tests of the whole system wait half the time
		args = append(args, "-short", "-p", strconv.Itoa(runtime.NumCPU()+1))
	}
	if len(patterns) == 0 {
		patterns = []string{"work"}
	}
	packages, err := inOrder(ctx, patterns)
	if err != nil {
		return err
	}
	report := newReport(os.Stdout, time.Now, len(packages)) //nolint:forbidigo // a main package
	err = test(ctx, append(args, packages...), report)
	if again := report.again(); len(again) > 0 {
		err = test(ctx, append(args, again...), report)
	}
	if !report.end() || err != nil {
		return errFailed
	}
	return nil
}

// test runs go test and reports what it does.
func test(ctx context.Context, args []string, report *report) error {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the caller's own arguments
	cmd.Stderr = os.Stderr
	stopAll(ctx, cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	follow(out, report, func() { giveUp(errStalled) })
	return cmd.Wait()
}

// follow reports the events of go test until it ends, and gives it up if it stalls.
func follow(out io.Reader, report *report, giveUp func()) {
	lines := make(chan []byte)
	go func() {
		defer close(lines)
		read := bufio.NewReader(out)
		for {
			line, err := read.ReadBytes('\n')
			if len(line) > 0 {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	tick := time.NewTicker(beat / 4)
	defer tick.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return
			}
			var e event
			if json.Unmarshal(line, &e) != nil {
				report.print(strings.TrimRight(string(line), "\n")) // go itself
				continue
			}
			report.take(e)
		case <-tick.C:
			report.beat()
			if report.stalled() {
				giveUp()
			}
		}
	}
}

func canDetectRaces(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "env", "CGO_ENABLED", "CC").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	enabled, compiler, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	compiler, _, _ = strings.Cut(compiler, " ")
	if _, err := exec.LookPath(compiler); err != nil || enabled != "1" {
		return fmt.Errorf("the race detector needs cgo and a C compiler (CGO_ENABLED=%s, CC=%s): install gcc and libc6-dev, "+
			"or use make test, which needs neither", enabled, compiler)
	}
	return nil
}

// inOrder returns the packages that have tests: first those that depend on few others, as they build fast, and last the tests of the
// whole system, below test/.
func inOrder(ctx context.Context, patterns []string) ([]string, error) {
	args := append([]string{"list", "-test", "-f", "{{.ImportPath}} {{len .Deps}}"}, patterns...)
	list := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the caller's own arguments
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	type testBinary struct {
		of           string
		system, deps int
	}
	var all []testBinary
	for line := range strings.Lines(string(out)) {
		var b testBinary
		if _, err := fmt.Sscan(line, &b.of, &b.deps); err != nil {
			continue // a package as it is compiled for another's test: "a [b.test] 1"
		}
		var ok bool
		if b.of, ok = strings.CutSuffix(b.of, ".test"); !ok {
			continue
		}
		if strings.Contains(b.of, "/test/") {
			b.system = 1
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no tests in %s", strings.Join(patterns, " "))
	}
	slices.SortStableFunc(all, func(a, b testBinary) int {
		if a.system != b.system {
			return a.system - b.system
		}
		return a.deps - b.deps
	})
	var packages []string
	for _, b := range all {
		packages = append(packages, b.of)
	}
	return packages, nil
}
