package sqs

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// failure returns an error that the client caused. query is its code in the older query protocol, which SDKs prefer.
func failure(code, query, format string, args ...any) *awsjson.Error {
	e := awsjson.Errorf(code, format, args...)
	e.QueryCode = query + ";Sender"
	return e
}

// simple returns a failure whose query code is the code with the service's prefix.
func simple(code, format string, args ...any) *awsjson.Error {
	return failure(code, "AWS.SimpleQueueService."+code, format, args...)
}

func invalidParameter(format string, args ...any) *awsjson.Error {
	return failure("InvalidParameterValueException", "InvalidParameterValue", format, args...)
}

// invalidValue returns an invalidParameter in its most common form.
func invalidValue(value any, parameter, reason string) *awsjson.Error {
	return invalidParameter("Value %v for parameter %s is invalid. Reason: %s", value, parameter, reason)
}

func missingParameter(name string) *awsjson.Error {
	return failure("MissingRequiredParameterException", "MissingParameter", "The request must contain the parameter %s.", name)
}

func invalidAddress(queueURL string) *awsjson.Error {
	return failure("InvalidAddress", "InvalidAddress", "The address %s is not valid for this endpoint.", queueURL)
}

func queueDoesNotExist() *awsjson.Error {
	return failure("QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}

func queueNameExists(attribute string) *awsjson.Error {
	return failure("QueueNameExists", "QueueAlreadyExists",
		"A queue already exists with the same name and a different value for attribute %s", attribute)
}

func purgeInProgress(name string) *awsjson.Error {
	e := simple("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", name)
	e.Status = http.StatusForbidden
	return e
}

func unknownAttribute(name string) *awsjson.Error {
	return failure("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute %s.", name)
}

func invalidAttribute(name string) *awsjson.Error {
	return failure("InvalidAttributeValue", "InvalidAttributeValue", "Invalid value for the parameter %s.", name)
}

// batchError is a BatchResultErrorEntry.
type batchError struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string
}

func newBatchError(id string, e *awsjson.Error) batchError {
	code, at, _ := strings.Cut(e.QueryCode, ";")
	return batchError{ID: id, SenderFault: at == "Sender", Code: code, Message: e.Message}
}

// injectedError returns the error of a batch entry that a fault strikes, or nil.
func injectedError(outcome faults.Outcome) error {
	switch outcome {
	case faults.Throttled:
		return failure("RequestThrottled", "RequestThrottled", "Request is throttled.")
	case faults.Failed:
		e := awsjson.Errorf("InternalError", "We encountered an internal error. Please try again.")
		e.QueryCode = "InternalError;Receiver"
		return e
	case faults.Denied: // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html#API_SendMessage_Errors
		return failure("KmsAccessDenied", "KMS.AccessDeniedException", "The caller doesn't have the required KMS access.")
	default:
		return nil
	}
}

// maxBatch is the number of entries in a batch:
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const maxBatch = 10

// checkBatch returns the error that fails a batch as a whole.
func checkBatch[E any](entries []E, what string, id func(*E) string) error {
	if len(entries) == 0 {
		return simple("EmptyBatchRequest", "There should be at least one %s in the request.", what)
	}
	if len(entries) > maxBatch {
		return simple("TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(entries))
	}
	seen := map[string]bool{}
	for i := range entries {
		id := id(&entries[i])
		if !isName(id) {
			return simple("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, "+
				"hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return simple("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

// isName reports whether s is a valid queue name or batch entry id.
func isName(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

// checkRange returns an error for a number that is out of bounds; it may be absent.
func checkRange(parameter string, value *int, low, high int) error {
	if value == nil || *value >= low && *value <= high {
		return nil
	}
	return invalidValue(*value, parameter, fmt.Sprintf("Must be between %d and %d, if provided.", low, high))
}
