package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// faulty are campaigns of a build with a fault: until it is fixed, they react neither to the sixth answer nor to a timer.
func faulty(parallel int, fixed *atomic.Bool) process.Spec[campaign, eventsourcing.Event] {
	spec := campaigns(parallel)
	react := spec.React
	spec.React = func(c campaign, in process.Input) process.Reaction[eventsourcing.Event] {
		switch in := in.(type) {
		case process.Heard:
			if _, viewed := in.Event.(Viewed); viewed {
				return process.Reaction[eventsourcing.Event]{
					Set: []process.Timer{{Name: "view", Due: friday.AddDate(-10, 0, 0)}},
				}
			}
		case process.Answered:
			if string(in.Command.Data) == "5" && !fixed.Load() {
				panic("five is no number")
			}
		case process.Fired:
			if !fixed.Load() {
				panic("no reaction to timers")
			}
		}
		return react(c, in)
	}
	return spec
}

func (o *office) names(id string) (names []string) {
	for _, r := range o.records(o.stream(id)) {
		names = append(names, strings.TrimPrefix(r.Name, "library/campaign/"))
	}
	return names
}

func (o *office) list() (all []process.Waiting) {
	o.t.Helper()
	for w, err := range o.manager.List(o.t.Context()) {
		require.NoError(o.t, err)
		all = append(all, w)
	}
	return all
}

func TestAProcessThatCannotReactToAnAnswerIsParkedUntilItIsRetried(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{1, 16} {
		t.Run(fmt.Sprint(parallel), func(t *testing.T) {
			t.Parallel()
			var fixed atomic.Bool
			o := newOffice(t, faulty(parallel, &fixed), nil)
			defer o.server.Close()
			o.happens("c", Lent{})
			o.hear("c")
			require.NoError(t, o.work(), "there is nothing to be tried again")
			waiting := o.list()
			require.Len(t, waiting, 1)
			assert.Contains(t, waiting[0].Parked, "answer to command library/campaign/c/2#6: ")
			assert.Contains(t, waiting[0].Parked, "five is no number")
			v, err := o.manager.Show(t.Context(), "c")
			require.NoError(t, err)
			assert.Equal(t, waiting[0].Parked, v.Parked.Reason)
			assert.True(t, waiting[0].Since.Equal(v.Parked.At))
			assert.Equal(t, "5", string(v.Open[0].Command.Data), "the answers before it are recorded")
			sent := len(o.sent)

			o.happens("c", Viewed{})
			o.hear("c")
			assert.Contains(t, o.names("c"), "timerSet", "it hears events")
			require.NoError(t, o.work())
			assert.NotContains(t, o.names("c"), "timerFired")
			assert.Len(t, o.sent, sent, "nothing is sent")

			who := eventsourcing.Metadata{Actor: "operator"}
			require.NoError(t, o.manager.Retry(t.Context(), "c", who))
			require.NoError(t, o.work())
			require.Len(t, o.list(), 1)
			assert.NotEmpty(t, o.list()[0].Parked, "parked again")

			fixed.Store(true)
			require.NoError(t, o.manager.Retry(t.Context(), "c", who))
			require.NoError(t, o.work())
			assert.ElementsMatch(t, allLetters(), o.sent, "each command once")
			assert.Contains(t, o.names("c"), "finished")
			assert.Contains(t, o.names("c"), "timerFired")
			assert.Empty(t, o.list())
		})
	}
}

func TestAProcessThatCannotReactToATimerIsParkedUntilItIsRetried(t *testing.T) {
	t.Parallel()
	var fixed atomic.Bool
	o := newOffice(t, faulty(1, &fixed), nil)
	defer o.server.Close()
	o.happens("c", Viewed{})
	o.happens("d", Viewed{})
	o.hear("c")
	o.hear("d")
	var stale []timers.Timer
	for timer, err := range (timers.Table{DB: o.db}).All(t.Context()) {
		require.NoError(t, err)
		if timer.Stream.ID == "c" {
			stale = append(stale, timer)
		}
	}
	require.NoError(t, o.work())
	for _, w := range o.list() {
		assert.Contains(t, w.Parked, "timer \"view\": ")
	}
	require.NoError(t, o.manager.Handle(t.Context(), o.stream("c"), stale), "what was read before it was parked")
	assert.Equal(t, []string{"timerSet", "parked"}, o.names("c"))

	require.NoError(t, o.manager.Cancel(t.Context(), "d", "of no use", eventsourcing.Metadata{}))
	require.Len(t, o.list(), 1)
	fixed.Store(true)
	require.NoError(t, o.manager.Retry(t.Context(), "c", eventsourcing.Metadata{}))
	require.NoError(t, o.work())
	assert.Equal(t, []string{"timerSet", "parked", "retried", "timerFired"}, o.names("c"))
	assert.Empty(t, o.list())
}

// What a process wants may be more than its stream can keep, which no other attempt changes.
func TestAProcessWhoseReactionCannotBeStoredIsParked(t *testing.T) {
	t.Parallel()
	spec := campaigns(1)
	react := spec.React
	spec.React = func(c campaign, in process.Input) process.Reaction[eventsourcing.Event] {
		r := react(c, in)
		if a, answered := in.(process.Answered); answered && string(a.Command.Data) == "0" {
			r.Events = slices.Repeat(r.Events, 100)
		}
		return r
	}
	o := newOffice(t, spec, nil)
	defer o.server.Close()
	o.happens("c", Lent{})
	o.hear("c")
	require.NoError(t, o.work())
	require.Len(t, o.list(), 1)
	assert.Contains(t, o.list()[0].Parked, "a transaction takes 100")
}

// loseTimers deletes the table, and provides an empty one.
func (w *world) loseTimers() {
	w.t.Helper()
	_, err := w.db.DeleteTable(w.t.Context(), &dynamodb.DeleteTableInput{TableName: aws.String("timers")})
	require.NoError(w.t, err)
	_, err = w.db.CreateTable(w.t.Context(), timers.Table{}.CreateTableInput())
	require.NoError(w.t, err)
}

// timers are those that are stored, without their versions.
func (w *world) timers() (all []string) {
	w.t.Helper()
	for timer, err := range (timers.Table{DB: w.db}).All(w.t.Context()) {
		require.NoError(w.t, err)
		all = append(all, fmt.Sprint(timer.Stream, " ", timer.Name, " ", timer.Due))
	}
	slices.Sort(all)
	return all
}

func TestAllThatWaitsIsPutBackAfterALossOfTheTimers(t *testing.T) {
	t.Parallel()
	var fixed atomic.Bool
	o := newOffice(t, faulty(1, &fixed), nil)
	defer o.server.Close()
	o.fail = func(r process.Request) error {
		if r.Process.ID == "asks" {
			return errors.New("no route to the library")
		}
		return nil
	}
	for _, id := range []string{"asks", "parked", "cancelled"} {
		o.happens(id, Lent{})
		o.hear(id)
	}
	_ = o.work()
	require.NoError(t, o.manager.Cancel(t.Context(), "cancelled", "", eventsourcing.Metadata{}))
	o.happens("waits", Viewed{})
	o.hear("waits")
	before, parked := o.timers(), o.names("parked")
	require.Len(t, before, 3)
	o.loseTimers()
	require.NoError(t, o.work())
	require.Empty(t, o.list())

	found := map[string]error{}
	require.NoError(t, o.manager.EachWaiting(t.Context(), 1, func(_ context.Context, id string, err error) error {
		found[id] = err
		return nil
	}))
	assert.Equal(t, map[string]error{"asks": nil, "parked": nil, "waits": nil}, found)

	fixed.Store(true)
	who := eventsourcing.Metadata{Actor: "operator"}
	require.NoError(t, o.manager.EachWaiting(t.Context(), 4, func(ctx context.Context, id string, err error) error {
		if id == "parked" || err != nil {
			return err
		}
		return o.manager.Retry(ctx, id, who)
	}))
	assert.Equal(t, slices.DeleteFunc(before, func(s string) bool { return strings.Contains(s, "parked") }), o.timers())
	assert.Equal(t, parked, o.names("parked"))
	require.NoError(t, o.manager.Retry(t.Context(), "parked", who))
	o.fail = func(process.Request) error { return nil }
	require.NoError(t, o.work())
	require.NoError(t, o.work(), "what was asked meanwhile")
	assert.Empty(t, o.list())
	assert.Contains(t, o.names("waits"), "timerFired")
	for _, id := range []string{"asks", "parked"} {
		assert.Contains(t, o.names(id), "finished")
	}
}

func TestAProcessThatCannotBeReadIsReportedAndEndsNothing(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	o.happens("c", Lent{})
	o.hear("c")
	require.NoError(t, o.log.Append(t.Context(), eventsourcing.Commit{Stream: o.stream("newer"), Records: []eventsourcing.Record{{
		ID: "n", Stream: o.stream("newer"), Version: 1, Name: "library/campaign/ofALaterBuild", Schema: 1, Data: json.RawMessage(`{}`),
		RecordedAt: friday,
	}}}))
	found := map[string]bool{}
	require.NoError(t, o.manager.EachWaiting(t.Context(), 1, func(_ context.Context, id string, err error) error {
		found[id] = errors.Is(err, eventsourcing.ErrUnknownEvent)
		return nil
	}))
	assert.Equal(t, map[string]bool{"c": false, "newer": true}, found)
}

// The table of timers is lost between two deadlines. What is put back is fired at its time.
func TestEveryDeadlineIsMetAfterALossOfTheTimers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.server.Close()
		start := time.Now().UTC()
		p := w.immortal(0)
		for i := range 20 {
			id := fmt.Sprint(i)
			w.happens(id, Lent{Until: start.Add(time.Duration(i) * 5 * time.Second)})
			p.deliver(t.Context(), delivery{id, []int{1}})
		}
		p.run(22 * time.Second)
		w.loseTimers()
		p = w.immortal(0)
		p.run(22 * time.Second)
		require.NoError(t, p.manager.EachWaiting(t.Context(), 4, func(ctx context.Context, id string, _ error) error {
			return p.manager.Retry(ctx, id, eventsourcing.Metadata{Actor: "operator"})
		}))
		w.immortal(0).run(90 * time.Second)
		for i := range 20 {
			assert.Contains(t, w.judge(fmt.Sprint(i)), "reminded")
		}
		assert.Zero(t, w.waiting())
	})
}
