package shards_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// A tail has what arrives after it has begun, each key's in order, through a split and a merge of what the split made.
func TestATailFollowsTheStreamThroughASplitAndAMerge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := newKinesisFleet(t, 1, modes["polling"])
		k.send(3) // before it
		ctx, stop := context.WithCancel(t.Context())
		begun, got, ended := make(chan struct{}), make(chan shards.Record[[]byte], 1000), make(chan struct{})
		go func() {
			defer close(ended)
			for r, err := range shards.Tail(ctx, k.Client, "s", time.Second, func() { close(begun) }) {
				assert.NoError(t, err)
				got <- r
			}
		}()
		<-begun
		next := map[string]int{}
		expect := func(n int) {
			t.Helper()
			for range n * keys {
				r := <-got
				want, ok := next[r.Key]
				if !ok {
					want = 3
				}
				require.Equal(t, strconv.Itoa(want), string(r.Value), r.Key)
				next[r.Key] = want + 1
			}
		}
		k.send(2)
		expect(2)
		k.split(shardID(0), "170141183460469231731687303715884105728")
		after(time.Minute)
		k.send(5)
		expect(5)
		require.NoError(t, k.server.SetFaults(localaws.Faults{Seed: 1, Faults: []localaws.Fault{ // one parent ends before the other
			{Kind: localaws.FaultThrottle, Operation: "Kinesis.GetRecords", Probability: 0.9},
		}}))
		k.send(5)
		k.merge(shardID(1), shardID(2))
		k.send(5)
		expect(10)
		assert.Len(t, next, keys)
		stop()
		<-ended
		assert.Empty(t, got)
	})
}

func TestATailOfNoStreamSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, _ := newLocalAWS(t)
		for _, err := range shards.Tail(t.Context(), kinesis.NewFromConfig(server.Config()), "none", time.Second, func() { t.Error("begun") }) {
			require.ErrorContains(t, err, "describe stream none")
		}
	})
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }
