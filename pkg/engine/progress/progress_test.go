package progress_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/engine/progress"
)

func TestALoopIsStuckAfterThreeDeadlinesWithoutATurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var loops progress.Loops
		poll, send := progress.NewLoop("poll", time.Second, time.Now), progress.NewLoop("send", time.Minute, time.Now)
		endPoll := loops.Register(poll)
		defer loops.Register(send)()
		<-time.After(3 * time.Second)
		assert.Empty(t, loops.Stuck(), "not longer than three times")
		<-time.After(time.Second)
		assert.Equal(t, []progress.State{{Name: "poll", Age: 4 * time.Second, Deadline: time.Second}}, loops.Stuck())
		assert.Len(t, loops.All(), 2)
		progress.Turn(progress.With(t.Context(), poll))
		assert.Zero(t, poll.Age())
		assert.Empty(t, loops.Stuck())
		<-time.After(time.Hour)
		endPoll()
		assert.Equal(t, []progress.State{{Name: "send", Age: time.Hour + 4*time.Second, Deadline: time.Minute}}, loops.Stuck())
	})
}

func TestNoLoopNeedsToBeWatched(t *testing.T) {
	t.Parallel()
	progress.Turn(context.Background())
	var none *progress.Loops
	none.Register(progress.NewLoop("poll", time.Second, time.Now))()
	assert.Empty(t, none.All())
	assert.Empty(t, none.Stuck())
}
