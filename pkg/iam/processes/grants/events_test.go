package grants_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/iam/processes/grants"
)

// The files hold the engine's events of these streams, too.
func TestStoredEvents(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, grants.Spec().Events(), os.DirFS("testdata/events"))
}

// The names are stored in every event log and must never change.
func TestEventNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]int{
		"org/iam/process/grants/awaited":         1,
		"org/iam/process/grants/dropped":         1,
		"org/iam/process/grants/commandsAsked":   1,
		"org/iam/process/grants/commandAnswered": 1,
		"org/iam/process/grants/timerSet":        1,
		"org/iam/process/grants/timerCancelled":  1,
		"org/iam/process/grants/timerFired":      1,
		"org/iam/process/grants/parked":          1,
		"org/iam/process/grants/retried":         1,
		"org/iam/process/grants/cancelled":       1,
	}, grants.Spec().Events().Names())
}
