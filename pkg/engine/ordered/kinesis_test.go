package ordered_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/retry"
)

// shard stores records and refuses every third one.
type shard struct {
	mu      sync.Mutex
	turn    int
	records []string
	batches []int
	err     error
}

func (s *shard) PutRecords(_ context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, len(in.Records))
	if s.err != nil {
		return nil, s.err
	}
	out := &kinesis.PutRecordsOutput{FailedRecordCount: aws.Int32(0)}
	for _, r := range in.Records {
		if s.turn++; s.turn%3 == 0 {
			*out.FailedRecordCount++
			out.Records = append(out.Records, types.PutRecordsResultEntry{ErrorCode: aws.String("ProvisionedThroughputExceededException")})
			continue
		}
		s.records = append(s.records, *r.PartitionKey+string(r.Data))
		out.Records = append(out.Records, types.PutRecordsResultEntry{SequenceNumber: aws.String("1"), ShardId: aws.String("0")})
	}
	return out, nil
}

var quick = retry.Backoff{First: 1, Max: 1} // read only

func TestRecordsThatPutRecordsRefusedAreSentAgain(t *testing.T) {
	t.Parallel()
	s := &shard{}
	var records []ordered.KinesisRecord
	for n := range 10 {
		for _, key := range []string{"a", "b", "c"} {
			records = append(records, ordered.KinesisRecord{Key: key, Data: fmt.Append(nil, n)})
		}
	}
	require.NoError(t, ordered.NewKinesisPublisher(s, "s", quick).Publish(t.Context(), records))
	next := map[byte]byte{'a': '0', 'b': '0', 'c': '0'}
	for _, r := range s.records {
		assert.Equal(t, next[r[0]], r[1], r)
		next[r[0]]++
	}
	assert.Len(t, s.records, 30)
}

func TestBatchesKeepTheLimitsOfKinesis(t *testing.T) {
	t.Parallel()
	s := &shard{turn: -1 << 30}
	records := make([]ordered.KinesisRecord, 1001)
	for i := range records {
		records[i].Key = fmt.Sprint(i)
	}
	require.NoError(t, ordered.NewKinesisPublisher(s, "s", quick).Publish(t.Context(), records))
	assert.Equal(t, 500, slices.Max(s.batches))
	s.batches = nil
	for i := range 12 {
		records[i].Data = make([]byte, 1<<20-10)
	}
	require.NoError(t, ordered.NewKinesisPublisher(s, "s", quick).Publish(t.Context(), records[:12]))
	assert.Equal(t, 5, slices.Max(s.batches), "5 MiB")
	records[3].Data = make([]byte, 1<<20)
	s.records = nil
	err := ordered.NewKinesisPublisher(s, "s", quick).Publish(t.Context(), records)
	require.ErrorIs(t, err, ordered.ErrTooLarge)
	require.ErrorContains(t, err, "publish to s")
	assert.Len(t, s.records, 1000, "all others are sent")
}

func TestAnInvalidArgumentIsPermanent(t *testing.T) {
	t.Parallel()
	s := &shard{err: &types.InvalidArgumentException{Message: aws.String("no such key")}}
	err := ordered.NewKinesisPublisher(s, "s", quick).Publish(t.Context(), []ordered.KinesisRecord{{Key: "k"}})
	require.ErrorIs(t, err, ordered.ErrPermanent)
	assert.Len(t, s.batches, 1, "not retried")
}

// TestOnlyAnInvalidArgumentIsPermanent: the errors of https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
// for a call. A ValidationException may be about the stream's name, so records are checked before.
func TestOnlyAnInvalidArgumentIsPermanent(t *testing.T) {
	t.Parallel()
	for _, code := range []string{
		"AccessDeniedException", "InternalFailureException", "KMSAccessDeniedException", "KMSDisabledException", "KMSInvalidStateException",
		"KMSNotFoundException", "KMSOptInRequired", "KMSThrottlingException", "ProvisionedThroughputExceededException",
		"ResourceNotFoundException", "ValidationException",
	} {
		s := &shard{err: &smithy.GenericAPIError{Code: code}}
		ctx, cancel := context.WithCancel(t.Context())
		o := ordered.NewKinesisPublisher(s, "s", quick).Options()
		o.OnRetry = func(reason error, failures int) {
			if failures == 3 && errors.Is(reason, s.err) {
				cancel()
			}
		}
		require.ErrorIs(t, ordered.Send(ctx, []ordered.KinesisRecord{{Key: "k"}}, o), context.Canceled, code)
	}
	s := &shard{turn: -1 << 30}
	for length, refused := range map[int]bool{0: true, 1: false, 256: false, 257: true} {
		err := ordered.NewKinesisPublisher(s, "s", quick).Publish(t.Context(), []ordered.KinesisRecord{{Key: strings.Repeat("é", length)}})
		assert.Equal(t, refused, errors.Is(err, ordered.ErrPermanent), "a key of %d characters", length)
	}
}
