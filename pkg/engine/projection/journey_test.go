package projection_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/journey"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// The journey of an event says what came of it in the projection, and what the row showed before and after.
func TestTheJourneyOfAnEventSaysWhatCameOfIt(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.config.Journey = journey.NewRecorder(100, time.Now)
	lib.broken.Store(true)
	p := lib.projector()
	told := 0
	tell := func() (new []string) {
		found, _ := lib.config.Journey.Find(func(*journey.Step) bool { return true })
		for _, s := range found[told:] {
			assert.Equal(t, "project shelves", s.Operation)
			assert.Equal(t, bookStream("b1"), s.Stream)
			assert.NotEmpty(t, s.EventID)
			new = append(new, fmt.Sprintf("%d %s %d-%d", s.Version, s.Outcome, s.Before, s.After))
		}
		told = len(found)
		return new
	}
	records := lib.append(bookStream("b1"), titled{"Odes"}, placed{"s1"}, placed{"s2"}, withdrawn{"s1"}, torn{1}, titled{"Epodes"})
	only := func(version int) []eventsourcing.Record { return records[version-1 : version] }

	apply(t, p, only(1))
	assert.Equal(t, []string{"1 applied 0-1"}, tell())
	apply(t, p, only(1))
	assert.Equal(t, []string{"1 duplicate 1-1"}, tell())
	apply(t, p, only(4))
	assert.Equal(t, []string{"2 healed 1-4", "3 healed 1-4", "4 applied 1-4"}, tell(), "its predecessors were read from the log")
	apply(t, p, only(5))
	assert.Equal(t, []string{"5 parked 4-4"}, tell())
	apply(t, p, only(6))
	assert.Equal(t, []string{"6 parked 4-4"}, tell())
	lib.broken.Store(false)
	_, err := p.Redrive(t.Context(), bookStream("b1"))
	require.NoError(t, err)
	assert.Equal(t, []string{"5 healed 4-6", "6 healed 4-6"}, tell())
}
