package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// event is an event of go test -json: https://pkg.go.dev/cmd/test2json, and those of go build -json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// name is a test of a package, or the package itself if test is empty.
type name struct{ pkg, test string }

func (n name) String() string { return strings.TrimSpace(short(n.pkg) + " " + n.test) }

// holds reports whether o is a test of the package n, or a subtest of the test n.
func (n name) holds(o name) bool {
	return n.pkg == o.pkg && n != o && (n.test == "" || strings.HasPrefix(o.test, n.test+"/"))
}

// short leaves out what all packages have in common.
func short(pkg string) string { return strings.TrimPrefix(pkg, "github.com/leftfold/leftfold/") }

// report tells how the tests of some packages go.
type report struct {
	out       io.Writer
	now       func() time.Time
	began     time.Time
	printedAt time.Time
	movedAt   time.Time

	packages, ended, passed, skipped int

	running map[name]time.Time // packages and tests, since when
	paused  map[name]bool      // those of them that wait for others
	output  map[name][]string  // lines of what runs or failed
	failed  []name             // tests and packages, in the order of their ends
	broken  []string           // what the compiler wrote
	rerun   bool               // what the race detector's own crash ended has been run again
}

func newReport(out io.Writer, now func() time.Time, packages int) *report {
	began := now()
	return &report{
		out: out, now: now, began: began, printedAt: began, movedAt: began, packages: packages,
		running: map[name]time.Time{}, paused: map[name]bool{}, output: map[name][]string{},
	}
}

func (r *report) print(line string) {
	_, _ = fmt.Fprintln(r.out, line)
	r.printedAt = r.now()
}

func (r *report) take(e event) {
	r.movedAt = r.now()
	n := name{e.Package, e.Test}
	switch e.Action {
	case "start", "run", "cont":
		r.running[n] = r.now()
		delete(r.paused, n)
	case "pause":
		r.paused[n] = true
	case "output":
		r.output[n] = append(r.output[n], strings.TrimRight(e.Output, "\n"))
	case "build-output":
		r.broken = append(r.broken, strings.TrimRight(e.Output, "\n"))
		r.print(strings.TrimRight(e.Output, "\n"))
	case "pass", "skip", "fail":
		r.over(n, e.Action)
	}
}

func (r *report) over(n name, action string) {
	delete(r.running, n)
	if n.test == "" {
		r.packageOver(n, action)
		return
	}
	switch action {
	case "fail":
		r.print("--- FAIL: " + n.String())
		r.failed = append(r.failed, n)
		return
	case "pass":
		r.passed++
	default:
		r.skipped++
	}
	delete(r.output, n)
}

func (r *report) packageOver(n name, action string) {
	r.ended++
	line := action + "\t" + n.pkg
	for _, said := range r.output[n] {
		if strings.HasPrefix(said, "ok  \t") || strings.HasPrefix(said, "FAIL\t") || strings.HasPrefix(said, "?   \t") {
			line = said
		}
	}
	r.print(fmt.Sprintf("%s\t[%d of %d]", line, r.ended, r.packages))
	if action != "fail" {
		delete(r.output, n)
		return
	}
	var crashed []string
	for _, unfinished := range r.unfinished() { // and never will be: the process has ended
		if n.holds(unfinished) {
			delete(r.running, unfinished)
			crashed = append(crashed, unfinished.test)
			r.output[n] = append(r.output[unfinished], r.output[n]...)
			delete(r.output, unfinished)
		}
	}
	if len(crashed) > 0 {
		while := name{n.pkg, "while " + strings.Join(crashed, ", ") + " ran"}
		r.output[while] = append(r.after(n), r.output[n]...)
		n = while
	}
	r.failed = append(r.failed, n)
}

// again returns, once, the packages that only the race detector's own crash ended, and forgets that they ran. Many timers in a bubble
// of testing/synctest bring such a crash about: https://go.dev/issue/78156
func (r *report) again() (packages []string) {
	if r.rerun {
		return nil
	}
	r.rerun = true
	for _, n := range r.failed {
		if !detectorCrashed(r.output[n]) ||
			slices.ContainsFunc(r.failed, func(o name) bool { return o.pkg == n.pkg && o != n }) {
			continue
		}
		r.print("=== " + n.String() + ": the race detector itself has crashed (https://go.dev/issue/78156): once more")
		packages = append(packages, n.pkg)
	}
	r.failed = slices.DeleteFunc(r.failed, func(n name) bool { return slices.Contains(packages, n.pkg) })
	maps.DeleteFunc(r.output, func(n name, _ []string) bool { return slices.Contains(packages, n.pkg) })
	r.ended -= len(packages)
	return packages
}

// after returns what was written after the end of the test it is attributed to: test2json knows only which test wrote last, so
// the words of a crash may stand under any test of the package.
func (r *report) after(pkg name) []string {
	var lines []string
	for _, n := range slices.SortedFunc(maps.Keys(r.output), byName) {
		if pkg.holds(n) && !slices.Contains(r.failed, n) {
			lines = append(lines, r.output[n]...)
		}
	}
	return lines
}

// beat says what is running if nothing was printed for a while.
func (r *report) beat() {
	if r.now().Sub(r.printedAt) < beat {
		return
	}
	var what []string
	running := r.unfinished()
	for _, n := range running {
		if n.test != "" && !r.paused[n] && !slices.ContainsFunc(running, n.holds) {
			what = append(what, fmt.Sprintf("%s for %s", n, r.since(r.running[n])))
		}
	}
	const most = 4
	if len(what) > most {
		what = append(what[:most], fmt.Sprintf("and %d more", len(what)-most))
	}
	if len(what) == 0 {
		what = []string{"go compiles"}
	}
	r.print(fmt.Sprintf("    %d of %d packages after %s; running: %s", r.ended, r.packages, r.since(r.began), strings.Join(what, ", ")))
}

// unfinished returns the packages and tests that run, in the order of their names.
func (r *report) unfinished() []name {
	return slices.SortedFunc(maps.Keys(r.running), byName)
}

func byName(a, b name) int { return strings.Compare(a.String(), b.String()) }

func (r *report) since(t time.Time) time.Duration { return r.now().Sub(t).Round(time.Second) }

// stalled reports whether tests run, but nothing has happened for too long.
func (r *report) stalled() bool { return len(r.running) > 0 && r.now().Sub(r.movedAt) > stalled }

// end prints what failed: first all its output, then one line each. It reports whether all passed.
func (r *report) end() bool {
	if r.ended < r.packages {
		r.print(fmt.Sprintf("ended after %d of %d packages", r.ended, r.packages))
	}
	r.failed = append(r.failed, r.unfinished()...) // go test was stopped
	// What a package or a test holds says more than it does itself.
	failed := slices.DeleteFunc(slices.Clone(r.failed), func(n name) bool {
		return slices.ContainsFunc(r.failed, func(o name) bool { return n.holds(o) })
	})
	for _, n := range failed {
		r.print("\n=== " + n.String())
		r.print(strings.Join(lastOf(r.output[n], 60), "\n"))
	}
	r.print(fmt.Sprintf("\n%d of %d packages in %s: %d tests passed, %d were skipped, %d failed",
		r.ended, r.packages, r.since(r.began), r.passed, r.skipped, len(failed)))
	for _, n := range failed {
		r.print(fmt.Sprintf("FAIL: %s: %s", n, reason(append(r.broken, r.output[n]...))))
	}
	return len(failed) == 0 && r.ended == r.packages
}

func lastOf(lines []string, n int) []string { return lines[max(0, len(lines)-n):] }
