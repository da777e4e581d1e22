package demo

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/leftfold/leftfold/pkg/retry"
)

const keyHeader = "Idempotency-Key"

// patient repeats a request until it is answered, if that is safe: a read, or a command with a key. So a story goes on while somebody
// breaks the system. One that has never answered is none.
type patient struct {
	authorized

	answered atomic.Bool
}

// RoundTrip implements http.RoundTripper. The timeout of the client ends it, too.
func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	backoff := retry.Backoff{First: 50 * time.Millisecond, Max: time.Second}
	for attempt := 1; ; attempt++ {
		answer, err := p.authorized.RoundTrip(r)
		if err == nil && !passes(answer) {
			p.answered.Store(true)
			return answer, nil
		}
		if !p.answered.Load() || r.Method != http.MethodGet && r.Header.Get(keyHeader) == "" {
			return answer, err
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, answer.Body) // so that the connection is used again
			_ = answer.Body.Close()
		}
		if waited := backoff.Wait(r.Context(), attempt); waited != nil {
			return nil, waited
		}
		r = r.Clone(r.Context())
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// passes reports whether another attempt may be answered otherwise.
func passes(answer *http.Response) bool {
	return answer.StatusCode >= http.StatusBadGateway || answer.StatusCode >= http.StatusBadRequest && answer.Header.Get("Retry-After") != ""
}
