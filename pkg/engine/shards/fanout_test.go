package shards_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// fannedOut runs a test on a stream read by enhanced fan-out.
func fannedOut(t *testing.T, shardCount int32, f func(t *testing.T, k *kinesisFleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, newKinesisFleet(t, shardCount, modes["fan-out"])) })
}

func (k *kinesisFleet) calls(operation string) int {
	return int(k.server.Calls()["Kinesis."+operation])
}

func TestSubscriptionsAreRenewedBeforeTheyEnd(t *testing.T) {
	t.Parallel()
	fannedOut(t, 2, func(t *testing.T, k *kinesisFleet) {
		r := k.start("x")
		for range 14 * 60 { // 14 minutes of a record of each key every second
			k.send(1)
			after(time.Second)
		}
		r.end()
		k.complete()
		assert.Equal(t, 2*4, k.calls("SubscribeToShard"), "each 4.5 minutes")
		assert.Zero(t, k.calls("GetRecords"))
		assert.LessOrEqual(t, k.calls("RegisterStreamConsumer"), 2, "at most once for each shard, if both begin at once")
	})
}

func TestRecordsArePushed(t *testing.T) {
	t.Parallel()
	fannedOut(t, 1, func(t *testing.T, k *kinesisFleet) {
		r := k.start("x", func(c *shards.Config[[]byte]) { c.Poll = time.Hour })
		after(7 * time.Second)
		k.send(1)
		synctest.Wait()
		assert.Equal(t, keys, k.handled.Total(), "at once")
		r.end()
		k.complete()
	})
}

func TestAHandOffOfASubscriptionRepeatsNothing(t *testing.T) {
	t.Parallel()
	fannedOut(t, 1, func(t *testing.T, k *kinesisFleet) {
		x := k.start("x")
		for range 100 {
			k.send(1)
			after(70 * time.Millisecond)
		}
		y := k.start("y")
		k.send(5)
		x.end()
		stoppedAt := time.Now()
		k.send(1)
		for k.handled.Total() < keys*k.sent {
			after(10 * time.Millisecond)
		}
		assert.Less(t, time.Since(stoppedAt), time.Second)
		y.end()
		k.complete()
	})
}

// TestAShardThatChangesHandsAtOnceWaitsForItsSubscription: Kinesis refuses another within 5 seconds.
func TestAShardThatChangesHandsAtOnceWaitsForItsSubscription(t *testing.T) {
	t.Parallel()
	fannedOut(t, 1, func(t *testing.T, k *kinesisFleet) {
		var logs bytes.Buffer
		for _, owner := range []string{"a", "b", "c"} {
			r := k.start(owner)
			after(100 * time.Millisecond)
			k.send(1)
			r.end()
		}
		r := k.start("d", func(c *shards.Config[[]byte]) { c.Logger = slog.New(slog.NewTextHandler(&logs, nil)) })
		after(15 * time.Second)
		r.end()
		k.complete()
		assert.NotContains(t, logs.String(), "shard read failed", "it is no failure")
	})
}

func TestABrokenConnectionLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	fannedOut(t, 3, func(t *testing.T, k *kinesisFleet) {
		require.NoError(t, k.server.SetFaults(localaws.Faults{Seed: 7, Faults: []localaws.Fault{
			{Kind: localaws.FaultLoseAnswer, Operation: "Kinesis.SubscribeToShard", Probability: 0.7},
			{Kind: localaws.FaultThrottle, Operation: "Kinesis.SubscribeToShard", Probability: 0.1},
			{Kind: localaws.FaultFail, Operation: "Kinesis.*", Probability: 0.1},
		}}))
		r := k.start("x")
		for range 600 {
			k.send(1)
			after(100 * time.Millisecond)
		}
		assert.Greater(t, k.calls("SubscribeToShard"), 9)
		require.NoError(t, k.server.SetFaults(localaws.Faults{}))
		after(30 * time.Second)
		r.end()
		k.complete()
	})
}

func TestADeadSubscriberIsReplaced(t *testing.T) {
	t.Parallel()
	fannedOut(t, 1, func(t *testing.T, k *kinesisFleet) {
		k.send(10)
		cut := make(chan struct{})
		x := k.start("x", func(c *shards.Config[[]byte]) {
			handle := c.Handle
			c.Handle = func(ctx context.Context, shard string, records []shards.Record[[]byte]) error {
				select {
				case <-cut: // paused, as is its heartbeat
					<-time.After(30 * time.Second)
					return ctx.Err()
				default:
					return handle(ctx, shard, records)
				}
			}
			c.Leases = &pausing{Leases: c.Leases, paused: cut}
		})
		after(10 * time.Second)
		close(cut)
		k.send(10)
		y := k.start("y")
		after(15 * time.Second)
		assert.Equal(t, keys*k.sent, k.handled.Total(), "y took over")
		k.send(10)
		after(30 * time.Second) // x comes back and sees that it lost the lease
		k.send(10)
		after(time.Second)
		y.end()
		x.end()
		k.complete()
	})
}

// pausing is leases that a reader cannot reach for half a minute.
type pausing struct {
	shards.Leases

	paused <-chan struct{}
	once   sync.Once
	over   atomic.Bool
}

func (p *pausing) Put(ctx context.Context, next, expected shards.Lease) error {
	select {
	case <-p.paused:
		p.once.Do(func() { time.AfterFunc(30*time.Second, func() { p.over.Store(true) }) })
		if !p.over.Load() {
			return errDead
		}
	default:
	}
	return p.Leases.Put(ctx, next, expected)
}

func TestTrimmedRecordsOfASubscriptionAreReported(t *testing.T) {
	t.Parallel()
	inBothModes(t, 1, func(t *testing.T, k *kinesisFleet) {
		k.send(1)
		x := k.start("x")
		after(time.Minute)
		x.end()
		k.send(1)
		after(25 * time.Hour)
		y := k.start("y")
		after(time.Minute)
		y.end()
		assert.Equal(t, []string{"shardId-000000000000"}, k.trimmed)
		assert.Equal(t, keys, k.handled.Total())
	})
}

func TestADeregisteredConsumerIsRegisteredAgain(t *testing.T) {
	t.Parallel()
	fannedOut(t, 1, func(t *testing.T, k *kinesisFleet) {
		r := k.start("x")
		k.send(1)
		after(10 * time.Second)
		stream, err := k.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")})
		require.NoError(t, err)
		_, err = k.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{
			StreamARN: stream.StreamDescriptionSummary.StreamARN, ConsumerName: aws.String("broker"),
		})
		require.NoError(t, err)
		k.send(1)
		after(10 * time.Second)
		assert.Equal(t, 2, k.calls("RegisterStreamConsumer"))
		r.end()
		k.complete()
	})
}

// TestASilentSubscriptionIsOpenedAnew: its connection stays open, and nothing comes any more.
func TestASilentSubscriptionIsOpenedAnew(t *testing.T) {
	t.Parallel()
	fannedOut(t, 1, func(t *testing.T, k *kinesisFleet) {
		mute := &muting{RoundTripper: k.server.Transport(), muted: make(chan struct{})}
		cfg := k.server.Config()
		cfg.HTTPClient = &http.Client{Transport: mute}
		registry := prometheus.NewPedanticRegistry()
		r := k.start("x", func(c *shards.Config[[]byte]) {
			c.Stream, c.Metrics = shards.NewKinesisFanOut(kinesis.NewFromConfig(cfg), "s", "broker"), registry
		})
		k.send(1)
		after(time.Minute)
		require.Equal(t, 1, k.calls("SubscribeToShard"), "an idle one is not silent")
		close(mute.muted)
		k.send(1)
		after(15 * time.Second)
		assert.Equal(t, keys*k.sent, k.handled.Total())
		assert.Equal(t, 2, k.calls("SubscribeToShard"))
		assert.Zero(t, valueOf(t, registry, "stuck_total"), "the shard is not given up for that")
		r.end()
		k.complete()
	})
}

// muting keeps what existing subscriptions push, once muted.
type muting struct {
	http.RoundTripper

	muted chan struct{}
}

func (m *muting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := m.RoundTripper.RoundTrip(r)
	select {
	case <-m.muted:
		return res, err
	default:
	}
	if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "SubscribeToShard") {
		res.Body = &mutedBody{ReadCloser: res.Body, muted: m.muted, closed: make(chan struct{})}
	}
	return res, err
}

type mutedBody struct {
	io.ReadCloser

	muted, closed chan struct{}
	once          sync.Once
}

func (b *mutedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	select {
	case <-b.muted:
		<-b.closed
		return 0, io.ErrUnexpectedEOF
	default:
		return n, err
	}
}

func (b *mutedBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return b.ReadCloser.Close()
}
