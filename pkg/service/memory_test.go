package service

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheEnvironmentSaysWhenGarbageIsCollected(t *testing.T) { // not in parallel: it is one collector
	restore := debug.SetGCPercent(100)
	limit := debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(restore)
		debug.SetMemoryLimit(limit)
	}()
	t.Setenv("GOMEMLIMIT", "off")
	for variable, want := range map[string]int{"": gcPercent, "70": 100} { // the runtime has read 70 at the start, if it was there
		t.Setenv("GOGC", variable)
		debug.SetGCPercent(100)
		tuneCollector()
		assert.Equal(t, want, debug.SetGCPercent(100), "GOGC=%s", variable)
	}
	assert.Equal(t, int64(math.MaxInt64), debug.SetMemoryLimit(-1), "GOMEMLIMIT=off")

	require.NoError(t, os.Unsetenv("GOMEMLIMIT")) // restored as t.Setenv says
	if runtime.GOOS == "linux" {
		tuneCollector()
		assert.Less(t, debug.SetMemoryLimit(-1), int64(math.MaxInt64), "without a container the machine is the limit")
	}
}
