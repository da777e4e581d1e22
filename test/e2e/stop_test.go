package e2e_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/envelope"
	"github.com/leftfold/leftfold/test/e2e/systemtest"
)

// TestGracefulStopLosesAndRepeatsNothing stops and starts every service again and again under load.
func TestGracefulStopLosesAndRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Messages of a receive that is cancelled by a stop stay invisible until their visibility timeout ends.
		sys := systemtest.New(t, map[string]string{"QUEUE_VISIBILITY": "3s"})
		require.NoError(t, sys.AWS.SetFaults(likeAWS()))
		var acts []act
		for range 4 {
			for _, s := range sys.Services() {
				acts = append(acts, func(ready func()) {
					ready()
					assert.NoError(t, s.Stop())
					assert.NoError(t, s.Start(t.Context()))
				})
			}
		}
		const commands = 2_000
		play := newPlay(acts, commands)
		tr := newTraffic(sys.Client, 60, 8)
		tr.down, tr.between = sys.CommandAPI.AwaitUp, play.cue
		go play.run()
		outcomes := tr.send(t.Context(), t, 32, commands)
		play.end()

		fold, err := sys.Audit(t.Context())
		require.NoError(t, err)
		records, err := sys.Records(t.Context())
		require.NoError(t, err)
		answers := inLog(t, outcomes, records)
		assert.Zero(t, answers["unknown but in the log"], "a request in flight got no answer")

		published := map[string]int{}
		for _, r := range kinesisRecords(t, sys) {
			rec, err := envelope.Decode(r.Data)
			require.NoError(t, err)
			published[rec.ID]++
		}
		assert.Len(t, published, fold.Events, "events published")
		for id, times := range published {
			assert.Equal(t, 1, times, "event %s was published so often", id)
		}
		for _, s := range sys.Projectors() {
			assert.InDelta(t, fold.Events, sum(t, s, "leftfold_projection_applied_total"), 0, s.Name)
			for _, metric := range []string{"duplicates", "healed", "parked"} {
				assert.Zero(t, sum(t, s, "leftfold_projection_"+metric+"_total"), "%s: %s", s.Name, metric)
			}
		}
		for _, s := range used(sys) {
			assert.Greater(t, s.Starts(), 4, s.Name)
		}
	})
}
