//go:build unix

package localaws_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
)

// benchCall is a request like those of an event's way. %[1]d in its body is the number of the call.
type benchCall struct{ target, body string }

const (
	benchTable = `{"TableName":"log","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"stream","AttributeType":"S"},` +
		`{"AttributeName":"version","AttributeType":"N"}],"KeySchema":[{"AttributeName":"stream","KeyType":"HASH"},` +
		`{"AttributeName":"version","KeyType":"RANGE"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}`
	benchQueue = `{"QueueName":"users.fifo","Attributes":{"FifoQueue":"true"}}`
	benchItem  = `{"stream":{"S":"org/iam/user/01920b7c-5e3a-7c4d-9b1e-%[1]d"},"version":{"N":"1"},` +
		`"id":{"S":"01920b7c-5e3a-7c4d-9b1e-%[1]d"},"name":{"S":"org/iam/user/updated"},"schema":{"N":"1"},` +
		`"data":{"S":"{\"firstName\":\"Dan\",\"lastName\":\"O'Neill\"}"},` +
		`"recorded_at":{"S":"2026-01-02T03:04:05.678Z"},"metadata":{"M":{"correlation_id":{"S":"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"},` +
		`"causation_id":{"S":"01920b7c-5e3a-7c4d-9b1e-3f2a6d8c0e57"},"actor":{"S":"anonymous"}}}}`
	benchPut = `{"TableName":"log","Item":` + benchItem + `,"ConditionExpression":"attribute_not_exists(#stream)",` +
		`"ExpressionAttributeNames":{"#stream":"stream"},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}`
)

func benchCalls() map[string]benchCall {
	message := `{"Id":"%[2]d","MessageBody":"{\"stream\":\"org/iam/user/1\",\"data\":{\"firstName\":\"Dan\"}}",` +
		`"MessageGroupId":"org/iam/user/%[1]d","MessageDeduplicationId":"org/iam/user/%[1]d#%[2]d"}`
	return map[string]benchCall{
		"PutItem": {"DynamoDB_20120810.PutItem", benchPut},
		"Query": {
			"DynamoDB_20120810.Query", `{"TableName":"log","ConsistentRead":true,"KeyConditionExpression":"#s = :s AND #v >= :v",` +
				`"ExpressionAttributeNames":{"#s":"stream","#v":"version"},` +
				`"ExpressionAttributeValues":{":s":{"S":"org/iam/user/01920b7c-5e3a-7c4d-9b1e-0"},":v":{"N":"1"}}}`,
		},
		"TransactWriteItems": {
			"DynamoDB_20120810.TransactWriteItems", `{"TransactItems":[{"Put":` + benchPut + `},{"Put":{"TableName":"log","Item":` +
				`{"stream":{"S":"email:dan%[1]d@example.com"},"version":{"N":"0"},"owner":{"S":"org/iam/user/%[1]d"}},` +
				`"ConditionExpression":"attribute_not_exists(#s)","ExpressionAttributeNames":{"#s":"stream"}}}],"ClientRequestToken":"%[1]d"}`,
		},
		"SendMessageBatch": {
			"AmazonSQS.SendMessageBatch", `{"QueueUrl":"http://localhost/000000000000/users.fifo","Entries":[` +
				strings.ReplaceAll(message, "%[2]d", "1") + `,` + strings.ReplaceAll(message, "%[2]d", "2") + `]}`,
		},
	}
}

// BenchmarkCalls measures the CPU of calls over HTTP, the client's included, and beside each that of a handler which only reads a
// request and writes an answer of the same bytes: what is above that floor is the AWS's own.
func BenchmarkCalls(b *testing.B) {
	for name, call := range benchCalls() {
		b.Run(name, func(b *testing.B) {
			server := localaws.New(localaws.Options{})
			b.Cleanup(server.Close)
			calls := 0
			own := benchClient(b, server)
			own(benchCall{"DynamoDB_20120810.CreateTable", benchTable}, 0)
			own(benchCall{"AmazonSQS.CreateQueue", benchQueue}, 0)
			if name == "Query" {
				own(benchCall{"DynamoDB_20120810.PutItem", benchPut}, 0)
			}
			answer := own(call, calls)
			floor := benchClient(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadAll(r.Body)
				w.Header().Set("Content-Type", "application/x-amz-json-1.0")
				_, _ = w.Write(answer)
			}))
			b.Run("aws", func(b *testing.B) {
				cpu(b, func() { calls++; own(call, calls) })
			})
			b.Run("floor", func(b *testing.B) { cpu(b, func() { floor(call, 1) }) })
		})
	}
}

// cpu reports the CPU time of each operation, in user mode and in the kernel.
func cpu(b *testing.B, operation func()) {
	b.Helper()
	b.ReportAllocs()
	before := used(b)
	for b.Loop() {
		operation()
	}
	b.ReportMetric(float64((used(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

func used(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchClient serves h at a port and returns what sends a call there and returns the answer.
func benchClient(b *testing.B, h http.Handler) func(call benchCall, number int) []byte {
	b.Helper()
	listener := httptest.NewServer(h)
	b.Cleanup(listener.Close)
	return func(call benchCall, number int) []byte {
		body := call.body
		if strings.Contains(body, "%[1]d") {
			body = fmt.Sprintf(body, number)
		}
		r, err := http.NewRequestWithContext(context.WithoutCancel(b.Context()), http.MethodPost, listener.URL, strings.NewReader(body))
		require.NoError(b, err)
		r.Header.Set("X-Amz-Target", call.target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=local/20260102/us-east-1/dynamodb/aws4_request, "+
			"SignedHeaders=content-length;content-type;host;x-amz-target, Signature="+strings.Repeat("0", 64))
		answer, err := listener.Client().Do(r)
		require.NoError(b, err)
		defer func() { _ = answer.Body.Close() }()
		var got bytes.Buffer
		_, err = got.ReadFrom(answer.Body)
		require.NoError(b, err)
		require.Equal(b, http.StatusOK, answer.StatusCode, got.String())
		return got.Bytes()
	}
}
