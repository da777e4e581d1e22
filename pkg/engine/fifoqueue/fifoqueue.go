// Package fifoqueue consumes and fills SQS FIFO queues: message groups in parallel, each group in order.
//
// Delivery is at least once. A message comes again after a failure, after a crash, and whenever SQS thinks that its
// visibility has run out; then an old and a new receive of it may be worked on by two processes at once, and what the
// older one did late is not undone. Effects that must not be repeated or reordered want a fence of their own.
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
	// Attributes are the message's own, as far as they are text.
	Attributes map[string]string
	// ReceiveCount is how often the message was received, this time included.
	ReceiveCount int
	SentAt       time.Time
}

// Handler works on a run of one group's messages, the oldest first. It returns how many of them, from the front, are
// done, and why it stopped before the end: they are deleted whatever the error. After an error wrapped by Reject the message at
// index done goes to the dead-letter queue and Handler is called again with those after it. After any other error, or
// a panic, which counts as nothing done, the rest of the group waits and comes again; other groups go on.
// Calls for one group do not overlap. ctx ends Config.StopTimeout after a stop.
type Handler func(ctx context.Context, group string, messages []Message) (done int, err error)

// ErrRejected marks a message that no retry can cure; see Reject.
var ErrRejected = errors.New("message rejected")

// Reject marks the error of a message that cannot be decoded. It is an ErrRejected. Its text is kept with the message
// in the dead-letter queue.
func Reject(err error) error { return fmt.Errorf("%w: %w", ErrRejected, err) }
