package eventsourcing_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

// Somebody deleted events, or the whole table, while a process knows more. Wherever the process reads anyway it notices, and
// it goes on refusing: what it knows is the only trace of what is missing.
func TestALogThatLostItsEndIsNotDecidedOn(t *testing.T) {
	t.Parallel()
	nothing := emit()
	for name, left := range map[string]int{"the last event": 2, "the table": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCached(t, 1)
			c.given(c.counterRepository, "c1", counted{}, counted{}, counted{})
			c.Store = new(memstore.Store)
			for range left { // other events: of a backup, or written since
				c.given(newCounters(c.Store), "c1", counted{})
			}
			for range 2 {
				_, _, err := c.Load(t.Context(), "c1")
				require.ErrorIs(t, err, eventsourcing.ErrLogHole, "a load")
				_, err = c.Do(t.Context(), "c1", nothing)
				require.ErrorIs(t, err, eventsourcing.ErrLogHole, "a decision that needs a fresh state")
			}
		})
	}
}

func TestAConflictShowsThatTheEventBeforeItIsMissing(t *testing.T) {
	t.Parallel()
	c := newCached(t, 1)
	c.given(c.counterRepository, "c1", counted{})
	other := new(memstore.Store)
	writer := newCounters(other)
	writer.NewID = c.rival.NewID
	c.given(writer, "c1", counted{}, counted{})
	store := &scripted{Store: other}
	c.Store = store
	_, err := c.Do(t.Context(), "c1", emit(counted{}))
	require.ErrorIs(t, err, eventsourcing.ErrLogHole)
	assert.Len(t, store.commits, 1, "refused by a version that is taken")
}
