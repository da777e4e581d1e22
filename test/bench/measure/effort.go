package measure

import (
	"runtime"
	"time"
)

// Effort is what a process has spent.
type Effort struct {
	CPU         time.Duration
	Allocations float64
}

// Since returns what was spent after an earlier reading.
func (e Effort) Since(before Effort) Effort {
	return Effort{e.CPU - before.CPU, e.Allocations - before.Allocations}
}

// Own returns the effort of this process.
func Own() (Effort, error) {
	cpu, err := ownCPU()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Effort{cpu, float64(m.Mallocs)}, err
}
