package shards_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/retry"
)

// sourceLease is the shard of the lease that says which source the others are of.
const sourceLease = "source"

// readOnce reads a stream whose shard a was split, to its end.
func readOnce(f *fleet) {
	f.stream.open("a")
	f.stream.put("a", "a0")
	f.stream.open("b", "a")
	f.stream.put("b", "b0")
	r := f.start("w")
	after(5 * time.Second)
	r.end()
}

// replaced is the stream made anew: shard a is there and open, as in the beginning.
func replaced(f *fleet) {
	f.stream.replace("second")
	f.stream.open("a")
	f.stream.put("a", "A0", "A1")
}

func TestAStreamMadeAnewIsReadAndTheLogPublishedAgainOnce(t *testing.T) {
	t.Parallel()
	for name, running := range map[string]bool{"while readers run": true, "while none runs": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, f *fleet) {
				readOnce(f)
				if !running {
					replaced(f)
				}
				ofX, ofY := prometheus.NewRegistry(), prometheus.NewRegistry()
				x := f.start("x", func(c *shards.Config[string]) { c.Metrics = ofX })
				y := f.start("y", func(c *shards.Config[string]) { c.Metrics = ofY })
				after(time.Second)
				if running {
					replaced(f)
				}
				after(15 * time.Second)
				assert.Equal(t, []string{"a0", "b0", "A0", "A1"}, f.log.all(), "shard a was done, but it is another one")
				assert.Equal(t, []string{sourceLease}, f.lost(), "one of the readers publishes the log again")
				assert.Equal(t, shards.Source("second"), f.leases.lease("a").Source)
				assert.Zero(t, f.leases.lease("b"), "there is no such shard any more")
				assert.Equal(t, shards.StateWhole, f.leases.lease(sourceLease).State)
				assert.InDelta(t, 1, valueOf(t, ofX, "source_replaced_total")+valueOf(t, ofY, "source_replaced_total"), 0)
				f.stream.put("a", "A2")
				after(time.Second)
				assert.Equal(t, []string{"a0", "b0", "A0", "A1", "A2"}, f.log.all())
				x.end()
				y.end()
			})
		})
	}
}

func TestNewRecordsDoNotWaitForTheLogToBePublishedAgain(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		replaced(f)
		var tries atomic.Int32
		r := f.start("x", func(c *shards.Config[string]) {
			c.Republish = func(ctx context.Context, _ string) error {
				if tries.Add(1) < 3 {
					return errors.New("the log is unavailable")
				}
				for retry.Sleep(ctx, 5*time.Second) == nil { // a long log
					progress.Turn(ctx)
				}
				return ctx.Err()
			}
		})
		after(time.Minute)
		assert.EqualValues(t, 3, tries.Load(), "retried until it succeeds")
		assert.Equal(t, []string{"a0", "b0", "A0", "A1"}, f.log.all())
		assert.Equal(t, shards.StateGap, f.leases.lease(sourceLease).State)
		r.end() // does not wait for it either
		assert.Empty(t, f.leases.lease(sourceLease).Owner)
		assert.Empty(t, f.lost())
		r = f.start("y")
		after(time.Second)
		assert.Equal(t, []string{sourceLease}, f.lost(), "the next reader begins it again")
		r.end()
	})
}

// TestAStreamReplacedWhileTheLogIsPublishedAgainIsAnotherGap: what was read of the log by then lacks events of the second one.
func TestAStreamReplacedWhileTheLogIsPublishedAgainIsAnotherGap(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		replaced(f)
		written, published := "first", []string(nil)
		r := f.start("x", func(c *shards.Config[string]) {
			c.Republish = func(ctx context.Context, _ string) error {
				log := written // all that it publishes was read by now
				for range 10 {
					if err := retry.Sleep(ctx, time.Second); err != nil {
						return err
					}
					progress.Turn(ctx)
				}
				published = append(published, log)
				return nil
			}
		})
		after(8 * time.Second)
		written = "first, second"
		f.stream.replace("third")
		f.stream.open("a")
		after(time.Minute)
		r.end()
		assert.Equal(t, []string{"first, second"}, published)
		assert.Equal(t, shards.StateWhole, f.leases.lease(sourceLease).State)
	})
}

func TestACrashWhileAStreamIsReplacedIsMadeGoodByAnotherReader(t *testing.T) {
	t.Parallel()
	for point := range 24 { // the writes of leases that follow the replacement: twelve, twice
		point, earlier := point/2, point%2 == 1
		bubble(t, func(t *testing.T, f *fleet) {
			if earlier { // its lease of an open shard could be taken for one of the new shard
				f.stream.open("a")
				f.stream.put("a", "a0")
				r := f.start("w")
				after(5 * time.Second)
				r.end()
				withoutSources(f)
			} else {
				readOnce(f)
			}
			replaced(f)
			var alive atomic.Bool
			alive.Store(true)
			writes := 0
			f.leases.lose = func(l shards.Lease) error {
				if l.Owner == "y" {
					return nil
				}
				if writes++; writes > point {
					alive.Store(false)
				}
				return nil
			}
			x := f.start("x", func(c *shards.Config[string]) {
				c.Leases = &mortal{memory: f.leases, alive: &alive}
				republish := c.Republish
				c.Republish = func(ctx context.Context, shard string) error {
					after(time.Second)
					if !alive.Load() {
						return errDead
					}
					return republish(ctx, shard)
				}
			})
			after(5 * time.Second)
			y := f.start("y")
			after(20 * time.Second)
			assert.NotEmpty(t, f.lost(), "after %d writes, leases of an earlier build: %t", point, earlier)
			assert.Subset(t, f.log.all(), []string{"A0", "A1"}, "after %d writes, leases of an earlier build: %t", point, earlier)
			assert.Equal(t, shards.StateWhole, f.leases.lease(sourceLease).State, "after %d writes, leases of an earlier build: %t", point, earlier)
			x.stop()
			require.NoError(t, <-x.done)
			y.end()
		})
	}
}

// withoutSources makes the leases of shards what a build that knew no sources writes beside this one.
func withoutSources(f *fleet) {
	f.leases.mu.Lock()
	defer f.leases.mu.Unlock()
	for shard, l := range f.leases.leases {
		if shard != sourceLease {
			l.Source = ""
			f.leases.leases[shard] = l
		}
	}
}

// beforeSources makes the leases what a build that knew no sources would have written.
func beforeSources(f *fleet) {
	withoutSources(f)
	f.leases.mu.Lock()
	defer f.leases.mu.Unlock()
	delete(f.leases.leases, sourceLease)
}

func TestPositionsOfABuildBeforeSourcesAreAdopted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		beforeSources(f)
		f.stream.put("b", "b1")
		var logs bytes.Buffer
		r := f.start("x", func(c *shards.Config[string]) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
		after(15 * time.Second)
		r.end()
		assert.Equal(t, []string{"a0", "b0", "b1"}, f.log.all(), "nothing is read again")
		assert.Empty(t, f.lost())
		assert.Equal(t, shards.Source("first"), f.leases.lease("b").Source)
		assert.Equal(t, 1, bytes.Count(logs.Bytes(), []byte("adopted")))
	})
}

func TestAShardThatABuildBeforeSourcesTookForDoneIsReadIfItIsOpen(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		replaced(f)
		beforeSources(f)
		r := f.start("x")
		after(15 * time.Second)
		r.end()
		assert.Subset(t, f.log.all(), []string{"A0", "A1"})
		assert.Contains(t, f.lost(), sourceLease)
	})
}

// TestAStreamReplacedUnderABuildBeforeSourcesIsNoticed: an earlier build runs beside this one, or after a roll-back. It writes
// leases without a source and leaves the lease of the source alone.
func TestAStreamReplacedUnderABuildBeforeSourcesIsNoticed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		withoutSources(f)
		replaced(f)
		r := f.start("x")
		after(15 * time.Second)
		r.end()
		assert.Equal(t, []string{"a0", "b0", "A0", "A1"}, f.log.all())
		assert.Equal(t, []string{sourceLease}, f.lost())
	})
}

func TestAPositionThatCannotBecomeValidCountsAsTrimmed(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		l := f.leases.lease("b")
		next := l
		next.Counter, next.Checkpoint = l.Counter+1, "7"
		require.NoError(t, f.leases.Put(t.Context(), next, l))
		r := f.start("x")
		after(time.Minute)
		r.end()
		assert.Equal(t, []string{"b"}, f.lost(), "once")
		assert.Equal(t, []string{"a0", "b0", "b0"}, f.log.all(), "read from the oldest")
	})
}

func TestAMissingStreamIsRetriedAndCounted(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		readOnce(f)
		f.stream.replace("")
		var logs bytes.Buffer
		metrics := prometheus.NewRegistry()
		r := f.start("x", func(c *shards.Config[string]) {
			c.Metrics, c.Logger = metrics, slog.New(slog.NewTextHandler(&logs, nil))
		})
		after(time.Minute)
		assert.Contains(t, logs.String(), "there is no stream")
		assert.Empty(t, f.lost())
		assert.Positive(t, valueOf(t, metrics, "list_failures_total"))
		replaced(f)
		after(15 * time.Second)
		r.end()
		assert.Equal(t, []string{"a0", "b0", "A0", "A1"}, f.log.all())
		assert.Equal(t, []string{sourceLease}, f.lost())
	})
}

func TestATargetMadeAnewIsFilledFromTheLogOnce(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fleet) {
		f.stream.open("a")
		f.stream.put("a", "a0")
		var failing atomic.Bool
		var created atomic.Value
		created.Store("1")
		with := func(names ...string) func(*shards.Config[string]) {
			return func(c *shards.Config[string]) {
				c.Targets = func(context.Context) (map[string]string, error) {
					if failing.Load() {
						return nil, errors.New("there is no queue")
					}
					out := map[string]string{}
					for _, name := range names {
						out[name] = created.Load().(string) //nolint:errcheck,forcetypeassert // it holds no others
					}
					return out, nil
				}
			}
		}
		x := f.start("x", with("p", "q"))
		y := f.start("y", with("q", "r")) // another build
		after(time.Minute)
		assert.Empty(t, f.lost(), "at first there is none to compare with")
		failing.Store(true)
		f.stream.open("b")
		f.stream.put("b", "b0")
		after(time.Minute)
		assert.Equal(t, []string{"a0", "b0"}, f.log.all(), "reading goes on")
		failing.Store(false)
		after(time.Minute)
		assert.Empty(t, f.lost())
		x.end()
		created.Store("2")
		after(time.Minute)
		assert.Equal(t, []string{sourceLease}, f.lost())
		assert.Equal(t, map[string]string{"p": "1", "q": "2", "r": "2"}, f.leases.lease(sourceLease).Targets)
		assert.Equal(t, []string{"a0", "b0"}, f.log.all(), "no shard is read again")
		y.end()
	})
}

// TestLeasesAsEarlierBuildsStoredThem: an earlier build required these attributes, and no others.
func TestLeasesAsEarlierBuildsStoredThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, leases := newLocalAWS(t)
		db := dynamodb.NewFromConfig(server.Config())
		earlier := map[string]types.AttributeValue{
			"consumer": &types.AttributeValueMemberS{Value: "c"}, "shard": &types.AttributeValueMemberS{Value: "shardId-000000000000"},
			"owner": &types.AttributeValueMemberS{Value: "x"}, "counter": &types.AttributeValueMemberN{Value: "7"},
			"checkpoint": &types.AttributeValueMemberS{Value: "49"}, "parents": &types.AttributeValueMemberL{Value: []types.AttributeValue{}},
			"state": &types.AttributeValueMemberS{Value: "open"}, "read_at": &types.AttributeValueMemberN{Value: "1700000000000"},
		}
		_, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("leases"), Item: earlier})
		require.NoError(t, err)
		got, err := leases.List(t.Context(), "c")
		require.NoError(t, err)
		want := shards.Lease{
			Consumer: "c", Shard: "shardId-000000000000", Owner: "x", Counter: 7, Checkpoint: "49", Parents: []string{},
			State: shards.StateOpen, ReadAt: time.UnixMilli(1700000000000).UTC(),
		}
		require.Equal(t, []shards.Lease{want}, got)

		next := want
		next.Counter, next.Source = 8, "s"
		require.NoError(t, leases.Put(t.Context(), next, want))
		source := shards.Lease{
			Consumer: "c", Shard: sourceLease, Counter: 1, State: shards.StateGap, Source: "s", Targets: map[string]string{"q": "1"},
		}
		require.NoError(t, leases.Put(t.Context(), source, shards.Lease{}))
		stored, err := db.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("leases")})
		require.NoError(t, err)
		for _, item := range stored.Items {
			assert.Equal(t, &types.AttributeValueMemberS{Value: "s"}, item["source"])
			for name, value := range earlier {
				if name != "read_at" {
					assert.IsType(t, value, item[name], name)
				}
			}
		}
	})
}
