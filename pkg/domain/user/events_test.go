package user_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestStoredEvents(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, user.NewCodec(), os.DirFS("testdata/events"))
}

// What was renamed is updated, in every shape that was ever stored.
func TestEveryStoredShapeOfANameIsRead(t *testing.T) {
	t.Parallel()
	codec, want := user.NewCodec(), user.Updated{FirstName: "Zoë Maria", LastName: "O'Hara-प्रिया"}
	for file, stored := range map[string]struct {
		name   string
		schema int
	}{
		"renamed.v1.json": {"org/iam/user/renamed", 1},
		"updated.v1.json": {"org/iam/user/updated", 1},
		"updated.v2.json": {"org/iam/user/updated", 2},
	} {
		payload, err := os.ReadFile("testdata/events/" + file)
		require.NoError(t, err)
		got, err := codec.Decode(stored.name, stored.schema, payload)
		require.NoError(t, err, file)
		assert.Equal(t, want, got, file)
	}
}

// The names are stored in every event log and must never change.
func TestEventNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]int{
		"org/iam/user/registered":       1,
		"org/iam/user/updated":          2,
		"org/iam/user/renamed":          1,
		"org/iam/user/emailChanged":     1,
		"org/iam/user/disabled":         1,
		"org/iam/user/enabled":          1,
		"org/iam/user/roleAdded":        1,
		"org/iam/user/roleGranted":      1,
		"org/iam/user/roleUntilChanged": 1,
		"org/iam/user/roleExpired":      1,
		"org/iam/user/roleRemoved":      1,
	}, user.NewCodec().Names())
	for name := range user.NewCodec().Names() {
		assert.Equal(t, user.Category, eventsourcing.CategoryOf(name))
	}
}

func FuzzStoredEvents(f *testing.F) {
	aggregatetest.FuzzStored(f, user.NewCodec(), os.DirFS("testdata/events"))
}
