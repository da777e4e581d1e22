package localaws_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

const (
	sqsAPI   = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/"
	sqsGuide = "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/"
)

func newSQS(t *testing.T) (*localaws.Server, *sqs.Client) {
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	return server, sqs.NewFromConfig(server.Config())
}

// sqsAttrs takes names and values alternately.
func sqsAttrs(pairs ...string) map[string]string {
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func sqsCreate(t *testing.T, c *sqs.Client, name string, more ...string) *string {
	out, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: &name, Attributes: sqsAttrs(append([]string{"FifoQueue", "true"}, more...)...),
	})
	require.NoError(t, err)
	return out.QueueUrl
}

func sqsSend(t *testing.T, c *sqs.Client, url *string, group, body string) *sqs.SendMessageOutput {
	out, err := c.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: url, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &body,
	})
	require.NoError(t, err)
	return out
}

// sqsTake receives without waiting, with all system attributes.
func sqsTake(t *testing.T, c *sqs.Client, url *string, n int32) []types.Message {
	out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: n, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	})
	require.NoError(t, err)
	return out.Messages
}

func sqsBodies(messages []types.Message) []string {
	out := []string{}
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return out
}

func sqsDelete(t *testing.T, c *sqs.Client, url *string, messages ...types.Message) {
	for _, m := range messages {
		_, err := c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle})
		require.NoError(t, err)
	}
}

func sqsAttributes(t *testing.T, c *sqs.Client, url *string) map[string]string {
	out, err := c.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"},
	})
	require.NoError(t, err)
	return out.Attributes
}

// requireSQSError asserts the code that SDKs see, the query protocol's, and the message.
func requireSQSError(t *testing.T, err error, code, message string) {
	t.Helper()
	var api smithy.APIError
	require.ErrorAs(t, err, &api)
	assert.Equal(t, code, api.ErrorCode(), api.ErrorMessage())
	assert.Contains(t, api.ErrorMessage(), message)
}

func TestSQSNewQueueHasTheDocumentedAttributes(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	got := sqsAttributes(t, c, sqsCreate(t, c, "q.fifo"))
	for _, name := range []string{"CreatedTimestamp", "LastModifiedTimestamp"} {
		assert.NotEmpty(t, got[name])
		delete(got, name)
	}
	assert.Equal(t, sqsAttrs( // sqsAPI + API_CreateQueue.html, API_GetQueueAttributes.html
		"QueueArn", "arn:aws:sqs:us-east-1:000000000000:q.fifo", "FifoQueue", "true", "ContentBasedDeduplication", "false",
		"DeduplicationScope", "queue", "FifoThroughputLimit", "perQueue", "DelaySeconds", "0", "MaximumMessageSize", "1048576",
		"MessageRetentionPeriod", "345600", "ReceiveMessageWaitTimeSeconds", "0", "VisibilityTimeout", "30",
		"SqsManagedSseEnabled", "true", "ApproximateNumberOfMessages", "0", "ApproximateNumberOfMessagesDelayed", "0",
		"ApproximateNumberOfMessagesNotVisible", "0",
	), got)
}

func TestSQSCreateQueueChecksItsAttributes(t *testing.T) {
	t.Parallel()
	fifo := func(more ...string) map[string]string {
		return sqsAttrs(append([]string{"FifoQueue", "true"}, more...)...)
	}
	for _, row := range []struct {
		name, source, queue string
		attributes          map[string]string
		code, message       string // none: it succeeds
	}{
		{"the same again", sqsAPI + "API_CreateQueue.html", "q.fifo", fifo("VisibilityTimeout", "60"), "", ""},
		{
			"another value", sqsAPI + "API_CreateQueue.html", "q.fifo", fifo("VisibilityTimeout", "61"), "QueueAlreadyExists",
			"attribute VisibilityTimeout",
		},
		{"80 characters", sqsAPI + "API_CreateQueue.html", strings.Repeat("a", 75) + ".fifo", fifo(), "", ""},
		{
			"81 characters", sqsAPI + "API_CreateQueue.html", strings.Repeat("a", 76) + ".fifo", fifo(), "InvalidParameterValue",
			"1 to 80 in length",
		},
		{"no suffix", sqsAPI + "API_CreateQueue.html", "q", fifo(), "InvalidParameterValue", "must end with .fifo suffix"},
		{"suffix only", sqsAPI + "API_CreateQueue.html", ".fifo", fifo(), "InvalidParameterValue", "must end with .fifo suffix"},
		{"suffix without FifoQueue", sqsAPI + "API_CreateQueue.html", "other.fifo", nil, "InvalidParameterValue", "1 to 80 in length"},
		{"FifoQueue false", sqsAPI + "API_CreateQueue.html", "q", sqsAttrs("FifoQueue", "false"), "InvalidParameterValue", ""},
		{
			"unknown attribute", sqsAPI + "API_CreateQueue.html", "n.fifo", fifo("Colour", "red"), "InvalidAttributeName",
			"Unknown Attribute Colour.",
		},
		{
			"FIFO attribute on a standard queue", sqsAPI + "API_CreateQueue.html", "n", sqsAttrs("DeduplicationScope", "queue"),
			"InvalidAttributeName", "only when FifoQueue",
		},
		{
			"visibility too long", sqsAPI + "API_CreateQueue.html", "n.fifo", fifo("VisibilityTimeout", "43201"), "InvalidAttributeValue",
			"VisibilityTimeout",
		},
		{
			"message too large", sqsAPI + "API_CreateQueue.html", "n.fifo", fifo("MaximumMessageSize", "1048577"), "InvalidAttributeValue",
			"MaximumMessageSize",
		},
		{
			"retention too short", sqsAPI + "API_CreateQueue.html", "n.fifo", fifo("MessageRetentionPeriod", "59"), "InvalidAttributeValue",
			"MessageRetentionPeriod",
		},
		{"no number", sqsAPI + "API_CreateQueue.html", "n.fifo", fifo("DelaySeconds", "soon"), "InvalidAttributeValue", "DelaySeconds"},
		{
			"throughput without scope", sqsGuide + "high-throughput-fifo.html", "n.fifo", fifo("FifoThroughputLimit", "perMessageGroupId"),
			"InvalidAttributeValue", "FifoThroughputLimit",
		},
		{
			"throughput with scope", sqsGuide + "high-throughput-fifo.html", "h.fifo",
			fifo("FifoThroughputLimit", "perMessageGroupId", "DeduplicationScope", "messageGroup"), "", "",
		},
		{
			"dead-letter queue of another type", sqsGuide + "sqs-dead-letter-queues.html", "n.fifo",
			fifo("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:standard","maxReceiveCount":3}`),
			"InvalidParameterValue", "must be same type",
		},
		{
			"no dead-letter queue", sqsGuide + "sqs-dead-letter-queues.html", "n.fifo",
			fifo("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:no.fifo","maxReceiveCount":3}`),
			"InvalidParameterValue", "does not exist",
		},
		{
			"dead-letter queue that denies", sqsAPI + "API_CreateQueue.html", "n.fifo",
			fifo("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:deny.fifo","maxReceiveCount":3}`),
			"InvalidParameterValue", "does not allow",
		},
		{
			"maxReceiveCount 0", sqsGuide + "sqs-dead-letter-queues.html", "n.fifo",
			fifo("RedrivePolicy", `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:q.fifo","maxReceiveCount":0}`),
			"InvalidParameterValue", "valid values are from 1 to 1000",
		},
		{
			"both encryptions", sqsGuide + "sqs-server-side-encryption.html", "n.fifo",
			fifo("KmsMasterKeyId", "k", "SqsManagedSseEnabled", "true"), "InvalidAttributeName", "one type of server-side encryption",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, c := newSQS(t)
			sqsCreate(t, c, "q.fifo", "VisibilityTimeout", "60")
			sqsCreate(t, c, "deny.fifo", "RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`)
			_, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("standard")})
			require.NoError(t, err)
			_, err = c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &row.queue, Attributes: row.attributes})
			if row.code == "" {
				require.NoError(t, err, row.source)
				return
			}
			requireSQSError(t, err, row.code, row.message)
		})
	}
}

func TestSQSBadMessagesAreRefused(t *testing.T) {
	t.Parallel()
	send := func(change func(*sqs.SendMessageInput)) func(*testing.T, *sqs.Client, *string) error {
		return func(t *testing.T, c *sqs.Client, url *string) error {
			in := &sqs.SendMessageInput{
				QueueUrl: url, MessageBody: aws.String("b"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
			}
			change(in)
			_, err := c.SendMessage(t.Context(), in)
			return err
		}
	}
	receive := func(change func(*sqs.ReceiveMessageInput)) func(*testing.T, *sqs.Client, *string) error {
		return func(t *testing.T, c *sqs.Client, url *string) error {
			in := &sqs.ReceiveMessageInput{QueueUrl: url}
			change(in)
			_, err := c.ReceiveMessage(t.Context(), in)
			return err
		}
	}
	for _, row := range []struct {
		name, source  string
		do            func(*testing.T, *sqs.Client, *string) error
		code, message string
	}{
		{"no queue", sqsAPI + "API_SendMessage.html#API_SendMessage_Errors", send(func(in *sqs.SendMessageInput) {
			in.QueueUrl = aws.String("http://sqs.us-east-1.localhost/000000000000/none.fifo")
		}), "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."},
		{
			"no queue of this name", sqsAPI + "API_SendMessage.html#API_SendMessage_Errors",
			send(func(in *sqs.SendMessageInput) { in.QueueUrl = aws.String("none.fifo") }), "AWS.SimpleQueueService.NonExistentQueue",
			"The specified queue does not exist.",
		},
		{
			"no queue URL", sqsAPI + "API_SendMessage.html#API_SendMessage_Errors",
			send(func(in *sqs.SendMessageInput) { in.QueueUrl = aws.String("http://localhost/q.fifo") }), "InvalidAddress", "q.fifo",
		},
		{
			"no group", sqsAPI + "API_SendMessage.html", send(func(in *sqs.SendMessageInput) { in.MessageGroupId = nil }), "MissingParameter",
			"MessageGroupId",
		},
		{
			"no deduplication id", sqsGuide + "FIFO-queues-exactly-once-processing.html",
			send(func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = nil }), "InvalidParameterValue",
			"ContentBasedDeduplication enabled",
		},
		{
			"group of 129 characters", sqsAPI + "API_SendMessage.html",
			send(func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String(strings.Repeat("g", 129)) }), "InvalidParameterValue",
			"1 to 128 in length",
		},
		{
			"group with a space", sqsAPI + "API_SendMessage.html",
			send(func(in *sqs.SendMessageInput) { in.MessageGroupId = aws.String("a b") }), "InvalidParameterValue",
			"alphanumeric and punctuation",
		},
		{
			"empty body", sqsAPI + "API_SendMessage.html", send(func(in *sqs.SendMessageInput) { in.MessageBody = aws.String("") }),
			"MissingParameter", "MessageBody",
		},
		{
			"forbidden character", sqsAPI + "API_SendMessage.html",
			send(func(in *sqs.SendMessageInput) { in.MessageBody = aws.String("a\u0001b") }), "InvalidMessageContents", "Invalid characters",
		},
		{
			"over 1 MiB", sqsGuide + "quotas-messages.html",
			send(func(in *sqs.SendMessageInput) { in.MessageBody = aws.String(strings.Repeat("x", 1<<20+1)) }), "InvalidParameterValue",
			"shorter than 1048576 bytes",
		},
		{
			"delay on FIFO", sqsAPI + "API_SendMessage.html", send(func(in *sqs.SendMessageInput) { in.DelaySeconds = 2 }),
			"InvalidParameterValue", "not valid for this queue type",
		},
		{"11 attributes", sqsGuide + "sqs-message-metadata.html", send(func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{}
			for i := range 11 {
				in.MessageAttributes[strconv.Itoa(i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
			}
		}), "InvalidParameterValue", "maximum [10]"},
		{"unknown attribute type", sqsGuide + "sqs-message-metadata.html", send(func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Date"), StringValue: aws.String("v")}}
		}), "InvalidParameterValue", "Binary, Number, String"},
		{"no number", sqsGuide + "sqs-message-metadata.html", send(func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Number"), StringValue: aws.String("v")}}
		}), "InvalidParameterValue", "to a number"},
		{
			"11 messages", sqsAPI + "API_ReceiveMessage.html", receive(func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = 11 }),
			"InvalidParameterValue", "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.",
		},
		{
			"wait of 21 s", sqsAPI + "API_ReceiveMessage.html", receive(func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = 21 }),
			"InvalidParameterValue", "WaitTimeSeconds",
		},
		{
			"visibility over 12 h", sqsAPI + "API_ReceiveMessage.html",
			receive(func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = 43201 }), "InvalidParameterValue", "VisibilityTimeout",
		},
		{"unknown system attribute", sqsAPI + "API_ReceiveMessage.html", receive(func(in *sqs.ReceiveMessageInput) {
			in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"Nonsense"}
		}), "InvalidAttributeName", "Nonsense"},
		{"malformed receipt", sqsAPI + "API_DeleteMessage.html#API_DeleteMessage_Errors", func(t *testing.T, c *sqs.Client, url *string) error {
			_, err := c.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("x")})
			return err
		}, "ReceiptHandleIsInvalid", "not a valid receipt handle"},
		{
			"unknown attribute", sqsAPI + "API_GetQueueAttributes.html#API_GetQueueAttributes_Errors",
			func(t *testing.T, c *sqs.Client, url *string) error {
				in := &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"X"}}
				_, err := c.GetQueueAttributes(t.Context(), in)
				return err
			}, "InvalidAttributeName", "Unknown Attribute X.",
		},
		{"second purge", sqsAPI + "API_PurgeQueue.html#API_PurgeQueue_Errors", func(t *testing.T, c *sqs.Client, url *string) error {
			_, err := c.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: url})
			require.NoError(t, err)
			_, err = c.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: url})
			return err
		}, "AWS.SimpleQueueService.PurgeQueueInProgress", "every 60 seconds"},
		{"name of a deleted queue", sqsAPI + "API_CreateQueue.html#API_CreateQueue_Errors", func(t *testing.T, c *sqs.Client, url *string) error {
			_, err := c.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: url})
			require.NoError(t, err)
			_, err = c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q.fifo"), Attributes: sqsAttrs("FifoQueue", "true")})
			return err
		}, "AWS.SimpleQueueService.QueueDeletedRecently", "60 seconds"},
		{"an operation of no use here", "never a wrong success", func(t *testing.T, c *sqs.Client, _ *string) error {
			_, err := c.StartMessageMoveTask(
				t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String("a")}, func(o *sqs.Options) { o.RetryMaxAttempts = 1 },
			)
			return err
		}, "NotSupportedByLocalaws", "AmazonSQS.StartMessageMoveTask is not supported"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, c := newSQS(t)
			url := sqsCreate(t, c, "q.fifo")
			err := row.do(t, c, url)
			require.Error(t, err, row.source)
			requireSQSError(t, err, row.code, row.message)
			assert.Empty(t, sqsTake(t, c, sqsCreate(t, c, "another.fifo"), 10))
		})
	}
}

// Clients such as the JavaScript SDK send their requests to the queue's URL (useQueueUrlAsEndpoint):
// https://github.com/aws/aws-sdk-js-v3/pull/6337. AWS also takes a name for a URL: https://github.com/getmoto/moto/pull/5073
func TestSQSQueueURLsLeadToTheServer(t *testing.T) {
	t.Parallel()
	server, _ := newSQS(t)
	listener := httptest.NewServer(server)
	t.Cleanup(listener.Close)
	cfg := server.Config()
	cfg.BaseEndpoint, cfg.HTTPClient = &listener.URL, listener.Client()
	c := sqs.NewFromConfig(cfg)
	url := sqsCreate(t, c, "q.fifo")
	assert.Equal(t, listener.URL+"/000000000000/q.fifo", *url)
	got, err := c.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("q.fifo")})
	require.NoError(t, err)
	assert.Equal(t, url, got.QueueUrl)
	listed, err := c.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	require.NoError(t, err)
	assert.Equal(t, []string{*url}, listed.QueueUrls)

	cfg.BaseEndpoint = url
	sqsSend(t, sqs.NewFromConfig(cfg), url, "g", "by-URL")
	assert.Equal(t, []string{"by-URL"}, sqsBodies(sqsTake(t, c, aws.String("q.fifo"), 1)), "by the name")
}

// Python and the CDK write booleans so: https://github.com/getmoto/moto/pull/4830
func TestSQSBooleanAttributesIgnoreCase(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	create := func(fifo, dedup string) (*sqs.CreateQueueOutput, error) {
		return c.CreateQueue(t.Context(), &sqs.CreateQueueInput{
			QueueName: aws.String("q.fifo"), Attributes: sqsAttrs("FifoQueue", fifo, "ContentBasedDeduplication", dedup),
		})
	}
	q, err := create("True", "TRUE")
	require.NoError(t, err)
	_, err = create("true", "true")
	require.NoError(t, err, "it is the same queue")
	_, err = c.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: q.QueueUrl, Attributes: sqsAttrs("FifoQueue", "True", "KmsMasterKeyId", "k"),
	})
	require.NoError(t, err)
	_, err = c.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: q.QueueUrl, Attributes: sqsAttrs("SqsManagedSseEnabled", "True"),
	})
	require.NoError(t, err)
	got := sqsAttributes(t, c, q.QueueUrl)
	for _, name := range []string{"FifoQueue", "ContentBasedDeduplication", "SqsManagedSseEnabled"} {
		assert.Equal(t, "true", got[name], name)
	}
	assert.NotContains(t, got, "KmsMasterKeyId", "the other encryption replaces it")
	_, err = create("True", "yes")
	requireSQSError(t, err, "InvalidAttributeValue", "ContentBasedDeduplication")
}

// https://github.com/localstack/localstack/pull/8218
func TestSQSPurgedQueuesForgetDeduplicationIDs(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	url := sqsCreate(t, c, "q.fifo")
	sqsSend(t, c, url, "g", "m")
	_, err := c.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: url})
	require.NoError(t, err)
	sqsSend(t, c, url, "g", "m")
	assert.Equal(t, []string{"m"}, sqsBodies(sqsTake(t, c, url, 10)))
}

// sqsAPI + API_ReceiveMessage.html; "*" is not documented: https://github.com/localstack/localstack/issues/8566
func TestSQSMessageAttributesAreSelectedByName(t *testing.T) {
	t.Parallel()
	_, c := newSQS(t)
	queue, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
	require.NoError(t, err)
	value := types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("v")}
	_, err = c.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: queue.QueueUrl, MessageBody: aws.String("b"),
		MessageAttributes: map[string]types.MessageAttributeValue{"a.one": value, "a.two": value, "b": value},
	})
	require.NoError(t, err)
	for name, want := range map[string]int{"*": 3, "All": 3, ".*": 3, "a.*": 2, "b": 1, "a": 0} {
		out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: queue.QueueUrl, MessageAttributeNames: []string{name},
		})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1)
		assert.Len(t, out.Messages[0].MessageAttributes, want, name)
		_, err = c.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
			QueueUrl: queue.QueueUrl, ReceiptHandle: out.Messages[0].ReceiptHandle, VisibilityTimeout: 0,
		})
		require.NoError(t, err)
	}
}

// The wire itself: the exception's shape in the body, the query protocol's code in a header
// (https://smithy.io/2.0/aws/protocols/aws-query-protocol.html#aws-protocols-awsquerycompatible-trait).
func TestSQSErrorsHaveBothCodesOnTheWire(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, operation, body, shape, query string
		status                              int
	}{
		{
			"its own shape", "GetQueueUrl", `{"QueueName":"none"}`, "com.amazonaws.sqs#QueueDoesNotExist",
			"AWS.SimpleQueueService.NonExistentQueue;Sender", 400,
		},
		{
			"no shape", "CreateQueue", `{"QueueName":"a b"}`, "com.amazonaws.sqs#InvalidParameterValueException",
			"InvalidParameterValue;Sender", 400,
		},
		{"unknown member", "CreateQueue", `{"QueueName":"q","Colour":"red"}`, "com.amazonaws.sqs#NotSupportedByLocalaws", "", 501},
		{"not JSON", "CreateQueue", `{`, "com.amazonaws.sqs#SerializationException", "", 400},
		{"wrong type", "CreateQueue", `{"QueueName":7}`, "com.amazonaws.sqs#SerializationException", "", 400},
		{"no name", "CreateQueue", `{}`, "com.amazonaws.sqs#MissingRequiredParameterException", "MissingParameter;Sender", 400},
		{"no URL", "SendMessage", `{}`, "com.amazonaws.sqs#MissingRequiredParameterException", "MissingParameter;Sender", 400},
		{"unknown operation", "AddPermission", `{}`, "com.amazonaws.sqs#NotSupportedByLocalaws", "", 501},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			server, _ := newSQS(t)
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(row.body))
			r.Header.Set("X-Amz-Target", "AmazonSQS."+row.operation)
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			assert.Equal(t, row.status, w.Code)
			assert.Equal(t, row.query, w.Header().Get("X-Amzn-Query-Error"))
			assert.Contains(t, w.Body.String(), `"__type":"`+row.shape+`"`)
		})
	}
}
