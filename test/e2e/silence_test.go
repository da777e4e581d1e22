package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/test/e2e/processes"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// leaseDuration is the default of LEASE_DURATION.
const leaseDuration = 10 * time.Second

// TestProcessesOnSilentConnections silences the connections of two replicas of each service to one service of AWS after the other,
// under load. Nothing is closed, and new connections work. All that is accepted from then on becomes visible, and no process needs
// a restart. With LEFTFOLD_CHAOS it does so to each service of AWS, and within 1.5 times the lease duration; without, to one.
func TestProcessesOnSilentConnections(t *testing.T) {
	long := os.Getenv("LEFTFOLD_CHAOS") != ""
	dir := programs(t)
	services := []string{"KINESIS", "SQS", "DYNAMODB_STREAMS", "DYNAMODB"}
	if !long {
		services = services[:1]
	}
	for _, mode := range []string{"polling", "fanout"} {
		t.Run(mode, func(t *testing.T) {
			if !long { // it waits most of the time
				t.Parallel()
			}
			fleet := systemtest.NewFleet(t, dir, map[string]string{
				"ENVIRONMENT": "local", "AUTH_MODE": "none", "RATE_LIMIT": "0", "STREAM_POLL": "50ms", "STREAM_MODE": mode,
			})
			networks := map[string]*systemtest.Network{}
			for _, service := range services {
				networks[service] = fleet.Via(service)
			}
			replicas := fleet.Add(2, processes.ServiceNames()...)
			tr := newTraffic(fleet.Client, 500, 10)
			tr.down = func(ctx context.Context) error { return ctx.Err() } // a 503 or a lost answer is allowed meanwhile
			over := make(chan struct{})
			go func() {
				defer close(over)
				for _, service := range services {
					assert.NoError(t, visible(t.Context(), fleet), service)
					began := time.Now()
					n := networks[service].Silence()
					assert.Positive(t, n, service)
					assert.NoError(t, visible(t.Context(), fleet), service)
					took := time.Since(began)
					t.Logf("%s: %d connections silenced, new events are visible again after %s", service, n, took.Round(10*time.Millisecond))
					if long {
						assert.Less(t, took, leaseDuration*3/2, service)
					}
				}
			}()
			outcomes := tr.sendUntil(t.Context(), t, 8, over)
			fold, err := fleet.Audit(t.Context())
			require.NoError(t, err)
			t.Logf("%d commands, %d events", len(outcomes), fold.Events)
			for _, p := range replicas {
				assert.Equal(t, 1, p.Starts(), p.Service)
			}
		})
	}
}

// visible registers users and creates roles, enough for all shards, and returns once they can be read.
func visible(ctx context.Context, fleet *systemtest.Fleet) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	// until sends a request until its answer has one of the statuses: what AWS leaves unanswered may be answered 503.
	until := func(r systemtest.Request, statuses ...int) error {
		for {
			answer, err := fleet.Do(ctx, r)
			if ctx.Err() != nil {
				return fmt.Errorf("%s %s: %w; last %d %s", r.Method, r.Path, ctx.Err(), answer.Status, answer.Body)
			}
			if err == nil && slices.Contains(statuses, answer.Status) {
				return nil
			}
		}
	}
	group := errgroup.Group{}
	for range 8 {
		id := newID()
		for path, body := range map[string]object{
			"/users": {"id": id, "email": id + "@example.com"}, "/roles": {"id": id, "name": "role-" + letters(id)},
		} {
			group.Go(func() error {
				if err := until(post(path, body), http.StatusAccepted, http.StatusConflict); err != nil { // its first answer may be lost
					return err
				}
				return until(systemtest.Request{Method: http.MethodGet, Path: path + "/" + id + "?min_version=1&wait=2s"}, http.StatusOK)
			})
		}
	}
	return group.Wait()
}
