// Package awscall ends calls of AWS that get no answer, and stops using the connections that they waited on.
//
// The SDK waits for an answer as long as the connection exists, which may be for ever: a NAT gateway, a proxy or a failed
// host can drop packets without closing anything. So a program that uses this engine should pass its configuration through
// Configure. Then each attempt of a call has a deadline that fits its operation (see Limit). An attempt that reaches it ends
// with a *TimeoutError, which the SDK's retryer repeats on a new connection.
package awscall

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// Configure returns cfg with Deadlines and, in place of the SDK's own HTTP client, one of NewClient.
func Configure(cfg aws.Config) aws.Config {
	cfg.APIOptions = append(slices.Clip(cfg.APIOptions), Deadlines)
	cfg.HTTPClient = NewClient(cfg.HTTPClient)
	return cfg
}

// TimeoutError is the end of an attempt that got no answer. The call may have taken effect.
type TimeoutError struct {
	Operation string // such as "DynamoDB.PutItem"
	Limit     time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s: no answer within %s", e.Operation, e.Limit)
}

// Timeout and RetryableError tell the SDK's retryer what it is: no cancellation by the caller.
func (*TimeoutError) Timeout() bool { return true }

// RetryableError is described at Timeout.
func (*TimeoutError) RetryableError() bool { return true }

// Deadlines gives each attempt of a call its deadline. It is one of aws.Config.APIOptions; adding it twice is as once. Pass it
// to config.LoadDefaultConfig, too, so that the calls that fetch credentials have one.
//
// The deadline of a call whose answer the caller reads, such as SubscribeToShard or GetObject, is for the answer's beginning; who
// reads it notices a silence.
func Deadlines(stack *middleware.Stack) error {
	const begin, attempt = "leftfold.PollWait", "leftfold.Deadline"
	if _, added := stack.Deserialize.Get(attempt); added {
		return nil
	}
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc(begin, keepWait), middleware.After); err != nil {
		return err
	}
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc(attempt, bound), middleware.Before)
}

type waitKey struct{}

// stackOfCall is what the SDK needs of a goroutine's stack, rounded up: its middlewares are nested some fifty deep.
const stackOfCall = 16 << 10

// growStack makes the stack large enough for a call at once, while little is on it. A new goroutine has 2 KiB, which would be doubled
// several times in the depth of the call, all frames copied each time: a quarter of the SDK's CPU (BenchmarkPutItem).
//
//go:noinline
func growStack(i int) byte {
	var room [stackOfCall]byte
	return room[i]
}

// keepWait keeps for how long a receive waits for messages: the input is not there where attempts are made.
func keepWait(
	ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
) (middleware.InitializeOutput, middleware.Metadata, error) {
	_ = growStack(0)
	if receive, ok := in.Parameters.(*sqs.ReceiveMessageInput); ok {
		ctx = middleware.WithStackValue(ctx, waitKey{}, time.Duration(receive.WaitTimeSeconds)*time.Second)
	}
	return next.HandleInitialize(ctx, in)
}

// bound ends an attempt at its deadline.
func bound(
	ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
) (middleware.DeserializeOutput, middleware.Metadata, error) {
	wait, _ := middleware.GetStackValue(ctx, waitKey{}).(time.Duration)
	operation := awsmiddleware.GetServiceID(ctx) + "." + awsmiddleware.GetOperationName(ctx)
	late := &TimeoutError{Operation: operation, Limit: Limit(operation) + wait}
	attempt, cancel := context.WithCancelCause(ctx) // not WithTimeout: such an answer lives on
	timer := time.AfterFunc(late.Limit, func() { cancel(late) })
	out, md, err := next.HandleDeserialize(middleware.SetLogger(attempt, untilEnded{middleware.GetLogger(ctx), attempt}), in)
	inTime := timer.Stop()
	if err == nil && inTime && streams[operation] {
		return out, md, nil // the context ends with the caller's
	}
	cancel(nil)
	if err != nil && errors.Is(context.Cause(attempt), late) {
		middleware.GetLogger(ctx).Logf(logging.Warn, "%v", late)
		return out, md, late
	}
	return out, md, err
}

// untilEnded logs what happens in an attempt until its context ends. After that the SDK only warns of the answer's body, which it has
// not read to the end: that its checksum is wrong, as if it were corrupt.
type untilEnded struct {
	to      logging.Logger
	attempt context.Context //nolint:containedctx // smithy hands a logger the context of its call this way
}

// WithContext implements logging.ContextLogger.
func (l untilEnded) WithContext(ctx context.Context) logging.Logger {
	return untilEnded{logging.WithContext(ctx, l.to), ctx}
}

// Logf implements logging.Logger.
func (l untilEnded) Logf(c logging.Classification, format string, v ...any) {
	if l.attempt.Err() == nil {
		l.to.Logf(c, format, v...)
	}
}
