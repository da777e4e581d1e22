package shards_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

func TestReleasedLeasesOfADeadReaderAreTakenAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("s1")
		f.stream.open("s2")
		f.stream.put("s1", numbers(1, 9)...)
		var alive atomic.Bool
		alive.Store(true)
		dead := f.start("dead", func(c *shards.Config[string]) {
			c.LeaseDuration, c.Leases = time.Hour, &mortal{memory: f.leases, alive: &alive}
		})
		after(time.Minute)
		read := f.leases.lease("s1").Checkpoint
		alive.Store(false)
		dead.stop()
		require.NoError(t, <-dead.done, "it cannot release anything")
		f.stream.put("s1", "10")
		f.stream.put("s2", "11")

		require.NoError(t, shards.Release(t.Context(), f.leases, "c"))
		assert.Empty(t, f.leases.lease("s1").Owner)
		assert.Equal(t, read, f.leases.lease("s1").Checkpoint)
		assert.Zero(t, f.leases.lease("reader/dead"), "it is no reader that gets a share")
		next := f.start("next", func(c *shards.Config[string]) { c.LeaseDuration = time.Hour })
		after(time.Minute)
		next.end()
		assert.ElementsMatch(t, []string{"10", "11"}, f.log.by["next"], "nothing waits, and nothing is repeated")
		require.NoError(t, shards.Release(t.Context(), f.leases, "c"))
	})
}
