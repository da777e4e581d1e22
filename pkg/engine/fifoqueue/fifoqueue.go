// Package fifoqueue publishes to SQS FIFO queues and consumes them: message groups in parallel, each group in order.
//
// Delivery is at least once. A message is received again after a failure, after a crash, and whenever its visibility
// timeout runs out. Then two processes may handle it at the same time, and the late effects of the older one are not
// undone. Handlers whose effects must not be repeated or reordered need a fence: a version stored with the effect, below
// which messages are ignored.
//
// The queue and its dead-letter queue must be FIFO; Attributes and DeadLetterAttributes return all settings. A Publisher
// needs the IAM permission sqs:SendMessage for the queue. A Consumer needs sqs:ReceiveMessage, sqs:DeleteMessage and
// sqs:ChangeMessageVisibility for the queue and sqs:SendMessage for the dead-letter queue. QueueURL needs sqs:GetQueueUrl.
package fifoqueue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Message is one received message.
type Message struct {
	ID              string
	Group           string
	DeduplicationID string
	Body            []byte
	// Attributes are the message attributes that are text.
	Attributes map[string]string
	// ReceiveCount is how often the message was received, this time included.
	ReceiveCount int
	SentAt       time.Time
}

// Handler handles messages of one group, the oldest first. It returns how many of them, from the front, are done, and an
// error if these are not all. Done messages are deleted whatever the error. After an error wrapped by Reject the message
// at index done is moved to the dead-letter queue and Handler is called again with those after it. After any other error,
// or a panic, which counts as nothing done, the remaining messages are received again after a delay; other groups are not
// delayed. Calls for one group do not overlap. ctx ends Config.StopTimeout after a stop. A Handler that works for longer than
// 90 s reports progress.Turn(ctx) meanwhile, or else Config.Loops takes it for stuck.
type Handler func(ctx context.Context, group string, messages []Message) (done int, err error)

// ErrRejected means that a message can never be handled; see Reject.
var ErrRejected = errors.New("message rejected")

// Reject wraps an error of Handler that a retry cannot cure, such as that of decoding. The result is an ErrRejected. Its
// text is stored with the message in the dead-letter queue.
func Reject(err error) error { return fmt.Errorf("%w: %w", ErrRejected, err) }
