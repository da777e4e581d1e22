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

// conditionFailed is the code of a cancellation reason.
const conditionFailed = "ConditionalCheckFailed"

// errContended: another transaction uses an item, or the table is at its limit. A retry may succeed at once.
var errContended = errors.New("transaction contended")

// errCommandContended: another request is writing the same command.
var errCommandContended = fmt.Errorf("%w by the same command", errContended)

// failed wraps err with the operation and with what it means: contention, an unavailable service, or neither if a retry
// would fail too. The end of the context is none of these; the SDK's error wraps it.
func failed(operation string, err error) error {
	if err == nil {
		return nil
	}
	if conflict, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return fmt.Errorf("%s: %w: %w", operation, errContended, conflict)
	}
	if retryable(err) {
		return fmt.Errorf("%s: %w: %w", operation, eventsourcing.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// retryable reports whether the SDK, whose own retries are exhausted, would retry err, or the answer was cut off.
func retryable(err error) bool {
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return true
	}
	return retry.IsErrorRetryables(retry.DefaultRetryables).IsErrorRetryable(err) == aws.TrueTernary
}
