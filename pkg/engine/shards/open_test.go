package shards_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// desk is where records lie until the test says that they are done.
type desk struct {
	mu   sync.Mutex
	done map[string]func() // by value
	got  []string
	ctx  context.Context // of the last Open of shard a
	held func(context.Context) error
}

func (d *desk) open(ctx context.Context, shard string, held func(context.Context) error) shards.Handler[string] {
	d.mu.Lock()
	defer d.mu.Unlock()
	if shard == "a" {
		d.ctx, d.held = ctx, held
	}
	return d
}

func (d *desk) Handle(_ context.Context, records []shards.Record[string], done func(int)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, r := range records {
		d.got = append(d.got, r.Value)
		d.done[r.Value] = func() { done(i) }
	}
	return nil
}

func (d *desk) Wait() {}

func (d *desk) finish(values ...string) {
	for _, v := range values {
		d.mu.Lock()
		done := d.done[v]
		d.mu.Unlock()
		done()
	}
}

func (d *desk) values() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

// desked runs a test with a reader whose records lie on a desk.
func desked(t *testing.T, f func(t *testing.T, f *fleet, d *desk, start func(owner string, tune ...func(*shards.Config[string])) *reader)) {
	t.Helper()
	bubble(t, func(t *testing.T, fl *fleet) {
		d := &desk{done: map[string]func(){}}
		fl.stream.open("a")
		f(t, fl, d, func(owner string, tune ...func(*shards.Config[string])) *reader {
			return fl.start(owner, append([]func(*shards.Config[string]){func(c *shards.Config[string]) {
				c.Handle, c.Open = nil, d.open
			}}, tune...)...)
		})
	})
}

// turning says in the background that work goes on, as a handler does that tries again and again.
func (d *desk) turning(t *testing.T) {
	t.Helper()
	go func() {
		for {
			select {
			case <-time.After(5 * time.Second):
				d.mu.Lock()
				progress.Turn(d.ctx)
				d.mu.Unlock()
			case <-t.Context().Done():
				return
			}
		}
	}()
}

func TestThePositionIsThatBeforeTheOldestRecordThatIsNotDone(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		f.stream.put("a", numbers(0, 10)...)
		x := start("x")
		after(time.Second)
		require.Equal(t, numbers(0, 10), d.values(), "it reads on")
		at := func() shards.Position {
			after(2 * time.Second)
			return f.leases.lease("a").Checkpoint
		}
		d.finish(numbers(1, 10)...)
		assert.Empty(t, at())
		d.finish("0")
		assert.Equal(t, shards.Position("9"), at())
		f.stream.put("a", numbers(10, 20)...)
		after(time.Second)
		d.finish("10", "11", "13", "19")
		assert.Equal(t, shards.Position("11"), at(), "in the middle of a page")
		d.finish("12")
		assert.Equal(t, shards.Position("13"), at())
		d.finish(numbers(14, 19)...)
		assert.Equal(t, shards.Position("19"), at())
		x.end()
	})
}

func TestARecordThatIsNeverDoneHoldsThePositionAndNotTheReading(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		registry := prometheus.NewPedanticRegistry()
		f.stream.put("a", numbers(0, 2)...)
		x := start("x", func(c *shards.Config[string]) {
			c.Metrics, c.Retention, c.StopTimeout = registry, 24*time.Hour, time.Second
		})
		d.turning(t)
		after(time.Second)
		d.finish("1")
		after(30 * time.Hour) // of polls without records
		f.stream.put("a", "2")
		after(time.Second)
		assert.Equal(t, numbers(0, 3), d.values())
		assert.Empty(t, f.lost(), "what was read is not trimmed")
		assert.Empty(t, f.leases.lease("a").Checkpoint)
		assert.InDelta(t, 30*3600, valueOf(t, registry, "behind_seconds"), 200)
		assert.LessOrEqual(t, valueOf(t, registry, "poll_age_seconds"), 60.0)
		x.stop()
		require.ErrorContains(t, <-x.done, "stop timeout")
		assert.Empty(t, f.leases.lease("a").Checkpoint, "the next owner repeats what overtook it")
		assert.Empty(t, f.leases.lease("a").Owner)
	})
}

func TestAStopWaitsForWhatWasRead(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		f.stream.put("a", numbers(0, 5)...)
		x := start("x")
		after(time.Second)
		x.stop()
		after(time.Second)
		d.mu.Lock()
		require.NoError(t, d.ctx.Err(), "it may go on")
		d.mu.Unlock()
		d.finish(numbers(0, 5)...)
		require.NoError(t, <-x.done)
		assert.Equal(t, shards.Position("4"), f.leases.lease("a").Checkpoint)
		y := start("y")
		f.stream.put("a", "5")
		after(time.Second)
		d.finish("5")
		y.end()
		assert.Equal(t, numbers(0, 6), d.values(), "nothing twice")
	})
}

func TestChildrenWaitForAllRecordsOfTheirParent(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		f.stream.put("a", "0", "1")
		f.stream.open("b", "a")
		f.stream.put("b", "2")
		x := start("x")
		d.turning(t)
		after(time.Second)
		d.finish("1")
		after(time.Minute)
		assert.Equal(t, numbers(0, 2), d.values())
		d.finish("0")
		after(time.Second)
		assert.Equal(t, numbers(0, 3), d.values())
		d.finish("2")
		x.end()
	})
}

func TestTheLogIsPublishedAgainOnlyAfterWhatWasRead(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		f.stream.put("a", "0")
		x := start("x")
		d.turning(t)
		after(time.Second)
		f.stream.mu.Lock()
		f.stream.refuse = func(string) error { return shards.ErrTrimmed }
		f.stream.mu.Unlock()
		after(time.Minute)
		assert.Empty(t, f.lost())
		f.stream.mu.Lock()
		f.stream.refuse = nil
		f.stream.mu.Unlock()
		d.finish("0")
		after(10 * time.Second)
		assert.Equal(t, []string{"a"}, f.lost())
		d.finish("0") // read again, from the oldest record
		x.end()
	})
}

func TestAHandOffDoesNotWaitForABusyKey(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		f.stream.open("b")
		f.stream.put("a", "0", "1")
		x := start("x")
		d.turning(t)
		after(time.Second)
		d.finish("1") // overtakes 0, which is never done
		y := f.start("y")
		after(15 * time.Second)
		assert.Equal(t, "y", f.leases.lease("a").Owner)
		assert.Equal(t, numbers(0, 2), f.log.by["y"], "what was not done is repeated, and what overtook it")
		x.end()
		y.end()
	})
}

func TestHeldFailsOnceTheLeaseIsLost(t *testing.T) {
	t.Parallel()
	desked(t, func(t *testing.T, f *fleet, d *desk, start func(string, ...func(*shards.Config[string])) *reader) {
		x := start("x")
		after(time.Second)
		d.mu.Lock()
		held, ctx := d.held, d.ctx
		d.mu.Unlock()
		require.NoError(t, held(ctx))
		l := f.leases.lease("a")
		l.Owner, l.Counter = "y", l.Counter+5 // taken while x was paused
		f.leases.mu.Lock()
		f.leases.leases["a"] = l
		f.leases.mu.Unlock()
		after(11 * time.Second)
		require.Error(t, held(ctx))
		require.Error(t, ctx.Err())
		x.end()
	})
}

// TestAShardThatMakesNoProgressIsGivenUp: a call never returns, unless its context ends.
func TestAShardThatMakesNoProgressIsGivenUp(t *testing.T) {
	t.Parallel()
	for operation, hang := range map[string]func(c *shards.Config[string]){
		"poll": func(c *shards.Config[string]) { c.Stream = hanging{c.Stream} },
		"handle records": func(c *shards.Config[string]) {
			c.Handle = func(ctx context.Context, _ string, _ []shards.Record[string]) error {
				<-ctx.Done()
				return ctx.Err()
			}
		},
		"republish": func(c *shards.Config[string]) {
			c.Stream = trimmed{c.Stream}
			c.Republish = func(ctx context.Context, _ string) error {
				<-ctx.Done()
				return ctx.Err()
			}
		},
	} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, f *fleet) {
				f.stream.open("a")
				f.stream.put("a", "0")
				var logs bytes.Buffer
				registry, loops := prometheus.NewPedanticRegistry(), &progress.Loops{}
				x := f.start("x", func(c *shards.Config[string]) {
					c.Logger, c.Metrics, c.Loops = slog.New(slog.NewTextHandler(&logs, nil)), registry, loops
					hang(c)
				})
				after(9 * time.Second)
				require.Equal(t, "x", f.leases.lease("a").Owner)
				y := f.start("y")
				after(6 * time.Second)
				assert.Equal(t, numbers(0, 1), f.log.all(), "within one and a half lease durations")
				assert.Equal(t, "y", f.leases.lease("a").Owner)
				assert.InDelta(t, 1, valueOf(t, registry, "stuck_total"), 0)
				assert.Contains(t, logs.String(), "makes no progress")
				assert.Empty(t, loops.Stuck(), "no reason to restart the process")
				x.end()
				y.end()
			})
		})
	}
}

// TestAProcessWhoseCallsIgnoreTheirContextIsStuck: its shard is given up, and it says that it needs a restart.
func TestAProcessWhoseCallsIgnoreTheirContextIsStuck(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "0")
		loops, over := &progress.Loops{}, make(chan struct{})
		x := f.start("x", func(c *shards.Config[string]) {
			c.Loops = loops
			c.Handle = func(context.Context, string, []shards.Record[string]) error {
				<-over
				return nil
			}
		})
		after(time.Second)
		y := f.start("y")
		after(time.Minute)
		assert.Equal(t, numbers(0, 1), f.log.all(), "y handles it")
		require.Len(t, loops.Stuck(), 1)
		assert.Contains(t, loops.Stuck()[0].Name, "shard a")
		close(over)
		x.end()
		y.end()
		assert.Empty(t, loops.All())
	})
}

func TestErrorsAreProgress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "0")
		f.stream.refuse = func(string) error { return errRemote }
		registry := prometheus.NewPedanticRegistry()
		x := f.start("x", func(c *shards.Config[string]) { c.Metrics = registry })
		after(time.Hour)
		assert.Zero(t, valueOf(t, registry, "stuck_total"))
		assert.Equal(t, "x", f.leases.lease("a").Owner)
		x.end()
	})
}

// hanging is a stream whose reads never return, unless their context ends.
type hanging struct{ shards.Stream[string] }

func (h hanging) Open(ctx context.Context, shard string, at shards.Position) (shards.Feed[string], error) {
	feed, err := h.Stream.Open(ctx, shard, at)
	return hangingFeed{feed}, err
}

type hangingFeed struct{ shards.Feed[string] }

func (hangingFeed) Next(ctx context.Context) (shards.Page[string], error) {
	<-ctx.Done()
	return shards.Page[string]{}, ctx.Err()
}

// trimmed is a stream whose records are all trimmed.
type trimmed struct{ shards.Stream[string] }

func (trimmed) Open(context.Context, string, shards.Position) (shards.Feed[string], error) {
	return nil, shards.ErrTrimmed
}
