package faults

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Call is the faults that may strike one call.
type Call struct {
	operation string
	strikes   []*Strike
}

type key struct{}

// With returns a context that carries the call's faults to its operation.
func With(ctx context.Context, c *Call) context.Context { return context.WithValue(ctx, key{}, c) }

// On returns the call's fault of a kind, or nil.
func On(ctx context.Context, kind Kind) *Strike {
	c, _ := ctx.Value(key{}).(*Call)
	return c.first(kind)
}

func (c *Call) first(kind Kind) *Strike {
	if c == nil {
		return nil
	}
	for _, s := range c.strikes {
		if s.target.rule.Kind == kind && !s.target.refuses {
			return s
		}
	}
	return nil
}

// Delay returns how long to delay the call before and after it takes effect.
func (c *Call) Delay() (before, after time.Duration) {
	for _, s := range c.strikes {
		r := s.target.rule
		if r.Kind != Latency || !s.Take() {
			continue
		}
		d := r.Min + time.Duration(s.Chance()*float64(r.Max-r.Min))
		first := time.Duration(s.Chance() * float64(d))
		before, after = before+first, after+d-first
	}
	return before, after
}

// Refusal returns the error of a call that must have no effect, or nil.
func (c *Call) Refusal() error {
	for _, s := range c.strikes {
		if !s.target.refuses || !s.Take() {
			continue
		}
		switch s.target.rule.Kind {
		case Throttle:
			codes := throttling(c.operation)
			return throttled(c.operation, codes[s.Pick(len(codes))])
		case Deny:
			return c.denial()
		case ExpireIterator:
			return awsjson.Errorf("ExpiredIteratorException", "Iterator expired.")
		default: // Fail
			return c.Failure()
		}
	}
	return nil
}

// Delivery is what happens to the response of a call that took effect.
type Delivery int

// A response is delivered, is replaced by an error, or the connection breaks.
const (
	Delivered Delivery = iota
	Replaced
	Broken
)

// Delivery decides on the call's response.
func (c *Call) Delivery() Delivery {
	s := c.first(LoseAnswer)
	if !s.Take() {
		return Delivered
	}
	return Replaced + Delivery(s.Pick(2))
}

// Silent decides whether the call is never answered, and whether it takes effect then.
func (c *Call) Silent() (silent, effect bool) {
	s := c.first(Silence)
	if !s.Take() {
		return false, false
	}
	return true, s.Pick(2) == 1
}

// maxEvents limits the events of a stream before a lost answer cuts it off.
const maxEvents = 10

// Events returns how many events of a stream are sent before Delivery is asked.
func (c *Call) Events() int {
	if s := c.first(LoseAnswer); s != nil {
		return s.Pick(maxEvents)
	}
	return 0
}

// Failure returns the service's internal error. Sources: the pages Common Errors and the operations' own of each API
// reference, such as https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html
func (c *Call) Failure() error {
	e := &awsjson.Error{
		Code: "InternalFailure", Status: http.StatusInternalServerError,
		Message: "The request processing has failed because of an unknown error, exception or failure.",
	}
	switch service, _, _ := strings.Cut(c.operation, "."); service {
	case "DynamoDB", "DynamoDBStreams":
		e.Code = "InternalServerError"
	case "AmazonSQS":
		e.QueryCode = "InternalFailure;Receiver"
	}
	return e
}

// denial returns the error of a caller that lacks the right. Sources: the pages Common Errors of each API reference, such as
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/CommonErrors.html
func (c *Call) denial() error {
	e := awsjson.Errorf("AccessDeniedException", "The caller is not authorized to perform %s.", c.operation)
	if strings.HasPrefix(c.operation, "AmazonSQS.") {
		e.Status, e.QueryCode = http.StatusForbidden, "AccessDenied;Sender"
	}
	return e
}

// throttling returns the codes of an operation's throttling errors. Sources: the errors of
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html,
// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html,
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html and its neighbours, and
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func throttling(operation string) []string {
	const (
		exceeded = "ProvisionedThroughputExceededException"
		throttle = "ThrottlingException"
		limit    = "LimitExceededException"
	)
	service, name, _ := strings.Cut(operation, ".")
	switch service {
	case "DynamoDB":
		switch name {
		case "PutItem", "GetItem", "UpdateItem", "DeleteItem", "Query", "Scan", "BatchGetItem", "BatchWriteItem",
			"TransactGetItems", "TransactWriteItems":
			return []string{exceeded, throttle, "RequestLimitExceeded"}
		case "CreateTable", "UpdateTable", "DeleteTable", "UpdateTimeToLive":
			return []string{limit, throttle}
		}
		return []string{throttle}
	case "DynamoDBStreams":
		if name == "GetRecords" {
			return []string{limit, throttle}
		}
		return []string{throttle}
	case "Kinesis":
		switch name {
		case "PutRecord", "PutRecords", "GetRecords", "GetShardIterator":
			return []string{exceeded}
		}
		return []string{limit}
	default:
		return []string{"RequestThrottled"}
	}
}

func throttled(operation, code string) error {
	e := awsjson.Errorf(code, "Rate exceeded: the rate of requests to %s is too high.", operation)
	if code == "RequestThrottled" {
		e.QueryCode = code + ";Sender"
	}
	return e
}
