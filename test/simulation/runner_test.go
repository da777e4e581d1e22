package simulation_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/leftfold/leftfold/test/simulation"
)

// The test binary is the runner of `make simulate` as well, since only tests have virtual time. Each worker is a process with
// one thread, which isolates runs and makes two runs of a seed equal.
var (
	seeds   = flag.Uint64("simulate", 0, "run that many seeds instead of the tests")
	first   = flag.Uint64("seed", 1, "the first seed")
	twice   = flag.Bool("twice", false, "run each seed twice and compare")
	plant   = flag.Uint64("mutants", 0, "plant every bug, for at most that many seeds each, instead of the tests")
	compare = flag.Uint64("variants", 0, "play every variant for that many seeds instead of the tests, and count what went wrong")
	workers = flag.Int("workers", runtime.NumCPU(), "number of worker processes")
)

const (
	workerVariable = "SIMULATION_WORKER"
	resultPrefix   = "RESULT "
)

func TestMain(m *testing.M) {
	flag.Parse()
	switch {
	case os.Getenv(workerVariable) != "" || *seeds == 0 && *plant == 0 && *compare == 0:
		os.Exit(m.Run())
	case *plant > 0:
		os.Exit(runMutants())
	case *compare > 0:
		os.Exit(runVariants())
	default:
		os.Exit(runSeeds())
	}
}

// worker is a process that runs jobs.
type worker struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	err strings.Builder
}

func newWorker() (*worker, error) {
	w := &worker{cmd: exec.Command(os.Args[0], "-test.run=^TestWorker$", "-test.timeout=0")}
	w.cmd.Env = append(os.Environ(), workerVariable+"=1", "GOMAXPROCS=1")
	w.cmd.Stderr = &w.err
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewScanner(out)
	w.out.Buffer(nil, 64<<20)
	return w, w.cmd.Start()
}

// play runs one job. It returns an error if the worker is gone, or stood still and was ended.
func (w *worker) play(j job) (r result, err error) {
	line, err := json.Marshal(j)
	if err != nil {
		return r, err
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		return r, err
	}
	defer watch(w.cmd.Process, time.Second)()
	var output []string
	for w.out.Scan() {
		if text, ok := strings.CutPrefix(w.out.Text(), resultPrefix); ok {
			return r, json.Unmarshal([]byte(text), &r)
		}
		output = append(output, w.out.Text())
	}
	_ = w.cmd.Wait() // its output says more
	return r, fmt.Errorf("the worker ended: %s%s", strings.Join(output[:min(len(output), 60)], "\n"), w.err.String())
}

func (w *worker) close() {
	_ = w.in.Close()
	_ = w.cmd.Wait() // all its output was read
}

// shareOut gives jobs to workers until there are none, and results to take.
func shareOut(jobs <-chan job, take func(job, result, error)) {
	var mu sync.Mutex
	var busy sync.WaitGroup
	for range *workers {
		busy.Go(func() {
			var w *worker
			for j := range jobs {
				var err error
				if w == nil {
					w, err = newWorker()
				}
				var r result
				if err == nil {
					r, err = w.play(j)
				}
				if err != nil {
					w = nil
				}
				mu.Lock()
				take(j, r, err)
				mu.Unlock()
			}
			if w != nil {
				w.close()
			}
		})
	}
	busy.Wait()
}

func runSeeds() (exit int) {
	began := time.Now()
	jobs := make(chan job)
	go func() {
		defer close(jobs)
		for n := range *seeds {
			jobs <- job{Seed: *first + n, Twice: *twice, Shrink: true}
		}
	}()
	var total simulation.Report
	done, failed := 0, 0
	shareOut(jobs, func(j job, r result, err error) {
		done++
		if err != nil || r.Failed {
			failed++
			printFailure(j, r, err)
		}
		total.Add(&r.Report)
		if done%max(1, int(*seeds)/20) == 0 {
			say("%5d of %d seeds, %d failed, %.0f s", done, *seeds, failed, time.Since(began).Seconds())
		}
	})
	say("\nseeds %d, failed %d\n%s\nseconds %.0f, seeds per second %.2f", done, failed, &total,
		time.Since(began).Seconds(), float64(done)/time.Since(began).Seconds())
	if failed > 0 {
		return 1
	}
	return 0
}

func printFailure(j job, r result, err error) {
	if err != nil {
		say("\nseed %d did not end: %v", j.Seed, err)
	} else {
		say("\nseed %d broke %s", j.Seed, short(r.Breaches))
		for _, b := range r.Breaches[:min(len(r.Breaches), 5)] {
			say("  %s", b)
		}
		if len(r.History) > 0 {
			say("  shortest plan found: %s\n  history:", r.Shrunk)
			for _, line := range r.History {
				say("    %.300s", line)
			}
		}
	}
	say("  replay it: make simulate SEEDS=1 SEED=%d\n", j.Seed)
}

// runMutants plants one bug after the other, each until a seed catches it.
func runMutants() (exit int) {
	names, means := simulation.Mutants()
	type end struct {
		seeds   uint64
		promise string
		took    time.Duration
	}
	ends := map[string]end{}
	next := make(chan string)
	go func() {
		defer close(next)
		for _, name := range names {
			next <- name
		}
	}()
	var mu sync.Mutex
	var busy sync.WaitGroup
	for range *workers {
		busy.Go(func() {
			w, err := newWorker()
			if err != nil {
				panic(err)
			}
			defer func() { w.close() }()
			for name := range next {
				began := time.Now()
				e := end{}
				for n := uint64(0); n < *plant && e.promise == ""; n++ {
					r, err := w.play(job{Seed: *first + n, Mutant: name})
					e.seeds++
					switch {
					case err != nil:
						e.promise = "(the run did not end)"
						if w, err = newWorker(); err != nil {
							panic(err)
						}
					case r.Failed:
						e.promise = short(r.Breaches)
					}
				}
				e.took = time.Since(began)
				mu.Lock()
				ends[name] = e
				mu.Unlock()
			}
		})
	}
	busy.Wait()
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "mutant\tcaught by\tseeds\tseconds\twhat is wrong with it") // a failed write shows at Flush
	for _, name := range names {
		e := ends[name]
		if e.promise == "" {
			e.promise, exit = "SURVIVED", 1
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%.1f\t%s\n", name, e.promise, e.seeds, e.took.Seconds(), means[name])
	}
	if err := t.Flush(); err != nil {
		return 1
	}
	return exit
}

func say(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stdout, format+"\n", args...) // there is nothing else to report it to
}
