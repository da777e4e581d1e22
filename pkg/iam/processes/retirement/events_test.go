package retirement_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/iam/processes/retirement"
)

// The files hold the engine's events of these streams, too.
func TestStoredEvents(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, retirement.Spec().Events(), os.DirFS("testdata/events"))
}

// The names are stored in every event log and must never change.
func TestEventNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]int{
		"org/iam/process/retirement/begun":           1,
		"org/iam/process/retirement/revoked":         1,
		"org/iam/process/retirement/membersLeft":     1,
		"org/iam/process/retirement/finished":        1,
		"org/iam/process/retirement/stopped":         1,
		"org/iam/process/retirement/commandsAsked":   1,
		"org/iam/process/retirement/commandAnswered": 1,
		"org/iam/process/retirement/timerSet":        1,
		"org/iam/process/retirement/timerCancelled":  1,
		"org/iam/process/retirement/timerFired":      1,
		"org/iam/process/retirement/parked":          1,
		"org/iam/process/retirement/retried":         1,
		"org/iam/process/retirement/cancelled":       1,
	}, retirement.Spec().Events().Names())
}
