package journey_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func all(*journey.Step) bool { return true }

func versions(steps []journey.Step) (out []eventsourcing.Version) {
	for _, s := range steps {
		out = append(out, s.Version)
	}
	return out
}

func TestTheLastStepsAreRememberedInOrder(t *testing.T) {
	t.Parallel()
	at := time.Unix(0, 0)
	r := journey.NewRecorder(3, func() time.Time { at = at.Add(time.Second); return at })
	found, since := r.Find(all)
	assert.Empty(t, found)
	assert.Zero(t, since)
	for v := range eventsourcing.Version(2) {
		r.Add(journey.Step{Version: v + 1})
	}
	found, _ = r.Find(all)
	assert.Equal(t, []eventsourcing.Version{1, 2}, versions(found))
	for v := range eventsourcing.Version(5) {
		r.Add(journey.Step{Version: v + 3})
	}
	found, since = r.Find(all)
	assert.Equal(t, []eventsourcing.Version{5, 6, 7}, versions(found))
	assert.Equal(t, time.Unix(5, 0), since, "of the oldest")
	found, _ = r.Find(func(s *journey.Step) bool { return s.Version == 6 })
	assert.Equal(t, []eventsourcing.Version{6}, versions(found))
	assert.Equal(t, time.Unix(6, 0), found[0].At)
}

func TestNoRecorderRemembersNothing(t *testing.T) {
	t.Parallel()
	var r *journey.Recorder
	r.Add(journey.Step{})
	found, _ := r.Find(all)
	assert.Empty(t, found)
}

func TestStepsOfManyGoroutinesAreAllRemembered(t *testing.T) {
	t.Parallel()
	r := journey.NewRecorder(800, time.Now)
	var adding sync.WaitGroup
	for range 8 {
		adding.Go(func() {
			for range 100 {
				r.Add(journey.Step{})
				r.Find(func(*journey.Step) bool { return false })
			}
		})
	}
	adding.Wait()
	found, _ := r.Find(all)
	assert.Len(t, found, 800)
}

// It is on the way of every event: a step of a full ring costs no memory.
func TestAStepAllocatesNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts those of the process
	r := journey.NewRecorder(10, time.Now)
	step := journey.Step{Operation: "publish", EventID: "e", Stream: eventsourcing.StreamID{Category: "c", ID: "i"}, Version: 1}
	for range 10 {
		r.Add(step)
	}
	assert.Zero(t, testing.AllocsPerRun(1000, func() { r.Add(step) }))
}

func BenchmarkAdd(b *testing.B) {
	r := journey.NewRecorder(10_000, time.Now)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Add(journey.Step{Operation: "publish", Stream: eventsourcing.StreamID{Category: "c", ID: "i"}, Version: 1})
		}
	})
}
