package setaside

import (
	"context"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// EventLog reads one item of the event log; *dynamostore.Store is one.
type EventLog interface {
	Item(ctx context.Context, stream, version string) (eventsourcing.Record, error)
}

// Releaser releases entries of a List.
type Releaser struct {
	List     *List
	EventLog EventLog
	// Put sends an event on its way again, from the first hop on.
	Put func(context.Context, hop.Event) error
}

// Released says what became of an entry.
type Released string

// What becomes of an entry that is released.
const (
	Sent    Released = "sent again"               // and removed
	Gone    Released = "not in the log any more"  // and removed: somebody deleted what was never an event
	Foreign Released = "names no item of the log" // and kept: there is nothing to send; see List.Remove
)

// Check returns what Release would make of the entry, and changes nothing. Sent means that the log has an event there.
func (r Releaser) Check(ctx context.Context, e Entry) (Released, error) {
	_, became, err := r.check(ctx, e)
	return became, err
}

func (r Releaser) check(ctx context.Context, e Entry) (event hop.Event, became Released, err error) {
	if !e.inLog() {
		return event, Foreign, nil
	}
	record, err := r.EventLog.Item(ctx, e.Stream, e.Version)
	if errors.Is(err, dynamostore.ErrNoItem) {
		return event, Gone, nil
	}
	if err == nil {
		event, err = hop.Encode(record)
	}
	if err != nil {
		return event, "", err
	}
	return event, Sent, nil
}

// Release sends the entry's event again, as the log has it now, and removes the entry. The error says why that is still not
// possible; the entry stays then.
func (r Releaser) Release(ctx context.Context, e Entry) (Released, error) {
	event, became, err := r.check(ctx, e)
	if err != nil || became == Foreign {
		return became, err
	}
	if became == Sent {
		if err := r.Put(ctx, event); err != nil {
			return "", fmt.Errorf("send again: %w", err)
		}
	}
	return became, r.List.Remove(ctx, e)
}
