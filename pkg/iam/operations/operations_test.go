package operations

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/leftfold/leftfold/pkg/domain/aggregatetest"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStoredEvents(t *testing.T) {
	t.Parallel()
	aggregatetest.Stored(t, Aggregate().Codec, os.DirFS("testdata/events"))
}

// The names are stored in every event log and must never change.
func TestEventNames(t *testing.T) {
	t.Parallel()
	assert.Equal(t, map[string]int{
		"org/ops/action/requested": 1, "org/ops/action/completed": 1, "org/ops/action/failed": 1,
	}, Aggregate().Codec.Names())
}

func TestAnActionBeginsAndEndsOnce(t *testing.T) {
	t.Parallel()
	began := Requested{Order: Order{Action: "redrive", Target: "users org/iam/user/1"}}
	done, failed := Completed{Result: "done"}, Failed{Reason: "away"}
	aggregatetest.Decide(t, Aggregate(), map[string]aggregatetest.Case[State, Event]{
		"it is wanted":              {When: request(began.Order), Then: []Event{began}},
		"it is wanted already":      {Given: []Event{began}, When: request(began.Order)},
		"it is done":                {Given: []Event{began}, When: end{done}, Then: []Event{done}},
		"it is not done":            {Given: []Event{began}, When: end{failed}, Then: []Event{failed}},
		"it has ended":              {Given: []Event{began, failed}, When: end{done}},
		"nothing ends that was not": {When: end{done}},
	})
	for _, s := range [][]Event{nil, {began}, {began, done}, {began, failed}} {
		for _, c := range []eventsourcing.Command[State, Event]{request(began.Order), end{done}, end{failed}} {
			aggregatetest.Repeat(t, Aggregate(), aggregatetest.Fold(Aggregate(), State{}, s...), c)
		}
	}
}

// unreliable is a log that refuses some appends.
type unreliable struct {
	memstore.Store

	refuses atomic.Int64 // as many
}

var errAway = errors.New("the log is away")

func (u *unreliable) Append(ctx context.Context, c eventsourcing.Commit) error {
	if u.refuses.Add(-1) >= 0 {
		return errAway
	}
	return u.Store.Append(ctx, c)
}

// at runs a test with a Desk; stop ends the Desk and waits for it.
func at(t *testing.T, do func(t *testing.T, d *Desk, log *unreliable, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &unreliable{}
		d, err := NewDesk(Config{Log: log, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx) }()
		stopped := false
		stop := func() {
			if !stopped {
				stopped = true
				cancel()
				require.NoError(t, <-ended)
			}
		}
		defer stop()
		do(t, d, log, stop)
	})
}

var redrive = Order{Action: "redrive", Target: "users org/iam/user/1"}

// TestAnActionIsInTheLogBeforeItIsDone, and what came of it afterwards, both with who wanted it.
func TestAnActionIsInTheLogBeforeItIsDone(t *testing.T) {
	t.Parallel()
	at(t, func(t *testing.T, d *Desk, _ *unreliable, _ func()) {
		seen := make(chan Action)
		id, err := d.Begin(t.Context(), "ann", redrive, func(
			ctx context.Context, md eventsourcing.Metadata, say func(string),
		) (string, error) {
			say("half of it")
			a, found, err := d.Look(ctx, md.CorrelationID)
			assert.True(t, found)
			assert.Equal(t, "ann", md.Actor)
			seen <- a
			return "applied up to version 9", err
		})
		require.NoError(t, err)
		before := <-seen
		assert.Equal(t, State{Order: redrive}, before.State)
		assert.Equal(t, "ann", before.Actor)
		assert.Equal(t, "half of it", before.Progress)
		assert.True(t, before.Here)
		d.Await(t.Context(), id)
		after, found, err := d.Look(t.Context(), id)
		require.NoError(t, err)
		require.True(t, found)
		assert.Equal(t, State{Order: redrive, Ended: true, Outcome: "applied up to version 9"}, after.State)
		assert.False(t, after.Here)
		assert.Equal(t, []string{id}, d.Recent())
		for r, err := range d.cfg.Log.Read(t.Context(), stream(id), 0) {
			require.NoError(t, err)
			assert.Equal(t, eventsourcing.Metadata{Actor: "ann", CorrelationID: id}, r.Metadata)
		}
	})
}

func never(context.Context, eventsourcing.Metadata, func(string)) (string, error) {
	panic("it was not to be done")
}

func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	t.Parallel()
	at(t, func(t *testing.T, d *Desk, log *unreliable, _ func()) {
		log.refuses.Store(1)
		_, err := d.Begin(t.Context(), "ann", redrive, never)
		require.ErrorIs(t, err, errAway)
		assert.Empty(t, d.Recent())
	})
}

func TestAFailureIsRecordedWithItsReason(t *testing.T) {
	t.Parallel()
	at(t, func(t *testing.T, d *Desk, _ *unreliable, _ func()) {
		id, err := d.Begin(t.Context(), "ann", redrive, func(context.Context, eventsourcing.Metadata, func(string)) (string, error) {
			return "", errors.New("an event still cannot be applied")
		})
		require.NoError(t, err)
		d.Await(t.Context(), id)
		a, _, err := d.Look(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, State{Order: redrive, Ended: true, Failed: true, Outcome: "an event still cannot be applied"}, a.State)
	})
}

func TestTheEndIsRecordedOnceTheLogIsBack(t *testing.T) {
	t.Parallel()
	at(t, func(t *testing.T, d *Desk, log *unreliable, _ func()) {
		id, err := d.Begin(t.Context(), "ann", redrive, func(context.Context, eventsourcing.Metadata, func(string)) (string, error) {
			log.refuses.Store(3)
			return "done", nil
		})
		require.NoError(t, err)
		d.Await(t.Context(), id)
		a, _, err := d.Look(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, "done", a.Outcome)
	})
}

// TestAStopIsRecorded: the context of what is under way ends, and its end is in the log before Run returns.
func TestAStopIsRecorded(t *testing.T) {
	t.Parallel()
	at(t, func(t *testing.T, d *Desk, _ *unreliable, stop func()) {
		id, err := d.Begin(t.Context(), "ann", redrive, func(ctx context.Context, _ eventsourcing.Metadata, _ func(string)) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		})
		require.NoError(t, err)
		stop()
		a, _, err := d.Look(t.Context(), id)
		require.NoError(t, err)
		assert.True(t, a.Failed)
		assert.Contains(t, a.Outcome, "was stopped")
		assert.False(t, a.Here)

		_, err = d.Begin(t.Context(), "ann", redrive, never)
		require.ErrorIs(t, err, errStopped)
		late, _, err := d.Look(t.Context(), d.Recent()[0])
		require.NoError(t, err)
		assert.Contains(t, late.Outcome, "it was not begun")
	})
}

func TestAnActionThatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	at(t, func(t *testing.T, d *Desk, _ *unreliable, _ func()) {
		_, found, err := d.Look(t.Context(), "nothing")
		require.NoError(t, err)
		assert.False(t, found)
		d.Await(t.Context(), "nothing")
	})
}
