package hop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/hop"
	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/engine/ordered"
)

// The journey of an event says where it was read and which targets have it, or never will; of a record that is no event it says nothing.
func TestTheJourneyOfAnEventNamesEachTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(eventLog{})
	w.Journey = journey.NewRecorder(10, time.Now)
	w.Targets[0].Name, w.Targets[1].Name = "queue 1", "queue 2"
	w.put = func(target int, _ []hop.Event) (map[int]error, error) {
		if target == 1 {
			return map[int]error{0: ordered.Permanent(errUnavailable)}, nil
		}
		return nil, nil
	}
	one, none := record("1", 7), record("2", 1)
	none.ID = ""
	w.handle(t, one, none)
	step := journey.Step{
		Operation: "carry", Outcome: journey.Sent, Stream: one.Stream, Version: 7, EventID: one.ID,
		From: "shard-1", Sequence: string(received(one)[0].Sequence), To: "queue 1",
	}
	refused := step
	refused.Outcome, refused.To = journey.SetAside, "queue 2"
	assert.ElementsMatch(t, []journey.Step{step, refused}, steps(w.Journey))

	again := newWorld(eventLog{records: many(1)})
	again.Journey = journey.NewRecorder(10, time.Now)
	require.NoError(t, again.Republish(t.Context(), "shard-1"))
	for _, s := range steps(again.Journey) {
		assert.Empty(t, s.From+s.Sequence, "it was read from the log")
	}
	assert.Len(t, steps(again.Journey), 1)
}

func steps(r *journey.Recorder) []journey.Step {
	found, _ := r.Find(func(*journey.Step) bool { return true })
	for i := range found {
		found[i].At = time.Time{}
	}
	return found
}
