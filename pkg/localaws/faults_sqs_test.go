package localaws_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// failedIDs returns the ids of a batch's failures, which must have the given codes.
func failedIDs(t *testing.T, failed []types.BatchResultErrorEntry, fault map[string]bool) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, e := range failed {
		out[*e.Id] = true
		sender, known := fault[*e.Code]
		assert.True(t, known, *e.Code)
		assert.Equal(t, sender, e.SenderFault)
		assert.NotEmpty(t, *e.Message)
	}
	assert.NotEmpty(t, out)
	return out
}

func TestPartialFailsMessagesOfABatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault localaws.Fault
		codes map[string]bool // whether it is the sender's fault
	}{
		{"partial", always(localaws.FaultPartial, "*"), map[string]bool{"InternalError": false, "RequestThrottled": true}},
		{
			"throttle",
			localaws.Fault{Kind: localaws.FaultThrottle, Operation: "AmazonSQS.*", Probability: 1, Share: 0.4},
			map[string]bool{"RequestThrottled": true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { partialBatches(t, tt.fault, tt.codes) })
		})
	}
}

func partialBatches(t *testing.T, fault localaws.Fault, codes map[string]bool) {
	t.Helper()
	f := newFaulty(t)
	url := sqsCreate(t, f.sqs, "q.fifo")
	send := &sqs.SendMessageBatchInput{QueueUrl: url}
	for i := range 10 {
		id := strconv.Itoa(i)
		send.Entries = append(send.Entries, types.SendMessageBatchRequestEntry{
			Id: &id, MessageBody: &id, MessageGroupId: &id, MessageDeduplicationId: &id,
		})
	}
	f.set(t, fault)
	sent, err := f.sqs.SendMessageBatch(t.Context(), send)
	require.NoError(t, err)
	failed := failedIDs(t, sent.Failed, codes)
	assert.Len(t, sent.Successful, 10-len(failed))
	f.set(t)
	got := sqsTake(t, f.sqs, url, 10)
	for _, body := range sqsBodies(got) {
		assert.False(t, failed[body], "it was not sent")
	}
	assert.Len(t, got, 10-len(failed))

	send.Entries = slices.DeleteFunc(send.Entries, func(e types.SendMessageBatchRequestEntry) bool { return !failed[*e.Id] })
	resent, err := f.sqs.SendMessageBatch(t.Context(), send) // with the same deduplication ids
	require.NoError(t, err)
	assert.Empty(t, resent.Failed)
	got = append(got, sqsTake(t, f.sqs, url, 10)...)
	require.Len(t, got, 10)

	f.set(t, fault)
	change := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url}
	for _, m := range got {
		change.Entries = append(change.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: m.Body, ReceiptHandle: m.ReceiptHandle})
	}
	changed, err := f.sqs.ChangeMessageVisibilityBatch(t.Context(), change) // to zero
	require.NoError(t, err)
	failed = failedIDs(t, changed.Failed, codes)
	assert.Len(t, changed.Successful, 10-len(failed))
	f.set(t)
	visible := sqsTake(t, f.sqs, url, 10)
	for _, body := range sqsBodies(visible) {
		assert.False(t, failed[body], "it was not changed")
	}
	assert.Len(t, visible, 10-len(failed))

	time.Sleep(time.Minute) // virtual
	got = sqsTake(t, f.sqs, url, 10)
	require.Len(t, got, 10)
	f.set(t, fault)
	remove := &sqs.DeleteMessageBatchInput{QueueUrl: url}
	for _, m := range got {
		remove.Entries = append(remove.Entries, types.DeleteMessageBatchRequestEntry{Id: m.Body, ReceiptHandle: m.ReceiptHandle})
	}
	removed, err := f.sqs.DeleteMessageBatch(t.Context(), remove)
	require.NoError(t, err)
	failed = failedIDs(t, removed.Failed, codes)
	assert.Len(t, removed.Successful, 10-len(failed))
	f.set(t)
	time.Sleep(time.Minute) // virtual
	var want []string
	for id := range failed {
		want = append(want, id)
	}
	assert.ElementsMatch(t, want, sqsBodies(sqsTake(t, f.sqs, url, 10)), "what was not deleted comes again")
}

func TestDuplicateRedeliversADeletedMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		url := sqsCreate(t, f.sqs, "q.fifo")
		sqsSend(t, f.sqs, url, "g", "one")
		sqsSend(t, f.sqs, url, "g", "two")
		f.set(t, once(localaws.FaultDuplicate, "AmazonSQS.DeleteMessage"))
		got := sqsTake(t, f.sqs, url, 1)
		_, err := f.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: got[0].ReceiptHandle})
		require.NoError(t, err, "it is acknowledged")
		assert.Empty(t, sqsTake(t, f.sqs, url, 10), "but not done: its group waits")
		time.Sleep(31 * time.Second) // virtual
		got = sqsTake(t, f.sqs, url, 10)
		assert.Equal(t, []string{"one", "two"}, sqsBodies(got))
		assert.Equal(t, "2", got[0].Attributes["ApproximateReceiveCount"])
		sqsDelete(t, f.sqs, url, got...)
		time.Sleep(31 * time.Second) // virtual
		assert.Empty(t, sqsTake(t, f.sqs, url, 10), "once was the limit")
		assert.Equal(t, map[string]int64{"AmazonSQS.DeleteMessage": 1}, f.strikes(t))
	})
}

func TestDuplicateRedeliversMessagesDeletedInABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		url := sqsCreate(t, f.sqs, "q.fifo")
		for i := range 10 {
			sqsSend(t, f.sqs, url, strconv.Itoa(i), strconv.Itoa(i))
		}
		f.set(t, once(localaws.FaultDuplicate, "AmazonSQS.*"))
		in := &sqs.DeleteMessageBatchInput{QueueUrl: url}
		for _, m := range sqsTake(t, f.sqs, url, 10) {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: m.Body, ReceiptHandle: m.ReceiptHandle})
		}
		out, err := f.sqs.DeleteMessageBatch(t.Context(), in)
		require.NoError(t, err)
		assert.Len(t, out.Successful, 10)
		time.Sleep(31 * time.Second) // virtual
		again := sqsTake(t, f.sqs, url, 10)
		assert.NotEmpty(t, again)
		assert.Less(t, len(again), 10)
	})
}

func TestRedeliverEndsVisibilityTimeoutsEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFaulty(t)
		url := sqsCreate(t, f.sqs, "q.fifo", "VisibilityTimeout", "100")
		sqsSend(t, f.sqs, url, "g", "one")
		f.set(t, once(localaws.FaultRedeliver, "AmazonSQS.ReceiveMessage"))
		assert.Empty(t, sqsTake(t, f.sqs, sqsCreate(t, f.sqs, "empty.fifo"), 1))
		assert.Empty(t, f.strikes(t), "nothing received, nothing struck")
		first, start := sqsTake(t, f.sqs, url, 1), time.Now()
		require.Len(t, first, 1)
		again, err := f.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		for err == nil && len(again.Messages) == 0 {
			again, err = f.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
		}
		require.NoError(t, err)
		assert.Less(t, time.Since(start), 100*time.Second, "before its time")
		_, err = f.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: first[0].ReceiptHandle})
		assert.Equal(t, "InvalidParameterValue", errorCode(err), "the first receipt is stale")

		// Prolonged in vain, once alone and once in a batch.
		receipt := again.Messages[0].ReceiptHandle
		f.set(t, once(localaws.FaultRedeliver, "AmazonSQS.ChangeMessageVisibility"))
		_, err = f.sqs.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: 1000,
		})
		require.NoError(t, err)
		time.Sleep(999 * time.Second) // virtual
		got := sqsTake(t, f.sqs, url, 1)
		require.Len(t, got, 1)
		f.set(t, once(localaws.FaultRedeliver, "AmazonSQS.ChangeMessageVisibilityBatch"))
		out, err := f.sqs.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
				{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 1000},
			},
		})
		require.NoError(t, err)
		assert.Len(t, out.Successful, 1)
		time.Sleep(999 * time.Second) // virtual
		assert.Len(t, sqsTake(t, f.sqs, url, 1), 1)

		_, err = f.sqs.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: 43_201,
		})
		require.Error(t, err, "what is refused is refused still")
	})
}

// TestARightThatIsMissing: for one caller, as a whole or, because of the queue's key, for entries.
func TestARightThatIsMissing(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	url := sqsCreate(t, f.sqs, "q.fifo")
	config := f.Config()
	config.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	config.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "broker", SecretAccessKey: "secret"}, nil
	})
	broker := sqs.NewFromConfig(config)
	send := &sqs.SendMessageBatchInput{QueueUrl: url}
	for i := range 10 {
		id := strconv.Itoa(i)
		send.Entries = append(send.Entries, types.SendMessageBatchRequestEntry{
			Id: &id, MessageBody: &id, MessageGroupId: &id, MessageDeduplicationId: &id,
		})
	}
	denied := always(localaws.FaultDeny, "AmazonSQS.SendMessageBatch")
	denied.AccessKey = "broker"
	f.set(t, denied)
	_, err := broker.SendMessageBatch(t.Context(), send)
	assert.Equal(t, "AccessDenied", errorCode(err), "the code of the query protocol, which the SDK prefers")
	assert.Equal(t, http.StatusForbidden, statusOf(err))
	denied.Share = 0.5
	f.set(t, denied)
	sent, err := broker.SendMessageBatch(t.Context(), send)
	require.NoError(t, err)
	failed := failedIDs(t, sent.Failed, map[string]bool{"KMS.AccessDeniedException": true})
	assert.Len(t, sent.Successful, 10-len(failed))
	other, err := f.sqs.SendMessageBatch(t.Context(), send)
	require.NoError(t, err)
	assert.Len(t, other.Successful, 10, "another caller has the right")
	denied.Operation = "Kinesis.ListShards"
	f.set(t, denied)
	_, err = kinesis.NewFromConfig(config).ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
	assert.Equal(t, "AccessDeniedException", errorCode(err))
	assert.Equal(t, http.StatusBadRequest, statusOf(err))
}
