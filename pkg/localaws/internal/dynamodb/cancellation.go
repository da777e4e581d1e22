package dynamodb

import (
	"context"
	"errors"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/dynamodb/attr"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// cancellationReason is the result of one item of a cancelled transaction.
type cancellationReason struct {
	Code    string
	Message string    `json:",omitempty"`
	Item    attr.Item `json:",omitempty"`
}

// cancellation has a reason for every item, in the order of the request.
type cancellation []cancellationReason

func newCancellation(n int) cancellation {
	c := make(cancellation, n)
	for i := range c {
		c[i].Code = "None"
	}
	return c
}

// fail records an item's error.
func (c cancellation) fail(i int, err error) {
	e, ok := errors.AsType[*awsjson.Error](err)
	if !ok {
		e = awsjson.Errorf("InternalServerError", "%s", err.Error())
	}
	reason := cancellationReason{Code: e.Code, Message: e.Message}
	switch e.Code {
	case "ConditionalCheckFailedException":
		reason.Code = "ConditionalCheckFailed"
	case "ValidationException":
		reason.Code = "ValidationError"
	}
	reason.Item, _ = e.Fields["Item"].(attr.Item)
	c[i] = reason
}

func (c cancellation) conflict(i int) {
	c[i] = cancellationReason{Code: "TransactionConflict", Message: "Transaction is ongoing for the item"}
}

// injectedConflict returns the error of a fault: another transaction holds one of n items.
func injectedConflict(ctx context.Context, n int) error {
	fault := faults.On(ctx, faults.TransactionConflict)
	if !fault.Take() {
		return nil
	}
	reasons := newCancellation(n)
	reasons.conflict(fault.Pick(n))
	return reasons.err()
}

// err returns nil unless an item has failed.
func (c cancellation) err() error {
	codes := make([]string, len(c))
	cancelled := false
	for i, r := range c {
		codes[i] = r.Code
		cancelled = cancelled || r.Code != "None"
	}
	if !cancelled {
		return nil
	}
	e := awsjson.Errorf("TransactionCanceledException",
		"Transaction cancelled, please refer cancellation reasons for specific reasons [%s]", strings.Join(codes, ", "))
	e.Fields = map[string]any{"CancellationReasons": []cancellationReason(c)}
	return e
}
