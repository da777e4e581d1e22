package fifoqueue

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
	"github.com/leftfold/leftfold/pkg/retry"
)

// Limits of SendMessageBatch: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
const (
	maxBatch      = 10
	maxBatchBytes = 1 << 20
)

// PublisherAPI is the part of *sqs.Client that a Publisher calls.
type PublisherAPI interface {
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Outgoing is one message to publish. Messages of one group keep their order.
type Outgoing struct {
	Group string
	// DeduplicationID makes SQS drop a repetition within five minutes. Required, as are Group and Body.
	DeduplicationID string
	// Body must be text: SQS accepts the characters of XML 1.0 only.
	Body []byte
	// Attributes are message attributes. Their values must not be empty.
	Attributes map[string]string
}

func (o Outgoing) size() int {
	size := len(o.Body)
	for name, value := range o.Attributes {
		size += attributeSize(name, value)
	}
	return size
}

// attributeSize is what a text attribute adds to the size of a message: its name, its type and its value.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
func attributeSize(name, value string) int { return len(name) + len("String") + len(value) }

func (o Outgoing) check() error {
	if o.Group == "" || o.DeduplicationID == "" || len(o.Body) == 0 {
		return ordered.Permanent(fmt.Errorf("message %q: group, deduplication id and body are required", o.DeduplicationID))
	}
	return nil
}

// Publisher publishes to one queue. Safe for concurrent use, but order is kept within one Publish only.
type Publisher struct {
	client   PublisherAPI
	queueURL string
	backoff  retry.Backoff
}

// NewPublisher returns a publisher to the queue of that URL; see QueueURL. backoff is that of ordered.Options.
func NewPublisher(client PublisherAPI, queueURL string, backoff retry.Backoff) *Publisher {
	return &Publisher{client: client, queueURL: queueURL, backoff: backoff}
}

// Publish returns nil when the queue holds every message; see ordered.Send. Its error is ordered.ErrTooLarge for a message
// over 1 MiB, and ordered.ErrPermanent for one whose content SQS refuses.
func (p *Publisher) Publish(ctx context.Context, messages []Outgoing) error {
	if err := ordered.Send(ctx, messages, p.Options()); err != nil {
		return fmt.Errorf("publish to %s: %w", path.Base(p.queueURL), err)
	}
	return nil
}

// Options are those of a Sender to the queue.
func (p *Publisher) Options() ordered.Options[Outgoing] {
	return ordered.Options[Outgoing]{
		Key:  func(o Outgoing) string { return o.Group },
		Size: Outgoing.size, MaxCount: maxBatch, MaxBytes: maxBatchBytes, Check: Outgoing.check, Put: p.put, Backoff: p.backoff,
	}
}

func (p *Publisher) put(ctx context.Context, batch []Outgoing) (map[int]error, error) {
	in := &sqs.SendMessageBatchInput{QueueUrl: aws.String(p.queueURL)}
	for i, m := range batch {
		in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String(string(m.Body)), MessageGroupId: aws.String(m.Group),
			MessageDeduplicationId: aws.String(m.DeduplicationID), MessageAttributes: attributeValues(m.Attributes),
		})
	}
	out, err := p.client.SendMessageBatch(ctx, in)
	if err != nil {
		_, tooLong := errors.AsType[*types.BatchRequestTooLong](err)
		_, invalid := errors.AsType[*types.InvalidMessageContents](err)
		if tooLong || invalid {
			err = ordered.Permanent(err)
		}
		return nil, err
	}
	failed := map[int]error{}
	for i := range batch { // an entry counts as sent only if the answer says so
		failed[i] = errors.New("not in the answer")
	}
	for _, e := range out.Successful {
		delete(failed, index(e.Id))
	}
	for _, e := range out.Failed {
		failed[index(e.Id)] = entryError(e)
	}
	return failed, nil
}

func index(id *string) int {
	i, err := strconv.Atoi(aws.ToString(id))
	if err != nil {
		return -1
	}
	return i
}

// entryError is permanent for the codes that are about what the entry says. All others may pass, though SenderFault is true for
// most: a refused right (AccessDenied, KMS.AccessDeniedException), a key or queue that is disabled or missing (KMS.…,
// AWS.SimpleQueueService.NonExistentQueue), throttling (RequestThrottled, KMS.ThrottlingException).
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
func entryError(e types.BatchResultErrorEntry) error {
	err := &smithy.GenericAPIError{Code: aws.ToString(e.Code), Message: aws.ToString(e.Message)}
	switch err.Code {
	case "InvalidMessageContents", "InvalidParameterValue", "MissingParameter":
		return ordered.Permanent(err)
	default:
		return err
	}
}

func attributeValues(attributes map[string]string) map[string]types.MessageAttributeValue {
	if len(attributes) == 0 {
		return nil
	}
	out := make(map[string]types.MessageAttributeValue, len(attributes))
	for name, value := range attributes {
		out[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String(value)}
	}
	return out
}
