package sqs

import (
	"context"
	"errors"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// errStale is for an expired receipt; AWS words it differently in a batch and in a single call.
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
	outcomes, kept := faults.Batch(ctx, len(in.Entries)), faults.Entries(ctx, faults.Duplicate, len(in.Entries))
	for i, e := range in.Entries {
		if failed := injectedError(outcomes.Of(i)); failed != nil {
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

// open locks the queue and returns the message of a receipt, or nil if it was removed. The caller must unlock the queue
// unless there is an error. current reports whether the receipt is of the latest receive.
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
		q.unlock()
		return nil, false, now, queueDoesNotExist()
	}
	m, current = q.find(r)
	return m, current, now, nil
}

// delete removes a message by its latest receipt; it also succeeds if the message was removed before. A stale receipt fails
// on a FIFO queue (https://github.com/aws/aws-sdk-js/issues/1750); on a standard queue it succeeds and deletes nothing
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html).
func (q *queue) delete(handle string) error { return q.settle(handle, false) }

// settle is delete, except that a fault can keep the message and report success.
func (q *queue) settle(handle string, keep bool) error {
	m, current, _, err := q.open(handle)
	if err != nil {
		return err
	}
	defer q.unlock()
	switch {
	case m == nil:
	case q.fifo && (!current || m.state != inFlight):
		return errStale
	case current && !keep:
		q.remove(m)
	}
	return nil
}
