package e2e_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestABusyAggregateDelaysNoOther measures, on virtual time, from commit to visible: one user gets more events than can be sent one
// after the other, steadily or all at once, and the others are not much later than without it.
func TestABusyAggregateDelaysNoOther(t *testing.T) {
	t.Parallel()
	atOnce := 60_000
	if underRace {
		atOnce = 3_000
	}
	quiet := latenessOfOthers(t, func(*testing.T, func(n int) error, <-chan struct{}) error { return nil })
	steady := latenessOfOthers(t, func(_ *testing.T, write func(n int) error, done <-chan struct{}) error {
		tick := time.NewTicker(time.Second / 50)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if err := write(3); err != nil {
					return err
				}
			case <-done:
				return nil
			}
		}
	})
	burst := latenessOfOthers(t, func(_ *testing.T, write func(n int) error, _ <-chan struct{}) error {
		for n := 0; n < atOnce; n += 60 {
			if err := write(60); err != nil {
				return err
			}
		}
		return nil
	})
	t.Logf("99th percentile of the others: %v quiet, %v beside 150 events a second, %v beside %d at once", quiet, steady, burst, atOnce)
	assert.LessOrEqual(t, steady, 2*quiet)
	assert.LessOrEqual(t, burst, 2*quiet)
}

// latenessOfOthers returns the 99th percentile of the time until events of users who have one each are visible, while busy writes
// events of one user.
func latenessOfOthers(t *testing.T, busy func(t *testing.T, write func(n int) error, done <-chan struct{}) error) (p99 time.Duration) {
	t.Helper()
	const others = 200
	synctest.Test(t, func(t *testing.T) {
		sys := systemtest.New(t, map[string]string{"STREAM_POLL": "200ms", "STOP_TIMEOUT": "1s"})
		require.NoError(t, sys.AWS.SetFaults(likeAWS()))
		w, hot, version := newWriter(sys.Inspector), newID(), eventsourcing.Version(0)
		done := make(chan struct{})
		var writes errgroup.Group
		writes.Go(func() error {
			return busy(t, func(n int) error {
				err := w.Append(t.Context(), hot, version, n)
				version += eventsourcing.Version(n)
				return err
			}, done)
		})
		late := make([]time.Duration, others)
		var reads errgroup.Group
		for i := range late {
			<-time.After(50 * time.Millisecond)
			reads.Go(func() error {
				id := newID()
				if err := w.Append(t.Context(), id, 0, 1); err != nil {
					return err
				}
				committedAt, users := time.Now(), sys.Users()
				_, err := users.Await(t.Context(), id, "user", 1, 30*time.Second, &struct{}{})
				late[i] = time.Since(committedAt)
				return err
			})
		}
		require.NoError(t, reads.Wait())
		close(done)
		require.NoError(t, writes.Wait())
		for _, s := range sys.Services() {
			s.Kill() // the busy user's events are not waited for
		}
		slices.Sort(late)
		p99 = late[others*99/100]
	})
	return p99
}
