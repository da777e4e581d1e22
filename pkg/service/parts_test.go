package service_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func untilStopped(name string, then time.Duration) service.Part {
	return service.Part{Name: name, Run: func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(then) // virtual
		return nil
	}}
}

func TestPartsStopTogetherWhenTheContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, stop)
		started := time.Now()
		require.NoError(t, service.RunParts(ctx, quiet(), 10*time.Second, untilStopped("a", time.Second), untilStopped("b", 9*time.Second)))
		assert.Equal(t, time.Minute+9*time.Second, time.Since(started), "work in flight is waited for")
	})
}

func TestPartsStopWhenOneOfThemEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("the stream is gone")
		err := service.RunParts(t.Context(), quiet(), time.Second, untilStopped("a", 0),
			service.Part{Name: "b", Run: func(context.Context) error { return gone }})
		require.ErrorIs(t, err, gone)
		require.ErrorContains(t, err, "b: ")
	})
}

func TestLastPartsShowHowTheOthersEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, stop)
		started := time.Now()
		var servedFor time.Duration
		admin := service.Part{Name: "admin", Last: true, Run: func(ctx context.Context) error {
			<-ctx.Done()
			servedFor = time.Since(started)
			return nil
		}}
		require.NoError(t, service.RunParts(ctx, quiet(), 10*time.Second, admin, untilStopped("a", 9*time.Second), untilStopped("b", 0)))
		assert.Equal(t, time.Minute+9*time.Second, servedFor)
	})
}

func TestAPartThatExceedsTheStopTimeoutIsNamed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		err := service.RunParts(ctx, quiet(), time.Second, untilStopped("quick", 0), untilStopped("slow", time.Hour))
		require.ErrorContains(t, err, "slow")
		assert.NotContains(t, err.Error(), "quick")
		time.Sleep(time.Hour) // virtual: lets it end inside the bubble
	})
}
