package readservice_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

type rebuilt func(context.Context, eventsourcing.StreamID) (eventsourcing.Version, error)

func (rebuilt) Categories() []string { return []string{"test/thing"} }

func (r rebuilt) Rebuild(ctx context.Context, s eventsourcing.StreamID) (eventsourcing.Version, error) {
	return r(ctx, s)
}

func TestARebuildReportsItsOutcome(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fence  eventsourcing.Version
		err    error
		status int
		want   outcome
	}{
		"done":                 {4, nil, 200, outcome{Projection: "things", Stream: "test/thing/x", Version: 4, Done: true}},
		"still not applicable": {1, projection.ErrParked, 409, outcome{Code: "still_parked"}},
		"unknown":              {0, projection.ErrNoStream, 404, outcome{Code: "not_found"}},
		"not in the log":       {0, eventsourcing.ErrLogHole, 500, outcome{Code: "log_hole"}},
		"of a newer build":     {0, eventsourcing.ErrUnknownEvent, 503, outcome{Code: "unknown_event"}},
		"unavailable":          {0, eventsourcing.ErrUnavailable, 503, outcome{Code: "unavailable"}},
		"unexpected":           {0, errors.New("secret"), 500, outcome{Code: "internal"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
			readservice.RegisterRebuild(httpapi.NewAPI(router), "things", rebuilt(
				func(_ context.Context, s eventsourcing.StreamID) (eventsourcing.Version, error) {
					assert.Equal(t, "test/thing/x", s.String())
					if c.err != nil {
						return c.fence, fmt.Errorf("rebuild: %w", c.err)
					}
					return c.fence, nil
				}), time.Hour, slog.New(slog.DiscardHandler))
			var got outcome
			res := answer(t, router, http.MethodPost, "/projections/things/streams/test/thing/x/rebuild", &got)
			assert.Equal(t, c.status, res.Code, res.Body)
			assert.Equal(t, c.want, got)
		})
	}
}
