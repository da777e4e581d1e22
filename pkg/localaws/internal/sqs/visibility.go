package sqs

import (
	"context"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// maxVisibility is counted from the receive, even if the timeout is changed repeatedly.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
const maxVisibility = 12 * time.Hour

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

// shorten is a fault: it shortens the visibility timeout.
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
	outcomes, early := faults.Batch(ctx, len(in.Entries)), faults.Entries(ctx, faults.Redeliver, len(in.Entries))
	for i, e := range in.Entries {
		if failed := injectedError(outcomes.Of(i)); failed != nil {
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

// changeVisibility restarts a received message's visibility timeout; zero makes the message visible. On a standard queue, the
// receipt may be of an earlier receive, and it succeeds without effect if the message has already become visible.
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
	defer q.unlock()
	if m == nil || q.fifo && (!current || m.state != inFlight) {
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
