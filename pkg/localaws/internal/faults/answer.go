package faults

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
)

// Delay is how long the call takes more, before its effect and after.
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

// Refusal is the error that answers the call, which then has no effect; nil if it may go on.
func (c *Call) Refusal() error {
	for _, s := range c.strikes {
		if !s.target.refuses || !s.Take() {
			continue
		}
		switch s.target.rule.Kind {
		case Throttle:
			codes := throttling(c.operation)
			return throttled(c.operation, codes[s.Pick(len(codes))])
		case ExpireIterator:
			return awsjson.Errorf("ExpiredIteratorException", "Iterator expired.")
		default: // Fail
			return c.Failure()
		}
	}
	return nil
}

// Loss is what becomes of the answer to a call that took effect.
type Loss int

// An answer arrives, is replaced by an error, or the connection breaks.
const (
	Arrives Loss = iota
	Replaced
	Broken
)

// Answer is the fate of the call's answer.
func (c *Call) Answer() Loss {
	s := c.first(LoseAnswer)
	if !s.Take() {
		return Arrives
	}
	return Replaced + Loss(s.Pick(2))
}

// maxEvents is how many events of a stream arrive at most before a lost answer takes the rest.
const maxEvents = 10

// Events is how many events of a stream arrive before Answer decides on the rest.
func (c *Call) Events() int {
	if s := c.first(LoseAnswer); s != nil {
		return s.Pick(maxEvents)
	}
	return 0
}

// Failure is how a service says that it broke. Sources: the pages Common Errors and the operations' own of each API
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

// throttling is the errors by which an operation may refuse a client that is too fast. Sources: the errors of
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

// Chosen tells the entries of a batch that a fault befalls.
type Chosen []bool

// Has is false for every entry of a nil Chosen.
func (c Chosen) Has(i int) bool { return c != nil && c[i] }

// Entries chooses among a batch's n entries, at least one, if the kind befalls the call.
func Entries(ctx context.Context, kind Kind, n int) Chosen {
	s := On(ctx, kind)
	if n == 0 || !s.Take() {
		return nil
	}
	share := s.target.rule.Share
	if share == 0 {
		share = 0.5
	}
	out := make(Chosen, n)
	out[s.Pick(n)] = true
	for i := range out {
		out[i] = s.Chance() < share || out[i]
	}
	return out
}

// Fate is what becomes of one entry of a batch.
type Fate int

// An entry is done, or is not for one of two reasons.
const (
	Done Fate = iota
	Throttled
	Failed
)

// Fates are the entries' fates in the order of the request.
type Fates []Fate

// Of is Done for every entry of nil Fates.
func (f Fates) Of(i int) Fate {
	if i >= len(f) {
		return Done
	}
	return f[i]
}

// Next takes the first fate away; it is Done when none is left.
func (f *Fates) Next() Fate {
	first := f.Of(0)
	*f = (*f)[min(1, len(*f)):]
	return first
}

// NoneDone says whether the fault spares no entry at all.
func (f Fates) NoneDone() bool { return len(f) > 0 && !slices.Contains(f, Done) }

// Batch decides what befalls a batch's n entries.
func Batch(ctx context.Context, n int) Fates {
	slow, broken := Entries(ctx, Throttle, n), Entries(ctx, Partial, n)
	if slow == nil && broken == nil {
		return nil
	}
	s, out := On(ctx, Partial), make(Fates, n)
	for i := range out {
		switch {
		case slow.Has(i):
			out[i] = Throttled
		case broken.Has(i):
			out[i] = Throttled + Fate(s.Pick(2))
		}
	}
	return out
}
