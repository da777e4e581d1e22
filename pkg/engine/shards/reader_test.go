package shards_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
)

func TestParentsAreReadBeforeChildren(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 10)...)
		f.stream.open("b", "a")
		f.stream.open("c", "a")
		f.stream.put("b", "b0", "b1")
		f.stream.put("c", numbers(100, 120)...)
		f.stream.open("d", "b", "c")
		f.stream.put("d", "d0")
		r := f.start("x")
		after(5 * time.Second)
		f.stream.put("d", "d1")
		after(time.Second)
		r.end()

		got := f.log.all()
		place := map[string]int{}
		for i, v := range got {
			place[v] = i
		}
		assert.Len(t, got, 34)
		assert.Equal(t, numbers(0, 10), got[:10], "the parent first")
		assert.Equal(t, numbers(100, 120), f.log.byShard["c"])
		assert.Equal(t, []string{"d0", "d1"}, got[32:], "after both parents")
		for _, done := range []string{"a", "b", "c"} {
			assert.Equal(t, shards.StateDone, f.leases.lease(done).State)
		}
		assert.Equal(t, shards.StateOpen, f.leases.lease("d").State)
	})
}

func TestChildrenOfAShardThatEndsAreReadAtOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		r := f.start("x", func(c *shards.Config[string]) { c.ListEvery = time.Hour })
		after(time.Minute)
		f.stream.put("a", "a0")
		f.stream.open("b", "a")
		f.stream.put("b", "b0")
		after(time.Second)
		assert.Equal(t, []string{"a0", "b0"}, f.log.all())
		r.end()
	})
}

func TestAChildWaitsForItsSecondParent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.open("b")
		f.stream.put("a", "a0")
		f.stream.put("b", "b0")
		f.stream.open("c", "a", "b")
		f.stream.put("c", "c0")
		var blocked atomic.Bool
		blocked.Store(true)
		handle := f.log.handle("x")
		r := f.start("x", func(c *shards.Config[string]) {
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[string]) error {
				if shard == "b" && blocked.Load() {
					return errors.New("not yet")
				}
				return handle(ctx, shard, records)
			}
		})
		after(time.Minute)
		assert.Equal(t, []string{"a0"}, f.log.all(), "b does not stall a, but c")
		blocked.Store(false)
		after(10 * time.Second)
		assert.Equal(t, []string{"a0", "b0", "c0"}, f.log.all())
		r.end()
	})
}

func TestAParentThatIsNoLongerListedCountsAsDone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.open("b", "a")
		f.stream.put("b", "b0")
		f.stream.hide("a")
		r := f.start("x")
		after(time.Second)
		assert.Equal(t, []string{"b0"}, f.log.all())
		r.end()
	})
}

func TestARestartContinuesWhereItStopped(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 5)...)
		r := f.start("x")
		after(time.Second)
		r.end()
		f.stream.put("a", numbers(5, 12)...)
		r = f.start("y")
		after(time.Second)
		r.end()
		assert.Equal(t, numbers(0, 12), f.log.all())
		assert.Equal(t, shards.Position("11"), f.leases.lease("a").Checkpoint)
		assert.Empty(t, f.leases.lease("a").Owner)
		assert.Zero(t, f.leases.lease("reader/x").Counter, "deleted")
	})
}

func TestAStopFinishesTheBatchInFlightAndHandsOffWithinASecond(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 3)...)
		handle := f.log.handle("x")
		begun := make(chan struct{})
		x := f.start("x", func(c *shards.Config[string]) {
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[string]) error {
				close(begun)
				<-time.After(3 * time.Second)
				require.NoError(t, ctx.Err())
				return handle(ctx, shard, records)
			}
		})
		<-begun
		y := f.start("y")
		f.stream.put("a", numbers(3, 9)...)
		x.end()
		stoppedAt := time.Now()
		for len(f.log.all()) < 9 {
			after(10 * time.Millisecond)
		}
		assert.Less(t, time.Since(stoppedAt), time.Second)
		assert.Equal(t, numbers(0, 9), f.log.all(), "nothing twice")
		assert.Equal(t, numbers(0, 3), f.log.by["x"])
		y.end()
	})
}

func TestStopTimeoutCancelsTheHandler(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "0")
		begun := make(chan struct{})
		r := f.start("x", func(c *shards.Config[string]) {
			c.StopTimeout = 2 * time.Second
			c.Handle = func(ctx context.Context, _ string, _ []shards.Record[string]) error {
				close(begun)
				<-ctx.Done()
				return ctx.Err()
			}
		})
		<-begun
		r.stop()
		stoppedAt := time.Now()
		require.ErrorContains(t, <-r.done, "stop timeout")
		assert.Equal(t, 2*time.Second, time.Since(stoppedAt))
		assert.Empty(t, f.leases.lease("a").Owner, "released")
		assert.Empty(t, f.leases.lease("a").Checkpoint, "and not moved")
	})
}

func TestADeadOwnerIsReplacedWithinFifteenSeconds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		for n := range 4 {
			f.stream.open(fmt.Sprint("s", n))
		}
		var alive atomic.Bool
		alive.Store(true)
		x := f.start("x", func(c *shards.Config[string]) { c.Leases = &mortal{memory: f.leases, alive: &alive} })
		after(5 * time.Second)
		y := f.start("y")
		after(10 * time.Second)
		alive.Store(false)
		x.stop()
		require.NoError(t, <-x.done)
		diedAt := time.Now()
		for n := range 4 {
			f.stream.put(fmt.Sprint("s", n), fmt.Sprint("v", n))
		}
		for len(f.log.all()) < 4 {
			after(100 * time.Millisecond)
			require.Less(t, time.Since(diedAt), 15*time.Second)
		}
		assert.ElementsMatch(t, []string{"v0", "v1", "v2", "v3"}, f.log.by["y"])
		y.end()
	})
}

func TestALeaseIsKeptThroughASlowBatch(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "0")
		handle := f.log.handle("x")
		x := f.start("x", func(c *shards.Config[string]) {
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[string]) error {
				for range 60 {
					<-time.After(5 * time.Second)
					progress.Turn(ctx)
				}
				return handle(ctx, shard, records)
			}
		})
		after(time.Second)
		y := f.start("y")
		after(6 * time.Minute)
		assert.Equal(t, []string{"0"}, f.log.all())
		assert.Equal(t, "x", f.leases.lease("a").Owner)
		x.end()
		y.end()
	})
}

func TestAPausedOwnerWritesNoLeaseThatItLost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 3)...)
		var alive atomic.Bool
		alive.Store(true)
		resumed := make(chan struct{})
		begun := make(chan struct{}, 10)
		x := f.start("x", func(c *shards.Config[string]) {
			c.Leases = &mortal{memory: f.leases, alive: &alive}
			c.Handle = func(context.Context, string, []shards.Record[string]) error {
				begun <- struct{}{}
				<-resumed
				return nil
			}
		})
		<-begun
		alive.Store(false) // paused in the middle of a batch
		y := f.start("y")
		after(15 * time.Second)
		assert.Equal(t, numbers(0, 3), f.log.by["y"], "taken over")
		f.stream.put("a", numbers(3, 6)...)
		after(time.Second)
		alive.Store(true)
		close(resumed)
		after(time.Second)
		assert.Equal(t, shards.Position("5"), f.leases.lease("a").Checkpoint, "the late checkpoint is refused")
		assert.Equal(t, "y", f.leases.lease("a").Owner)
		assert.Empty(t, begun, "x began no other batch")
		x.end()
		y.end()
		assert.Equal(t, numbers(0, 6), f.log.by["y"])
	})
}

func TestReadersShareEvenly(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		for n := range 16 {
			f.stream.open(fmt.Sprintf("s%02d", n))
		}
		var readers []*reader
		for n := range 3 {
			readers = append(readers, f.start(fmt.Sprint("r", n)))
		}
		after(2 * time.Second)
		for n := range 3 {
			readers = append(readers, f.start(fmt.Sprint("r", 3+n)))
		}
		put := 0
		for range 60 { // 30 seconds, with records on the way
			for n := range 16 {
				f.stream.put(fmt.Sprintf("s%02d", n), fmt.Sprint(put))
				put++
			}
			after(500 * time.Millisecond)
		}
		shares := map[string]int{}
		for n := range 16 {
			shares[f.leases.lease(fmt.Sprintf("s%02d", n)).Owner]++
		}
		assert.Len(t, shares, 6)
		for owner, n := range shares {
			assert.GreaterOrEqual(t, n, 2, owner)
			assert.LessOrEqual(t, n, 3, owner)
		}
		for _, r := range readers {
			r.end()
		}
		assert.Len(t, f.log.all(), put, "balancing repeats nothing and loses nothing")
	})
}
