package localaws_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestAShardRefusesReadsBeyondItsLimitsIfAskedTo(t *testing.T) {
	t.Parallel()
	for _, limited := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			server := localaws.New(localaws.Options{ReadLimits: limited})
			defer server.Close()
			s := kinesisStream{kinesis.NewFromConfig(server.Config()), aws.String("events")}
			_, err := s.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: s.name, ShardCount: aws.Int32(2)})
			require.NoError(t, err)
			from := func(shard string) *string {
				return s.iterator(t, kinesis.GetShardIteratorInput{
					ShardId: aws.String("shardId-00000000000" + shard), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
				})
			}
			// reads returns how many of n reads in a row are answered.
			reads := func(shard string, n int) (answered int) {
				for range n {
					_, err := s.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: from(shard)},
						func(o *kinesis.Options) { o.RetryMaxAttempts = 1 })
					if err == nil {
						answered++
						continue
					}
					_, refused := errors.AsType[*types.ProvisionedThroughputExceededException](err)
					require.True(t, refused, err)
				}
				return answered
			}
			want := func(refusing, always int) int {
				if limited {
					return refusing
				}
				return always
			}
			assert.Equal(t, want(5, 8), reads("0", 8))
			assert.Equal(t, want(5, 8), reads("1", 8), "each shard has limits of its own")
			time.Sleep(time.Second)
			assert.Equal(t, want(5, 6), reads("0", 6), "a second later")

			time.Sleep(time.Second)
			for range 6 { // 3 MB in one of the shards
				s.put(t, "k", strings.Repeat("x", 1<<19))
			}
			full := "0"
			if reads("0", 3) == want(3, 0) {
				full = "1"
			}
			time.Sleep(10 * time.Second)
			assert.Equal(t, want(1, 2), reads(full, 2), "3 MB use up a second and a half")
			time.Sleep(time.Second)
			assert.Equal(t, want(0, 1), reads(full, 1))
			time.Sleep(time.Second)
			assert.Equal(t, 1, reads(full, 1))
		})
	}
}
