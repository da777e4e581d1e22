package eventsourcing_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
	"github.com/leftfold/leftfold/pkg/retry"
)

func TestDoRecordsWhatWasDecided(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := newCounters(store)
	at := time.Date(2026, 3, 1, 13, 0, 0, 123_999_999, time.FixedZone("CET", 3600))
	counters.Now = func() time.Time { return at }
	md := eventsourcing.Metadata{CorrelationID: "req", CausationID: "cmd", Actor: "ann", Traceparent: "00-1-2-01"}
	about := eventsourcing.Enrichment{Aggregate: "test/other", ID: "o", Data: json.RawMessage(`{"x":1}`)}
	lookedUp := append(make([]eventsourcing.Enrichment, 0, 8), about) // spare capacity, to see that it is not written into

	version, err := counters.DoWith(t.Context(), "c1",
		func(context.Context) (eventsourcing.Prepared[counter, event], error) {
			return eventsourcing.Prepared[counter, event]{Command: emit(named{"Ann"}, counted{}), Enrichment: lookedUp}, nil
		}, eventsourcing.WithMetadata(md))
	require.NoError(t, err)
	assert.Equal(t, eventsourcing.Version(2), version)

	stream := eventsourcing.StreamID{Category: "test/counter", ID: "c1"}
	recordedAt := time.Date(2026, 3, 1, 12, 0, 0, 123_000_000, time.UTC)
	assert.Equal(t, []eventsourcing.Record{
		{
			ID: "e1", Stream: stream, Version: 1, Name: "test/counter/named", Schema: 1, Data: []byte(`{"name":"Ann"}`),
			Enrichment: []eventsourcing.Enrichment{about}, Metadata: md, RecordedAt: recordedAt,
		},
		{
			ID: "e2", Stream: stream, Version: 2, Name: "test/counter/counted", Schema: 1, Data: []byte(`{}`),
			Enrichment: []eventsourcing.Enrichment{about}, Metadata: md, RecordedAt: recordedAt,
		},
	}, store.commits[0].Records)
	assert.Equal(t, eventsourcing.Enrichment{}, lookedUp[:2][1], "the caller's slice was written into")

	state, version, err := counters.Load(t.Context(), "c1")
	require.NoError(t, err)
	assert.Equal(t, counter{Name: "Ann", N: 1}, state)
	assert.Equal(t, eventsourcing.Version(2), version)
}

func TestLoadOfAnAbsentStream(t *testing.T) {
	t.Parallel()
	state, version, err := newCounters(new(memstore.Store)).Load(t.Context(), "absent")
	require.NoError(t, err)
	assert.Zero(t, state)
	assert.Zero(t, version)
}

func TestDoDecidesAgainAfterAConflict(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{Store: new(memstore.Store)}
		counters, rival := newCounters(store), newCounters(store.Store)
		rival.NewID = func() string { return "rival's" }
		store.before = func(n int) error {
			if n == 1 {
				_, err := rival.Do(t.Context(), "c1", emit(counted{}))
				return err
			}
			return nil
		}
		conflicts := 0
		counters.OnConflict = func(error) { conflicts++ }
		var seen []int
		version, err := counters.Do(t.Context(), "c1", decide(func(c counter) ([]event, error) {
			seen = append(seen, c.N)
			return []event{counted{}}, nil
		}))
		require.NoError(t, err)
		assert.Equal(t, eventsourcing.Version(2), version)
		assert.Equal(t, []int{0, 1}, seen)
		assert.Equal(t, 1, conflicts)
	})
}

func TestDoOfManyLosesNoUpdate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := new(memstore.Store)
		var wg sync.WaitGroup
		for writer := range 16 {
			wg.Go(func() {
				counters := newCounters(store)
				next := counters.NewID
				counters.NewID = func() string { return fmt.Sprintf("%d's %s", writer, next()) }
				counters.MaxAttempts = 1000
				for range 5 {
					_, err := counters.Do(t.Context(), "c1", emit(counted{}))
					assert.NoError(t, err)
				}
			})
		}
		wg.Wait()
		state, version, err := newCounters(store).Load(t.Context(), "c1")
		require.NoError(t, err)
		assert.Equal(t, 16*5, state.N)
		assert.Equal(t, eventsourcing.Version(16*5), version)
	})
}

func TestDoGivesUpAfterMaxAttempts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		maxAttempts, want int
		err               error
	}{
		{1, 1, eventsourcing.ErrConflict},
		{3, 3, eventsourcing.ErrConflict},
		{3, 3, eventsourcing.ErrGuardMoved},
		{0, 10, eventsourcing.ErrConflict},
		{-1, 10, eventsourcing.ErrGuardMoved},
	} {
		t.Run(fmt.Sprintf("%d of %v", tt.maxAttempts, tt.err), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &scripted{Store: new(memstore.Store), before: func(int) error { return tt.err }}
				counters := newCounters(store)
				counters.MaxAttempts = tt.maxAttempts
				conflicts, prepared := 0, 0
				counters.OnConflict = func(error) { conflicts++ }
				_, err := counters.DoWith(t.Context(), "c1",
					func(context.Context) (eventsourcing.Prepared[counter, event], error) {
						prepared++
						return eventsourcing.Prepared[counter, event]{Command: emit(counted{})}, nil
					})
				require.ErrorIs(t, err, tt.err)
				require.ErrorContains(t, err, "append to test/counter/c1 at version 0")
				assert.Len(t, store.commits, tt.want)
				assert.Equal(t, tt.want, prepared)
				assert.Equal(t, tt.want, conflicts)
			})
		})
	}
}

func TestDoLooksUpAgainWhenAGuardMoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{Store: new(memstore.Store)}
		counters := newCounters(store)
		_, err := counters.Do(t.Context(), "other", emit(counted{}))
		require.NoError(t, err)
		rival := newCounters(store.Store)
		rival.NewID = func() string { return "rival's" }
		store.before = func(n int) error {
			if n == 2 { // the first attempt to come
				_, err := rival.Do(t.Context(), "other", emit(named{"moved"}))
				return err
			}
			return nil
		}
		var lookedUp []eventsourcing.Version
		prepare := func(ctx context.Context) (eventsourcing.Prepared[counter, event], error) {
			other, at, err := counters.Load(ctx, "other")
			lookedUp = append(lookedUp, at)
			return eventsourcing.Prepared[counter, event]{
				Command: emit(named{"after " + other.Name}),
				Guards: []eventsourcing.Guard{{
					Stream: eventsourcing.StreamID{Category: "test/counter", ID: "other"}, Version: at,
				}},
			}, err
		}
		_, err = counters.DoWith(t.Context(), "c1", prepare)
		require.NoError(t, err)
		assert.Equal(t, []eventsourcing.Version{1, 2}, lookedUp)
		state, _, err := counters.Load(t.Context(), "c1")
		require.NoError(t, err)
		assert.Equal(t, "after moved", state.Name)
	})
}

func TestDoDerivesClaimsAsDifferences(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := newCounters(store)
	claim := func(value string) []eventsourcing.Claim {
		return []eventsourcing.Claim{{Category: "test/counter", Name: "name", Value: value}}
	}
	for i, step := range []struct {
		what          string
		decided       []event
		take, release []eventsourcing.Claim
	}{
		{"nothing claimed", []event{counted{}}, nil, nil},
		{"first claim", []event{named{"ann"}}, claim("ann"), nil},
		{"kept", []event{counted{}}, nil, nil},
		{"kept by a change of case", []event{named{"ANN"}}, nil, nil},
		{"swapped", []event{named{"bob"}}, claim("bob"), claim("ann")},
		{"only where it ends counts", []event{named{"cid"}, named{"dan"}}, claim("dan"), claim("bob")},
		{"there and back", []event{named{"eve"}, named{"dan"}}, nil, nil},
		{"released", []event{named{""}}, nil, claim("dan")},
	} {
		_, err := counters.Do(t.Context(), "c1", emit(step.decided...))
		require.NoError(t, err, step.what)
		require.Len(t, store.commits, i+1, step.what)
		assert.ElementsMatch(t, step.take, store.commits[i].Take, step.what)
		assert.ElementsMatch(t, step.release, store.commits[i].Release, step.what)
	}
	// All released names are free for others; one that is held is not.
	_, err := counters.Do(t.Context(), "c2", emit(named{"dan"}))
	require.NoError(t, err)
	_, err = counters.Do(t.Context(), "c1", emit(named{"DAN"}))
	var taken *eventsourcing.ClaimTakenError
	require.ErrorAs(t, err, &taken)
	assert.Equal(t, claim("dan")[0], taken.Claim)
	assert.NotContains(t, err.Error(), "dan", "personal data in an error's text")
}

// An aggregate's claims may come from a rule that the build before did not have, so that the store lacks some of them.
func TestDoTakesAllClaimsWhenItChangesOne(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := newCounters(store)
	claim := func(value string) eventsourcing.Claim {
		return eventsourcing.Claim{Category: "test/counter", Name: "name", Value: value}
	}
	former := counters.Aggregate.Claims
	_, err := counters.Do(t.Context(), "c1", emit(named{"ANN"}))
	require.NoError(t, err)
	counters.Aggregate.Claims = func(c counter) []eventsourcing.Claim {
		return append(former(c), claim(fmt.Sprint("length ", len(c.Name))))
	}
	_, err = counters.Do(t.Context(), "c1", emit(named{"bob"}))
	require.NoError(t, err)
	assert.ElementsMatch(t, []eventsourcing.Claim{claim("bob"), claim("length 3")}, store.commits[1].Take)
	assert.Equal(t, []eventsourcing.Claim{claim("ann")}, store.commits[1].Release)
}

func TestDoWithoutClaims(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := newCounters(store)
	counters.Aggregate.Claims = nil
	_, err := counters.Do(t.Context(), "c1", emit(named{"ann"}))
	require.NoError(t, err)
	assert.Empty(t, store.commits[0].Take)
	assert.Empty(t, store.commits[0].Records[0].Enrichment)
}

func prepared(d decide) eventsourcing.Prepare[counter, event] {
	return func(context.Context) (eventsourcing.Prepared[counter, event], error) {
		return eventsourcing.Prepared[counter, event]{Command: d}, nil
	}
}

func TestDoWritesNothingWithoutEvents(t *testing.T) {
	t.Parallel()
	errPrepare := errors.New("look-up failed")
	refusal := &eventsourcing.Refusal{Kind: eventsourcing.FailedPrecondition, Code: "no", Reason: "no"}
	refuse := decide(func(counter) ([]event, error) { return nil, refusal })
	for name, tt := range map[string]struct {
		prepare eventsourcing.Prepare[counter, event]
		err     error
		version eventsourcing.Version
	}{
		"no-op":   {prepared(emit()), nil, 2},
		"refusal": {prepared(refuse), refusal, 2},
		"look-up": {func(context.Context) (eventsourcing.Prepared[counter, event], error) {
			return eventsourcing.Prepared[counter, event]{Command: emit(counted{})}, errPrepare
		}, errPrepare, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &scripted{Store: new(memstore.Store)}
			counters := newCounters(store)
			_, err := counters.Do(t.Context(), "c1", emit(counted{}, counted{}))
			require.NoError(t, err)
			counters.OnConflict = func(error) { t.Error("a conflict was reported") }

			version, err := counters.DoWith(t.Context(), "c1", tt.prepare)
			if err != tt.err { //nolint:errorlint // bare is the point
				t.Errorf("err = %v, want %v and nothing around it", err, tt.err)
			}
			assert.Equal(t, tt.version, version)
			assert.Len(t, store.commits, 1)
		})
	}
}

func TestDoRetriesOnlyConflicts(t *testing.T) {
	t.Parallel()
	for _, want := range []error{
		eventsourcing.ErrUnavailable, eventsourcing.ErrTooLarge, eventsourcing.ErrCommandRepeated,
		&eventsourcing.ClaimTakenError{}, context.DeadlineExceeded,
	} {
		store := &scripted{Store: new(memstore.Store), before: func(int) error { return want }}
		counters := newCounters(store)
		counters.OnConflict = func(error) { t.Errorf("%v was counted as a conflict", want) }
		_, err := counters.Do(t.Context(), "c1", emit(counted{}))
		require.ErrorIs(t, err, want)
		require.ErrorContains(t, err, "append to test/counter/c1 at version 0")
		assert.Len(t, store.commits, 1)
	}
}

func TestDoReportsWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	_, err := newCounters(store).Do(t.Context(), "c1", emit(counted{}, unregistered{}))
	require.ErrorIs(t, err, eventsourcing.ErrNotRegistered)
	require.ErrorContains(t, err, "encode test/counter/unregistered")
	assert.Empty(t, store.commits)
}

func TestABrokenStreamIsNotLoaded(t *testing.T) {
	t.Parallel()
	at := func(v eventsourcing.Version) eventsourcing.Record {
		return eventsourcing.Record{Version: v, Name: "test/counter/counted", Schema: 1, Data: []byte(`{}`)}
	}
	unknown, malformed := at(2), at(2)
	unknown.Schema, malformed.Data = 9, []byte(`{`)
	errAway, errHole := errors.New("away"), eventsourcing.ErrLogHole
	for name, tt := range map[string]struct {
		stream canned
		want   string
		is     error
	}{
		"gap":             {canned{records: []eventsourcing.Record{at(1), at(3)}}, "log lacks an event: version 3 follows 1", errHole},
		"gap at the head": {canned{records: []eventsourcing.Record{at(2)}}, "log lacks an event: version 2 follows 0", errHole},
		"repetition":      {canned{records: []eventsourcing.Record{at(1), at(1)}}, "log lacks an event: version 1 follows 1", errHole},
		"unknown event": {
			canned{records: []eventsourcing.Record{at(1), unknown}}, "event 2: ", eventsourcing.ErrUnknownEvent,
		},
		"malformed event": {canned{records: []eventsourcing.Record{at(1), malformed}}, "event 2: decode ", nil},
		"store away":      {canned{records: []eventsourcing.Record{at(1)}, err: errAway}, "away", errAway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &scripted{Store: tt.stream}
			_, err := newCounters(store).Do(t.Context(), "c1", emit(counted{}))
			require.ErrorContains(t, err, "load test/counter/c1: "+tt.want)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			assert.Empty(t, store.commits)
		})
	}
}

func TestPausesGrowAndStayInBounds(t *testing.T) {
	t.Parallel()
	for backoff, unit := range map[time.Duration]time.Duration{0: 5 * time.Millisecond, time.Second: time.Second} {
		t.Run(unit.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				last := time.Now()
				var pauses []time.Duration
				store := &scripted{Store: new(memstore.Store), before: func(int) error {
					pauses = append(pauses, time.Since(last))
					last = time.Now()
					return eventsourcing.ErrConflict
				}}
				counters := newCounters(store)
				counters.Backoff, counters.MaxAttempts = retry.Backoff{First: backoff, Max: 16 * backoff}, 200
				_, err := counters.Do(t.Context(), "c1", emit(counted{}))
				require.ErrorIs(t, err, eventsourcing.ErrConflict)

				require.Len(t, pauses, 200)
				assert.Zero(t, pauses[0], "paused before the first attempt")
				for n, longest := range []time.Duration{unit, 2 * unit, 4 * unit, 8 * unit} {
					assert.LessOrEqual(t, pauses[n+1], longest)
				}
				longest := time.Duration(0)
				for _, pause := range pauses {
					longest = max(longest, pause)
				}
				assert.LessOrEqual(t, longest, 16*unit)
				assert.Greater(t, longest, 8*unit) // or 195 pauses drawn up to 16 units kept under half of that
				assert.Equal(t, last, time.Now(), "paused after the last attempt")
			})
		})
	}
}

func TestPauseEndsWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		errStopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		store := &scripted{Store: new(memstore.Store), before: func(int) error {
			time.AfterFunc(time.Millisecond, func() { cancel(errStopped) })
			return eventsourcing.ErrConflict
		}}
		counters := newCounters(store)
		counters.Backoff.First = 100_000 * time.Hour // the odds of a pause under a millisecond are 1 to 10^11
		startedAt := time.Now()
		_, err := counters.Do(ctx, "c1", emit(counted{}))
		require.ErrorIs(t, err, errStopped)
		assert.Equal(t, time.Millisecond, time.Since(startedAt))
		assert.Len(t, store.commits, 1)
	})
}
