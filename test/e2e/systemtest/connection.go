package systemtest

import (
	"errors"
	"net/http"
	"slices"
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

// killSwitch kills a service right after one of the operations, before the service receives the answer.
type killSwitch struct {
	operations []string
	kill       func()
	fired      chan struct{} // closed by kill
}

func (f *killSwitch) matches(r *http.Request) bool {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return f != nil && slices.Contains(f.operations, operation)
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
