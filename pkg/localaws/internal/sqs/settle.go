package sqs

import (
	"context"
	"errors"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// maxVisibility counts from the receive, however often the timeout is changed.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const maxVisibility = 12 * time.Hour

// errStale is an expired receipt, which a batch words differently from a single call.
var errStale = errors.New("the receipt handle has expired")

type deleteInput struct {
	QueueURL      string `json:"QueueUrl"`
	ReceiptHandle string
}

func (s *Service) deleteMessage(ctx context.Context, in *deleteInput) (*none, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	err = q.settle(in.ReceiptHandle, faults.On(ctx, faults.Duplicate).Take())
	if errors.Is(err, errStale) {
		return nil, invalidValue(in.ReceiptHandle, "ReceiptHandle", "The receipt handle has expired.")
	}
	return &none{}, err
}

type deleteBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []deleteBatchEntry
}

type deleteBatchEntry struct {
	ID            string `json:"Id"`
	ReceiptHandle string
}

type batchOutput struct {
	Successful []batchResult
	Failed     []batchError `json:",omitempty"`
}

type batchResult struct {
	ID string `json:"Id"`
}

func (s *Service) deleteMessageBatch(ctx context.Context, in *deleteBatchInput) (*batchOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries, "DeleteMessageBatchRequestEntry", func(e *deleteBatchEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	out := &batchOutput{Successful: []batchResult{}}
	fates, kept := faults.Batch(ctx, len(in.Entries)), faults.Entries(ctx, faults.Duplicate, len(in.Entries))
	for i, e := range in.Entries {
		if failed := struck(fates.Of(i)); failed != nil {
			out.add(e.ID, failed)
			continue
		}
		err := q.settle(e.ReceiptHandle, kept.Has(i))
		if errors.Is(err, errStale) { // worded as https://github.com/smaskalik/sqsmover/issues/54 shows
			err = failure("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid", "The receipt handle has expired")
		}
		out.add(e.ID, err)
	}
	return out, nil
}

func (o *batchOutput) add(id string, err error) {
	if failed, ok := errors.AsType[*awsjson.Error](err); ok {
		o.Failed = append(o.Failed, newBatchError(id, failed))
		return
	}
	o.Successful = append(o.Successful, batchResult{id})
}

type changeVisibilityInput struct {
	QueueURL string `json:"QueueUrl"`
	changeVisibility
}

type changeVisibility struct {
	ReceiptHandle     string
	VisibilityTimeout *int
}

func (s *Service) changeMessageVisibility(ctx context.Context, in *changeVisibilityInput) (*none, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if early := faults.On(ctx, faults.Redeliver); early.Take() {
		in.shorten(early)
	}
	return &none{}, q.changeVisibility(in.changeVisibility)
}

// shorten is a fault: the visibility timeout ends early.
func (in *changeVisibility) shorten(early *faults.Strike) {
	if v := in.VisibilityTimeout; v != nil && *v > 0 && *v <= int(maxVisibility.Seconds()) {
		shorter := early.Pick(*v)
		in.VisibilityTimeout = &shorter
	}
}

type changeVisibilityBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []changeVisibilityBatchEntry
}

type changeVisibilityBatchEntry struct {
	ID string `json:"Id"`
	changeVisibility
}

func (s *Service) changeMessageVisibilityBatch(ctx context.Context, in *changeVisibilityBatchInput) (*batchOutput, error) {
	q, err := s.byURL(in.QueueURL)
	if err != nil {
		return nil, err
	}
	if err := checkBatch(in.Entries, "ChangeMessageVisibilityBatchRequestEntry",
		func(e *changeVisibilityBatchEntry) string { return e.ID }); err != nil {
		return nil, err
	}
	out := &batchOutput{Successful: []batchResult{}}
	fates, early := faults.Batch(ctx, len(in.Entries)), faults.Entries(ctx, faults.Redeliver, len(in.Entries))
	for i, e := range in.Entries {
		if failed := struck(fates.Of(i)); failed != nil {
			out.add(e.ID, failed)
			continue
		}
		if early.Has(i) {
			e.shorten(faults.On(ctx, faults.Redeliver))
		}
		out.add(e.ID, q.changeVisibility(e.changeVisibility))
	}
	return out, nil
}

// open finds the message of a receipt and takes the queue's lock; the caller unlocks it if there is no error. The
// message is nil if it is gone. current says whether the receipt is of its latest receive.
func (q *queue) open(handle string) (m *message, current bool, now time.Time, err error) {
	if handle == "" {
		return nil, false, now, missingParameter("ReceiptHandle")
	}
	r, ok := parseReceipt(handle)
	if !ok || r.queue != q.id {
		return nil, false, now, failure("ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
			"The input receipt handle %q is not a valid receipt handle.", handle)
	}
	now = q.lock()
	if q.deleted {
		q.mu.Unlock()
		return nil, false, now, queueDoesNotExist()
	}
	m, current = q.find(r)
	return m, current, now, nil
}

// delete removes a message by its latest receipt and succeeds if it is gone already. A stale receipt fails on a FIFO
// queue (https://github.com/aws/aws-sdk-js/issues/1750); on a standard queue it succeeds and deletes nothing
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html).
func (q *queue) delete(handle string) error { return q.settle(handle, false) }

// settle is delete, or a fault: one that keeps the message and does not tell.
func (q *queue) settle(handle string, keep bool) error {
	m, current, _, err := q.open(handle)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	switch {
	case m == nil:
	case q.fifo && (!current || m.state != inFlight):
		return errStale
	case current && !keep:
		q.remove(m)
	}
	return nil
}

// changeVisibility hides a received message for another span from now, or shows it at once with zero. On a standard
// queue a message that has become visible again by itself stays so, without an error.
func (q *queue) changeVisibility(in changeVisibility) error {
	if in.VisibilityTimeout == nil {
		return missingParameter("VisibilityTimeout")
	}
	if err := checkRange("VisibilityTimeout", in.VisibilityTimeout, 0, int(maxVisibility.Seconds())); err != nil {
		return err
	}
	m, current, now, err := q.open(in.ReceiptHandle)
	if err != nil {
		return err
	}
	defer q.mu.Unlock()
	if m == nil || !current || q.fifo && m.state != inFlight {
		return invalidValue(in.ReceiptHandle, "ReceiptHandle",
			"Message does not exist or is not available for visibility timeout change.")
	}
	visibility := time.Duration(*in.VisibilityTimeout) * time.Second
	if now.Add(visibility).After(m.receivedAt.Add(maxVisibility)) {
		return invalidValue(*in.VisibilityTimeout, "VisibilityTimeout",
			"Total VisibilityTimeout for the message is beyond the limit [43200 seconds]")
	}
	if m.state == inFlight {
		m.changed = true
		q.hide(m, now, visibility)
	}
	return nil
}
