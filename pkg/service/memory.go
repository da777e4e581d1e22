package service

import (
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// gcPercent lets the heap grow to five times what is live before it is collected. Services keep little and allocate much, so that with
	// Go's 100 a tenth of their CPU is collection. docs/benchmarks.md has the measurement.
	gcPercent = 400
	// memoryShare is the share of its container's memory, or of the machine's, within which the collector keeps the process, whatever
	// gcPercent says. The embedded AWS keeps millions of events, of which gcPercent would make five times as much.
	memoryShare = 0.7
)

// tuneCollector sets when the process collects garbage. The environment's GOGC and GOMEMLIMIT win: https://pkg.go.dev/runtime
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	_, _ = memlimit.Set( // it sets none where the system does not tell
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)), memlimit.WithRatio(memoryShare))
}
