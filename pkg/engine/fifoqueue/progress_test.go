package fifoqueue_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/fifoqueue"
	"github.com/leftfold/leftfold/pkg/engine/progress"
)

// ages returns the consumer's gauges of ages, in seconds; those that are absent are not in it.
func ages(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	out := map[string]float64{}
	for _, f := range families {
		if name := f.GetName(); name == "fifoqueue_oldest_age_seconds" || name == "fifoqueue_poll_age_seconds" {
			out[name] = f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return out
}

// stuckNames returns the names of the loops that are stuck.
func stuckNames(loops *progress.Loops) (names []string) {
	for _, s := range loops.Stuck() {
		names = append(names, s.Name)
	}
	return names
}

func TestAnEmptyQueueIsProgress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		registry, loops := prometheus.NewRegistry(), &progress.Loops{}
		cfg := fifoqueue.Config{
			Client: b.client, QueueURL: b.url, DeadLetterURL: b.deadURL, Handler: b.handle, Now: time.Now, Metrics: registry, Loops: loops,
		}
		c, err := fifoqueue.NewConsumer(cfg)
		require.NoError(t, err)
		require.Error(t, c.Ready(t.Context()), "before the first receive")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		after(5 * time.Second)
		require.NoError(t, c.Ready(t.Context()))
		after(24 * time.Hour)
		assert.Empty(t, loops.Stuck())
		assert.Less(t, ages(t, registry)["fifoqueue_poll_age_seconds"], 5.0)
		assert.NotContains(t, ages(t, registry), "fifoqueue_oldest_age_seconds", "there is no message whose age it could be")
		stop()
		require.NoError(t, <-done)
		assert.Empty(t, loops.All(), "loops that have ended are not watched")
	})
}

// TestAConsumerThatIsNotOpenLeavesTheMessages: they are received by others, as if for the first time.
func TestAConsumerThatIsNotOpenLeavesTheMessages(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		b.send(0, 2, "a")
		var open atomic.Bool
		loops := &progress.Loops{}
		c := b.consume(func(ctx context.Context, group string, messages []fifoqueue.Message) (int, error) {
			for _, m := range messages {
				assert.Equal(t, 1, m.ReceiveCount)
			}
			return b.handle(ctx, group, messages)
		}, func(c *fifoqueue.Config) {
			c.Loops = loops
			c.Open = func(context.Context) error {
				if !open.Load() {
					return errors.New("a newer build's")
				}
				return nil
			}
		})
		after(time.Hour)
		assert.Empty(t, b.got("a"))
		assert.Empty(t, loops.Stuck(), "it asks again and again")
		open.Store(true)
		after(time.Minute)
		assert.Equal(t, names("a", 2), b.got("a"))
		c.end()
	})
}

func TestAFailingQueueIsNoProgressAndHangsNothing(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		registry, loops := prometheus.NewRegistry(), &progress.Loops{}
		b.client.receive = func(context.Context) error { return errors.New("SQS is away") }
		c := b.consume(b.handle, func(cfg *fifoqueue.Config) { cfg.Metrics, cfg.Loops = registry, loops })
		after(time.Hour)
		assert.InDelta(t, 3600, ages(t, registry)["fifoqueue_poll_age_seconds"], 0.1)
		assert.Empty(t, loops.Stuck(), "a restart helps nobody")
		c.end()
	})
}

func TestWhatNeverReturnsIsStuck(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(b *fixture, hung <-chan struct{}) fifoqueue.Handler{
		"receiver 1 of live.fifo": func(b *fixture, hung <-chan struct{}) fifoqueue.Handler {
			b.client.receive = func(context.Context) error { <-hung; return errors.New("too late") }
			return b.handle
		},
		"handler of live.fifo": func(_ *fixture, hung <-chan struct{}) fifoqueue.Handler {
			return func(_ context.Context, _ string, messages []fifoqueue.Message) (int, error) {
				<-hung
				return len(messages), nil
			}
		},
		"visibility heartbeat of live.fifo": func(b *fixture, hung <-chan struct{}) fifoqueue.Handler {
			b.client.extend = func() error { <-hung; return errors.New("too late") }
			return func(ctx context.Context, _ string, messages []fifoqueue.Message) (int, error) {
				for done := false; !done; progress.Turn(ctx) {
					select {
					case <-hung:
						done = true
					case <-time.After(time.Minute):
					}
				}
				return len(messages), nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, b *fixture) {
				loops, hung := &progress.Loops{}, make(chan struct{})
				b.send(0, 1, "a")
				c := b.consume(hang(b, hung), func(cfg *fifoqueue.Config) { cfg.Loops, cfg.StopTimeout = loops, time.Hour })
				after(10 * time.Minute)
				assert.Equal(t, []string{name}, stuckNames(loops))
				close(hung)
				after(time.Minute)
				assert.Empty(t, loops.Stuck())
				c.end()
			})
		})
	}
}

func TestARunningHandlerIsNotStuckWhileItTurns(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, b *fixture) {
		loops := &progress.Loops{}
		b.send(0, 1, "a")
		c := b.consume(func(ctx context.Context, _ string, messages []fifoqueue.Message) (int, error) {
			for range 60 {
				<-time.After(time.Minute)
				progress.Turn(ctx)
			}
			return len(messages), nil
		}, func(cfg *fifoqueue.Config) { cfg.Loops, cfg.StopTimeout, cfg.Concurrency = loops, 2*time.Hour, 1 })
		for range 50 {
			after(time.Minute)
			assert.Empty(t, loops.Stuck())
		}
		c.end()
	})
}
