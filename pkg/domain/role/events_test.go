package role_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/role"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestStoredEvents(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, role.NewCodec(), os.DirFS("testdata/events"))
}

// The names are stored in every event log and must never change.
func TestEventNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]int{
		"org/iam/role/created":             1,
		"org/iam/role/renamed":             1,
		"org/iam/role/disabled":            1,
		"org/iam/role/enabled":             1,
		"org/iam/role/rulesChanged":        1,
		"org/iam/role/retirementRequested": 1,
		"org/iam/role/retirementCancelled": 1,
		"org/iam/role/retired":             1,
	}, role.NewCodec().Names())
	for name := range role.NewCodec().Names() {
		assert.Equal(t, role.Category, eventsourcing.CategoryOf(name))
	}
}

func FuzzStoredEvents(f *testing.F) {
	aggregatetest.FuzzStored(f, role.NewCodec(), os.DirFS("testdata/events"))
}
