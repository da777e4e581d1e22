package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/service/awsconfig"
)

// unknownEventRetry is about what it takes until another replica answers.
const unknownEventRetry = 5 * time.Second

// operatorRetry is how often to ask again while an operator has to act.
const operatorRetry = time.Minute

// ProblemOf returns the answer to an error: the one place where errors meet HTTP. An error that it does not know becomes
// an "internal" problem without details.
func ProblemOf(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if r, ok := errors.AsType[*eventsourcing.Refusal](err); ok {
		p := NewProblem(statusOf(r.Kind), r.Code, r.Reason)
		if r.Kind == eventsourcing.NotReady {
			return p.RetryAfter(operatorRetry)
		}
		return p
	}
	switch {
	case errors.Is(err, projection.ErrBadCursor):
		return NewProblem(http.StatusBadRequest, CodeBadCursor, "the cursor is of another list, or of none")
	case errors.Is(err, projection.ErrNotYet):
		return NewProblem(http.StatusPreconditionFailed, CodeNotYet, "the read model has not come to that version yet; ask again").
			RetryAfter(time.Second)
	case errors.Is(err, eventsourcing.ErrVersionMismatch):
		return NewProblem(http.StatusPreconditionFailed, CodePreconditionFailed, "it is not, or no longer, at a version that the request allows")
	case errors.Is(err, eventsourcing.ErrConflict), errors.Is(err, eventsourcing.ErrGuardMoved),
		errors.Is(err, eventsourcing.ErrScopeMoved):
		return NewProblem(http.StatusConflict, CodeBusy, "too many changes at once; try again").RetryAfter(time.Second)
	case errors.Is(err, eventsourcing.ErrTooLarge):
		return NewProblem(http.StatusRequestEntityTooLarge, CodeTooLarge, "the change is larger than can be stored")
	case errors.Is(err, eventsourcing.ErrLogHole):
		return NewProblem(http.StatusInternalServerError, CodeLogHole, "the log lacks an event of it; an operator has to restore it")
	case errors.Is(err, eventsourcing.ErrResultUnreadable):
		return NewProblem(http.StatusInternalServerError, CodeResultUnreadable, "it was carried out already, but its answer cannot be read")
	case errors.Is(err, projection.ErrBadRow):
		return NewProblem(http.StatusInternalServerError, CodeRowUnreadable, "its row cannot be read; an operator has to rebuild it")
	case errors.Is(err, eventsourcing.ErrUnknownEvent):
		return NewProblem(http.StatusServiceUnavailable, CodeUnknownEvent, "a newer build has changed it; this one cannot; try again").
			RetryAfter(unknownEventRetry)
	case errors.Is(err, eventsourcing.ErrUnavailable), awsAway(err),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return NewProblem(http.StatusServiceUnavailable, CodeUnavailable, "not possible right now; try again later").RetryAfter(time.Second)
	default:
		return internal()
	}
}

func internal() *Problem {
	return NewProblem(http.StatusInternalServerError, CodeInternal, "something went wrong on our side")
}

// awsAway reports whether a call of AWS got no answer, or one that says that AWS failed or is overloaded.
func awsAway(err error) bool {
	if _, ok := errors.AsType[*smithy.OperationError](err); !ok {
		return false
	}
	if _, answered := errors.AsType[smithy.APIError](err); !answered {
		return true
	}
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	return ok && response.HTTPStatusCode() >= http.StatusInternalServerError || awsconfig.Throttled(err)
}

func statusOf(k eventsourcing.Kind) int {
	switch k {
	case eventsourcing.Invalid:
		return http.StatusUnprocessableEntity
	case eventsourcing.NotFound:
		return http.StatusNotFound
	case eventsourcing.FailedPrecondition:
		return http.StatusConflict
	case eventsourcing.NotReady:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
