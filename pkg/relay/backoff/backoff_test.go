package backoff_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/relay/backoff"
)

func TestDelayDoublesUpToMax(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		b        backoff.Backoff
		failures int
		want     time.Duration // the longest
	}{
		{backoff.Backoff{}, 1, 50 * time.Millisecond},
		{backoff.Backoff{}, 3, 200 * time.Millisecond},
		{backoff.Backoff{}, 1_000_000, 5 * time.Second},
		{backoff.Backoff{First: time.Minute}, 2, time.Minute},
		{backoff.Backoff{First: time.Second, Max: 3 * time.Second}, 3, 3 * time.Second},
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
		require.NoError(t, backoff.Sleep(ctx, time.Millisecond))
		require.ErrorIs(t, backoff.Sleep(ctx, time.Hour), context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(startedAt))
	})
}
