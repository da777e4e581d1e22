package projection_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// apply delivers records until all are acknowledged.
func apply(t testing.TB, p *projection.Projector, records []eventsourcing.Record) {
	t.Helper()
	done, err := p.Apply(context.Background(), records)
	require.NoError(t, err)
	require.Equal(t, len(records), done)
}

func TestAnEventWithoutRelatedRowsCostsOneReadAndOneWriteWithoutACache(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.config.Cache = 0
	p := lib.projector()
	before := lib.server.Calls()
	for _, r := range lib.append(shelfStream("s1"), shelfNamed{"Poetry"}, shelfNamed{"Prose"}, shelfNamed{"Both"}) {
		apply(t, p, []eventsourcing.Record{r})
	}
	after := lib.server.Calls()
	assert.EqualValues(t, 3, after["DynamoDB.GetItem"]-before["DynamoDB.GetItem"])
	assert.EqualValues(t, 3, after["DynamoDB.PutItem"]-before["DynamoDB.PutItem"])
	assert.Zero(t, after["DynamoDB.TransactWriteItems"])

	apply(t, p, lib.append(shelfStream("s2"), shelfNamed{"A"}, shelfNamed{"B"}, shelfNamed{"C"}))
	coalesced := lib.server.Calls()
	assert.EqualValues(t, 1, coalesced["DynamoDB.GetItem"]-after["DynamoDB.GetItem"])
	assert.EqualValues(t, 1, coalesced["DynamoDB.PutItem"]-after["DynamoDB.PutItem"])
	lib.requireEqualsFold()
	assert.Equal(t, 6, lib.metric("projection_applied_total"))
	assert.Equal(t, 6, lib.metric("project_seconds"))
}

func TestRelatedRowsMoveWithTheFenceInOneTransaction(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	steps := []struct {
		event        event
		transactions int64
	}{
		{titled{"Odes"}, 0},
		{placed{"s1"}, 1},
		{placed{"s2"}, 1},
		{placed{"s2"}, 0}, // changes no related row
		{titled{"Odes II"}, 1},
		{withdrawn{"s1"}, 1},
		{withdrawn{"s2"}, 1},
		{titled{"Odes III"}, 0},
	}
	for _, step := range steps {
		before := lib.server.Calls()["DynamoDB.TransactWriteItems"]
		apply(t, p, lib.append(bookStream("b1"), step.event))
		assert.Equal(t, step.transactions, lib.server.Calls()["DynamoDB.TransactWriteItems"]-before, "%#v", step.event)
		lib.requireEqualsFold()
	}
}

func TestDuplicateIsAcknowledgedAndCounted(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	records := lib.append(bookStream("b1"), titled{"Odes"}, placed{"s1"}, withdrawn{"s1"})
	apply(t, p, records)
	apply(t, p, records[:1])
	apply(t, p, []eventsourcing.Record{records[1], records[1], records[2]})
	lib.requireEqualsFold()
	assert.Equal(t, 3, lib.metric("projection_applied_total"))
	assert.Equal(t, 4, lib.metric("projection_duplicates_total"))
	assert.Zero(t, lib.metric("projection_healed_total"))
}

func TestGapIsHealedFromTheLog(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		deliver            [][]int // indexes into the stream, per call
		healed, duplicates int
	}{
		"last alone":           {[][]int{{4}}, 4, 0},
		"reversed":             {[][]int{{4}, {3}, {2}, {1}, {0}}, 4, 4},
		"reversed in one call": {[][]int{{4, 3, 2, 1, 0}}, 4, 4},
		"a gap within a call":  {[][]int{{0, 1, 4}}, 2, 0},
		"gap, then in order":   {[][]int{{2, 3, 4}, {0}, {1}}, 2, 2},
		"repeats within":       {[][]int{{0, 0, 1, 0, 2, 2, 3, 4}}, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newLibrary(t)
			p := lib.projector()
			records := lib.append(bookStream("b1"), titled{"Odes"}, placed{"s1"}, placed{"s2"}, withdrawn{"s1"}, titled{"Ode"})
			for _, call := range c.deliver {
				var batch []eventsourcing.Record
				for _, i := range call {
					batch = append(batch, records[i])
				}
				apply(t, p, batch)
			}
			lib.requireEqualsFold()
			assert.Equal(t, 5, lib.metric("projection_applied_total"))
			assert.Equal(t, c.healed, lib.metric("projection_healed_total"))
			assert.Equal(t, c.duplicates, lib.metric("projection_duplicates_total"))
			assertOnce(t, lib, records)
		})
	}
}

func TestAProjectionFarBehindIsHealedInLargeRuns(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	var last []eventsourcing.Record
	for n := range 450 {
		last = lib.append(bookStream("b1"), titled{fmt.Sprint(n)})
	}
	apply(t, lib.projector(), last)
	lib.requireEqualsFold()
	assert.Equal(t, 449, lib.metric("projection_healed_total"))
	assert.LessOrEqual(t, lib.server.Calls()["DynamoDB.PutItem"], int64(5))
}

func TestEventsThatTheLogLacksAreNotSkipped(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	records := lib.append(bookStream("b1"), titled{"a"}, titled{"b"}, titled{"c"}, titled{"d"})
	lib.log.records[bookStream("b1")] = records[:2]
	done, err := p.Apply(t.Context(), []eventsourcing.Record{records[0], records[3]})
	require.ErrorIs(t, err, eventsourcing.ErrLogHole)
	assert.Equal(t, 1, done)

	lib.log.records[bookStream("b1")] = []eventsourcing.Record{records[0], records[2], records[3]}
	_, err = p.Apply(t.Context(), records[3:])
	require.ErrorIs(t, err, eventsourcing.ErrLogHole)

	lib.log.records[bookStream("b1")] = append(records[:1:1], records...) // read after 1, it begins with 1
	_, err = p.Apply(t.Context(), records[3:])
	require.ErrorIs(t, err, eventsourcing.ErrLogHole)

	lib.log.records[bookStream("b1")] = records
	apply(t, p, records[3:])
	lib.requireEqualsFold()
}

func TestApplyRefusesUnknownAndMixedStreams(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	done, err := p.Apply(t.Context(), nil)
	require.NoError(t, err)
	assert.Zero(t, done)
	unknown := eventsourcing.Record{Stream: eventsourcing.StreamID{Category: "test/cat", ID: "tom"}, Version: 1}
	_, err = p.Apply(t.Context(), []eventsourcing.Record{unknown})
	require.ErrorIs(t, err, projection.ErrNoSource)
	mixed := append(lib.append(bookStream("b1"), titled{"a"}), lib.append(bookStream("b2"), titled{"b"})...)
	_, err = p.Apply(t.Context(), mixed)
	require.ErrorIs(t, err, projection.ErrMixedStreams)
	assert.Empty(t, lib.contents())
}

// Contract 3: every event takes effect once, however often, in whatever order and by however many processes it is applied.
func TestConcurrentAppliersHaveTheEffectOfOne(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	var all []eventsourcing.Record
	for b := range 3 {
		for n := range 12 {
			s := bookStream(fmt.Sprint("b", b))
			all = append(all, lib.append(s, placed{fmt.Sprint("s", n%4)}, titled{fmt.Sprint(n)}, withdrawn{fmt.Sprint("s", (n+2)%4)})...)
		}
	}
	for n := range 8 {
		all = append(all, lib.append(shelfStream(fmt.Sprint("s", n%4)), shelfNamed{fmt.Sprint(n)})...)
	}
	lib.config.Metrics = nil // several projectors, as in several processes
	var appliers sync.WaitGroup
	for n := range 12 {
		lib.config.Cache = []int{0, 4000, 1 << 20}[n%3]
		p := lib.projector()
		appliers.Go(func() {
			for _, i := range rand.Perm(2 * len(all)) {
				if _, err := p.Apply(t.Context(), all[i/2:i/2+1]); !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	appliers.Wait()
	lib.requireEqualsFold()
	assertOnce(t, lib, all)
}

// assertOnce checks that OnApplied was called once with each record.
func assertOnce(t *testing.T, lib *library, records []eventsourcing.Record) {
	t.Helper()
	assert.Len(t, lib.applied, len(records))
	for id, times := range lib.applied {
		assert.Equal(t, 1, times, id)
	}
}

var errCrash = errors.New("the process died")

// Each write of a history fails in turn, before and after it is made, and the record is delivered again.
func TestCrashAtAnyWriteLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	for crashAt := 1; ; crashAt++ {
		writes := 0
		for n := range 4 {
			lost, cached := n%2 == 0, n < 2
			lib := newLibrary(t)
			if !cached {
				lib.config.Cache = 0
			}
			count := 0
			fail := func(op string) error {
				if op != "PutItem" && op != "TransactWriteItems" {
					return nil
				}
				if count++; count == crashAt {
					return errCrash
				}
				return nil
			}
			faults := &transport{before: fail}
			if lost {
				faults = &transport{after: fail}
			}
			lib.config.DB = lib.through(faults)
			p := lib.projector()
			records := lib.append(bookStream("b1"), titled{"Odes"}, placed{"s1"}, placed{"s2"}, titled{"Ode"}, withdrawn{"s1"})
			for _, batch := range [][]eventsourcing.Record{records[:1], records[3:4], records[1:3], records[4:]} {
				for len(batch) > 0 {
					done, err := p.Apply(t.Context(), batch)
					if err != nil {
						require.ErrorIs(t, err, errCrash)
						p = lib.restarted(p)
					}
					batch = batch[done:]
				}
			}
			lib.requireEqualsFold()
			writes = max(writes, count)
		}
		if crashAt > writes {
			require.Greater(t, crashAt, 3, "no write was counted")
			return
		}
	}
}

// restarted returns the projector of a new process.
func (lib *library) restarted(*projection.Projector) *projection.Projector {
	lib.config.Metrics = nil
	return lib.projector()
}

func TestThrottlingWaitsAndParksNothing(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	throttled, refused := true, 0
	lib.config.DB = throttling{lib.db, &throttled, &refused}
	p := lib.projector()
	records := lib.append(bookStream("b1"), titled{"Odes"}, placed{"s1"})
	for n := range 10 {
		done, err := p.Apply(t.Context(), records[n%2:])
		require.Error(t, err)
		assert.Zero(t, done)
		assert.Equal(t, n+1, refused, "one attempt per delivery")
	}
	throttled = false
	apply(t, p, records)
	lib.requireEqualsFold()
}

// For any history, delivered in any order, in any batches, with any repeats and with lost answers, the table is the
// fold of the log, so long as each stream's last event arrives.
func TestTableIsTheFoldOfTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		lib := newLibrary(t)
		shelves := rapid.SampledFrom([]string{"s1", "s2", "s3"})
		events := rapid.OneOf(
			rapid.Map(shelves, func(s string) event { return placed{s} }),
			rapid.Map(shelves, func(s string) event { return withdrawn{s} }),
			rapid.Map(rapid.StringN(0, 4, -1), func(s string) event { return titled{s} }),
			rapid.Map(rapid.IntRange(1, 9), func(n int) event { return torn{n} }),
		)
		var deliveries [][]eventsourcing.Record
		for _, id := range []string{"b1", "b2", "s1"} { // one book's ID is also a shelf's
			records := lib.append(bookStream(id), rapid.SliceOfN(events, 1, 12).Draw(rt, id)...)
			deliveries = append(deliveries, records[len(records)-1:])
			for range rapid.IntRange(0, 12).Draw(rt, "deliveries") {
				batch := rapid.SliceOfN(rapid.SampledFrom(records), 1, 5).Draw(rt, "batch")
				if rapid.Bool().Draw(rt, "in order") {
					slices.SortFunc(batch, func(a, b eventsourcing.Record) int { return int(a.Version) - int(b.Version) })
				}
				deliveries = append(deliveries, batch)
			}
		}
		deliveries = append(deliveries, lib.append(shelfStream("s1"), shelfNamed{"Poetry"}))
		faults := &transport{}
		fault := rapid.SampledFrom([]error{nil, nil, nil, nil, errCrash})
		faults.before = func(string) error { return fault.Draw(rt, "lost request") }
		faults.after = func(string) error { return fault.Draw(rt, "lost answer") }
		lib.config.DB, lib.config.Metrics = lib.through(faults), nil
		replicas := make([]*projection.Projector, rapid.IntRange(1, 3).Draw(rt, "replicas"))
		for i := range replicas {
			lib.config.Cache = rapid.SampledFrom([]int{0, 2000, 1 << 20}).Draw(rt, "cache")
			replicas[i] = lib.projector()
		}
		for _, batch := range rapid.Permutation(deliveries).Draw(rt, "order") {
			for len(batch) > 0 {
				done, err := rapid.SampledFrom(replicas).Draw(rt, "replica").Apply(context.Background(), batch)
				if err != nil && !errors.Is(err, errCrash) {
					rt.Fatal(err)
				}
				batch = batch[done:]
			}
		}
		assert.Equal(rt, lib.expected(), lib.contents())
	})
}
