package retry_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/retry"
)

func TestTheLimitDoublesUpToMax(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		b        retry.Backoff
		failures int
		limit    time.Duration
	}{
		{retry.Backoff{}, 1, 50 * time.Millisecond},
		{retry.Backoff{}, 3, 200 * time.Millisecond},
		{retry.Backoff{}, math.MaxInt, 5 * time.Second},
		{retry.Backoff{First: -1}, 1, 50 * time.Millisecond},
		{retry.Backoff{First: time.Minute}, 2, time.Minute},
		{retry.Backoff{First: time.Second, Max: 3 * time.Second}, 3, 3 * time.Second},
		{retry.Backoff{First: time.Minute, Max: time.Second}, 1, time.Minute},
		{retry.Backoff{}.Or(time.Second, 3*time.Second), 9, 3 * time.Second},
		{retry.Backoff{First: time.Minute}.Or(time.Second, 3*time.Second), 9, time.Minute},
	} {
		shortest, longest := tt.limit, time.Duration(0)
		for range 200 {
			delay := tt.b.Delay(tt.failures)
			shortest, longest = min(shortest, delay), max(longest, delay)
		}
		assert.GreaterOrEqual(t, shortest, time.Duration(0))
		assert.Less(t, shortest, tt.limit/2, "the odds of 200 longer draws are 1 to 2^200")
		assert.Greater(t, longest, tt.limit/2)
		assert.LessOrEqual(t, longest, tt.limit)
		tt.b.Jitter = func(limit time.Duration) time.Duration { return limit }
		assert.Equal(t, tt.limit, tt.b.Delay(tt.failures))
	}
}

func TestSleepEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		startedAt := time.Now()
		require.NoError(t, retry.Sleep(ctx, time.Millisecond))
		require.ErrorIs(t, retry.Sleep(ctx, time.Hour), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(startedAt))
	})
}
