package sqs

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// sendEntry is the members that SendMessage and the entries of SendMessageBatch have in common.
type sendEntry struct {
	MessageBody             string
	DelaySeconds            *int
	MessageAttributes       map[string]messageAttribute
	MessageSystemAttributes map[string]messageAttribute
	MessageGroupID          string `json:"MessageGroupId"`
	MessageDeduplicationID  string `json:"MessageDeduplicationId"`
}

// size returns the bytes of the body and the attributes; system attributes do not count.
func (e *sendEntry) size() int {
	n := len(e.MessageBody)
	for name, a := range e.MessageAttributes {
		n += len(name) + len(a.DataType) + len(a.BinaryValue)
		if a.StringValue != nil {
			n += len(*a.StringValue)
		}
	}
	return n
}

type sendInput struct {
	QueueURL string `json:"QueueUrl"`
	sendEntry
}

type sendOutput struct {
	MessageID                    string `json:"MessageId"`
	MD5OfMessageBody             string
	MD5OfMessageAttributes       string `json:",omitempty"`
	MD5OfMessageSystemAttributes string `json:",omitempty"`
	SequenceNumber               string `json:",omitempty"`
}

func (s *Service) sendMessage(_ context.Context, in *sendInput) (*sendOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if q.fifo && in.MessageGroupID == "" {
		return nil, missingParameter("MessageGroupId")
	}
	return q.send(&in.sendEntry)
}

type sendBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []sendBatchEntry
}

type sendBatchEntry struct {
	ID string `json:"Id"`
	sendEntry
}

type sendBatchOutput struct {
	Successful []sendBatchResult
	Failed     []batchError `json:",omitempty"`
}

type sendBatchResult struct {
	ID string `json:"Id"`
	*sendOutput
}

// sendMessageBatch sends entry by entry, after the checks for which AWS was observed to refuse the whole batch.
func (s *Service) sendMessageBatch(ctx context.Context, in *sendBatchInput) (*sendBatchOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries, "SendMessageBatchRequestEntry", func(e *sendBatchEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	total := 0
	for i := range in.Entries {
		e := &in.Entries[i].sendEntry
		total += e.size()
		if q.fifo && e.MessageGroupID == "" {
			return nil, invalidParameter("The request must contain the parameter MessageGroupId.")
		}
		if err := q.checkDedup(e); err != nil {
			return nil, err
		}
	}
	if total > maxMessage {
		return nil, simple("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, total)
	}
	out := &sendBatchOutput{Successful: []sendBatchResult{}}
	outcomes := faults.Batch(ctx, len(in.Entries))
	for i := range in.Entries {
		e := &in.Entries[i]
		var sent *sendOutput
		err := injectedError(outcomes.Of(i))
		if err == nil {
			sent, err = q.send(&e.sendEntry)
		}
		if failed, ok := errors.AsType[*awsjson.Error](err); ok {
			out.Failed = append(out.Failed, newBatchError(e.ID, failed))
			continue
		}
		out.Successful = append(out.Successful, sendBatchResult{e.ID, sent})
	}
	return out, nil
}

// checkDedup requires a deduplication id for a FIFO queue without content-based deduplication.
func (q *queue) checkDedup(e *sendEntry) error {
	if q.fifo && e.MessageDeduplicationID == "" && !q.settings.Load().contentDedup {
		return invalidParameter(
			"The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

func (q *queue) checkSend(e *sendEntry) error {
	const wrongType = "The request include parameter that is not valid for this queue type."
	if err := q.checkDedup(e); err != nil {
		return err
	}
	if !q.fifo && e.MessageDeduplicationID != "" {
		return invalidValue(e.MessageDeduplicationID, "MessageDeduplicationId", wrongType)
	}
	if e.DelaySeconds != nil && *e.DelaySeconds != 0 {
		if q.fifo {
			return invalidValue(*e.DelaySeconds, "DelaySeconds", wrongType)
		}
		if *e.DelaySeconds < 0 || *e.DelaySeconds > 900 {
			return invalidValue(*e.DelaySeconds, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
		}
	}
	for parameter, id := range map[string]string{
		"MessageGroupId": e.MessageGroupID, "MessageDeduplicationId": e.MessageDeduplicationID,
	} {
		if id != "" && !isID(id) {
			return invalidValue(id, parameter, parameter+" can only include alphanumeric and punctuation characters. 1 to 128 in length.")
		}
	}
	return nil
}

// isID reports whether s is a valid group, deduplication or attempt id: 1 to 128 printable ASCII characters without space.
func isID(s string) bool {
	return s != "" && len(s) <= 128 && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// isNumber accepts decimal numbers with or without fraction and exponent.
func isNumber(s string) bool {
	if strings.ContainsAny(s, "xXpPbBoO_/iIfF") {
		return false
	}
	exponent := s[strings.LastIndexAny(s, "eE")+1:]
	if n, err := strconv.Atoi(exponent); exponent != s && (err != nil || n > 200 || n < -200) {
		return false
	}
	_, ok := new(big.Rat).SetString(s)
	return ok
}

// send adds the message. For a duplicate it returns the result of the first send.
func (q *queue) send(e *sendEntry) (*sendOutput, error) {
	if err := q.checkSend(e); err != nil {
		return nil, err
	}
	c, err := newContent(e, q.settings.Load().maxSize)
	if err != nil {
		return nil, err
	}
	dedupID := e.MessageDeduplicationID
	if q.fifo && dedupID == "" {
		sum := sha256.Sum256([]byte(e.MessageBody))
		dedupID = hex.EncodeToString(sum[:])
	}
	m := &message{content: c, id: newID(), groupID: e.MessageGroupID, dedupID: dedupID}
	done, err := q.enqueue(m, e.DelaySeconds)
	if err != nil {
		return nil, err
	}
	out := &sendOutput{
		MessageID: done.messageID, MD5OfMessageBody: c.bodyMD5, MD5OfMessageAttributes: attributesDigest(c.attributes),
		MD5OfMessageSystemAttributes: attributesDigest(e.MessageSystemAttributes),
	}
	if q.fifo {
		out.SequenceNumber = strconv.FormatUint(done.number, 10)
	}
	return out, nil
}

// newID returns a random UUID, as AWS's message ids are.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (q *queue) enqueue(m *message, delaySeconds *int) (sent, error) {
	now := q.lock()
	defer q.unlock()
	if q.deleted {
		return sent{}, queueDoesNotExist()
	}
	set := q.settings.Load()
	key := dedupKey{id: m.dedupID}
	if set.dedupByGroup {
		key.group = m.groupID
	}
	if first, ok := q.sent.find(key, now); ok && q.fifo {
		return first, nil
	}
	delay := set.delay
	if delaySeconds != nil && !q.fifo {
		delay = time.Duration(*delaySeconds) * time.Second
	}
	m.sentAt = now
	q.add(m, delay, now)
	done := sent{m.id, m.number}
	if q.fifo {
		q.sent.remember(key, done, now)
	}
	return done, nil
}
