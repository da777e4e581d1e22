package sqs

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

type receiveInput struct {
	QueueURL                    string `json:"QueueUrl"`
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	AttributeNames              []string // the deprecated name of MessageSystemAttributeNames
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	ReceiveRequestAttemptID     string `json:"ReceiveRequestAttemptId"`
}

type receiveOutput struct {
	Messages []receivedMessage `json:",omitempty"`
}

type receivedMessage struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	Body                   string
	MD5OfBody              string
	Attributes             map[string]string           `json:",omitempty"`
	MessageAttributes      map[string]messageAttribute `json:",omitempty"`
	MD5OfMessageAttributes string                      `json:",omitempty"`
}

// request is a checked receiveInput with the queue's defaults.
type request struct {
	max        int
	visibility time.Duration
	wait       time.Duration
	attempt    string
	system     []string
	attributes []string
}

func (in *receiveInput) check(q *queue) (request, error) {
	for _, err := range []error{
		checkRange("MaxNumberOfMessages", in.MaxNumberOfMessages, 1, maxBatch),
		checkRange("VisibilityTimeout", in.VisibilityTimeout, 0, int(maxVisibility.Seconds())),
		checkRange("WaitTimeSeconds", in.WaitTimeSeconds, 0, 20),
	} {
		if err != nil {
			return request{}, err
		}
	}
	if id := in.ReceiveRequestAttemptID; id != "" && (!isID(id) || !q.fifo) {
		return request{}, invalidValue(id, "ReceiveRequestAttemptId",
			"it takes a FIFO queue, and alphanumeric and punctuation characters only, 1 to 128 in length.")
	}
	set := q.settings.Load()
	r := request{
		max: 1, visibility: set.visibility, wait: set.wait, attempt: in.ReceiveRequestAttemptID,
		system: slices.Concat(in.AttributeNames, in.MessageSystemAttributeNames), attributes: in.MessageAttributeNames,
	}
	for _, name := range r.system {
		if !isSystemAttribute(name) {
			return request{}, unknownAttribute(name)
		}
	}
	if in.MaxNumberOfMessages != nil {
		r.max = *in.MaxNumberOfMessages
	}
	if in.VisibilityTimeout != nil {
		r.visibility = time.Duration(*in.VisibilityTimeout) * time.Second
	}
	if in.WaitTimeSeconds != nil {
		r.wait = time.Duration(*in.WaitTimeSeconds) * time.Second
	}
	return r, nil
}

// receiveMessage waits up to the request's wait time until there is a message.
func (s *Service) receiveMessage(ctx context.Context, in *receiveInput) (*receiveOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	r, err := in.check(q)
	if err != nil {
		return nil, err
	}
	end := time.NewTimer(r.wait)
	defer end.Stop()
	for last := r.wait == 0; ctx.Err() == nil; {
		got, next, err := s.tryReceive(q, r)
		if early := faults.On(ctx, faults.Redeliver); len(got) > 0 && early.Take() {
			q.endEarly(got, time.Duration(early.Chance()*float64(r.visibility)))
		}
		if err != nil || len(got) > 0 || last {
			return &receiveOutput{got}, err
		}
		due := time.NewTimer(next.in)
		select {
		case <-ctx.Done():
		case <-s.closed:
			last = true
		case <-end.C:
			last = true
		case <-next.wake:
		case <-due.C:
		}
		due.Stop()
	}
	return &receiveOutput{}, nil // the client has disconnected
}

// endEarly is a fault: it shortens the visibility timeout of messages that were just received.
func (q *queue) endEarly(got []receivedMessage, visibility time.Duration) {
	now := q.lock()
	defer q.unlock()
	for _, g := range got {
		r, _ := parseReceipt(g.ReceiptHandle)
		if m, current := q.find(r); current && m.state == inFlight {
			q.hide(m, now, visibility)
		}
	}
}

// nextTry is when an empty receive must retry: when wake is closed, or after a time.
type nextTry struct {
	wake <-chan struct{}
	in   time.Duration
}

func (s *Service) tryReceive(q *queue, r request) ([]receivedMessage, nextTry, error) {
	dead := s.byARN(q.settings.Load().redrive.Target)
	got, next, err := q.tryReceive(r, dead, s.options.AccountID)
	if dead != nil {
		dead.collect()
	}
	return got, next, err
}

func (q *queue) tryReceive(r request, dead *queue, sender string) ([]receivedMessage, nextTry, error) {
	now := q.lock()
	defer q.unlock()
	if q.deleted {
		return nil, nextTry{}, queueDoesNotExist()
	}
	taken := q.replay(r, now)
	if taken == nil {
		taken = q.take(now, r.max, r.visibility, dead)
		q.rememberAttempt(r.attempt, taken, now)
	}
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html: neither
	// FIFO queues nor long polls report the limit
	if len(taken) == 0 && !q.fifo && r.wait == 0 && q.counts[inFlight] >= maxInFlight {
		return nil, nextTry{}, failure("OverLimit", "OverLimit", "The maximum number of in flight messages is reached.")
	}
	out := make([]receivedMessage, len(taken))
	for i, m := range taken {
		out[i] = q.render(m, r, sender)
	}
	q.waited = q.waited || len(out) == 0
	next := nextTry{q.wake, time.Hour}
	if len(q.due) > 0 {
		next.in = q.due[0].dueAt.Sub(now)
	}
	return out, next, nil
}

// collect moves dead letters from the inbox into the queue, which wakes its waiting receives.
func (q *queue) collect() {
	q.inbox.mu.Lock()
	empty := len(q.inbox.letters) == 0
	q.inbox.mu.Unlock()
	if !empty {
		q.lock()
		q.unlock()
	}
}

// replay returns the messages of a repeated attempt and restarts their visibility timeout, unless one of them was changed or
// deleted or has become visible. It returns nil if there is nothing to replay.
func (q *queue) replay(r request, now time.Time) []*message {
	if r.attempt == "" {
		return nil
	}
	receipts, _ := q.attempts.find(r.attempt, now)
	var out []*message
	for _, receipt := range receipts {
		m, current := q.find(receipt)
		if m == nil || !current || m.state != inFlight || m.changed {
			return nil
		}
		out = append(out, m)
	}
	for _, m := range out {
		q.place(m, inFlight, now.Add(r.visibility))
	}
	return out
}

func (q *queue) rememberAttempt(id string, taken []*message, now time.Time) {
	if id == "" || len(taken) == 0 {
		return
	}
	receipts := make([]receipt, len(taken))
	for i, m := range taken {
		receipts[i] = q.receiptOf(m)
	}
	q.attempts.remember(id, receipts, now)
}

// receipt identifies one receive of one message.
type receipt struct {
	queue   string
	number  uint64
	receive int
}

func (q *queue) receiptOf(m *message) receipt { return receipt{q.id, m.number, m.received} }

// handle returns the receipt as clients see it.
func (r receipt) handle() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s/%d/%d", r.queue, r.number, r.receive))
}

// parseReceipt is the inverse of handle.
func parseReceipt(handle string) (receipt, bool) {
	b, err := base64.StdEncoding.DecodeString(handle)
	parts := strings.Split(string(b), "/")
	if err != nil || len(parts) != 3 {
		return receipt{}, false
	}
	number, err1 := strconv.ParseUint(parts[1], 10, 64)
	receive, err2 := strconv.Atoi(parts[2])
	return receipt{parts[0], number, receive}, err1 == nil && err2 == nil
}

// find returns nil for a message that was removed. current reports whether the receipt is of the latest receive.
func (q *queue) find(r receipt) (m *message, current bool) {
	m = q.messages[r.number]
	return m, m != nil && m.received == r.receive
}

func isSystemAttribute(name string) bool {
	return slices.Contains([]string{
		"All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber",
		"MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
	}, name)
}

func (q *queue) render(m *message, r request, sender string) receivedMessage {
	out := receivedMessage{
		MessageID: m.id, ReceiptHandle: q.receiptOf(m).handle(), Body: m.body, MD5OfBody: m.bodyMD5,
		Attributes: map[string]string{}, MessageAttributes: map[string]messageAttribute{},
	}
	if len(r.system) > 0 {
		system := q.systemAttributes(m, sender)
		for name, value := range system {
			if slices.Contains(r.system, name) || slices.Contains(r.system, "All") {
				out.Attributes[name] = value
			}
		}
	}
	for name, a := range m.attributes {
		if slices.ContainsFunc(r.attributes, func(wanted string) bool { return selects(wanted, name) }) {
			out.MessageAttributes[name] = a
		}
	}
	out.MD5OfMessageAttributes = attributesDigest(out.MessageAttributes)
	return out
}

// selects supports All, .* and prefix.*, and *, which AWS does not document: https://github.com/localstack/localstack/issues/8566
func selects(wanted, name string) bool {
	prefix, isPrefix := strings.CutSuffix(wanted, ".*")
	return wanted == name || wanted == "All" || wanted == "*" || isPrefix && strings.HasPrefix(name, prefix)
}

func (q *queue) systemAttributes(m *message, sender string) map[string]string {
	out := map[string]string{
		"SenderId":                         sender,
		"SentTimestamp":                    strconv.FormatInt(m.sentAt.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(m.receivedAll),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.firstGotAt.UnixMilli(), 10),
	}
	if q.fifo {
		out["SequenceNumber"] = strconv.FormatUint(m.number, 10)
		out["MessageDeduplicationId"] = m.dedupID
	}
	for name, value := range map[string]string{
		"MessageGroupId": m.groupID, "AWSTraceHeader": m.traceHeader, "DeadLetterQueueSourceArn": m.sourceARN,
	} {
		if value != "" {
			out[name] = value
		}
	}
	return out
}
