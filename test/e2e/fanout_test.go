package e2e_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestFanOutKeepsTheSamePromises reads Kinesis by enhanced fan-out, through a stop, reshards and a crash of the broker.
func TestFanOutKeepsTheSamePromises(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := quick()
		env["STREAM_MODE"] = "fanout"
		sys := systemtest.New(t, env)
		require.NoError(t, sys.AWS.SetFaults(likeAWS()))
		const commands = 1_000
		play := newPlay([]act{
			func(ready func()) {
				ready()
				assert.NoError(t, sys.Broker.Stop())
				assert.NoError(t, sys.Broker.Start(t.Context()))
			},
			func(ready func()) { ready(); split(t, sys) },
			func(ready func()) { ready(); merge(t, sys) },
			func(ready func()) {
				ready()
				sys.Broker.Kill()
				assert.NoError(t, sys.Broker.Start(t.Context()))
			},
		}, commands)
		tr := newTraffic(sys.Client, 60, 8)
		tr.between = play.cue
		go play.run()
		tr.send(t.Context(), t, 16, commands)
		play.end()
		fold, err := sys.Audit(t.Context())
		require.NoError(t, err)
		calls := sys.AWS.Calls()
		assert.Zero(t, calls["Kinesis.GetRecords"], "polls")
		assert.GreaterOrEqual(t, calls["Kinesis.SubscribeToShard"], int64(6), "of two shards, then of four")
		t.Logf("%d events, %d subscriptions", fold.Events, calls["Kinesis.SubscribeToShard"])
		for _, s := range sys.Projectors() {
			assert.Zero(t, sum(t, s, "leftfold_projection_parked_total"), s.Name)
		}
	})
}
