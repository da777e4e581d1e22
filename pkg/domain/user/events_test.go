package user_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestStoredEvents(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, user.NewCodec(), os.DirFS("testdata/events"))
}

// The names are written in every log there is.
func TestEventNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]int{
		"org/iam/user/registered":   1,
		"org/iam/user/updated":      1,
		"org/iam/user/emailChanged": 1,
		"org/iam/user/disabled":     1,
		"org/iam/user/enabled":      1,
		"org/iam/user/roleAdded":    1,
		"org/iam/user/roleRemoved":  1,
	}, user.NewCodec().Names())
	for name := range user.NewCodec().Names() {
		assert.Equal(t, user.Category, eventsourcing.CategoryOf(name))
	}
}

func FuzzStoredEvents(f *testing.F) {
	aggregatetest.FuzzStored(f, user.NewCodec(), os.DirFS("testdata/events"))
}
