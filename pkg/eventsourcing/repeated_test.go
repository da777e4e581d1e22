package eventsourcing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

// asCommand remembers the outcome as that of "cmd".
func asCommand() eventsourcing.Option {
	return eventsourcing.WithResult(
		eventsourcing.CommandResult{ID: "cmd", Fingerprint: "f", ExpiresAt: time.Now().Add(time.Hour)},
		func(after eventsourcing.Version) []byte { return fmt.Appendf(nil, "came to %d", after) })
}

func TestTheOutcomeIsRememberedWithTheEvents(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	_, err := newCounters(store).Do(t.Context(), "c1", emit(counted{}, counted{}), asCommand())
	require.NoError(t, err)
	result, err := store.Result(t.Context(), "cmd")
	require.NoError(t, err)
	assert.Equal(t, "came to 2", string(result.Outcome))
	assert.Equal(t, "f", result.Fingerprint)
	require.Len(t, store.commits, 1)
	assert.Equal(t, "cmd", store.commits[0].Result.ID)
}

// absentResults is a Store whose Result fails.
type absentResults struct {
	eventsourcing.Store
	err error
}

func (s absentResults) Result(context.Context, string) (eventsourcing.CommandResult, error) {
	return eventsourcing.CommandResult{}, s.err
}

func TestARepeatedCommandIsRecognisedWhateverItWouldDecideNow(t *testing.T) {
	t.Parallel()
	refusal := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no", Reason: "no"}
	for name, then := range map[string]decide{
		"events": emit(counted{}), "no-op": emit(), "refusal": func(counter) ([]event, error) { return nil, refusal },
	} {
		for _, cached := range []int{0, 1} {
			t.Run(fmt.Sprintf("%s, cache of %d", name, cached), func(t *testing.T) {
				t.Parallel()
				store := new(memstore.Store)
				counters := newCounters(store)
				counters.Cache = eventsourcing.NewCache[counter](cached)
				_, err := counters.Do(t.Context(), "c1", emit(counted{}), asCommand())
				require.NoError(t, err)

				for _, stream := range []string{"c1", "c2"} { // a second stream: its ID was made anew
					_, err = counters.Do(t.Context(), stream, then, asCommand())
					require.ErrorIs(t, err, eventsourcing.ErrCommandRepeated)
				}
				_, version, err := counters.Load(t.Context(), "c1")
				require.NoError(t, err)
				assert.Equal(t, eventsourcing.Version(1), version)
				result, err := store.Result(t.Context(), "cmd")
				require.NoError(t, err)
				assert.Equal(t, "came to 1", string(result.Outcome), "the first stays")
			})
		}
	}
}

func TestARefusalIsNotRemembered(t *testing.T) {
	t.Parallel()
	refusal := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no", Reason: "no"}
	store := new(memstore.Store)
	counters := newCounters(store)
	_, err := counters.Do(t.Context(), "c1", func(counter) ([]event, error) { return nil, refusal }, asCommand())
	assert.Equal(t, error(refusal), err, "bare")
	version, err := counters.Do(t.Context(), "c1", emit(counted{}), asCommand())
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(1), version)
}

func TestACommandWithoutEventsIsRemembered(t *testing.T) {
	t.Parallel()
	store := new(memstore.Store)
	counters := newCounters(store)
	version, err := counters.Do(t.Context(), "c1", emit(), asCommand())
	require.NoError(t, err)
	assert.Zero(t, version)
	_, err = counters.Do(t.Context(), "c1", emit(counted{}))
	require.NoError(t, err)
	for name, by := range map[string]decide{"with an event by now": emit(counted{}), "again without": emit()} {
		_, err = counters.Do(t.Context(), "c1", by, asCommand())
		require.ErrorIs(t, err, eventsourcing.ErrCommandRepeated, name)
	}
	result, err := store.Result(t.Context(), "cmd")
	require.NoError(t, err)
	assert.Equal(t, "came to 0", string(result.Outcome))
	_, version, err = counters.Load(t.Context(), "c1")
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(1), version)
}

func TestARefusalIsNotAnsweredIfTheCommandMayBeARepetition(t *testing.T) {
	t.Parallel()
	errAway := errors.New("away")
	counters := newCounters(absentResults{new(memstore.Store), errAway})
	refusal := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no", Reason: "no"}
	_, err := counters.Do(t.Context(), "c1", func(counter) ([]event, error) { return nil, refusal }, asCommand())
	require.ErrorIs(t, err, errAway)
}
