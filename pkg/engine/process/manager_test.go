package process_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/dynamostore"
	"github.com/leftfold/leftfold/pkg/engine/process"
	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/engine/timers"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// A campaign asks many commands for one event, in waves: the next when all of one are answered.

type (
	waveAsked struct{ From, To int }
	finished  struct{ Answers int }
)

func (waveAsked) EventName() string { return "library/campaign/waveAsked" }
func (finished) EventName() string  { return "library/campaign/finished" }

type campaign struct {
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
}

const letters, wave = 45, 20

func campaigns(parallel int) process.Spec[campaign, eventsourcing.Event] {
	next := func(c campaign) (r process.Reaction[eventsourcing.Event]) {
		to := min(c.Asked+wave, letters)
		r.Events = []eventsourcing.Event{waveAsked{c.Asked, to}}
		for i := c.Asked; i < to; i++ {
			r.Commands = append(r.Commands, process.Ask("letter", i))
		}
		return r
	}
	return process.Spec[campaign, eventsourcing.Event]{
		Category: "library/campaign", Parallel: parallel,
		Codec: eventsourcing.NewCodec[eventsourcing.Event](waveAsked{}, finished{}, counted{}),
		Evolve: func(c campaign, e eventsourcing.Event) campaign {
			switch e := e.(type) {
			case waveAsked:
				c.Asked = e.To
			case counted:
				c.Answered++
			}
			return c
		},
		React: func(c campaign, in process.Input) process.Reaction[eventsourcing.Event] {
			switch in := in.(type) {
			case process.Heard:
				switch in.Event.(type) {
				case Lent:
					return next(c)
				case Returned:
					panic("nobody returns a campaign")
				case Prolonged:
					return process.Reaction[eventsourcing.Event]{Set: []process.Timer{{Name: "x", Due: time.Time{}}}}
				}
			case process.Answered:
				r := process.Reaction[eventsourcing.Event]{Events: []eventsourcing.Event{counted{}}}
				if c.Answered++; c.Answered == letters {
					r.Events = append(r.Events, finished{c.Answered})
				} else if c.Answered == c.Asked {
					more := next(c)
					r.Events, r.Commands = append(r.Events, more.Events...), more.Commands
				}
				return r
			case process.Fired:
			}
			return process.Reaction[eventsourcing.Event]{}
		},
		Listens: []process.Listener{process.On("library/loan", loanCodec(), func(_ LoanEvent, rec eventsourcing.Record) string {
			return rec.Stream.ID
		})},
	}
}

type counted struct{}

func (counted) EventName() string { return "library/campaign/counted" }

// office runs campaigns and is the receiver of their letters.
type office struct {
	*world
	manager *process.Manager[campaign, eventsourcing.Event]
	hears   *projection.Projector

	mu    sync.Mutex
	known map[string]bool // keys of commands
	sent  []string        // data of the commands, in the order in which they took effect
	fail  func(r process.Request) error
}

func newOffice(t *testing.T, spec process.Spec[campaign, eventsourcing.Event], change func(*process.Config)) *office {
	t.Helper()
	o := &office{world: newWorld(t), fail: func(process.Request) error { return nil }, known: map[string]bool{}}
	o.manager = o.newManager(spec, change)
	o.hears = o.newProjector()
	return o
}

func (o *office) newProjector() *projection.Projector {
	o.t.Helper()
	p, err := projection.NewProjector(projection.Config{
		Name: "campaigns", Table: "reminder-fences", DB: o.db, EventLog: o.log, Sources: o.manager.Sources(), MaxAttempts: 2,
	})
	require.NoError(o.t, err)
	return p
}

func (o *office) newManager(
	spec process.Spec[campaign, eventsourcing.Event], change func(*process.Config),
) *process.Manager[campaign, eventsourcing.Event] {
	o.t.Helper()
	cfg := process.Config{
		Log: o.log, Timers: timers.Table{DB: o.db}, Metrics: prometheus.NewRegistry(),
		Send: func(_ context.Context, r process.Request) (process.Answer, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			if !o.known[r.Key] {
				o.known[r.Key] = true
				o.sent = append(o.sent, string(r.Command.Data))
			}
			return process.Answer{}, o.fail(r)
		},
	}
	if change != nil {
		change(&cfg)
	}
	m, err := process.NewManager(spec, cfg)
	require.NoError(o.t, err)
	return m
}

func (o *office) hear(id string) {
	o.t.Helper()
	_, err := o.hears.Apply(o.t.Context(), o.records(loanStream(id)))
	require.NoError(o.t, err)
}

func (o *office) stream(id string) eventsourcing.StreamID {
	return eventsourcing.StreamID{Category: "library/campaign", ID: id}
}

// work handles all timers that are stored, as a poller would.
func (o *office) work() error {
	var errs []error
	for timer, err := range (timers.Table{DB: o.db}).All(o.t.Context()) {
		require.NoError(o.t, err)
		if !timer.Due.After(time.Now()) {
			errs = append(errs, o.manager.Handle(o.t.Context(), timer.Stream, []timers.Timer{timer}))
		}
	}
	return errors.Join(errs...)
}

// allLetters are the data of all commands of a campaign.
func allLetters() (out []string) {
	for i := range letters {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestCommandsOfAProcessAreSentInTheirOrder(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	o.happens("c", Lent{})
	o.hear("c")
	lost := 0
	o.fail = func(process.Request) error {
		if lost++; lost%3 == 0 {
			return errors.New("answer lost")
		}
		return nil
	}
	for o.waiting() > 0 {
		_ = o.work()
	}
	assert.Equal(t, allLetters(), o.sent)
	names := []string{}
	for _, r := range o.records(o.stream("c")) {
		names = append(names, strings.TrimPrefix(r.Name, "library/campaign/"))
	}
	assert.Equal(t, "finished", names[len(names)-1])
	assert.Len(t, names, 2*letters+3*2+1)
}

func TestCommandsMayBeSentAtOnceAndAreAnsweredTogether(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(16), nil)
	defer o.server.Close()
	o.happens("c", Lent{})
	o.hear("c")
	failing := true
	o.fail = func(r process.Request) error {
		if failing && string(r.Command.Data) == "5" {
			return errors.New("no answer")
		}
		return nil
	}
	require.ErrorContains(t, o.work(), "no answer")
	v, err := o.manager.Show(t.Context(), "c")
	require.NoError(t, err)
	require.Len(t, v.Open, 5, "all others of the first wave have their answers")
	assert.Equal(t, "5", string(v.Open[0].Command.Data))
	failing = false
	before := o.server.Calls()["DynamoDB.TransactWriteItems"]
	require.NoError(t, o.work())
	assert.ElementsMatch(t, allLetters(), o.sent)
	assert.LessOrEqual(t, o.server.Calls()["DynamoDB.TransactWriteItems"]-before, int64(4), "one transaction for the answers of a wave")
	assert.Zero(t, o.waiting())
}

func TestARateLimitsTheCommands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t, campaigns(1), func(c *process.Config) { c.Rate = 10 })
		defer o.server.Close()
		o.happens("c", Lent{})
		o.hear("c")
		start := time.Now()
		require.NoError(t, o.work())
		assert.GreaterOrEqual(t, time.Since(start), (letters-1)*time.Second/10)
	})
}

// What cannot be reacted to parks the stream of the event, and no other one.
func TestAReactionThatCannotBeCarriedOutParksTheEventsStream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event  LoanEvent
		change func(*process.Spec[campaign, eventsourcing.Event])
		reason string
	}{
		"React panics":                  {Returned{}, nil, "panic: nobody returns a campaign"},
		"a timer that cannot be stored": {Prolonged{}, nil, "which cannot be stored"},
		"an event that is not registered": {Lent{}, func(s *process.Spec[campaign, eventsourcing.Event]) {
			s.Codec = eventsourcing.NewCodec[eventsourcing.Event](counted{})
		}, "not registered"},
		"an ID that is none": {Lent{}, func(s *process.Spec[campaign, eventsourcing.Event]) {
			s.Listens = []process.Listener{process.On("library/loan", loanCodec(), func(LoanEvent, eventsourcing.Record) string { return "a b" })}
		}, "field \"stream\""},
		"too much for a transaction": {Lent{}, func(s *process.Spec[campaign, eventsourcing.Event]) {
			s.React = func(campaign, process.Input) (r process.Reaction[eventsourcing.Event]) {
				r.Events = slices.Repeat([]eventsourcing.Event{counted{}}, 100)
				return r
			}
		}, "a transaction takes 100"},
		"too many timers": {Lent{}, func(s *process.Spec[campaign, eventsourcing.Event]) {
			s.React = func(campaign, process.Input) (r process.Reaction[eventsourcing.Event]) {
				for i := range process.MaxTimers + 1 {
					r.Set = append(r.Set, process.Timer{Name: fmt.Sprint(i), Due: friday})
				}
				return r
			}
		}, "more than 90 timers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := campaigns(1)
			if c.change != nil {
				c.change(&spec)
			}
			o := newOffice(t, spec, nil)
			defer o.server.Close()
			o.happens("c", c.event)
			o.hear("c")
			parked, found, err := o.hears.ParkedStream(t.Context(), loanStream("c"))
			require.NoError(t, err)
			require.True(t, found)
			assert.Contains(t, parked.Reason, c.reason)
			assert.Empty(t, o.records(o.stream("c")))
			assert.Zero(t, o.waiting())
		})
	}
}

func TestAnOperatorSeesRetriesAndCancelsProcesses(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	o.happens("c", Lent{})
	o.happens("d", Lent{})
	o.hear("c")
	o.hear("d")
	waiting := map[string]process.Waiting{}
	for w, err := range o.manager.List(t.Context()) {
		require.NoError(t, err)
		waiting[w.ID] = w
	}
	require.Len(t, waiting, 2)
	assert.Empty(t, waiting["c"].Timer, "it waits for answers")
	v, err := o.manager.Show(t.Context(), "c")
	require.NoError(t, err)
	assert.Len(t, v.Open, wave)
	assert.Equal(t, "library/campaign/c/2#1", v.Open[0].Key)
	assert.True(t, waiting["c"].Since.Equal(v.Open[0].AskedAt))
	assert.Equal(t, campaign{Asked: wave}, v.State)

	who := eventsourcing.Metadata{Actor: "operator"}
	require.NoError(t, o.manager.Cancel(t.Context(), "d", "by mistake", who))
	require.NoError(t, o.manager.Cancel(t.Context(), "d", "again", who))
	records := o.records(o.stream("d"))
	last := records[len(records)-1]
	assert.Equal(t, "library/campaign/cancelled", last.Name)
	assert.JSONEq(t, `{"reason":"by mistake"}`, string(last.Data))
	assert.Equal(t, "operator", last.Metadata.Actor)
	v, err = o.manager.Show(t.Context(), "d")
	require.NoError(t, err)
	assert.True(t, v.Cancelled)
	assert.Empty(t, v.Open)
	o.happens("d", Lent{})
	o.hear("d")
	assert.Len(t, o.records(o.stream("d")), len(records), "it hears nothing more")

	require.NoError(t, o.manager.Retry(t.Context(), "c", who))
	require.NoError(t, o.work())
	assert.Equal(t, allLetters(), o.sent)
	assert.Zero(t, o.waiting())

	require.ErrorIs(t, o.manager.Retry(t.Context(), "nobody", who), process.ErrNoProcess)
	require.ErrorIs(t, o.manager.Cancel(t.Context(), "nobody", "", who), process.ErrNoProcess)
}

func TestATimerIsStoredAsLongAsTheStreamSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	defer w.server.Close()
	p := w.immortal(0)
	stored := func() (due []time.Time) {
		for timer, err := range (timers.Table{DB: w.db}).All(t.Context()) {
			require.NoError(t, err)
			due = append(due, timer.Due)
		}
		return due
	}
	w.happens("l", Lent{Until: friday}, Prolonged{Until: friday.Add(time.Hour)}, Returned{})
	for i, want := range [][]time.Time{{friday}, {friday.Add(time.Hour)}, nil} {
		p.deliver(t.Context(), delivery{"l", []int{i + 1}})
		assert.Equal(t, want, stored())
	}
}

// A timer in the table that the stream does not know, as after a restore of the log, is removed.
func TestATimerThatNoStreamKnowsIsRemoved(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	table := timers.Table{DB: o.db}
	for _, name := range []string{"timer x", "commands"} {
		foreign := timers.Timer{Stream: o.stream("c"), Name: name, Due: friday.Add(-time.Hour * 24 * 365), Version: 7}
		_, err := o.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("timers"), Item: table.Set(foreign).Put.Item})
		require.NoError(t, err)
		require.NoError(t, o.manager.Handle(t.Context(), foreign.Stream, []timers.Timer{foreign}))
	}
	assert.Zero(t, o.waiting())
	assert.Empty(t, o.records(o.stream("c")))
}

// The engine's events of a process are stored: their names and shapes stay.
func TestStoredEventsOfTheEngineAreRead(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	stored := []struct{ name, data string }{
		{"commandsAsked", `{"commands":[{"name":"letter","data":1},{"name":"letter","data":2}],"at":"2026-11-27T17:00:00Z","correlationId":"c"}`},
		{"commandAnswered", `{"version":1,"number":1,"answer":{"refused":"moved_away","data":{"to":"sea"}}}`},
		{"timerSet", `{"name":"a","due":"2026-11-27T17:00:00Z"}`},
		{"timerSet", `{"name":"b","due":"2026-11-28T17:00:00Z"}`},
		{"timerCancelled", `{"name":"a"}`},
		{"timerSet", `{"name":"c","due":"2026-11-27T17:00:00Z"}`},
		{"timerFired", `{"name":"c","due":"2026-11-27T17:00:00Z"}`},
		{"retried", `{}`},
		{"parked", `{"reason":"timer \"b\": panic","at":"2026-11-29T17:00:00Z"}`},
	}
	c := eventsourcing.Commit{Stream: o.stream("old")}
	for i, e := range stored {
		c.Records = append(c.Records, eventsourcing.Record{
			ID: fmt.Sprint(i), Stream: c.Stream, Version: eventsourcing.Version(i + 1), Name: "library/campaign/" + e.name, Schema: 1,
			Data: json.RawMessage(e.data), RecordedAt: friday,
		})
	}
	require.NoError(t, dynamostore.NewStore(o.db, dynamostore.Config{}).Append(t.Context(), c))
	v, err := o.manager.Show(t.Context(), "old")
	require.NoError(t, err)
	require.Len(t, v.Open, 1)
	assert.Equal(t, process.Request{
		Key: "library/campaign/old/1#2", Process: o.stream("old"),
		Command: process.Command{Name: "letter", Data: json.RawMessage("2")}, CorrelationID: "c",
	}, v.Open[0].Request)
	assert.Equal(t, []process.Timer{{Name: "b", Due: friday.Add(24 * time.Hour)}}, v.Timers)
	assert.Equal(t, process.Parked{Reason: `timer "b": panic`, At: friday.Add(48 * time.Hour)}, v.Parked)
}

// A fence is of a stream in a table: two kinds of processes that hear the same streams need two tables.
func TestTwoKindsThatHearTheSameStreamsCannotShareFences(t *testing.T) {
	t.Parallel()
	o := newOffice(t, campaigns(1), nil)
	defer o.server.Close()
	_, err := projection.NewProjector(projection.Config{
		Name: "both", Table: "reminder-fences", DB: o.db, EventLog: o.log,
		Sources: append(o.manager.Sources(), o.immortal(0).manager.Sources()...),
	})
	require.ErrorContains(t, err, `two sources of category "library/loan"`)
}

func TestMistakesOfASpecAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := process.NewManager(process.Spec[campaign, eventsourcing.Event]{Parallel: 17}, process.Config{})
	for _, part := range []string{"Category", "Listens", "React", "Evolve", "Codec", "Parallel", "Log", "Timers.DB", "Send"} {
		require.ErrorContains(t, err, part)
	}
}
