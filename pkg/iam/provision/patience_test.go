package provision_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/provision"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// starting is an AWS whose first calls go wrong.
type starting struct {
	aws.HTTPClient

	calls atomic.Int64
	wrong func(call int64) (*http.Response, error) // nil, nil: it answers
}

func (s *starting) Do(r *http.Request) (*http.Response, error) {
	if answer, err := s.wrong(s.calls.Add(1)); answer != nil || err != nil {
		return answer, err
	}
	return s.HTTPClient.Do(r)
}

func refuse(int64) (*http.Response, error) { return nil, errors.New("connection refused") }

func answer(status int, code string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"X-Amzn-Errortype": {code}}, Body: io.NopCloser(bytes.NewBufferString("{}")),
	}
}

// provisionStarting runs provision on such an AWS, and returns how long it took.
func provisionStarting(
	t *testing.T, patience time.Duration, wrong func(call int64) (*http.Response, error),
) (took time.Duration, calls int64, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server := localaws.New(localaws.Options{})
		defer server.Close()
		cfg := server.Config()
		client := &starting{HTTPClient: cfg.HTTPClient, wrong: wrong}
		cfg.HTTPClient = client
		begun := time.Now()
		err = provision.Run(t.Context(), cfg, provision.Config{Names: defaults(t), Patience: patience})
		took, calls = time.Since(begun), client.calls.Load()
	})
	return took, calls, err
}

func TestItGivesUpWhereThereIsNoAWS(t *testing.T) {
	t.Parallel()
	took, _, err := provisionStarting(t, time.Minute, refuse)
	require.ErrorContains(t, err, "no AWS has answered at http://localaws.invalid for 1m0s")
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, "COMPOSE_PROFILES")
	assert.GreaterOrEqual(t, took, time.Minute)
	assert.Less(t, took, 3*time.Minute)
}

func TestItWaitsForAnAWSThatStarts(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]func(int64) (*http.Response, error){
		"nobody listens":   refuse,
		"it answers a 503": func(int64) (*http.Response, error) { return answer(http.StatusServiceUnavailable, ""), nil },
		"only some answers": func(call int64) (*http.Response, error) {
			return map[bool]*http.Response{true: answer(500, "")}[call%3 == 0], nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			took, _, err := provisionStarting(t, time.Hour, func(call int64) (*http.Response, error) {
				if call > 100 {
					return nil, nil
				}
				return wrong(call)
			})
			require.NoError(t, err)
			assert.Less(t, took, time.Hour)
		})
	}
}

func TestItDoesNotWaitForAnAWSThatRefuses(t *testing.T) {
	t.Parallel()
	_, _, err := provisionStarting(t, time.Minute, func(int64) (*http.Response, error) {
		return answer(http.StatusBadRequest, "AccessDeniedException"), nil
	})
	require.ErrorContains(t, err, "AccessDeniedException")
	assert.NotContains(t, err.Error(), "no AWS")
}

func TestWithoutPatienceTheFirstFailureIsTheEnd(t *testing.T) {
	t.Parallel()
	_, calls, err := provisionStarting(t, 0, refuse)
	require.ErrorContains(t, err, "connection refused")
	assert.NotContains(t, err.Error(), "no AWS")
	assert.Less(t, calls, int64(100))
}
