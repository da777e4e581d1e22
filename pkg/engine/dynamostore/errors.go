package dynamostore

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// conditionFailed is a cancellation reason's code.
const conditionFailed = "ConditionalCheckFailed"

// errContended: other transactions hold an item, or the table is at its limit. Another try may succeed at once.
var errContended = errors.New("transaction contended")

// errCommandContended: the same command is being written by another request.
var errCommandContended = fmt.Errorf("%w by the same command", errContended)

// failed says what an error means for the caller: contention, a service that is away, or a fault that another try would
// meet again. The context's end is none of these; the SDK's error wraps it.
func failed(deed string, err error) error {
	if err == nil {
		return nil
	}
	if conflict, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return fmt.Errorf("%s: %w: %w", deed, errContended, conflict)
	}
	if worthAnotherTry(err) {
		return fmt.Errorf("%s: %w: %w", deed, eventsourcing.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", deed, err)
}

// worthAnotherTry asks the SDK, whose own retries are spent by now, and adds the answer that broke off on its way.
func worthAnotherTry(err error) bool {
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return true
	}
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}
