package localaws

import (
	"context"
	"net/http"
	"time"

	"github.com/leftfold/leftfold/pkg/localaws/internal/awsjson"
	"github.com/leftfold/leftfold/pkg/localaws/internal/faults"
)

// call is one request for an operation.
type call struct {
	svc       *awsjson.Service
	operation string
	body      []byte
}

func (c call) do(ctx context.Context, w http.ResponseWriter) { c.svc.Do(ctx, c.operation, c.body, w) }

// struck does a call that faults befall. It breaks the connection by http.ErrAbortHandler, which both net/http's server
// and our transport understand.
func (c call) struck(ctx context.Context, f *faults.Call, w http.ResponseWriter) {
	before, after := f.Delay()
	linger(ctx, before)
	if refusal := f.Refusal(); refusal != nil {
		linger(ctx, after)
		c.svc.Refuse(w, refusal)
		return
	}
	out := c.svc.Call(faults.With(ctx, f), c.operation, c.body)
	if out.Events != nil {
		out.Events = &struckEvents{Events: out.Events, call: f, left: f.Events()}
		linger(ctx, after)
		c.svc.Answer(ctx, w, out)
		return
	}
	linger(ctx, after)
	switch f.Answer() {
	case faults.Broken:
		panic(http.ErrAbortHandler)
	case faults.Replaced:
		c.svc.Refuse(w, f.Failure())
	default:
		c.svc.Answer(ctx, w, out)
	}
}

// struckEvents is a stream of which a lost answer takes the rest.
type struckEvents struct {
	awsjson.Events

	call *faults.Call
	left int // events until then
}

func (e *struckEvents) Next(ctx context.Context) (eventType string, event any, err error) {
	if e.left == 0 {
		switch e.call.Answer() {
		case faults.Broken:
			return "", nil, awsjson.ErrBroken
		case faults.Replaced:
			return "", nil, e.call.Failure()
		case faults.Arrives:
		}
	}
	e.left--
	return e.Events.Next(ctx)
}

// linger waits; if the client does not, there is nobody to answer.
func linger(ctx context.Context, d time.Duration) {
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
