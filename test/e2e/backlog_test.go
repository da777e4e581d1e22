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

// likeAWS lets every call take 2 to 20 ms. On virtual time, where machines cost none, things then take about what they
// would on AWS, and always the same.
func likeAWS() localaws.Faults {
	return localaws.Faults{Faults: []localaws.Fault{{
		Kind: localaws.FaultLatency, Operation: "*", Probability: 1,
		Min: localaws.Duration(2 * time.Millisecond), Max: localaws.Duration(20 * time.Millisecond),
	}}}
}

// writer writes users' events straight into the log. Not safe for concurrent use, but for different streams.
type writer struct {
	inspector systemtest.Inspector
	codec     *eventsourcing.Codec[user.Event]
}

func newWriter(inspector systemtest.Inspector) writer { return writer{inspector, user.NewCodec()} }

// append writes a user's events after version, so many in one commit; the first event of all registers the user.
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

// puzzle writes an event that no projection knows.
func (w writer) puzzle(ctx context.Context, id string, version eventsourcing.Version) error {
	stream := eventsourcing.StreamID{Category: user.Category, ID: id}
	return w.inspector.EventLog.Append(ctx, eventsourcing.Commit{Stream: stream, Expected: version, Records: []eventsourcing.Record{
		w.record(stream, version+1, "org/iam/user/teleported", 1, []byte(`{"to":"Mars"}`)),
	}})
}

func (writer) record(stream eventsourcing.StreamID, version eventsourcing.Version, name string, schema int, data []byte) eventsourcing.Record {
	return eventsourcing.Record{
		ID: newID(), Stream: stream, Version: version, Name: name, Schema: schema, Data: data,
		Metadata:   eventsourcing.Metadata{CorrelationID: newID(), CausationID: newID(), Actor: "anonymous"},
		RecordedAt: time.Now().UTC().Truncate(time.Millisecond),
	}
}

// shuffled writes events one by one, each to one of the users drawn at random, and returns how many each has.
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

// await looks again and again, for ten minutes at most, until a counter of a service, added up over all its lives, has
// come to least.
func await(t testing.TB, s *systemtest.Service, counter string, least float64) {
	t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for began := time.Now(); sum(t, s, counter) < least; <-ticker.C {
		require.Less(t, time.Since(began), 10*time.Minute, "%s of %s is %v, want %v", counter, s.Name, sum(t, s, counter), least)
	}
}

// backlog writes so many events, in one commit, of each of so many new users.
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
