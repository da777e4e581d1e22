package fifoqueue

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// MaxReceiveCount is how often a message is received before SQS moves it to the dead-letter queue. It is a last resort:
// the Consumer itself moves rejected messages, at once, and no others belong there. With its pauses between receives, of up
// to 2 minutes, it allows for an outage of more than a day.
const MaxReceiveCount = 1000

// Attributes returns the settings of a queue for CreateQueue: FIFO at high throughput, with the given dead-letter queue.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
func Attributes(deadLetterARN string) map[string]string {
	a := DeadLetterAttributes()
	a["VisibilityTimeout"] = strconv.Itoa(int(DefaultVisibility / time.Second))
	a["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, deadLetterARN, MaxReceiveCount)
	return a
}

// DeadLetterAttributes returns the settings of a dead-letter queue. It keeps messages for 14 days, the most of SQS.
func DeadLetterAttributes() map[string]string {
	return map[string]string{
		"FifoQueue":              "true",
		"DeduplicationScope":     "messageGroup",
		"FifoThroughputLimit":    "perMessageGroupId",
		"MessageRetentionPeriod": "1209600",
	}
}

// QueueAPI is the part of *sqs.Client that QueueURL and CreatedAt call.
type QueueAPI interface {
	GetQueueAttributes(context.Context, *sqs.GetQueueAttributesInput, ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// QueueURL returns the URL of the queue of that name. The URL identifies the queue; requests go to the client's endpoint,
// whatever its host.
func QueueURL(ctx context.Context, client QueueAPI, name string) (string, error) {
	out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return "", fmt.Errorf("look up queue %s: %w", name, err)
	}
	return aws.ToString(out.QueueUrl), nil
}

// CreatedAt returns when the queue of that URL was created. A queue made anew has the URL of the former one, but none of its
// messages.
func CreatedAt(ctx context.Context, client QueueAPI, url string) (time.Time, error) {
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameCreatedTimestamp},
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("get attributes of queue %s: %w", path.Base(url), err)
	}
	seconds, err := strconv.ParseInt(out.Attributes["CreatedTimestamp"], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("get attributes of queue %s: time of creation: %w", path.Base(url), err)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
