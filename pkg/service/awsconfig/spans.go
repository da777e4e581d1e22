package awsconfig

import (
	"context"
	"errors"
	"maps"
	"path"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// spans makes a client span of every call, its retries included, that is part of a trace; calls outside
// of any trace, such as polls and lease renewals, would make traces without end. A span names tables, streams and queues, and
// never keys or values: https://opentelemetry.io/docs/specs/semconv/cloud-providers/aws-sdk/
func spans(tracer trace.Tracer) middleware.InitializeMiddleware {
	return middleware.InitializeMiddlewareFunc("leftfold.Spans", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		if !trace.SpanFromContext(ctx).IsRecording() {
			return next.HandleInitialize(ctx, in)
		}
		service, operation := awsmiddleware.GetServiceID(ctx), awsmiddleware.GetOperationName(ctx)
		ctx, span := tracer.Start(ctx, service+"."+operation, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
			attribute.String("rpc.system", "aws-api"), attribute.String("rpc.service", service), attribute.String("rpc.method", operation),
		), trace.WithAttributes(resources(in.Parameters)...))
		defer span.End()
		out, md, err := next.HandleInitialize(ctx, in)
		if attempts, ok := retry.GetAttemptResults(md); ok && len(attempts.Results) > 1 {
			span.SetAttributes(attribute.Int("leftfold.aws.attempts", len(attempts.Results)))
		}
		if err != nil {
			fault(span, err)
		}
		return out, md, err
	})
}

// fault names an error by its code: its text may quote items. A refusal, such as a failed condition, is an answer.
func fault(span trace.Span, err error) {
	code := "no_answer"
	api, answered := errors.AsType[smithy.APIError](err)
	if answered {
		code = api.ErrorCode()
	}
	span.SetAttributes(attribute.String("error.type", code))
	if !answered || api.ErrorFault() != smithy.FaultClient || Throttled(err) {
		span.SetStatus(codes.Error, code)
	}
}

// resources returns the tables, streams and queues that a call's input names.
func resources(input any) []attribute.KeyValue {
	if stream := nameIn(input, "StreamName"); stream != "" {
		return []attribute.KeyValue{attribute.String("aws.kinesis.stream_name", stream)}
	}
	if queue := nameIn(input, "QueueUrl"); queue != "" {
		return []attribute.KeyValue{attribute.String("messaging.destination.name", path.Base(queue))}
	}
	var tables []string
	switch in := input.(type) {
	case *dynamodb.TransactWriteItemsInput:
		for _, item := range in.TransactItems {
			for _, part := range []any{item.Put, item.Update, item.Delete, item.ConditionCheck} {
				if table := nameIn(part, "TableName"); table != "" && !slices.Contains(tables, table) {
					tables = append(tables, table)
				}
			}
		}
	case *dynamodb.BatchGetItemInput:
		tables = slices.Sorted(maps.Keys(in.RequestItems))
	default:
		if table := nameIn(input, "TableName"); table != "" {
			tables = []string{table}
		}
	}
	if tables == nil {
		return nil
	}
	return []attribute.KeyValue{attribute.StringSlice("aws.dynamodb.table_names", tables)}
}

// nameIn returns the field of that name, if input points to a struct that has one which is a *string.
func nameIn(input any, field string) string {
	v := reflect.Indirect(reflect.ValueOf(input))
	if v.Kind() != reflect.Struct || !v.FieldByName(field).IsValid() {
		return ""
	}
	text, _ := reflect.TypeAssert[*string](v.FieldByName(field))
	return aws.ToString(text)
}
