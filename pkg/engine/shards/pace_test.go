package shards_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestAnIdleShardIsReadMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		r := f.start("x", func(c *shards.Config[string]) { c.Poll, c.PollIdle = 200*time.Millisecond, 2*time.Second })
		reads := func(d time.Duration) int {
			before := f.stream.readsOf("a")
			after(d)
			return f.stream.readsOf("a") - before
		}
		reads(time.Minute)
		assert.InDelta(t, 30, reads(time.Minute), 1, "an idle shard, at PollIdle")
		f.stream.put("a", "0")
		reads(2 * time.Second)
		assert.Equal(t, []string{"0"}, f.log.all())
		busy := 0
		for n := range 60 {
			f.stream.put("a", strconv.Itoa(1+n))
			busy += reads(200 * time.Millisecond)
		}
		assert.InDelta(t, 60, busy, 4, "one of which each read finds something, at Poll")
		r.end()
		assert.Equal(t, numbers(0, 61), f.log.all())
	})
}

func TestWithoutPollIdleAnIdleShardIsReadAlmostAsOftenAsABusyOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		r := f.start("x")
		after(time.Minute)
		assert.InDelta(t, 200, f.stream.readsOf("a"), 3, "every 300 ms")
		r.end()
	})
}

func TestAShardThatHasMoreIsReadAtOnceUnlessReadsAreRefused(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		slow := func(c *shards.Config[string]) { c.Poll, c.PollIdle = time.Minute, time.Hour }
		f.stream.open("a")
		f.stream.put("a", numbers(0, 30)...)
		r := f.start("x", slow)
		after(10 * time.Second)
		assert.Equal(t, numbers(0, 30), f.log.all(), "ten pages")
		r.end()
		f.stream.put("a", numbers(30, 60)...)
		refusals := 0
		f.stream.refuse = func(string) error {
			if refusals++; refusals == 1 {
				return fmt.Errorf("read: %w", shards.ErrThrottled)
			}
			return nil
		}
		r = f.start("y", slow)
		after(2 * time.Minute)
		assert.Len(t, f.log.all(), 33, "one page, then a pause")
		after(time.Hour)
		assert.Equal(t, numbers(0, 60), f.log.all())
		r.end()
	})
}

// TestAShardIsSharedWithAnotherReader puts a reader beside that reads once a second, as the archive's Firehose does.
func TestAShardIsSharedWithAnotherReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{ReadLimits: true})
		t.Cleanup(server.Close)
		k := newKinesisFleetOn(t, server, 1, modes["polling"])
		metrics := prometheus.NewRegistry()
		refusals := func() float64 { return failedReads(t, metrics) }
		reads := func() float64 { return float64(server.Calls()["Kinesis.GetRecords"]) }
		r := k.start("x", func(c *shards.Config[[]byte]) { c.Metrics = metrics })
		refusedToOther := k.readEachSecond()

		after(5 * time.Minute)
		assert.Zero(t, refusals()+refusedToOther(), "at rest both find room")
		before := reads()
		for range 2_000 {
			k.send(1)
			after(100 * time.Millisecond)
		}
		after(time.Second)
		assert.Positive(t, refusals(), "under load it finds out how much the other one leaves")
		assert.Less(t, (refusals()+refusedToOther())/(reads()-before), 0.05, "and keeps to that")
		r.end()
		k.complete()
	})
}

// readEachSecond reads the first shard until the test ends, and returns how often it was refused.
func (k *kinesisFleet) readEachSecond() (refusals func() float64) {
	k.t.Helper()
	from, err := k.GetShardIterator(k.t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("s"), ShardId: aws.String(k.open()[0]), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	require.NoError(k.t, err)
	var refused atomic.Int64
	var reading sync.WaitGroup
	ctx, stop := context.WithCancel(k.t.Context())
	reading.Go(func() {
		once := func(o *kinesis.Options) { o.RetryMaxAttempts = 1 }
		for next := from.ShardIterator; retry.Sleep(ctx, time.Second) == nil; {
			out, err := k.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next}, once)
			if err != nil {
				refused.Add(1)
				continue
			}
			next = out.NextShardIterator
		}
	})
	k.t.Cleanup(func() { stop(); reading.Wait() })
	return func() float64 { return float64(refused.Load()) }
}

// failedReads returns how many reads of a reader failed; there may be none.
func failedReads(t *testing.T, from prometheus.Gatherer) (failed float64) {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if family.GetName() == "shards_read_failures_total" {
				failed += m.GetCounter().GetValue()
			}
		}
	}
	return failed
}
