package fifoqueue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// MaxReceiveCount is the queues' own limit before a message moves to the dead-letter queue. It is a last net only: what cannot be
// decoded is moved by the Consumer, at once, and nothing else is meant to go there. At Config.MaxRetryDelay's default
// it lasts for an outage of more than a day.
const MaxReceiveCount = 1000

// Attributes declares a queue: FIFO at high throughput, with the given dead-letter queue.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
func Attributes(deadLetterARN string) map[string]string {
	a := DeadLetterAttributes()
	a["VisibilityTimeout"] = strconv.Itoa(int(DefaultVisibility / time.Second))
	a["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, deadLetterARN, MaxReceiveCount)
	return a
}

// DeadLetterAttributes declares a dead-letter queue. Messages are kept for the longest that SQS allows, 14 days.
func DeadLetterAttributes() map[string]string {
	return map[string]string{
		"FifoQueue":              "true",
		"DeduplicationScope":     "messageGroup",
		"FifoThroughputLimit":    "perMessageGroupId",
		"MessageRetentionPeriod": "1209600",
	}
}

// QueueAPI is what QueueURL needs of the AWS client.
type QueueAPI interface {
	GetQueueUrl(context.Context, *sqs.GetQueueUrlInput, ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// QueueURL looks a queue's URL up. It is a name, not an address: its host need not be one that can be reached, and the
// client sends to its own endpoint.
func QueueURL(ctx context.Context, client QueueAPI, name string) (string, error) {
	out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return "", fmt.Errorf("look up queue %s: %w", name, err)
	}
	return aws.ToString(out.QueueUrl), nil
}
