package projection_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// all yields the whole log, stream by stream.
func (l *memLog) all() iter.Seq2[eventsourcing.Record, error] {
	l.mu.Lock()
	streams := slices.SortedFunc(maps.Keys(l.records), func(a, b eventsourcing.StreamID) int {
		return strings.Compare(a.String(), b.String())
	})
	l.mu.Unlock()
	return func(yield func(eventsourcing.Record, error) bool) {
		for _, s := range streams {
			for _, r := range l.records[s] {
				if !yield(r, nil) {
					return
				}
			}
		}
	}
}

func TestCatchUpBringsEveryStreamToItsHeadWithoutAMessage(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	const streams = 90 // of each category: more than one batch of fences
	for n := range streams {
		shelf, book := shelfStream(fmt.Sprintf("s%03d", n)), bookStream(fmt.Sprintf("b%03d", n))
		seen := append(lib.append(shelf, shelfNamed{"Poetry"}), lib.append(shelf, shelfNamed{"Prose"})...)
		apply(t, p, seen[:n%3]) // of every third shelf none, one, both
		lib.append(book, titled{"Odes"}, placed{shelf.ID})
	}
	lib.append(eventsourcing.StreamID{Category: "test/guest", ID: "g"}, titled{"not of this projection"})

	done, err := p.CatchUp(t.Context(), lib.log.all())
	require.NoError(t, err)
	delete(lib.log.records, eventsourcing.StreamID{Category: "test/guest", ID: "g"})
	lib.requireEqualsFold()
	const third = streams / 3
	assert.Equal(t, projection.CaughtUp{Records: 4 * streams, Behind: streams + 2*third, Applied: 2*streams + 2*third + third}, done)

	calls := lib.server.Calls()
	done, err = p.CatchUp(t.Context(), lib.log.all())
	require.NoError(t, err)
	assert.Equal(t, projection.CaughtUp{Records: 4 * streams}, done, "there is nothing left to do")
	after := lib.server.Calls()
	assert.EqualValues(t, 2, after["DynamoDB.BatchGetItem"]-calls["DynamoDB.BatchGetItem"], "a hundred fences at a time")
	assert.Equal(t, calls["DynamoDB.PutItem"], after["DynamoDB.PutItem"])
	assert.Equal(t, calls["DynamoDB.GetItem"], after["DynamoDB.GetItem"])
}

func TestCatchUpLeavesParkedStreamsParkedAndContinues(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	p := lib.projector()
	apply(t, p, lib.append(bookStream("parked"), titled{"Odes"}, torn{1}))
	lib.append(bookStream("bad"), titled{"Epics"}, torn{2})
	lib.append(bookStream("good"), titled{"Elegies"})

	done, err := p.CatchUp(t.Context(), lib.log.all())
	require.NoError(t, err)
	assert.Equal(t, projection.CaughtUp{Records: 5, Behind: 1, Applied: 2, Parked: 2}, done)
	assert.Equal(t, 2, lib.metric("projection_parked_total"), "the one that was parked before was not attempted")

	lib.broken.Store(false)
	for _, id := range []string{"parked", "bad"} {
		_, err := p.Redrive(t.Context(), bookStream(id))
		require.NoError(t, err)
	}
	lib.requireEqualsFold()
}

func TestCatchUpReturnsWhyItStopped(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	torn := errors.New("scan torn")
	_, err := lib.projector().CatchUp(t.Context(), func(yield func(eventsourcing.Record, error) bool) {
		yield(eventsourcing.Record{}, torn)
	})
	require.ErrorIs(t, err, torn)

	lib.append(bookStream("b"), titled{"Odes"})
	for _, operation := range []string{"BatchGetItem", "GetItem", "PutItem"} {
		unavailable := errors.New(operation + " unavailable")
		cfg := lib.config
		cfg.Metrics, cfg.DB = nil, lib.through(&transport{before: func(op string) error {
			if op == operation {
				return unavailable
			}
			return nil
		}})
		p, err := projection.NewProjector(cfg)
		require.NoError(t, err)
		_, err = p.CatchUp(t.Context(), lib.log.all())
		require.ErrorContains(t, err, unavailable.Error())
	}
}

// byVersion reads a log that lacks versions.
type byVersion struct{ *memLog }

func (l byVersion) Read(
	ctx context.Context, s eventsourcing.StreamID, after eventsourcing.Version,
) iter.Seq2[eventsourcing.Record, error] {
	return func(yield func(eventsourcing.Record, error) bool) {
		for r, err := range l.memLog.Read(ctx, s, 0) {
			if r.Version > after && !yield(r, err) {
				return
			}
		}
	}
}

// A hole is seen where the projection has applied what the log has lost, wherever the parts of the log end that are compared at once.
func TestCatchUpSeesAHoleBehindWhatIsApplied(t *testing.T) {
	t.Parallel()
	others := func(yield func(eventsourcing.Record, error) bool) { // as many as are compared at once
		for n := range 100 {
			if !yield(eventsourcing.Record{Stream: bookStream(fmt.Sprintf("other%d", n)), Version: 1}, nil) {
				return
			}
		}
	}
	for lost := 1; lost <= 4; lost++ {
		for parted := 1; parted <= 5; parted++ { // others come between
			t.Run(fmt.Sprintf("version %d, others before %d", lost, parted), func(t *testing.T) {
				t.Parallel()
				lib := newLibrary(t)
				lib.config.EventLog = byVersion{lib.log}
				p := lib.projector()
				s := shelfStream("s")
				apply(t, p, lib.append(s, shelfNamed{"A"}, shelfNamed{"B"}, shelfNamed{"C"}, shelfNamed{"D"}, shelfNamed{"E"}))
				for n := range 100 {
					apply(t, p, lib.append(bookStream(fmt.Sprintf("other%d", n)), titled{"Odes"}))
				}
				log := func(yield func(eventsourcing.Record, error) bool) {
					for _, r := range lib.log.records[s] {
						if int(r.Version) == parted {
							others(yield)
						}
						if !yield(r, nil) {
							return
						}
					}
				}
				done, err := p.CatchUp(t.Context(), log)
				require.NoError(t, err)
				assert.Zero(t, done.Holes, "none is lost")

				lib.log.records[s] = slices.Delete(lib.log.records[s], lost-1, lost)
				done, err = p.CatchUp(t.Context(), log)
				require.NoError(t, err)
				assert.EqualValues(t, 1, done.Holes)
			})
		}
	}
}
