package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/progress"
	"github.com/leftfold/leftfold/pkg/service/health"
)

type report struct {
	Status                string
	Stuck                 []string
	Waiting, Dependencies map[string]string
}

func get(t *testing.T, h http.Handler) (status int, body report) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &body))
	return rec.Code, body
}

// thing is something that a process needs; its field says what is wrong with it.
type thing struct{ err error }

func (s *thing) check(name string) []health.Check {
	return []health.Check{{Name: name, Probe: func(context.Context) error { return s.err }}}
}

func TestALoopThatHangsEndsTheLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loops progress.Loops
		loop := progress.NewLoop("receiver of users", 5*time.Second, time.Now)
		end := loops.Register(loop)
		live := health.Live(&loops)
		<-time.After(15 * time.Second)
		status, body := get(t, live)
		assert.Equal(t, http.StatusOK, status)
		assert.Equal(t, "live", body.Status)
		<-time.After(time.Second)
		status, body = get(t, live)
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, report{
			Status: "stuck", Stuck: []string{"receiver of users: no turn for 16s, 5s is the most that one may take"},
		}, body)
		loop.Turn()
		status, _ = get(t, live)
		assert.Equal(t, http.StatusOK, status, "it was slow")
		<-time.After(time.Minute)
		end()
		status, _ = get(t, live)
		assert.Equal(t, http.StatusOK, status, "it has ended")
	})
}

func TestAProcessWithoutLoopsIsLive(t *testing.T) {
	t.Parallel()
	status, _ := get(t, health.Live(nil))
	assert.Equal(t, http.StatusOK, status)
}

func TestAProcessIsReadyOnceItHasWorked(t *testing.T) {
	t.Parallel()
	queue := thing{errors.New("nothing received yet")}
	var table thing
	ready := health.NewReadiness(queue.check("receive from users"), table.check("EventLog"))
	status, body := get(t, ready)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, report{
		Status: "not ready", Waiting: map[string]string{"receive from users": "nothing received yet"},
		Dependencies: map[string]string{"EventLog": "ok"},
	}, body)

	queue.err = nil
	status, body = get(t, ready)
	assert.Equal(t, http.StatusOK, status)
	assert.Equal(t, report{Status: "ready", Dependencies: map[string]string{"EventLog": "ok"}}, body)

	queue.err, table.err = errors.New("no route"), errors.New("no route")
	status, body = get(t, ready)
	assert.Equal(t, http.StatusOK, status, "no replica could do better")
	assert.Equal(t, report{Status: "ready", Dependencies: map[string]string{"EventLog": "away: no route"}}, body)
}

func TestAStoppingProcessIsNotReady(t *testing.T) {
	t.Parallel()
	ready := health.NewReadiness(nil, nil)
	status, _ := get(t, ready)
	assert.Equal(t, http.StatusOK, status)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, ready.Run(ctx))
	status, body := get(t, ready)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "stopping", body.Status)
}

func TestAHangingDependencyIsShownInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := []health.Check{{Name: "slow", Probe: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}}
		began := time.Now()
		status, _ := get(t, health.NewReadiness(slow, slow))
		assert.Equal(t, http.StatusServiceUnavailable, status)
		assert.Equal(t, 4*time.Second, time.Since(began), "within the five that Ask waits")
	})
}
