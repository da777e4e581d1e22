package e2e_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/e2e/direct"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// likeAWS makes every call take 2 to 20 ms. On virtual time, where computing takes none, things then take about as long as on AWS,
// and always the same.
func likeAWS() localaws.Faults {
	return localaws.Faults{Faults: []localaws.Fault{{
		Kind: localaws.FaultLatency, Operation: "*", Probability: 1,
		Min: localaws.Duration(2 * time.Millisecond), Max: localaws.Duration(20 * time.Millisecond),
	}}}
}

// writer writes users' events directly into the log.
type writer struct{ direct.Writer }

func newWriter(inspector systemtest.Inspector) writer {
	return writer{direct.NewWriter(inspector.EventLog)}
}

// shuffled writes events one by one, each of a random user, and returns the number of events of each user.
func (w writer) shuffled(t testing.TB, events, users int) map[string]eventsourcing.Version {
	t.Helper()
	dice := rand.New(rand.NewPCG(1, 2))
	ids := make([]string, users)
	for i := range ids {
		ids[i] = newID()
	}
	heads := map[string]eventsourcing.Version{}
	for range events {
		id := pick(dice, ids)
		require.NoError(t, w.Append(t.Context(), id, heads[id], 1))
		heads[id]++
	}
	return heads
}

// settled waits until both read models have applied every user's stream up to version.
func settled(t testing.TB, inspector systemtest.Inspector, version eventsourcing.Version, ids ...string) {
	t.Helper()
	for _, model := range []interface {
		Await(context.Context, string, string, eventsourcing.Version, time.Duration, any) (bool, error)
	}{inspector.Users(), inspector.Roles()} {
		for _, id := range ids {
			_, err := model.Await(t.Context(), id, "user", version, 2*time.Minute, &struct{}{})
			require.NoError(t, err, "user %s at version %d", id, version)
		}
	}
}

// await waits, at most ten minutes, until a counter of a service, summed over all its lives, is at least least.
func await(t testing.TB, s *systemtest.Service, counter string, least float64) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); sum(t, s, counter) < least; <-ticker.C {
		require.Less(t, time.Since(began), 10*time.Minute, "%s of %s is %v, want %v", counter, s.Name, sum(t, s, counter), least)
	}
}
