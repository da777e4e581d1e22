package systemtest

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// connection is a service's connection to AWS. Once cut it behaves as after SIGKILL: no call is sent any more, not even a
// checkpoint, release or delete, and answers under way are lost, while the calls they answer have taken effect.
type connection struct {
	next       http.RoundTripper
	dead       atomic.Bool
	killSwitch atomic.Pointer[killSwitch]
}

// killSwitch kills a service right after an operation, before the service receives the answer.
type killSwitch struct {
	operation string
	kill      func()
	fired     chan struct{} // closed by kill
}

func (f *killSwitch) matches(r *http.Request) bool {
	return f != nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+f.operation)
}

func (l *connection) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.dead.Load() {
		return nil, errKilled
	}
	res, err := l.next.RoundTrip(r)
	if f := l.killSwitch.Load(); f.matches(r) && l.killSwitch.CompareAndSwap(f, nil) {
		f.kill()
	}
	if l.dead.Load() {
		return nil, errKilled
	}
	return res, err
}

// killedError stops the SDK from retrying.
type killedError struct{ error }

func (killedError) CanceledError() bool { return true }

var errKilled = killedError{errors.New("killed")}
