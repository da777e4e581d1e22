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
	out := &recorder{header: http.Header{}, status: http.StatusOK}
	c.do(faults.With(ctx, f), out)
	linger(ctx, after)
	switch f.Answer() {
	case faults.Broken:
		panic(http.ErrAbortHandler)
	case faults.Replaced:
		c.svc.Refuse(w, f.Failure())
	default:
		out.copyTo(w)
	}
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
