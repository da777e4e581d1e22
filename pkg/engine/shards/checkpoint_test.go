package shards_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// writes counts the writes of the shard's lease.
func (f *fleet) writes() *atomic.Int64 {
	n := new(atomic.Int64)
	f.leases.fail = func(_ string, l shards.Lease) error {
		if l.Shard == "a" {
			n.Add(1)
		}
		return nil
	}
	return n
}

// steadily puts records into a shard, one each 10 ms.
func (f *fleet) steadily(from, to int) {
	for n := from; n < to; n++ {
		f.stream.put("a", strconv.Itoa(n))
		after(10 * time.Millisecond)
	}
}

func fast(c *shards.Config[string]) { c.Poll, c.PollIdle = 10*time.Millisecond, 10*time.Millisecond }

func TestPositionsAreStoredByTimeNotByPage(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		writes := f.writes()
		r := f.start("x", fast)
		after(time.Second)
		begun := writes.Load()
		f.steadily(0, 1_000) // 10 s of a page every 10 ms
		assert.InDelta(t, 10, writes.Load()-begun, 1)
		r.end()
		assert.Equal(t, numbers(0, 1_000), f.log.all())
		assert.Equal(t, shards.Position("999"), f.leases.lease("a").Checkpoint, "a stop stores it at once")
	})
}

func TestAPositionIsStoredWithinCheckpoint(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		r := f.start("x", fast, func(c *shards.Config[string]) { c.Checkpoint = 700 * time.Millisecond })
		for n := range 20 {
			after(time.Duration(n) * 97 * time.Millisecond)
			f.stream.put("a", strconv.Itoa(n))
			after(10*time.Millisecond + 700*time.Millisecond)
			assert.Equal(t, shards.Position(strconv.Itoa(n)), f.leases.lease("a").Checkpoint, "after %d", n)
		}
		r.end()
	})
}

func TestCheckpointIsAtMostAThirdOfTheLease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		r := f.start("x", fast, func(c *shards.Config[string]) { c.Checkpoint, c.LeaseDuration = time.Hour, 3*time.Second })
		after(2 * time.Second)
		f.stream.put("a", "0")
		after(1010 * time.Millisecond)
		assert.Equal(t, shards.Position("0"), f.leases.lease("a").Checkpoint)
		r.end()
	})
}

// TestACrashRepeatsNoMoreThanACheckpoint kills a reader at many moments under steady load.
func TestACrashRepeatsNoMoreThanACheckpoint(t *testing.T) {
	t.Parallel()
	for crash := range 20 {
		bubble(t, func(t *testing.T, f *fleet) {
			f.stream.open("a")
			var alive atomic.Bool
			alive.Store(true)
			x := f.start("x", fast, func(c *shards.Config[string]) { c.Leases = &mortal{memory: f.leases, alive: &alive} })
			f.steadily(0, 300+13*crash)
			after(5 * time.Millisecond) // nothing else happens at that instant
			alive.Store(false)
			x.stop()
			require.NoError(t, <-x.done)
			handled := len(f.log.by["x"])
			f.stream.put("a", strconv.Itoa(300+13*crash)) // one more, in case that every position was stored in time
			y := f.start("y", fast)
			after(15 * time.Second)
			y.end()
			require.NotEmpty(t, f.log.by["y"])
			first, err := strconv.Atoi(f.log.by["y"][0])
			require.NoError(t, err)
			assert.LessOrEqual(t, handled-first, 101, "records of 1 s, one each 10 ms, and the one in flight")
			assert.Equal(t, numbers(first, 301+13*crash), f.log.by["y"], "repeated in order, nothing left out")
		})
	}
}

func TestHandlingStopsWhenPositionsCannotBeStored(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		var away atomic.Bool
		f.leases.fail = func(_ string, l shards.Lease) error {
			if away.Load() && l.Shard == "a" {
				return errors.New("the leases are unavailable")
			}
			return nil
		}
		r := f.start("x", fast, func(c *shards.Config[string]) { c.LeaseDuration = time.Minute })
		f.steadily(0, 100)
		away.Store(true)
		kept, err := strconv.Atoi(string(f.leases.lease("a").Checkpoint))
		require.NoError(t, err)
		f.steadily(100, 1_000)
		assert.InDelta(t, kept+200, len(f.log.all()), 101, "at most 2 s ahead")
		away.Store(false)
		after(10 * time.Second)
		assert.Equal(t, numbers(0, 1_000), f.log.all())
		r.end()
	})
}

func TestAPausedOwnerOpensNoShardThatItLost(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "0")
		var alive, failing atomic.Bool
		alive.Store(true)
		opened := &opens{stream: f.stream}
		x := f.start("x", fast, func(c *shards.Config[string]) {
			c.Leases, c.Stream = &mortal{memory: f.leases, alive: &alive}, opened
		})
		after(time.Second)
		f.stream.refuse = func(string) error {
			if failing.Load() {
				return errRemote // the feed is of no more use
			}
			return nil
		}
		require.EqualValues(t, 1, opened.n.Load())
		alive.Store(false)
		y := f.start("y", fast)
		after(20 * time.Second)
		require.Equal(t, "y", f.leases.lease("a").Owner)
		failing.Store(true)
		after(20 * time.Second)
		assert.EqualValues(t, 1, opened.n.Load())
		failing.Store(false)
		alive.Store(true)
		after(20 * time.Second)
		x.end()
		y.end()
	})
}

// opens counts the feeds that were opened.
type opens struct {
	*stream

	n atomic.Int64
}

func (o *opens) Open(ctx context.Context, shard string, after shards.Position) (shards.Feed[string], error) {
	o.n.Add(1)
	return o.stream.Open(ctx, shard, after)
}

// valueOf is the first gauge or counter of that name.
func valueOf(t *testing.T, from prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "shards_"+name {
			m := family.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	assert.Fail(t, "no metric "+name)
	return 0
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 3)...)
		registry := prometheus.NewPedanticRegistry()
		value := func(name string) float64 { return valueOf(t, registry, name) }
		after(time.Minute)
		r := f.start("x", func(c *shards.Config[string]) {
			c.Metrics = registry
			handle := c.Handle
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[string]) error {
				assert.InDelta(t, 60, value("behind_seconds"), 1)
				return handle(ctx, shard, records)
			}
		})
		after(500 * time.Millisecond)
		assert.InDelta(t, 3, value("records_total"), 0)
		assert.InDelta(t, 1, value("leases"), 0)
		assert.InDelta(t, 0, value("take_overs_total"), 0)
		assert.InDelta(t, 0.5, value("checkpoint_age_seconds"), 0.1)
		assert.Less(t, value("behind_seconds"), 0.2, "at the tip")
		after(600 * time.Millisecond)
		assert.Less(t, value("checkpoint_age_seconds"), 0.2, "stored after a second")
		r.end()
	})
}

// TestBehindGrowsWhileStuck: the metric shows a reader that cannot read, or cannot handle what it read.
func TestBehindGrowsWhileStuck(t *testing.T) {
	t.Parallel()
	errAway := errors.New("away")
	for operation, wreck := range map[string]func(*fleet, *shards.Config[string]){
		"handle": func(_ *fleet, c *shards.Config[string]) {
			c.Handle = func(context.Context, string, []shards.Record[string]) error { return errAway }
		},
		"read": func(f *fleet, _ *shards.Config[string]) { f.stream.refuse = func(string) error { return errAway } },
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, f *fleet) {
				f.stream.open("a")
				f.stream.put("a", numbers(0, 3)...)
				registry := prometheus.NewPedanticRegistry()
				r := f.start("x", func(c *shards.Config[string]) {
					c.Metrics = registry
					wreck(f, c)
				})
				after(5 * time.Minute)
				assert.InDelta(t, 300, valueOf(t, registry, "behind_seconds"), 1)
				r.end()
			})
		})
	}
}
