package systemtest

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
)

// line is a service's connection to AWS. Once cut it is what a process has after SIGKILL: nothing gets out any more,
// no checkpoint, release or delete, and answers under way are lost, while what they answer stands.
type line struct {
	next http.RoundTripper
	dead atomic.Bool
	fuse atomic.Pointer[fuse]
}

// fuse kills a service right after an operation, before it hears the answer.
type fuse struct {
	operation string
	kill      func()
	blown     chan struct{} // closed by kill
}

func (f *fuse) matches(r *http.Request) bool {
	return f != nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "."+f.operation)
}

func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.dead.Load() {
		return nil, errKilled
	}
	res, err := l.next.RoundTrip(r)
	if f := l.fuse.Load(); f.matches(r) && l.fuse.CompareAndSwap(f, nil) {
		f.kill()
	}
	if l.dead.Load() {
		return nil, errKilled
	}
	return res, err
}

// killedError tells the SDK that trying again is no use: there is nobody left to try.
type killedError struct{ error }

func (killedError) CanceledError() bool { return true }

var errKilled = killedError{errors.New("killed")}
