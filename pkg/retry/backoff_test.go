package retry_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/retry"
)

func TestDelayDoublesUpToMax(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		b        retry.Backoff
		failures int
		want     time.Duration // the longest
	}{
		{retry.Backoff{}, 1, 50 * time.Millisecond},
		{retry.Backoff{}, 3, 200 * time.Millisecond},
		{retry.Backoff{}, 1_000_000, 5 * time.Second},
		{retry.Backoff{First: time.Minute}, 2, time.Minute},
		{retry.Backoff{First: time.Second, Max: 3 * time.Second}, 3, 3 * time.Second},
	} {
		for range 20 {
			assert.InDelta(t, tt.want*3/4, tt.b.Delay(tt.failures), float64(tt.want/4)+1)
		}
		tt.b.Jitter = func(d time.Duration) time.Duration { return d }
		assert.Equal(t, tt.want, tt.b.Delay(tt.failures))
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
