package readservice_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/engine/generation"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/iam/readservice"
	"github.com/leftfold/leftfold/pkg/service/httpapi"
)

func TestGenerationsAreShownAsTheBuildSeesThem(t *testing.T) {
	t.Parallel()
	filling := generation.State{
		Revision: 3, Phase: generation.Filling, Current: generation.Generation{Number: 1, Shape: 1},
		Other: &generation.Generation{Number: 4, Shape: 2}, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for name, c := range map[string]struct {
		status generation.Status
		err    error
		code   int
		want   string
	}{
		"no other generation": {generation.Status{State: generation.Initial(), Newest: 1}, nil, 200, `{"projection":"things","revision":0,
			"phase":"settled","current":{"number":1,"shape":1},"table":"things","newest":1,"rebuildDue":false}`},
		"a rebuild is due": {generation.Status{State: generation.Initial(), Newest: 2}, nil, 200, `{"projection":"things","revision":0,
			"phase":"settled","current":{"number":1,"shape":1},"table":"things","newest":2,"rebuildDue":true}`},
		"a newer build rebuilds": {generation.Status{State: filling, Newest: 1, Unknown: []int{2}}, nil, 200, `{"projection":"things",
			"revision":3,"phase":"filling","current":{"number":1,"shape":1},"table":"things","other":{"number":4,"shape":2},
			"otherTable":"things-g4","at":"2026-01-02T03:04:05Z","newest":1,"rebuildDue":false,"unknown":[2]}`},
		"it cannot be read": {generation.Status{}, eventsourcing.ErrUnavailable, 503, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			router := httpapi.NewRouter(slog.New(slog.DiscardHandler))
			readservice.RegisterGenerations(httpapi.NewAPI(router), "things", "things",
				func(context.Context) (generation.Status, error) { return c.status, c.err }, slog.New(slog.DiscardHandler))
			var got json.RawMessage
			res := answer(t, router, http.MethodGet, "/projections/things/generations", &got)
			assert.Equal(t, c.code, res.Code, res.Body)
			if c.want != "" {
				assert.JSONEq(t, c.want, string(got))
			}
		})
	}
}
