package shards_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/shards"
)

// fleet starts and stops readers of one consumer.
type fleet struct {
	t      *testing.T
	stream *stream
	leases *memory
	log    *log
	lost   []string // shards given to OnTrimmed
}

func newFleet(t *testing.T) *fleet {
	return &fleet{t: t, stream: newStream(), leases: newMemory(), log: newLog()}
}

type reader struct {
	t    *testing.T
	stop context.CancelFunc
	done chan error
}

func (f *fleet) start(owner string, tune ...func(*shards.Config[string])) *reader {
	f.t.Helper()
	cfg := shards.Config[string]{
		Consumer: "c", Owner: owner, Stream: f.stream, Leases: f.leases, Handle: f.log.handle(owner), Now: time.Now,
		OnTrimmed: func(_ context.Context, shard string) error { f.lost = append(f.lost, shard); return nil },
	}
	for _, t := range tune {
		t(&cfg)
	}
	r, err := shards.New(cfg)
	require.NoError(f.t, err)
	ctx, cancel := context.WithCancel(f.t.Context())
	out := &reader{t: f.t, stop: cancel, done: make(chan error, 1)}
	go func() { out.done <- r.Run(ctx) }()
	return out
}

func (r *reader) end() {
	r.t.Helper()
	r.stop()
	require.NoError(r.t, <-r.done)
}

// mortal is leases that one reader cannot reach once it is dead.
type mortal struct {
	*memory
	alive *bool
}

var errDead = errors.New("dead")

func (m *mortal) Put(ctx context.Context, next, seen shards.Lease) error {
	if !*m.alive {
		return errDead
	}
	return m.memory.Put(ctx, next, seen)
}

func (m *mortal) List(ctx context.Context, consumer string) ([]shards.Lease, error) {
	if !*m.alive {
		return nil, errDead
	}
	return m.memory.List(ctx, consumer)
}

func (m *mortal) Delete(ctx context.Context, l shards.Lease) error {
	if !*m.alive {
		return errDead
	}
	return m.memory.Delete(ctx, l)
}

func bubble(t *testing.T, f func(t *testing.T, f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newFleet(t)) })
}

// after lets virtual time pass.
func after(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestLineageIsReadInOrder(t *testing.T) {
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

func TestAChildWaitsForItsSecondParent(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.open("b")
		f.stream.put("a", "a0")
		f.stream.put("b", "b0")
		f.stream.open("c", "a", "b")
		f.stream.put("c", "c0")
		blocked := true
		handle := f.log.handle("x")
		r := f.start("x", func(c *shards.Config[string]) {
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[string]) error {
				if shard == "b" && blocked {
					return errors.New("not yet")
				}
				return handle(ctx, shard, records)
			}
		})
		after(time.Minute)
		assert.Equal(t, []string{"a0"}, f.log.all(), "b does not stall a, but c")
		blocked = false
		after(10 * time.Second)
		assert.Equal(t, []string{"a0", "b0", "c0"}, f.log.all())
		r.end()
	})
}

func TestAParentThatTheStreamForgotCountsAsDone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.open("b", "a")
		f.stream.put("b", "b0")
		f.stream.shards["a"].hidden = true
		r := f.start("x")
		after(time.Second)
		assert.Equal(t, []string{"b0"}, f.log.all())
		r.end()
	})
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
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
		assert.Zero(t, f.leases.lease("reader/x").Counter, "signed off")
	})
}

func TestAStopFinishesTheBatchInHandAndHandsOffWithinASecond(t *testing.T) {
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

func TestAStopTimeoutCutsTheHandlerOff(t *testing.T) {
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
		assert.Empty(t, f.leases.lease("a").Owner, "given back")
		assert.Empty(t, f.leases.lease("a").Checkpoint, "and not moved on")
	})
}

func TestADeadOwnerIsReplacedWithinFifteenSeconds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		for n := range 4 {
			f.stream.open(fmt.Sprint("s", n))
		}
		alive := true
		x := f.start("x", func(c *shards.Config[string]) { c.Leases = &mortal{memory: f.leases, alive: &alive} })
		after(5 * time.Second)
		y := f.start("y")
		after(10 * time.Second)
		alive = false
		x.stop()
		<-x.done
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

func TestAPausedOwnerKeepsNothingItNoLongerOwns(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 3)...)
		alive, resumed := true, make(chan struct{})
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
		alive = false // paused in the middle of a batch
		y := f.start("y")
		after(15 * time.Second)
		assert.Equal(t, numbers(0, 3), f.log.by["y"], "taken over")
		f.stream.put("a", numbers(3, 6)...)
		after(time.Second)
		alive = true
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

func TestAFailedBatchComesAgainAndIsNeverSkipped(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 7)...)
		failures := 0
		handle := f.log.handle("x")
		r := f.start("x", func(c *shards.Config[string]) {
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[string]) error {
				if records[0].Value == "3" && failures < 20 {
					failures++
					return errors.New("downstream is away")
				}
				return handle(ctx, shard, records)
			}
		})
		after(time.Second)
		assert.Equal(t, shards.Position("2"), f.leases.lease("a").Checkpoint)
		after(2 * time.Minute)
		assert.Equal(t, 20, failures)
		assert.Equal(t, numbers(0, 7), f.log.all())
		r.end()
	})
}

func TestReadFailures(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{shards.ErrIteratorExpired, shards.ErrThrottled, errRemote} {
		t.Run(failure.Error(), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, f *fleet) {
				f.stream.open("a")
				f.stream.put("a", numbers(0, 20)...)
				turn := 0
				f.stream.refuse = func(string) error {
					if turn++; turn%3 == 0 {
						return fmt.Errorf("read: %w", failure)
					}
					return nil
				}
				r := f.start("x")
				after(5 * time.Second)
				assert.Equal(t, numbers(0, 20), f.log.all())
				assert.Empty(t, f.lost)
				r.end()
			})
		})
	}
}

func TestATrimmedPositionIsReportedBeforeReadingGoesOn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", numbers(0, 3)...)
		r := f.start("x")
		after(time.Second)
		r.end()
		f.stream.put("a", numbers(3, 10)...)
		f.stream.trimmed["a"] = 6
		tries := 0
		r = f.start("y", func(c *shards.Config[string]) {
			onTrimmed := c.OnTrimmed
			c.OnTrimmed = func(ctx context.Context, shard string) error {
				assert.Equal(t, numbers(0, 3), f.log.all(), "nothing is read meanwhile")
				if tries++; tries < 3 {
					return errors.New("the log is away")
				}
				return onTrimmed(ctx, shard)
			}
		})
		after(5 * time.Second)
		r.end()
		assert.Equal(t, []string{"a"}, f.lost)
		assert.Equal(t, append(numbers(0, 3), numbers(6, 10)...), f.log.all())
	})
}

func TestRetentionTellsWhatASilentStreamTrimmed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		retention := func(c *shards.Config[string]) { c.Retention = 24 * time.Hour }
		f.stream.open("a")
		f.stream.put("a", "0")
		r := f.start("x", retention)
		after(30 * time.Hour) // idle, but reading
		r.end()
		after(23 * time.Hour)
		r = f.start("y", retention)
		after(time.Second)
		r.end()
		assert.Empty(t, f.lost)
		after(25 * time.Hour)
		r = f.start("z", retention)
		after(time.Second)
		r.end()
		assert.Equal(t, []string{"a"}, f.lost)
	})
}

func TestAShardThatIsGoneEnds(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "a0")
		r := f.start("x")
		after(time.Second)
		r.end()
		f.stream.open("b", "a")
		f.stream.put("b", "b0")
		f.stream.shards["a"].hidden = true
		r = f.start("y")
		after(5 * time.Second)
		assert.Equal(t, []string{"a"}, f.lost)
		assert.Equal(t, []string{"a0", "b0"}, f.log.all())
		after(time.Minute)
		assert.Zero(t, f.leases.lease("a").Counter, "its lease is forgotten")
		r.end()
	})
}

func TestLostAnswersOfLeaseWritesLoseNoLease(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		turn := 0
		f.leases.lose = func(shards.Lease) error {
			if turn++; turn%2 == 0 {
				return errors.New("answer lost")
			}
			return nil
		}
		f.stream.open("a")
		f.stream.put("a", numbers(0, 30)...)
		r := f.start("x")
		after(time.Minute)
		assert.Equal(t, numbers(0, 30), f.log.all())
		f.leases.lose = nil
		r.end()
	})
}

func TestIdleReadsKeepThePace(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		r := f.start("x")
		after(10 * time.Second)
		assert.InDelta(t, 50, f.stream.reads["a"], 2)
		r.end()
	})
}

func TestNewReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := shards.New(shards.Config[string]{Poll: -1, Round: time.Minute})
	for _, want := range []string{
		"Consumer is", "Stream is", "Leases is", "Handle is", "OnTrimmed is", "Now is", "Poll must", "Round must",
	} {
		require.ErrorContains(t, err, want)
	}
}
