package localaws_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sqsGuide + FIFO-queues-understanding-logic.html
func TestSQSGroupIsLockedWhileInFlight(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	url := sqsCreate(t, c, "q.fifo")
	for _, m := range []string{"a1", "a2", "b1", "a3", "b2"} {
		sqsSend(t, c, url, m[:1], m)
	}
	first := sqsTake(t, c, url, 2)
	require.Equal(t, []string{"a1", "a2"}, sqsBodies(first), "as many of one group as possible")
	others := sqsTake(t, c, url, 10)
	require.Equal(t, []string{"b1", "b2"}, sqsBodies(others), "a3 waits for a1 and a2")
	sqsDelete(t, c, url, first[1])
	require.Empty(t, sqsTake(t, c, url, 10), "a1 is still in flight")
	sqsDelete(t, c, url, first[0])
	require.Equal(t, []string{"a3"}, sqsBodies(sqsTake(t, c, url, 10)))
}

func sqsChange(t *testing.T, c *sqs.Client, url *string, m types.Message, seconds int32) error {
	_, err := c.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
	})
	return err
}

// sqsGuide + sqs-visibility-timeout.html; what is receivable of a group with a hidden message in its middle was tried
// against AWS in https://github.com/localstack/localstack/pull/13386
func TestSQSVisibilityTimeoutHidesTheGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		url := sqsCreate(t, c, "q.fifo", "VisibilityTimeout", "10")
		for i := range 4 {
			sqsSend(t, c, url, "g", strconv.Itoa(i))
		}
		got := sqsTake(t, c, url, 3)
		require.NoError(t, sqsChange(t, c, url, got[1], 60))
		time.Sleep(10*time.Second - 1)
		require.Empty(t, sqsTake(t, c, url, 10))
		time.Sleep(time.Nanosecond)
		again := sqsTake(t, c, url, 10)
		require.Equal(t, []string{"0"}, sqsBodies(again), "up to the one still hidden")
		assert.Equal(t, "2", again[0].Attributes["ApproximateReceiveCount"])
		assert.NotEqual(t, got[0].ReceiptHandle, again[0].ReceiptHandle)
		sqsDelete(t, c, url, again[0])
		require.Empty(t, sqsTake(t, c, url, 10))
		require.NoError(t, sqsChange(t, c, url, got[1], 0))
		require.Equal(t, []string{"1", "2", "3"}, sqsBodies(sqsTake(t, c, url, 10)), "visible at once, and from the first undeleted on")
	})
}

func TestSQSVisibilityEndsTwelveHoursAfterTheReceive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		url := sqsCreate(t, c, "q.fifo")
		sqsSend(t, c, url, "g", "m")
		m := sqsTake(t, c, url, 1)[0]
		time.Sleep(10 * time.Second)
		requireSQSError(t, sqsChange(t, c, url, m, 43_191), "InvalidParameterValue", "beyond the limit [43200 seconds]")
		require.NoError(t, sqsChange(t, c, url, m, 43_190))
	})
}

// https://github.com/aws/aws-sdk-js/issues/1750, sqsAPI + API_DeleteMessage.html
func TestSQSStaleReceiptsAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		url := sqsCreate(t, c, "q.fifo", "VisibilityTimeout", "10")
		sqsSend(t, c, url, "g", "m")
		old := sqsTake(t, c, url, 1)[0]
		time.Sleep(10 * time.Second)
		requireStale := func() {
			t.Helper()
			_, err := c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: old.ReceiptHandle})
			requireSQSError(t, err, "InvalidParameterValue",
				fmt.Sprintf("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", *old.ReceiptHandle))
			requireSQSError(t, sqsChange(t, c, url, old, 5), "InvalidParameterValue", "not available for visibility timeout change")
			batch, err := c.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{
				QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
					{Id: aws.String("a"), ReceiptHandle: old.ReceiptHandle},
				},
			})
			require.NoError(t, err)
			assert.Equal(t, "ReceiptHandleIsInvalid", *batch.Failed[0].Code) // https://github.com/smaskalik/sqsmover/issues/54
		}
		requireStale() // expired
		current := sqsTake(t, c, url, 1)
		require.Len(t, current, 1)
		requireStale() // received again: now in flight, but by another receipt
		sqsDelete(t, c, url, current[0])
		sqsDelete(t, c, url, current[0], old) // already deleted: succeeds
	})
}

// Older handles "might sometimes succeed" on standard queues: https://repost.aws/knowledge-center/sqs-receipt-handle-error
func TestSQSStandardQueuesTakeOlderReceipts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		queue, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
		require.NoError(t, err)
		_, err = c.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("m")})
		require.NoError(t, err)
		old := sqsTake(t, c, queue.QueueUrl, 1)[0]
		time.Sleep(30 * time.Second)
		require.NoError(t, sqsChange(t, c, queue.QueueUrl, old, 5), "the message is visible again")
		require.Len(t, sqsTake(t, c, queue.QueueUrl, 1), 1, "and stays so")
		require.NoError(t, sqsChange(t, c, queue.QueueUrl, old, 5), "received again, by another receipt")
		require.Empty(t, sqsTake(t, c, queue.QueueUrl, 1))
		time.Sleep(5 * time.Second)
		require.Len(t, sqsTake(t, c, queue.QueueUrl, 1), 1, "the timeout has changed")
	})
}

// sqsGuide + using-messagededuplicationid-property.html and high-throughput-fifo.html
func TestSQSDeduplicatesWithinFiveMinutes(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		scope     string
		delivered []string // of the same id in groups a and b
	}{
		{"queue", []string{"a"}}, {"messageGroup", []string{"a", "b"}},
	} {
		t.Run(row.scope, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				_, c := newSQS(t)
				url := sqsCreate(t, c, "q.fifo", "DeduplicationScope", row.scope)
				send := func(group, body string) *sqs.SendMessageOutput {
					out, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{
						QueueUrl: url, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: aws.String("id"),
					})
					require.NoError(t, err)
					return out
				}
				first := send("a", "a")
				send("b", "b")
				got := sqsTake(t, c, url, 10)
				require.Equal(t, row.delivered, sqsBodies(got))
				sqsDelete(t, c, url, got...)

				time.Sleep(5*time.Minute - 1)
				again := send("a", "another body")
				assert.Equal(t, first.MessageId, again.MessageId)
				assert.Equal(t, first.SequenceNumber, again.SequenceNumber)
				require.Empty(t, sqsTake(t, c, url, 10), "known though deleted, and for all of five minutes")
				time.Sleep(time.Nanosecond)
				third := send("a", "a")
				assert.NotEqual(t, first.MessageId, third.MessageId)
				assert.Greater(t, *third.SequenceNumber, *first.SequenceNumber)
				assert.Len(t, *third.SequenceNumber, 20)
				require.Equal(t, []string{"a"}, sqsBodies(sqsTake(t, c, url, 10)), "the duplicate did not prolong it")
			})
		})
	}
}

// sqsGuide + FIFO-queues-exactly-once-processing.html: SHA-256 of the body, not of the attributes.
func TestSQSDeduplicatesByContent(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	url := sqsCreate(t, c, "q.fifo", "ContentBasedDeduplication", "true")
	for _, value := range []string{"x", "y"} {
		_, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{
			QueueUrl: url, MessageBody: aws.String("hello"), MessageGroupId: aws.String("g"),
			MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("String"), StringValue: &value}},
		})
		require.NoError(t, err)
	}
	got := sqsTake(t, c, url, 10)
	require.Len(t, got, 1)
	assert.Equal(t, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", got[0].Attributes["MessageDeduplicationId"])
}

// sqsGuide + sqs-dead-letter-queues.html
func TestSQSMovesMessagesReceivedTooOftenToTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		dead := sqsCreate(t, c, "dead.fifo")
		url := sqsCreate(t, c, "q.fifo", "VisibilityTimeout", "10", "RedrivePolicy",
			`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead.fifo","maxReceiveCount":2}`)
		for _, m := range []string{"1", "2", "3"} {
			sqsSend(t, c, url, "g", m)
		}
		for count := range 2 {
			got := sqsTake(t, c, url, 2)
			require.Equal(t, []string{"1", "2"}, sqsBodies(got))
			assert.Equal(t, strconv.Itoa(count+1), got[0].Attributes["ApproximateReceiveCount"])
			time.Sleep(10 * time.Second)
		}
		require.Empty(t, sqsTake(t, c, dead, 10), "moved by the next receive only")
		waiting := sqsWait(t.Context(), c, dead)
		synctest.Wait()
		movedAt := time.Now()
		require.Equal(t, []string{"3"}, sqsBodies(sqsTake(t, c, url, 10)), "the group continues")
		require.Equal(t, []string{"1", "2"}, <-waiting, "in order")
		require.Equal(t, movedAt, time.Now(), "and waking who waits")

		time.Sleep(30 * time.Second)
		letters := sqsTake(t, c, dead, 10)
		assert.Equal(t, "g", letters[0].Attributes["MessageGroupId"])
		assert.Equal(t, strconv.FormatInt(movedAt.UnixMilli(), 10), letters[0].Attributes["SentTimestamp"], "its age begins anew")
		assert.Equal(t, "4", letters[0].Attributes["ApproximateReceiveCount"], "received across all queues")
		assert.Equal(t, "arn:aws:sqs:us-east-1:000000000000:q.fifo", letters[0].Attributes["DeadLetterQueueSourceArn"])
		sources, err := c.ListDeadLetterSourceQueues(t.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
		require.NoError(t, err)
		assert.Equal(t, []string{*url}, sources.QueueUrls)
	})
}

// sqsAPI + API_SetQueueAttributes.html: MessageRetentionPeriod and DelaySeconds, which on FIFO queues is retroactive
// (sqsGuide + sqs-delay-queues.html).
func TestSQSRetentionAndDelayApplyToQueuedMessages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		url := sqsCreate(t, c, "q.fifo", "MessageRetentionPeriod", "60", "DelaySeconds", "30")
		sqsSend(t, c, url, "g", "1")
		time.Sleep(10 * time.Second)
		sqsSend(t, c, url, "g", "2")
		assert.Equal(t, "2", sqsAttributes(t, c, url)["ApproximateNumberOfMessagesDelayed"])
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"1"}, sqsBodies(sqsTake(t, c, url, 10)))
		_, err := c.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: sqsAttrs("DelaySeconds", "20")})
		require.NoError(t, err)
		counts := sqsAttributes(t, c, url)
		assert.Equal(t, "0", counts["ApproximateNumberOfMessagesDelayed"])
		assert.Equal(t, "1", counts["ApproximateNumberOfMessages"])
		assert.Equal(t, "1", counts["ApproximateNumberOfMessagesNotVisible"])
		time.Sleep(30 * time.Second)
		require.Equal(t, []string{"2"}, sqsBodies(sqsTake(t, c, url, 10)), "1 is too old, in flight or not")
		time.Sleep(10 * time.Second)
		require.Equal(t, "0", sqsAttributes(t, c, url)["ApproximateNumberOfMessagesNotVisible"])
	})
}

func TestSQSQueuesAreListedTaggedAndFoundByURL(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	urls := []string{}
	for i := range 5 {
		urls = append(urls, *sqsCreate(t, c, fmt.Sprintf("a%d.fifo", i)))
	}
	b := sqsCreate(t, c, "b.fifo")
	var listed []string
	for token := (*string)(nil); ; {
		out, err := c.ListQueues(t.Context(), &sqs.ListQueuesInput{QueueNamePrefix: aws.String("a"), MaxResults: aws.Int32(2), NextToken: token})
		require.NoError(t, err)
		require.LessOrEqual(t, len(out.QueueUrls), 2)
		listed = append(listed, out.QueueUrls...)
		if token = out.NextToken; token == nil {
			break
		}
	}
	assert.Equal(t, urls, listed)
	found, err := c.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("b.fifo")})
	require.NoError(t, err)
	assert.Equal(t, b, found.QueueUrl)
	sqsSend(t, c, aws.String("https://anywhere.example:4566/000000000000/b.fifo"), "g", "m")
	assert.Len(t, sqsTake(t, c, b, 1), 1, "any host will do")

	_, err = c.TagQueue(t.Context(), &sqs.TagQueueInput{QueueUrl: b, Tags: sqsAttrs("k", "v", "gone", "x")})
	require.NoError(t, err)
	_, err = c.UntagQueue(t.Context(), &sqs.UntagQueueInput{QueueUrl: b, TagKeys: []string{"gone"}})
	require.NoError(t, err)
	tags, err := c.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: b})
	require.NoError(t, err)
	assert.Equal(t, sqsAttrs("k", "v"), tags.Tags)
}

// Digests recorded from AWS: https://github.com/localstack/localstack/blob/main/tests/aws/services/sqs/test_sqs.snapshot.json
func TestSQSMessageAttributesAreReturnedWithTheirDigest(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	url := sqsCreate(t, c, "q.fifo")
	text := func(v string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &v}
	}
	all := map[string]types.MessageAttributeValue{"Help.Me": text("Me"), "Hello": text("There"), "General": text("Kenobi")}
	sent, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: aws.String("msg"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
		MessageAttributes: all,
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1")},
		},
	})
	require.NoError(t, err)
	assert.Equal(t, "6e2baaf3b97dbeef01c0043275f9a0e7", *sent.MD5OfMessageBody)
	assert.Equal(t, "4c360f3fdafd970e05fae2f149d997f5", *sent.MD5OfMessageAttributes)
	assert.NotEmpty(t, sent.MD5OfMessageSystemAttributes)
	for _, row := range []struct {
		names  []string
		digest *string
		count  int
	}{
		{nil, nil, 0},
		{[]string{"All"}, aws.String("4c360f3fdafd970e05fae2f149d997f5"), 3},
		{[]string{".*"}, aws.String("4c360f3fdafd970e05fae2f149d997f5"), 3},
		{[]string{"Hel.*"}, aws.String("83fee93c1bcd8b9a5a923ffacdc636c7"), 2},
		{[]string{"General", "Hello"}, aws.String("fca026605781cb4126a1e9044df24232"), 2},
		{[]string{"Hello", "Foo"}, aws.String("a311262e065454b75da111d535b8dacd"), 1},
		{[]string{"Foo"}, nil, 0},
	} {
		out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: url, MessageAttributeNames: row.names,
			AttributeNames: []types.QueueAttributeName{"AWSTraceHeader"}, //nolint:staticcheck // the former name still works
		})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		m := out.Messages[0]
		assert.Equal(t, row.digest, m.MD5OfMessageAttributes, row.names)
		assert.Len(t, m.MessageAttributes, row.count)
		assert.Equal(t, sqsAttrs("AWSTraceHeader", "Root=1"), m.Attributes)
		require.NoError(t, sqsChange(t, c, url, m, 0))
	}
	binary := types.MessageAttributeValue{
		DataType: aws.String("Binary"), BinaryValue: []byte("traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01"),
	}
	sent, err = c.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: aws.String("test"), MessageGroupId: aws.String("h"), MessageDeduplicationId: aws.String("e"),
		MessageAttributes: map[string]types.MessageAttributeValue{"attr1": binary},
	})
	require.NoError(t, err)
	assert.Equal(t, "8cbe4db156db8a94db8b801b7addb984", *sent.MD5OfMessageAttributes)
}

// Standard queues: sqsGuide + standard-queues.html, sqsAPI + API_DeleteMessage.html.
func TestSQSStandardQueuesHaveNoGroupOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, c := newSQS(t)
		out, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: sqsAttrs("VisibilityTimeout", "10")})
		require.NoError(t, err)
		url := out.QueueUrl
		for i, delay := range []int32{0, 5, 0} {
			sent, err := c.SendMessage(
				t.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String(strconv.Itoa(i)), DelaySeconds: delay},
			)
			require.NoError(t, err)
			assert.Nil(t, sent.SequenceNumber)
		}
		first := sqsTake(t, c, url, 1)
		require.Len(t, sqsTake(t, c, url, 10), 1, "no group locks another message; one is delayed")
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1"}, sqsBodies(sqsTake(t, c, url, 10)))
		time.Sleep(5 * time.Second)
		sqsDelete(t, c, url, first...) // late, but it was not received again
		rest := sqsTake(t, c, url, 10)
		require.Equal(t, []string{"2"}, sqsBodies(rest))
		time.Sleep(10 * time.Second)
		again := sqsBodies(sqsTake(t, c, url, 10))
		slices.Sort(again)
		require.Equal(t, []string{"1", "2"}, again)
		sqsDelete(t, c, url, rest...) // of an earlier receive: succeeds, deletes nothing
		assert.Equal(t, "2", sqsAttributes(t, c, url)["ApproximateNumberOfMessagesNotVisible"])
	})
}
