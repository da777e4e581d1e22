package load_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/test/bench/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCallsAreDueAtAFixedRateHoweverLongEachTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at := make([]time.Duration, 5)
		err := load.Open(t.Context(), 10, len(at), func(_ context.Context, i int, due time.Time) error {
			at[i] = due.Sub(start)
			assert.Equal(t, due, time.Now(), "it begins when it is due")
			time.Sleep(time.Hour) // none waits for it
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, []time.Duration{0, 100 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond}, at)
		assert.Equal(t, time.Hour+400*time.Millisecond, time.Since(start), "it returns when all have ended")
	})
}

// A system that stands still for a second makes 100 calls of a second wait: a client that waits for each answer before it sends again would
// measure one of them.
func TestATimeCountsFromWhenTheCallWasDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		latencies := load.NewLatencies()
		begin := time.Now()
		err := load.Open(t.Context(), 100, 200, func(_ context.Context, _ int, due time.Time) error {
			if still := time.Until(begin.Add(time.Second)); still > 0 {
				time.Sleep(still)
			}
			latencies.Add(time.Since(due))
			return nil
		})
		require.NoError(t, err)
		assert.InDelta(t, 500, latencies.Milliseconds(0.75), 15)
		assert.InDelta(t, 980, latencies.Milliseconds(0.99), 15)
		assert.Less(t, latencies.Milliseconds(0.25), 1.0)
	})
}

func TestAnErrorEndsTheLoad(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		err := load.Open(t.Context(), 1, 1000, func(_ context.Context, i int, _ time.Time) error {
			if i == 3 {
				return broken
			}
			return nil
		})
		require.ErrorIs(t, err, broken)
		assert.Equal(t, 3*time.Second, time.Since(begin))
		_, err = load.Flat(t.Context(), 2, 1000, func(_ context.Context, i int) error {
			if i == 3 {
				return broken
			}
			return nil
		})
		require.ErrorIs(t, err, broken)
	})
}

func TestClientsShareTheCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var seen [10]atomic.Int64
		took, err := load.Flat(t.Context(), 5, len(seen), func(_ context.Context, i int) error {
			seen[i].Add(1)
			time.Sleep(time.Second)
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, took, "five at once")
		for i := range seen {
			assert.EqualValues(t, 1, seen[i].Load(), "call %d", i)
		}
	})
}

func TestLatenciesBeyondTheBoundsCountAsTheBounds(t *testing.T) {
	t.Parallel()
	l := load.NewLatencies()
	assert.Zero(t, l.Milliseconds(0.5), "of none")
	l.Add(-time.Second)
	assert.InDelta(t, 0.001, l.Milliseconds(0.5), 0.0001)
	l.Add(24 * time.Hour)
	assert.InDelta(t, 600_000, l.Milliseconds(1), 600)
}
