package e2e_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/leftfold/leftfold/pkg/domain/user"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/localaws"
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

// writer writes users' events directly into the log. Concurrent use is safe only for different streams.
type writer struct {
	inspector systemtest.Inspector
	codec     *eventsourcing.Codec[user.Event]
}

func newWriter(inspector systemtest.Inspector) writer { return writer{inspector, user.NewCodec()} }

// append writes n events of a user after version, in one commit; event 1 registers the user.
func (w writer) append(ctx context.Context, id string, version eventsourcing.Version, n int) error {
	stream := eventsourcing.StreamID{Category: user.Category, ID: id}
	commit := eventsourcing.Commit{Stream: stream, Expected: version}
	for range n {
		version++
		var e user.Event = user.Updated{FirstName: "Ann", LastName: user.Name(letters(newID()))}
		if version == 1 {
			e = user.Registered{UserID: user.ID(id), Email: user.Email(id + "@example.com")}
		}
		data, schema, err := w.codec.Encode(e)
		if err != nil {
			return err
		}
		commit.Records = append(commit.Records, w.record(stream, version, e.EventName(), schema, data))
	}
	return w.inspector.EventLog.Append(ctx, commit)
}

// appendUnknown writes an event that no projection knows.
func (w writer) appendUnknown(ctx context.Context, id string, version eventsourcing.Version) error {
	stream := eventsourcing.StreamID{Category: user.Category, ID: id}
	return w.inspector.EventLog.Append(ctx, eventsourcing.Commit{Stream: stream, Expected: version, Records: []eventsourcing.Record{
		w.record(stream, version+1, "org/iam/user/teleported", 1, []byte(`{"to":"Mars"}`)),
	}})
}

func (writer) record(
	stream eventsourcing.StreamID, version eventsourcing.Version, name string, schema int, data []byte,
) eventsourcing.Record {
	return eventsourcing.Record{
		ID: newID(), Stream: stream, Version: version, Name: name, Schema: schema, Data: data,
		Metadata:   eventsourcing.Metadata{CorrelationID: newID(), CausationID: newID(), Actor: "anonymous"},
		RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
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
		require.NoError(t, w.append(t.Context(), id, heads[id], 1))
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

// backlog writes, for each of users new users, that many events in one commit.
func backlog(t testing.TB, inspector systemtest.Inspector, users, events int) {
	t.Helper()
	w := newWriter(inspector)
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for range users {
		group.Go(func() error { return w.append(ctx, newID(), 0, events) })
	}
	require.NoError(t, group.Wait())
}
