package readservice_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

type catchUp struct {
	Projection, State                       string
	StartedAt, EndedAt                      *time.Time
	Records, Behind, Applied, Parked, Holes int64
}

func TestOneCatchUpAtATimeRunsInTheBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		ofFour := func(context.Context) iter.Seq2[eventsourcing.Record, error] {
			return func(yield func(eventsourcing.Record, error) bool) {
				for range 4 {
					if !yield(eventsourcing.Record{}, nil) {
						return
					}
				}
				yield(eventsourcing.Record{}, eventsourcing.ErrLogHole)
			}
		}
		run := func(ctx context.Context, log iter.Seq2[eventsourcing.Record, error]) (projection.CaughtUp, error) {
			runs++
			for _, err := range log {
				if err != nil {
					require.ErrorIs(t, err, eventsourcing.ErrLogHole)
				}
			}
			select {
			case <-time.After(time.Minute):
			case <-ctx.Done():
				return projection.CaughtUp{Records: 1}, context.Cause(ctx)
			}
			if runs == 2 {
				return projection.CaughtUp{Records: 5}, errors.New("no log")
			}
			if runs == 3 {
				return projection.CaughtUp{Records: 7, Holes: 2}, nil
			}
			return projection.CaughtUp{Records: 9, Behind: 2, Applied: 3, Parked: 1}, nil
		}
		catchUps := readservice.NewCatchUps("things", ofFour, run, time.Now, slog.New(slog.DiscardHandler))
		router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
		catchUps.Register(httpapi.NewAPI(router))
		ask := func(method string, status int) (out catchUp) {
			t.Helper()
			res := answer(t, router, method, "/projections/things/catch-up", &out)
			require.Equal(t, status, res.Code)
			return out
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- catchUps.Run(ctx) }()

		assert.Equal(t, catchUp{Projection: "things", State: "never"}, ask(http.MethodGet, http.StatusOK))
		began := time.Now().UTC().Round(0)
		want := catchUp{Projection: "things", State: "running", StartedAt: &began}
		assert.Equal(t, want, ask(http.MethodPost, http.StatusAccepted))
		time.Sleep(time.Second)
		assert.Equal(t, want, ask(http.MethodPost, http.StatusAccepted), "that one continues")
		want.Records = 4
		assert.Equal(t, want, ask(http.MethodGet, http.StatusOK), "those that were read so far")
		time.Sleep(time.Minute)
		over := began.Add(time.Minute)
		want = catchUp{
			Projection: "things", State: "done", StartedAt: &began, EndedAt: &over, Records: 9, Behind: 2, Applied: 3, Parked: 1,
		}
		assert.Equal(t, want, ask(http.MethodGet, http.StatusOK))

		assert.Equal(t, "running", ask(http.MethodPost, http.StatusAccepted).State)
		time.Sleep(time.Minute)
		synctest.Wait()
		failed := ask(http.MethodGet, http.StatusOK)
		assert.Equal(t, "failed", failed.State)
		assert.EqualValues(t, 5, failed.Records)

		ask(http.MethodPost, http.StatusAccepted)
		time.Sleep(time.Minute)
		synctest.Wait()
		holes := ask(http.MethodGet, http.StatusOK)
		assert.Equal(t, "incomplete", holes.State, "all is done that can be")
		assert.EqualValues(t, 2, holes.Holes)

		ask(http.MethodPost, http.StatusAccepted)
		synctest.Wait()
		stop()
		require.NoError(t, <-ended, "a stop ends the run")
		assert.Equal(t, 4, runs)
		assert.Equal(t, "failed", ask(http.MethodGet, http.StatusOK).State)
	})
}
