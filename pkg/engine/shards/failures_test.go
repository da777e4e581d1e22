package shards_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

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
					return errors.New("downstream is unavailable")
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

func TestReadFailuresLoseNothing(t *testing.T) {
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
				assert.Empty(t, f.lost())
				r.end()
			})
		})
	}
}

func TestATrimmedPositionIsReportedBeforeReadingContinues(t *testing.T) {
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
			republish := c.Republish
			c.Republish = func(ctx context.Context, shard string) error {
				assert.Equal(t, numbers(0, 3), f.log.all(), "nothing is read meanwhile")
				if tries++; tries < 3 {
					return errors.New("the log is unavailable")
				}
				return republish(ctx, shard)
			}
		})
		after(5 * time.Second)
		r.end()
		assert.Equal(t, []string{"a"}, f.lost())
		assert.Equal(t, append(numbers(0, 3), numbers(6, 10)...), f.log.all())
	})
}

func TestAShardUnreadForTheRetentionCountsAsTrimmed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		retention := func(c *shards.Config[string]) {
			c.Retention, c.Poll, c.LeaseDuration = 24*time.Hour, time.Minute, time.Hour
		}
		f.stream.open("a")
		f.stream.put("a", "0")
		r := f.start("x", retention)
		after(30 * time.Hour) // idle, but reading
		r.end()
		after(23 * time.Hour)
		r = f.start("y", retention)
		after(time.Second)
		r.end()
		assert.Empty(t, f.lost())
		after(25 * time.Hour)
		r = f.start("z", retention)
		after(time.Second)
		r.end()
		assert.Equal(t, []string{"a"}, f.lost())
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
		f.stream.hide("a")
		r = f.start("y")
		after(5 * time.Second)
		assert.Equal(t, []string{"a"}, f.lost())
		assert.Equal(t, []string{"a0", "b0"}, f.log.all())
		after(time.Minute)
		assert.Zero(t, f.leases.lease("a").Counter, "its lease is deleted")
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
		var logs bytes.Buffer
		r := f.start("x", func(c *shards.Config[string]) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
		after(time.Minute)
		r.end()
		assert.Equal(t, numbers(0, 30), f.log.all())
		assert.Contains(t, logs.String(), "answer lost")
		assert.NotContains(t, logs.String(), "lease lost")
	})
}

func TestNewReaderReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := shards.NewReader(shards.Config[string]{Poll: -1, PollIdle: -2, Round: time.Minute})
	for _, want := range []string{
		"Consumer is", "Stream is", "Leases is", "Handle or Open is", "Republish is", "Poll must", "PollIdle must", "Round must",
	} {
		require.ErrorContains(t, err, want)
	}
}
