package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/service"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// call is one call of AWS by command-api.
type call struct {
	operation, table string // a transaction has no table of its own
	body             []byte
}

func (c call) String() string { return strings.TrimSpace(c.operation + " " + c.table) }

// sending carries a call out, as AWS does.
type sending func() (*http.Response, error)

// ear hears every call and decides what becomes of it.
type ear func(call, sending) (*http.Response, error)

// wiretap is on command-api's line to AWS, in each of its lives.
type wiretap struct{ ear atomic.Pointer[ear] }

// listen lets the ear hear all that follows; nil: nobody.
func (w *wiretap) listen(e ear) {
	if e == nil {
		w.ear.Store(nil)
		return
	}
	w.ear.Store(&e)
}

// tapped is a line with a wiretap on it.
type tapped struct {
	*wiretap

	next http.RoundTripper
}

func (l tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	hear := l.ear.Load()
	if hear == nil || r.Body == nil {
		return l.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var on struct{ TableName string }
	if err := json.Unmarshal(body, &on); err != nil {
		return nil, err
	}
	return (*hear)(call{operation, on.TableName, body}, func() (*http.Response, error) {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		return l.next.RoundTrip(again)
	})
}

// newTapped is a system of which command-api alone runs, tapped, whose AWS SDK does not pause before it tries again.
func newTapped(t *testing.T, env map[string]string) (api, *wiretap) {
	t.Helper()
	tap := &wiretap{}
	quiet := map[string]string{
		"LOG_LEVEL":       "error+1", // whatever is done to it is an error to it
		"COMMAND_TIMEOUT": "1m",      // for those who are held
	}
	maps.Copy(quiet, env)
	sys := systemtest.New(t, quiet, func(p *service.Platform) {
		if !strings.HasPrefix(p.Instance, "command-api-") {
			return
		}
		line, ok := p.AWS.HTTPClient.(*http.Client)
		require.True(t, ok)
		p.AWS.HTTPClient = &http.Client{Transport: tapped{tap, line.Transport}}
		p.AWS.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.RateLimiter = ratelimit.None
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		}
	})
	for _, s := range sys.Services()[1:] {
		require.NoError(t, s.Stop())
	}
	return api{sys, t}, tap
}

// settled lets the read models come to the log's end and holds everything against it.
func (a api) settled() {
	a.t.Helper()
	for _, s := range a.Services() {
		require.NoError(a.t, s.Restart(a.t.Context()))
	}
	_, err := a.Audit(a.t.Context(), time.Minute)
	require.NoError(a.t, err)
}
