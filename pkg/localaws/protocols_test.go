package localaws_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/eventstream"
	"github.com/fxamacker/cbor/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// The SDKs for Java and JavaScript speak HTTP/2 with Kinesis, and without TLS they know beforehand that the server does, too.
//
// Source: https://github.com/boto/botocore/blob/develop/botocore/data/kinesis/2013-12-02/service-2.json ("protocolSettings":
// {"h2": "eventstream"}), https://www.rfc-editor.org/rfc/rfc9113.html#section-3.3
func TestAServerWorksOverUnencryptedHTTP2(t *testing.T) {
	t.Parallel()
	server, url := serve(t)
	config, transport := server.Config(), &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	config.BaseEndpoint, config.HTTPClient = &url, &http.Client{Transport: transport}
	client := kinesis.NewFromConfig(config)
	_, err := client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	_, err = client.PutRecord(t.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte("1"),
	})
	require.NoError(t, err)
	consumer, err := client.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{
		StreamARN: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s"), ConsumerName: aws.String("c"),
	})
	require.NoError(t, err)
	sub, err := client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.Consumer.ConsumerARN, ShardId: aws.String("shardId-000000000000"),
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.GetStream().Close()) }()
	event, ok := (<-sub.GetStream().Events()).(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
	require.True(t, ok)
	require.Len(t, event.Value.Records, 1)
	assert.Equal(t, "1", string(event.Value.Records[0].Data))
}

// inCBOR calls an operation of Kinesis as the SDKs for Java do.
func inCBOR(t *testing.T, server *localaws.Server, operation string, in any) *httptest.ResponseRecorder {
	t.Helper()
	body, err := cbor.Marshal(in)
	require.NoError(t, err)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}

type object = map[string]any

// milliseconds is a time in AWS's CBOR: the tag of seconds, and milliseconds.
//
// Source: https://github.com/aws/aws-sdk-java-v2/issues/4661
func milliseconds(t time.Time) cbor.Tag { return cbor.Tag{Number: 1, Content: t.UnixMilli()} }

// recordInCBOR has the time as its bytes: a decoder would take it for seconds.
type recordInCBOR struct {
	Data                        []byte
	PartitionKey                string
	ApproximateArrivalTimestamp cbor.RawMessage
}

func TestKinesisSpeaksCBOR(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	server := localaws.New(localaws.Options{Now: func() time.Time { return now }})
	server.Close() // so that a subscription ends after its first event
	ok := func(operation string, in, out any) {
		t.Helper()
		w := inCBOR(t, server, operation, in)
		require.Equal(t, http.StatusOK, w.Code, w.Body.String())
		assert.Equal(t, "application/x-amz-cbor-1.1", w.Header().Get("Content-Type"))
		require.NoError(t, cbor.Unmarshal(w.Body.Bytes(), out))
	}
	var none object
	ok("CreateStream", object{"StreamName": "s", "ShardCount": 1}, &none)
	ok("PutRecord", object{"StreamName": "s", "PartitionKey": "k", "Data": []byte{0, 255}}, &none)

	read := func(from time.Time) []recordInCBOR {
		var at struct{ ShardIterator string }
		ok("GetShardIterator", object{
			"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": milliseconds(from),
		}, &at)
		var got struct {
			Records            []recordInCBOR
			MillisBehindLatest int64
		}
		ok("GetRecords", object{"ShardIterator": at.ShardIterator}, &got)
		return got.Records
	}
	stamp, err := cbor.Marshal(milliseconds(now))
	require.NoError(t, err)
	want := []recordInCBOR{{Data: []byte{0, 255}, PartitionKey: "k", ApproximateArrivalTimestamp: stamp}}
	assert.Equal(t, want, read(now))
	now = now.Add(time.Millisecond)
	assert.Empty(t, read(now), "a millisecond later")

	var consumer struct{ Consumer struct{ ConsumerARN string } }
	ok("RegisterStreamConsumer", object{"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "ConsumerName": "c"}, &consumer)
	w := inCBOR(t, server, "SubscribeToShard", object{
		"ConsumerARN": consumer.Consumer.ConsumerARN, "ShardId": "shardId-000000000000", "StartingPosition": object{"Type": "TRIM_HORIZON"},
	})
	decoder := eventstream.NewDecoder()
	_, err = decoder.Decode(w.Body, nil) // the initial response
	require.NoError(t, err)
	message, err := decoder.Decode(w.Body, nil)
	require.NoError(t, err)
	assert.Equal(t, "application/x-amz-cbor-1.1", message.Headers.Get(":content-type").String())
	var event struct{ Records []recordInCBOR }
	require.NoError(t, cbor.Unmarshal(message.Payload, &event))
	assert.Equal(t, want, event.Records)
}

func TestErrorsAreInTheRequestsProtocol(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, tt := range []struct {
		name string
		in   any
		code string
		says string
	}{
		{"an error of the operation", object{"StreamName": "none"}, "ResourceNotFoundException", "Stream none under account"},
		{"a member that is not supported", object{"StreamId": "s"}, "NotSupportedByLocalaws", `request member "StreamId"`},
		{"a wrong type", object{"StreamName": 1}, "SerializationException", "StreamName"},
		{"no map", "text", "SerializationException", ""},
		{"not CBOR", cbor.RawMessage{0x9f}, "SerializationException", "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body, isRaw := tt.in.(cbor.RawMessage)
			if !isRaw {
				var err error
				body, err = cbor.Marshal(tt.in)
				require.NoError(t, err)
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
			r.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
			r.Header.Set("X-Amz-Target", "Kinesis_20131202.DescribeStream")
			w := httptest.NewRecorder()
			server.ServeHTTP(w, r)
			var got struct {
				Type    string `cbor:"__type"`
				Message string `cbor:"message"`
			}
			require.NoError(t, cbor.Unmarshal(w.Body.Bytes(), &got))
			assert.Equal(t, tt.code, got.Type)
			assert.Contains(t, got.Message, tt.says)
		})
	}
}

// ask sends a request of the query protocol.
func ask(t *testing.T, server http.Handler, path, form string) (status int, body string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	assert.Equal(t, "text/xml", w.Header().Get("Content-Type"))
	id := w.Header().Get("X-Amzn-Requestid")
	return w.Code, strings.ReplaceAll(w.Body.String(), id, "ID")
}

// Sources: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html,
// https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
func TestSTSTellsTheCallersIdentity(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	status, body := ask(t, server, "/", "Action=GetCallerIdentity&Version=2011-06-15")
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`+
		`<Account>000000000000</Account><Arn>arn:aws:iam::000000000000:root</Arn><UserId>000000000000</UserId></GetCallerIdentityResult>`+
		`<ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata></GetCallerIdentityResponse>`, body)
	assert.EqualValues(t, 1, server.Calls()["STS.GetCallerIdentity"])
	status, body = ask(t, server, "/", "Action=AssumeRole&Version=2011-06-15")
	assert.Equal(t, http.StatusNotImplemented, status)
	assert.Contains(t, body, "<Code>NotSupportedByLocalaws</Code>")
	assert.Contains(t, body, "the query protocol&#39;s action AssumeRole is not supported")
}

// SDKs of before November 2023 speak with SQS in the query protocol. Requests and answers are as botocore 1.29 wrote and read
// them; sequence numbers, ids and handles are replaced.
//
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-json-faqs.html
func TestSQSSpeaksTheQueryProtocol(t *testing.T) {
	t.Parallel()
	const (
		result = ` xmlns="http://queue.amazonaws.com/doc/2012-11-05/">`
		meta   = `<ResponseMetadata><RequestId>ID</RequestId></ResponseMetadata>`
		queue  = "http://example.com/000000000000/q.fifo"
		ofQ    = "&QueueUrl=" + queue
	)
	server := newServer(t)
	handle := func() string { // of the message that is received next
		w := call(t, server, http.MethodPost, "AmazonSQS.ReceiveMessage", strings.NewReader(`{"QueueUrl":"q.fifo"}`))
		var got struct {
			Messages []struct{ ReceiptHandle string }
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
		require.Len(t, got.Messages, 1)
		return url.QueryEscape(got.Messages[0].ReceiptHandle)
	}
	for _, step := range []struct {
		form string
		want string // what the answer contains
	}{
		{
			"Action=CreateQueue&QueueName=q.fifo&Attribute.1.Name=FifoQueue&Attribute.1.Value=true&Tag.1.Key=a&Tag.1.Value=b",
			`<CreateQueueResponse` + result + `<CreateQueueResult><QueueUrl>` + queue + `</QueueUrl></CreateQueueResult>` + meta +
				`</CreateQueueResponse>`,
		},
		{"Action=ListQueues&QueueNamePrefix=q&MaxResults=10", `<ListQueuesResult><QueueUrl>` + queue + `</QueueUrl></ListQueuesResult>`},
		{"Action=GetQueueUrl&QueueName=q.fifo", `<GetQueueUrlResult><QueueUrl>` + queue + `</QueueUrl></GetQueueUrlResult>`},
		{"Action=TagQueue&Tag.1.Key=c&Tag.1.Value=%3Cd%3E" + ofQ, `<TagQueueResponse` + result + meta + `</TagQueueResponse>`},
		{"Action=UntagQueue&TagKey.1=a" + ofQ, `<UntagQueueResponse`},
		{"Action=ListQueueTags" + ofQ, `<ListQueueTagsResult><Tag><Key>c</Key><Value>&lt;d&gt;</Value></Tag></ListQueueTagsResult>`},
		{"Action=SetQueueAttributes&Attribute.Name=VisibilityTimeout&Attribute.Value=3600" + ofQ, `<SetQueueAttributesResponse`},
		{
			"Action=GetQueueAttributes&AttributeName.1=VisibilityTimeout&AttributeName.2=FifoQueue" + ofQ,
			`<GetQueueAttributesResult><Attribute><Name>FifoQueue</Name><Value>true</Value></Attribute>` +
				`<Attribute><Name>VisibilityTimeout</Name><Value>3600</Value></Attribute></GetQueueAttributesResult>`,
		},
		{
			"Action=SendMessage&MessageBody=m&MessageGroupId=g&MessageDeduplicationId=1&MessageAttribute.1.Name=n" +
				"&MessageAttribute.1.Value.DataType=Number&MessageAttribute.1.Value.StringValue=1" + ofQ,
			`<MD5OfMessageBody>6f8f57715090da2632453988d9a1501b</MD5OfMessageBody>`,
		},
		{
			"Action=ReceiveMessage&MaxNumberOfMessages=10&VisibilityTimeout=0&AttributeName.1=MessageGroupId&MessageAttributeName.1=All" + ofQ,
			`<Attribute><Name>MessageGroupId</Name><Value>g</Value></Attribute><Body>m</Body>`,
		},
		{
			"Action=ReceiveMessage&VisibilityTimeout=0&MessageAttributeName.1=All" + ofQ,
			`<MessageAttribute><Name>n</Name><Value><DataType>Number</DataType><StringValue>1</StringValue></Value></MessageAttribute>`,
		},
		{
			"Action=SendMessageBatch&SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=m" +
				"&SendMessageBatchRequestEntry.2.MessageGroupId=%C3%A9&SendMessageBatchRequestEntry.2.MessageDeduplicationId=2" +
				"&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=m" +
				"&SendMessageBatchRequestEntry.1.MessageGroupId=h&SendMessageBatchRequestEntry.1.MessageDeduplicationId=3" + ofQ,
			`<BatchResultErrorEntry><Code>InvalidParameterValue</Code><Id>b</Id>`,
		},
		{"Action=ChangeMessageVisibility&VisibilityTimeout=0&ReceiptHandle=HANDLE" + ofQ, `<ChangeMessageVisibilityResponse`},
		{
			"Action=ChangeMessageVisibilityBatch&ChangeMessageVisibilityBatchRequestEntry.1.Id=a" +
				"&ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout=0" +
				"&ChangeMessageVisibilityBatchRequestEntry.1.ReceiptHandle=HANDLE" + ofQ,
			`<ChangeMessageVisibilityBatchResult><ChangeMessageVisibilityBatchResultEntry><Id>a</Id>`,
		},
		{"Action=DeleteMessage&ReceiptHandle=HANDLE" + ofQ, `<DeleteMessageResponse`},
		{
			"Action=DeleteMessageBatch&DeleteMessageBatchRequestEntry.1.Id=a&DeleteMessageBatchRequestEntry.1.ReceiptHandle=HANDLE" + ofQ,
			`<DeleteMessageBatchResult><DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry></DeleteMessageBatchResult>`,
		},
		{
			"Action=DeleteMessageBatch&DeleteMessageBatchRequestEntry.10.Id=b&DeleteMessageBatchRequestEntry.10.ReceiptHandle=x" +
				"&DeleteMessageBatchRequestEntry.9.Id=a&DeleteMessageBatchRequestEntry.9.ReceiptHandle=x" + ofQ,
			`<Id>a</Id><Message>The input receipt handle &#34;x&#34; is not a valid receipt handle.</Message><SenderFault>true</SenderFault>` +
				`</BatchResultErrorEntry><BatchResultErrorEntry><Code>ReceiptHandleIsInvalid</Code><Id>b</Id>`,
		},
		{"Action=ReceiveMessage" + ofQ, `<ReceiveMessageResult></ReceiveMessageResult>`},
		{"Action=PurgeQueue" + ofQ, `<PurgeQueueResponse`},
		{"Action=ListDeadLetterSourceQueues" + ofQ, `<ListDeadLetterSourceQueuesResult></ListDeadLetterSourceQueuesResult>`},
		{"Action=DeleteQueue" + ofQ, `<DeleteQueueResponse`},
	} {
		form := step.form
		if strings.Contains(form, "HANDLE") {
			form = strings.ReplaceAll(form, "HANDLE", handle())
		}
		status, body := ask(t, server, "/", form)
		assert.Equal(t, http.StatusOK, status, "%s: %s", form, body)
		assert.Contains(t, body, step.want)
	}
}

// Source of the errors: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html and the errors of
// each action, whose codes in the query protocol differ.
func TestTheQueryProtocolHasErrorsOfItsOwn(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	_, body := ask(t, server, "/", "Action=CreateQueue&QueueName=q")
	require.Contains(t, body, "CreateQueueResult")
	for _, tt := range []struct{ name, path, form, want string }{
		{
			"of a queue that does not exist", "/", "Action=GetQueueUrl&QueueName=none",
			`<ErrorResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/"><Error><Code>AWS.SimpleQueueService.NonExistentQueue</Code>` +
				`<Message>The specified queue does not exist.</Message><Type>Sender</Type></Error><RequestId>ID</RequestId></ErrorResponse>`,
		},
		{"of a queue at its address", "/000000000000/none", "Action=PurgeQueue", "<Code>AWS.SimpleQueueService.NonExistentQueue</Code>"},
		{
			"of an empty batch", "/000000000000/q", "Action=SendMessageBatch&SendMessageBatchRequestEntry=",
			"<Code>AWS.SimpleQueueService.EmptyBatchRequest</Code>",
		},
		{"of a parameter that is not supported", "/000000000000/q", "Action=PurgeQueue&Label=x", "<Code>NotSupportedByLocalaws</Code>"},
		{"of a number that is none", "/000000000000/q", "Action=ReceiveMessage&WaitTimeSeconds=x", "<Code>SerializationException</Code>"},
		{"of a contradiction", "/000000000000/q", "Action=TagQueue&Tag.1=x&Tag.1.Key=y", "<Code>MalformedQueryString</Code>"},
		{"of too long a name", "/000000000000/q", "Action=PurgeQueue&a" + strings.Repeat(".a", 1000) + "=", "<Code>MalformedQueryString</Code>"},
		{"of a form that is none", "/000000000000/q", "Action=PurgeQueue&%zz=", "<Code>MalformedQueryString</Code>"},
		{"of an action of no service", "/", "Action=AddPermission&Label=x", "<Code>NotSupportedByLocalaws</Code>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, body := ask(t, server, tt.path, tt.form)
			assert.NotEqual(t, http.StatusOK, status)
			assert.Contains(t, body, tt.want)
		})
	}
	// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-making-api-requests-xml.html
	w := call(t, server, http.MethodGet, "", http.NoBody)
	assert.Contains(t, w.Body.String(), "healthy", "a GET without an action is a health check")
	w = httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/?Action=ListQueues&Version=2012-11-05", http.NoBody))
	assert.Contains(t, w.Body.String(), "<QueueUrl>http://example.com/000000000000/q</QueueUrl>")
}
