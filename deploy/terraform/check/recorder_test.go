package check_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"

	"github.com/leftfold/leftfold/pkg/service"
)

// recorder records the rights that every service needs for its calls of AWS.
type recorder struct {
	mu   sync.Mutex
	used map[string]map[string]bool
}

func (r *recorder) of(service string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.used[service]))
}

// record records the calls of a service from its start.
func (r *recorder) record(p *service.Platform) {
	service := p.Instance[:strings.LastIndex(p.Instance, "-")]
	p.AWS.APIOptions = append(slices.Clip(p.AWS.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("recorder", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			r.mu.Lock()
			if r.used == nil {
				r.used = map[string]map[string]bool{}
			}
			if r.used[service] == nil {
				r.used[service] = map[string]bool{}
			}
			for _, right := range rightsFor(awsmiddleware.GetOperationName(ctx), in.Parameters) {
				r.used[service][right] = true
			}
			r.mu.Unlock()
			return next.HandleInitialize(ctx, in)
		}), middleware.After)
	})
}

// rightsFor returns the rights that IAM requires for a call, as "action resource".
func rightsFor(operation string, in any) []string {
	table := func(action string, name *string, key map[string]types.AttributeValue) string {
		of := ""
		if consumer, ok := key["consumer"].(*types.AttributeValueMemberS); ok {
			of = " of " + consumer.Value
		}
		return "dynamodb:" + action + " table/" + aws.ToString(name) + of
	}
	indexed := func(action string, name, index *string, values map[string]types.AttributeValue) string {
		right := table(action, name, map[string]types.AttributeValue{"consumer": values[":consumer"]})
		if index != nil {
			right += "/index/*"
		}
		return right
	}
	queue := func(action string, url *string) string {
		return "sqs:" + action + " queue/" + (*url)[strings.LastIndex(*url, "/")+1:]
	}
	switch in := in.(type) {
	case *dynamodb.DescribeTableInput:
		return []string{table(operation, in.TableName, nil)}
	case *dynamodb.GetItemInput:
		return []string{table(operation, in.TableName, in.Key)}
	case *dynamodb.PutItemInput:
		return []string{table(operation, in.TableName, in.Item)}
	case *dynamodb.DeleteItemInput:
		return []string{table(operation, in.TableName, in.Key)}
	case *dynamodb.QueryInput:
		return []string{indexed(operation, in.TableName, in.IndexName, in.ExpressionAttributeValues)}
	case *dynamodb.ScanInput:
		return []string{indexed(operation, in.TableName, in.IndexName, in.ExpressionAttributeValues)}
	case *dynamodb.BatchGetItemInput:
		var out []string
		for name := range in.RequestItems {
			out = append(out, table(operation, &name, nil))
		}
		return out
	case *dynamodb.TransactWriteItemsInput:
		var out []string
		for _, i := range in.TransactItems {
			switch {
			case i.Put != nil:
				out = append(out, table("PutItem", i.Put.TableName, i.Put.Item))
			case i.Delete != nil:
				out = append(out, table("DeleteItem", i.Delete.TableName, i.Delete.Key))
			case i.ConditionCheck != nil:
				out = append(out, table("ConditionCheckItem", i.ConditionCheck.TableName, i.ConditionCheck.Key))
			default:
				out = append(out, fmt.Sprintf("unknown: %+v", i))
			}
		}
		return out
	case *dynamodbstreams.DescribeStreamInput, *dynamodbstreams.GetShardIteratorInput,
		*dynamodbstreams.GetRecordsInput: // one table has a stream
		return []string{"dynamodb:" + operation + " table/EventLog/stream/*"}
	case *kinesis.SubscribeToShardInput:
		return []string{"kinesis:" + operation + " stream/event-source/consumer/*"}
	case *kinesis.PutRecordsInput, *kinesis.DescribeStreamSummaryInput, *kinesis.ListShardsInput, *kinesis.GetShardIteratorInput,
		*kinesis.GetRecordsInput, *kinesis.RegisterStreamConsumerInput, *kinesis.DescribeStreamConsumerInput: // there is one stream
		return []string{"kinesis:" + operation + " stream/event-source"}
	case *sqs.GetQueueUrlInput:
		return []string{"sqs:" + operation + " queue/" + *in.QueueName}
	case *sqs.SendMessageBatchInput:
		return []string{queue("SendMessage", in.QueueUrl)}
	case *sqs.ReceiveMessageInput:
		return []string{queue(operation, in.QueueUrl)}
	case *sqs.DeleteMessageBatchInput:
		return []string{queue("DeleteMessage", in.QueueUrl)}
	case *sqs.ChangeMessageVisibilityBatchInput:
		return []string{queue("ChangeMessageVisibility", in.QueueUrl)}
	default:
		return []string{"unknown: " + operation}
	}
}
