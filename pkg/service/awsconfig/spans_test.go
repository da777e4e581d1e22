package awsconfig_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

// traced calls AWS within a span and returns the spans of the calls.
func traced(t *testing.T, retryer aws.Retryer, answers []answer, call func(context.Context, aws.Config)) []sdktrace.ReadOnlySpan {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	cfg := awsconfig.Instrument(config(&script{answers}, retryer), prometheus.NewRegistry(), provider)
	ctx, parent := provider.Tracer("test").Start(t.Context(), "work")
	call(ctx, cfg)
	for _, span := range recorder.Ended() {
		assert.Equal(t, parent.SpanContext().SpanID(), span.Parent().SpanID())
		assert.Equal(t, trace.SpanKindClient, span.SpanKind())
	}
	return recorder.Ended()
}

func attributesOf(s sdktrace.ReadOnlySpan) map[string]string {
	out := map[string]string{}
	for _, kv := range s.Attributes() {
		out[string(kv.Key)] = kv.Value.String()
	}
	return out
}

func TestACallIsASpanWithoutStoredValues(t *testing.T) {
	t.Parallel()
	secret := types.AttributeValue(&types.AttributeValueMemberS{Value: "dan@example.com"})
	item := map[string]types.AttributeValue{"constraint": secret}
	spans := traced(t, aws.NopRetryer{}, make200(6), func(ctx context.Context, cfg aws.Config) {
		db := dynamodb.NewFromConfig(cfg)
		_, err := db.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("log"), Item: item})
		require.NoError(t, err)
		_, err = db.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: aws.String("log"), Item: item}},
			{Delete: &types.Delete{TableName: aws.String("claims"), Key: item}},
			{ConditionCheck: &types.ConditionCheck{TableName: aws.String("log"), Key: item, ConditionExpression: aws.String("x")}},
		}})
		require.NoError(t, err)
		_, err = db.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{
			RequestItems: map[string]types.KeysAndAttributes{"claims": {Keys: []map[string]types.AttributeValue{item}}},
		})
		require.NoError(t, err)
		_, err = db.ListTables(ctx, &dynamodb.ListTablesInput{})
		require.NoError(t, err)
		_, err = kinesis.NewFromConfig(cfg).DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("events")})
		require.NoError(t, err)
		_, err = sqs.NewFromConfig(cfg).PurgeQueue(ctx, &sqs.PurgeQueueInput{QueueUrl: aws.String("http://aws.invalid/000000000000/users.fifo")})
		require.NoError(t, err)
	})
	var got []string
	for _, s := range spans {
		a := attributesOf(s)
		assert.Equal(t, "aws-api", a["rpc.system"])
		assert.Equal(t, s.Name(), a["rpc.service"]+"."+a["rpc.method"])
		assert.Equal(t, codes.Unset, s.Status().Code)
		assert.NotContains(t, fmt.Sprint(s.Attributes(), s.Events()), "dan@")
		got = append(got, s.Name()+" "+a["aws.dynamodb.table_names"]+a["aws.kinesis.stream_name"]+a["messaging.destination.name"])
	}
	assert.Equal(t, []string{
		`DynamoDB.PutItem ["log"]`, `DynamoDB.TransactWriteItems ["log","claims"]`, `DynamoDB.BatchGetItem ["claims"]`,
		`DynamoDB.ListTables `, `Kinesis.DescribeStreamSummary events`, `SQS.PurgeQueue users.fifo`,
	}, got)
}

func make200(n int) []answer {
	out := make([]answer, n)
	for i := range out {
		out[i].status = 200
	}
	return out
}

func TestAFailedCallsSpanHasItsErrorCode(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer answer
		want   string
		status codes.Code
	}{
		"a failed condition": {answer{status: 400, code: "ConditionalCheckFailedException"}, "ConditionalCheckFailedException", codes.Unset},
		"throttling":         {answer{status: 400, code: "ThrottlingException"}, "ThrottlingException", codes.Error},
		"a fault of AWS":     {answer{status: 500, code: "InternalServerError"}, "InternalServerError", codes.Error},
		"no answer":          {answer{away: true}, "no_answer", codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spans := traced(t, again{}, []answer{tt.answer, tt.answer, tt.answer}, func(ctx context.Context, cfg aws.Config) {
				_, err := dynamodb.NewFromConfig(cfg).DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: aws.String("log")})
				require.Error(t, err)
			})
			require.Len(t, spans, 1)
			assert.Equal(t, tt.want, attributesOf(spans[0])["error.type"])
			assert.Equal(t, "3", attributesOf(spans[0])["leftfold.aws.attempts"])
			assert.Equal(t, tt.status, spans[0].Status().Code)
			assert.Empty(t, spans[0].Events())
		})
	}
}

func TestCallsOutsideASampledTraceHaveNoSpans(t *testing.T) {
	t.Parallel()
	spans := traced(t, aws.NopRetryer{}, make200(2), func(ctx context.Context, cfg aws.Config) {
		db := dynamodb.NewFromConfig(cfg)
		outside := context.WithoutCancel(trace.ContextWithSpan(ctx, nil))
		_, err := db.DescribeTable(outside, &dynamodb.DescribeTableInput{TableName: aws.String("log")})
		require.NoError(t, err)
		unsampled := trace.ContextWithSpanContext(ctx, trace.SpanContextFromContext(ctx).WithTraceFlags(0))
		_, err = db.DescribeTable(unsampled, &dynamodb.DescribeTableInput{TableName: aws.String("log")})
		require.NoError(t, err)
	})
	assert.Empty(t, spans)
}

// TestDisabledTracingAddsNothingToACall: without tracing nothing is added to a call at all.
func TestDisabledTracingAddsNothingToACall(t *testing.T) {
	t.Parallel()
	cfg := config(&script{}, aws.NopRetryer{})
	on := sdktrace.NewTracerProvider()
	assert.Len(t, awsconfig.Instrument(cfg, prometheus.NewRegistry(), nil).APIOptions, 1, "that which counts")
	assert.Len(t, awsconfig.Instrument(cfg, prometheus.NewRegistry(), noop.NewTracerProvider()).APIOptions, 1)
	assert.Len(t, awsconfig.Instrument(cfg, prometheus.NewRegistry(), on).APIOptions, 2)
}
