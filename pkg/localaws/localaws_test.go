package localaws_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/localaws"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newServer(t *testing.T) *localaws.Server {
	t.Helper()
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	return server
}

// call sends one raw request without an SDK.
func call(t *testing.T, server http.Handler, method, target string, body io.Reader) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "/", body)
	if target != "" {
		r.Header.Set("X-Amz-Target", target)
	}
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	return w
}

func TestUnsupportedRequestsAreRefusedByName(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, tt := range []struct{ name, method, target, body, message string }{
		{"service", http.MethodPost, "AmazonSNS.Publish", "{}", "service AmazonSNS is not supported by localaws"},
		{"no target", http.MethodPost, "", "{}", "POST / is not supported by localaws"},
		{"target without operation", http.MethodPost, "Kinesis_20131202", "{}", "Kinesis_20131202. is not supported by localaws"},
		{
			"operation", http.MethodPost, "Kinesis_20131202.StartStreamEncryption", "{}",
			"operation Kinesis_20131202.StartStreamEncryption is not supported by localaws",
		},
		{
			"member", http.MethodPost, "Kinesis_20131202.CreateStream", `{"StreamName":"s","ShardCount":1,"WarmThroughputMiBps":5}`,
			`request member "WarmThroughputMiBps" is not supported by localaws`,
		},
		{"method", http.MethodPut, "", "", "PUT / is not supported by localaws"},
		{"method with a target", http.MethodPut, "Kinesis_20131202.ListStreams", "{}", "not supported by localaws"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, server, tt.method, tt.target, strings.NewReader(tt.body))
			assert.Equal(t, http.StatusNotImplemented, w.Code)
			assert.NotEmpty(t, w.Header().Get("X-Amzn-Requestid"))
			var got struct {
				Type    string `json:"__type"`
				Message string `json:"message"`
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
			assert.Equal(t, "NotSupportedByLocalaws", got.Type)
			assert.Contains(t, got.Message, tt.message)
		})
	}
}

// Source: https://docs.aws.amazon.com/general/latest/gr/rande.html: endpoints, and so resources, are regional.
func TestRegionsHaveTheirOwnResources(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	cfg := server.Config()
	home := kinesis.NewFromConfig(cfg)
	abroad := kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.Region = "eu-west-1" })
	_, err := abroad.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	_, err = home.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String("s")})
	require.ErrorContains(t, err, "ResourceNotFoundException")
	d, err := abroad.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String("s")})
	require.NoError(t, err)
	assert.Equal(t, "arn:aws:kinesis:eu-west-1:000000000000:stream/s", *d.StreamDescription.StreamARN)

	require.NoError(t, server.TrimStream("s", time.Time{}), "it is found in its region")
	require.Error(t, server.TrimStream("none", time.Time{}))
}

func TestAClosedServerDoesNotWaitInAnyRegion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newServer(t)
		server.Close()
		start := time.Now()
		for _, region := range []string{"us-east-1", "eu-north-1"} {
			client := sqs.NewFromConfig(server.Config(), func(o *sqs.Options) { o.Region = region })
			q, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("q")})
			require.NoError(t, err)
			_, err = client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: q.QueueUrl, WaitTimeSeconds: 20})
			require.NoError(t, err)
		}
		assert.Equal(t, start, time.Now())
	})
}

// Source: https://github.com/architect/dynalite/blob/main/test/connection.js, a test suite that was run against AWS.
func TestHealthChecksAreAnsweredAsByDynamoDB(t *testing.T) {
	t.Parallel()
	w := call(t, newServer(t), http.MethodGet, "", http.NoBody)
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "healthy: dynamodb.us-east-1.amazonaws.com ", w.Body.String())
	assert.Equal(t, "3128867991", w.Header().Get("X-Amz-Crc32"))
}

func TestMalformedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for _, tt := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"too large", strings.Repeat(" ", 32<<20+1), http.StatusRequestEntityTooLarge, "too large"},
		{"no JSON", "{", http.StatusBadRequest, "SerializationException"},
		{"no object", "[]", http.StatusBadRequest, "SerializationException"},
		{"wrong type", `{"StreamName":1}`, http.StatusBadRequest, "SerializationException"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, server, http.MethodPost, "Kinesis_20131202.DescribeStream", strings.NewReader(tt.body))
			assert.Equal(t, tt.status, w.Code)
			assert.Contains(t, w.Body.String(), tt.says)
		})
	}
	broken := io.MultiReader(strings.NewReader("{"), brokenReader{})
	assert.Equal(t, http.StatusBadRequest, call(t, server, http.MethodPost, "Kinesis_20131202.ListStreams", broken).Code)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestCallsAreCounted(t *testing.T) {
	t.Parallel()
	server := newServer(t)
	for range 3 {
		call(t, server, http.MethodPost, "Kinesis_20131202.ListStreams", strings.NewReader("{}"))
	}
	call(t, server, http.MethodPost, "Kinesis_20131202.DescribeStream", strings.NewReader("{}"))            // refused, but called
	call(t, server, http.MethodPost, "Kinesis_20131202.NoSuchOperation", strings.NewReader("{}"))           // not one of ours
	call(t, server, http.MethodPost, "Kinesis_20131202.ListStreams", bytes.NewReader(make([]byte, 33<<20))) // never read

	want := map[string]int64{"Kinesis.ListStreams": 3, "Kinesis.DescribeStream": 1}
	assert.Equal(t, want, server.Calls())
	w := httptest.NewRecorder()
	server.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/_localaws/calls", nil))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var got map[string]int64
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	assert.Equal(t, want, got)
}

func TestTheSDKWorksOverHTTP(t *testing.T) {
	t.Parallel()
	server, url := serve(t)
	config := server.Config()
	config.BaseEndpoint, config.HTTPClient = &url, nil
	streams := kinesis.NewFromConfig(config)
	_, err := streams.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(1)})
	require.NoError(t, err)
	require.NoError(
		t,
		kinesis.NewStreamExistsWaiter(streams).Wait(t.Context(), &kinesis.DescribeStreamInput{StreamName: aws.String("s")}, time.Minute),
	)
	listed, err := streams.ListStreams(t.Context(), &kinesis.ListStreamsInput{})
	require.NoError(t, err)
	require.Equal(t, []string{"s"}, listed.StreamNames)

	tables, err := dynamodb.NewFromConfig(config).ListTables(t.Context(), &dynamodb.ListTablesInput{})
	require.NoError(t, err)
	require.Empty(t, tables.TableNames)
	queues, err := sqs.NewFromConfig(config).ListQueues(t.Context(), &sqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Empty(t, queues.QueueUrls)
}

// The aws command line must work for inspecting a server.
func TestTheAWSCommandLineWorks(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command line is not on PATH: not tried")
	}
	_, url := serve(t)
	run := func(t *testing.T, args ...string) string {
		t.Helper()
		args = append([]string{"--endpoint-url", url, "--output", "text"}, args...)
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=",
			"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "aws %s: %s", strings.Join(args, " "), out)
		return strings.TrimSpace(string(out))
	}

	t.Run("kinesis", func(t *testing.T) {
		t.Parallel()
		run(t, "kinesis", "create-stream", "--stream-name", "s", "--shard-count", "2")
		run(t, "kinesis", "put-record", "--stream-name", "s", "--partition-key", "k", "--explicit-hash-key", "0", "--data", "aGVsbG8=")
		it := run(t, "kinesis", "get-shard-iterator", "--stream-name", "s", "--shard-id", "shardId-000000000000",
			"--shard-iterator-type", "TRIM_HORIZON", "--query", "ShardIterator")
		assert.Equal(t, "k", run(t, "kinesis", "get-records", "--shard-iterator", it, "--query", "Records[].PartitionKey"))
		assert.Equal(t, "shardId-000000000000\tshardId-000000000001",
			run(t, "kinesis", "list-shards", "--stream-name", "s", "--query", "Shards[].ShardId"))
	})
	t.Run("dynamodb and its stream", func(t *testing.T) {
		t.Parallel()
		run(t, "dynamodb", "create-table", "--table-name", "things", "--billing-mode", "PAY_PER_REQUEST",
			"--attribute-definitions", "AttributeName=id,AttributeType=S", "--key-schema", "AttributeName=id,KeyType=HASH",
			"--stream-specification", "StreamEnabled=true,StreamViewType=NEW_IMAGE")
		run(t, "dynamodb", "put-item", "--table-name", "things", "--item", `{"id":{"S":"a"},"n":{"N":"1"}}`)
		assert.Equal(t, "1", run(t, "dynamodb", "get-item", "--table-name", "things", "--key", `{"id":{"S":"a"}}`, "--query", "Item.n.N"))
		stream := run(t, "dynamodbstreams", "list-streams", "--table-name", "things", "--query", "Streams[].StreamArn")
		assert.Equal(t, "NEW_IMAGE", run(t, "dynamodbstreams", "describe-stream", "--stream-arn", stream,
			"--query", "StreamDescription.StreamViewType"))
	})
	t.Run("sqs", func(t *testing.T) {
		t.Parallel()
		queue := run(t, "sqs", "create-queue", "--queue-name", "q.fifo", "--attributes", "FifoQueue=true", "--query", "QueueUrl")
		run(t, "sqs", "send-message", "--queue-url", queue, "--message-body", "hello",
			"--message-group-id", "g", "--message-deduplication-id", "d")
		assert.Equal(t, "hello", run(t, "sqs", "receive-message", "--queue-url", queue, "--query", "Messages[].Body"))
	})
}
