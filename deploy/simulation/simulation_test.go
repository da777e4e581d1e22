package simulation_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/leftfold/leftfold/deploy/simulation"
)

func TestOne(t *testing.T) {
	seed, _ := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	p := simulation.NewPlan(seed)
	if os.Getenv("V") != "" {
		p.Logs = os.Stderr
	}
	t.Log(p)
	r := simulation.Run(t, p)
	t.Log(r, r.Took, r.Hash)
	if f := os.Getenv("TRACE"); f != "" {
		out, _ := os.Create(f)
		for _, l := range r.Trace {
			out.WriteString(l + "\n")
		}
		out.Close()
	}
	for _, b := range r.Breaches {
		t.Error(b)
	}
}

func TestMany(t *testing.T) {
	from, _ := strconv.ParseUint(os.Getenv("FROM"), 10, 64)
	n, _ := strconv.ParseUint(os.Getenv("N"), 10, 64)
	for seed := from; seed < from+n; seed++ {
		p := simulation.NewPlan(seed)
		r := simulation.Run(t, p)
		t.Log(seed, r.Hash, r.Took, r.Steps, r.Virtual)
		if os.Getenv("TWICE") != "" {
			r2 := simulation.Run(t, p)
			if r2.Hash != r.Hash {
				for i := range r.Trace {
					if i >= len(r2.Trace) || r.Trace[i] != r2.Trace[i] {
						t.Errorf("seed %d differs at %d of %d:\n%s\n%s", seed, i, len(r.Trace), r.Trace[i], r2.Trace[min(i, len(r2.Trace)-1)])
						break
					}
				}
			}
		}
		for i, b := range r.Breaches {
			if i < 4 {
				t.Error(seed, b)
			}
		}
	}
}
