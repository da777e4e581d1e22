package localaws

import (
	"context"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
	"github.com/leftfold/leftfold/pkg/localaws/internal/journal"
)

// call is one request for an operation.
type call struct {
	awsjson.Request

	journal *journal.Journal
}

func (c call) do(ctx context.Context, w http.ResponseWriter) { c.Answer(ctx, w, c.kept(ctx)) }

// kept calls the operation. It returns when everything that the result tells is kept.
func (c call) kept(ctx context.Context) awsjson.Result {
	out := c.Call(ctx)
	if out.Events != nil && c.journal != nil {
		out.Events = keptEvents{out.Events, c.journal}
	}
	if err := c.journal.Flush(); err != nil {
		if out.Events != nil {
			out.Events.Close()
		}
		return awsjson.Result{Err: err}
	}
	return out
}

// doWithFaults serves a call that faults strike. It breaks the connection by http.ErrAbortHandler, which net/http's server
// and Transport understand.
func (c call) doWithFaults(ctx context.Context, f *faults.Call, w http.ResponseWriter) {
	before, after := f.Delay()
	wait(ctx, before)
	if refusal := f.Refusal(); refusal != nil {
		wait(ctx, after)
		c.Refuse(w, refusal)
		return
	}
	if silent, effect := f.Silent(); silent {
		if effect && c.Operation != c.Service.Streaming {
			c.Call(faults.With(ctx, f))
		}
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	}
	out := c.kept(faults.With(ctx, f))
	if out.Events != nil {
		out.Events = &faultyEvents{Events: out.Events, call: f, left: f.Events()}
		wait(ctx, after)
		c.Answer(ctx, w, out)
		return
	}
	wait(ctx, after)
	switch f.Delivery() {
	case faults.Broken:
		panic(http.ErrAbortHandler)
	case faults.Replaced:
		c.Refuse(w, f.Failure())
	default:
		c.Answer(ctx, w, out)
	}
}

// faultyEvents cuts a stream of events off after some of them.
type faultyEvents struct {
	awsjson.Events

	call *faults.Call
	left int // events before the cut
}

func (e *faultyEvents) Next(ctx context.Context) (eventType string, event any, err error) {
	if e.left == 0 {
		switch e.call.Delivery() {
		case faults.Broken:
			return "", nil, awsjson.ErrBroken
		case faults.Replaced:
			return "", nil, e.call.Failure()
		case faults.Delivered:
		}
	}
	e.left--
	return e.Events.Next(ctx)
}

// wait sleeps for d. It aborts the request if the client cancels.
func wait(ctx context.Context, d time.Duration) {
	if d == 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
}
