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

// handler handles a call: it may send it, delay it, or drop it or its answer.
type handler func(call, sending) (*http.Response, error)

// proxy stands between command-api, in each of its lives, and AWS.
type proxy struct{ handler atomic.Pointer[handler] }

// handle passes all later calls to h; nil: they are sent as they are.
func (p *proxy) handle(h handler) {
	if h == nil {
		p.handler.Store(nil)
		return
	}
	p.handler.Store(&h)
}

// proxied is a connection through a proxy.
type proxied struct {
	*proxy

	next http.RoundTripper
}

func (l proxied) RoundTrip(r *http.Request) (*http.Response, error) {
	handle := l.handler.Load()
	if handle == nil || r.Body == nil {
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
	return (*handle)(call{operation, on.TableName, body}, func() (*http.Response, error) {
		again := r.Clone(r.Context())
		again.Body = io.NopCloser(bytes.NewReader(body))
		return l.next.RoundTrip(again)
	})
}

// newProxied returns a system of which only command-api runs, behind a proxy; its AWS SDK does not wait before it retries.
func newProxied(t *testing.T, env map[string]string) (api, *proxy) {
	t.Helper()
	p := &proxy{}
	quiet := map[string]string{
		"LOG_LEVEL":       "error+1", // the faults of these tests are errors to it
		"COMMAND_TIMEOUT": "1m",      // calls may be held back for long
	}
	maps.Copy(quiet, env)
	sys := systemtest.New(t, quiet, func(platform *service.Platform) {
		if !strings.HasPrefix(platform.Instance, "command-api-") {
			return
		}
		client, ok := platform.AWS.HTTPClient.(*http.Client)
		require.True(t, ok)
		platform.AWS.HTTPClient = &http.Client{Transport: proxied{p, client.Transport}}
		platform.AWS.Retryer = func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.RateLimiter = ratelimit.None
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		}
	})
	for _, s := range sys.Services()[1:] {
		require.NoError(t, s.Stop())
	}
	return api{sys, t}, p
}

// settled restarts all services, waits until the read models are up to date and audits the system.
func (a api) settled() {
	a.t.Helper()
	for _, s := range a.Services() {
		require.NoError(a.t, s.Restart(a.t.Context()))
	}
	_, err := a.Audit(a.t.Context())
	require.NoError(a.t, err)
}
