package localaws_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sqsEntries(n int) []types.SendMessageBatchRequestEntry {
	out := []types.SendMessageBatchRequestEntry{}
	for i := range n {
		id := fmt.Sprintf("e%d", i)
		out = append(
			out, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &id, MessageGroupId: aws.String("g"), MessageDeduplicationId: &id},
		)
	}
	return out
}

func TestSQSBatchesThatFailAsAWhole(t *testing.T) {
	t.Parallel()
	source := sqsAPI + "API_SendMessageBatch.html#API_SendMessageBatch_Errors"
	const prefix = "AWS.SimpleQueueService."
	for _, row := range []struct {
		name, code string
		entries    []types.SendMessageBatchRequestEntry
	}{
		{"none", prefix + "EmptyBatchRequest", sqsEntries(0)},
		{"11", prefix + "TooManyEntriesInBatchRequest", sqsEntries(11)},
		{"repeated id", prefix + "BatchEntryIdsNotDistinct", append(sqsEntries(2), sqsEntries(1)...)},
		{"bad id", prefix + "InvalidBatchEntryId", func() []types.SendMessageBatchRequestEntry {
			e := sqsEntries(2)
			e[1].Id = aws.String("a:b")
			return e
		}()},
		{"over 1 MiB together", prefix + "BatchRequestTooLong", func() []types.SendMessageBatchRequestEntry {
			e := sqsEntries(2)
			e[0].MessageBody = aws.String(strings.Repeat("x", 1<<19))
			e[1].MessageBody = aws.String(strings.Repeat("x", 1<<19+1))
			return e
		}()},
		{"no group", "InvalidParameterValue", func() []types.SendMessageBatchRequestEntry {
			e := sqsEntries(2)
			e[1].MessageGroupId = nil
			return e
		}()},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, c := newSQS(t)
			url := sqsCreate(t, c, "q.fifo")
			_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: row.entries})
			require.Error(t, err, source)
			requireSQSError(t, err, row.code, "")
			assert.Empty(t, sqsTake(t, c, url, 10), "nothing was sent")
		})
	}
}

// The entries of a batch fail one by one: sqsAPI + API_SendMessageBatch.html.
func TestSQSBatchesThatFailInPart(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	url := sqsCreate(t, c, "q.fifo", "MaximumMessageSize", "1024")
	e := sqsEntries(4)
	e[1].MessageBody = aws.String("\u0002")
	e[2].MessageBody = aws.String(strings.Repeat("x", 1025))
	sent, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: url, Entries: e})
	require.NoError(t, err)
	require.Len(t, sent.Successful, 2)
	require.Len(t, sent.Failed, 2)
	assert.Equal(t, "e1", *sent.Failed[0].Id)
	assert.Equal(t, "InvalidMessageContents", *sent.Failed[0].Code)
	assert.Equal(t, "e2", *sent.Failed[1].Id)
	assert.Equal(t, "InvalidParameterValue", *sent.Failed[1].Code)
	assert.True(t, sent.Failed[1].SenderFault)

	got := sqsTake(t, c, url, 10)
	require.Equal(t, []string{"e0", "e3"}, sqsBodies(got))
	deleted, err := c.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{
		QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("bad"), ReceiptHandle: aws.String("x")}, {Id: aws.String("good"), ReceiptHandle: got[0].ReceiptHandle},
		},
	})
	require.NoError(t, err)
	require.Len(t, deleted.Successful, 1)
	assert.Equal(t, "good", *deleted.Successful[0].Id)
	assert.Equal(t, "ReceiptHandleIsInvalid", *deleted.Failed[0].Code)

	changed, err := c.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{
		QueueUrl: url,
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
			{Id: aws.String("gone"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 0},
			{Id: aws.String("good"), ReceiptHandle: got[1].ReceiptHandle, VisibilityTimeout: 0},
		},
	})
	require.NoError(t, err)
	require.Len(t, changed.Successful, 1)
	require.Len(t, changed.Failed, 1)
	assert.Equal(t, "InvalidParameterValue", *changed.Failed[0].Code)
	assert.Equal(t, []string{"e3"}, sqsBodies(sqsTake(t, c, url, 10)), "visible at once")
}
