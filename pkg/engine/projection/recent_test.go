package projection_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// callsOf counts the reads of rows and the writes that do makes.
func (lib *library) callsOf(do func()) (reads, writes int64) {
	before := lib.server.Calls()
	do()
	after := lib.server.Calls()
	since := func(op string) int64 { return after["DynamoDB."+op] - before["DynamoDB."+op] }
	return since("GetItem") + since("BatchGetItem") + since("Query"), since("PutItem") + since("TransactWriteItems")
}

// uses returns what the cache of rows did.
func (lib *library) uses() map[string]int {
	lib.t.Helper()
	out := map[string]int{}
	families, err := lib.registry.Gather()
	require.NoError(lib.t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "projection_row_cache_total" && l.GetName() == "result" {
					out[l.GetValue()] = int(m.GetCounter().GetValue())
				}
			}
		}
	}
	return out
}

// other returns the projector of another process.
func (lib *library) other() *projection.Projector {
	c := lib.config
	c.Metrics = nil
	return lib.projectorOf(c)
}

func TestEventsInOrderNeedNoRead(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	for _, stream := range []eventsourcing.StreamID{bookStream("b"), bookStream("c")} {
		for _, e := range []event{titled{"Odes"}, placed{"s1"}, placed{"s2"}, titled{"Epics"}, withdrawn{"s1"}} {
			reads, writes := lib.callsOf(func() { apply(t, p, lib.append(stream, e)) })
			assert.Zero(t, reads, "%#v", e)
			assert.EqualValues(t, 1, writes, "%#v", e)
			lib.requireEqualsFold()
		}
	}
	var many []eventsourcing.Record
	for n := range 250 {
		many = append(many, lib.append(shelfStream("s1"), shelfNamed{fmt.Sprint(n)})...)
	}
	reads, writes := lib.callsOf(func() { apply(t, p, many) })
	assert.Zero(t, reads)
	assert.EqualValues(t, 3, writes, "of up to 100 events each")
	lib.requireEqualsFold()
	assert.Equal(t, map[string]int{"hit": 13, "stale": 0, "miss": 0}, lib.uses())
}

// Each case makes what a projector keeps of a book's row wrong, and then delivers to it.
func TestAWrongGuessIsReadAndDecidedAgain(t *testing.T) {
	t.Parallel()
	stream := bookStream("b")
	for name, meanwhile := range map[string]func(t *testing.T, lib *library){
		"another process has applied the next event": func(t *testing.T, lib *library) {
			t.Helper()
			apply(t, lib.other(), lib.log.records[stream][3:4])
		},
		"another process has applied more": func(t *testing.T, lib *library) {
			t.Helper()
			apply(t, lib.other(), lib.log.records[stream][3:6])
		},
		"its rows are gone": func(_ *testing.T, lib *library) {
			lib.lose("b", "book")
			lib.lose("s1", "book#b")
			lib.lose("s2", "book#b")
		},
		"the row cannot be read": func(_ *testing.T, lib *library) {
			lib.damage("b", "book", "version", text("three"))
		},
		"the log was changed by hand and the row rebuilt": func(t *testing.T, lib *library) {
			t.Helper()
			whole := lib.log.records[stream]
			whole[0].Data = []byte(`{"Title":"Redacted"}`)
			lib.log.records[stream] = whole[:3:3]
			_, err := lib.other().Rebuild(t.Context(), stream)
			require.NoError(t, err)
			lib.log.records[stream] = whole
		},
	} {
		for _, last := range []int{4, 6} {
			t.Run(fmt.Sprintf("%s, delivered up to %d", name, last), func(t *testing.T) {
				t.Parallel()
				lib := newLibrary(t)
				p := lib.projector()
				records := lib.append(stream, titled{"Odes"}, placed{"s1"}, placed{"s2"})
				apply(t, p, records)
				lib.append(stream, withdrawn{"s1"}, placed{"s3"}, placed{"s4"})
				meanwhile(t, lib)
				apply(t, p, lib.log.records[stream][3:last])
				apply(t, p, lib.log.records[stream][5:])
				lib.requireEqualsFold()
				assert.Equal(t, 1, lib.uses()["stale"], "what was wrong once is not guessed again")
			})
		}
	}
}

// A repetition of a stream's first event is taken for the first, until the write says that there is a row.
func TestARepeatedFirstEventChangesNothing(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	records := lib.append(bookStream("b"), titled{"Odes"}, placed{"s1"})
	apply(t, lib.other(), records)
	before := lib.contents()
	p := lib.projector()
	apply(t, p, records[:1])
	assert.Equal(t, before, lib.contents())
	assert.Equal(t, map[string]int{"hit": 0, "stale": 1, "miss": 0}, lib.uses())
	assert.Equal(t, 1, lib.metric("projection_duplicates_total"))
}

// What is acknowledged without a write is acknowledged by what was read.
func TestADuplicateIsNeverAcknowledgedByAGuess(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	records := lib.append(shelfStream("s"), shelfNamed{"A"}, shelfNamed{"B"})
	apply(t, p, records)
	lib.lose("s", "shelf")
	apply(t, p, records[1:])
	lib.requireEqualsFold()
}

func TestAnEventThatCannotBeAppliedToAGuessIsParkedAsEver(t *testing.T) {
	t.Parallel()
	for _, attempts := range []int{1, 3} {
		for _, first := range []bool{true, false} {
			lib := newLibrary(t)
			lib.config.MaxAttempts = attempts
			lib.broken.Store(true)
			p := lib.projector()
			stream := bookStream("b")
			if !first {
				apply(t, p, lib.append(stream, titled{"Odes"}))
			}
			apply(t, p, lib.append(stream, torn{1}))
			apply(t, p, lib.append(stream, titled{"Epics"}))
			parked, found, err := p.ParkedStream(t.Context(), stream)
			require.NoError(t, err)
			require.True(t, found)
			assert.Equal(t, 2, parked.Waiting())
			lib.broken.Store(false)
			_, err = p.Redrive(t.Context(), stream)
			require.NoError(t, err)
			apply(t, p, lib.append(stream, placed{"s1"}))
			lib.requireEqualsFold()
		}
	}
}

// The least recently written rows are forgotten first, and what is too large is not kept at all.
func TestKeptRowsAreBoundedByBytes(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.config.Cache = 10_000 // of some 1,100 bytes each
	p := lib.projector()
	for n := range 100 {
		apply(t, p, lib.append(shelfStream(fmt.Sprint(n)), shelfNamed{"A"}))
	}
	reads, _ := lib.callsOf(func() {
		for n := 95; n < 100; n++ {
			apply(t, p, lib.append(shelfStream(fmt.Sprint(n)), shelfNamed{"B"}))
		}
	})
	assert.Zero(t, reads)
	reads, _ = lib.callsOf(func() {
		for n := range 50 {
			apply(t, p, lib.append(shelfStream(fmt.Sprint(n)), shelfNamed{"B"}))
		}
	})
	assert.EqualValues(t, 50, reads)
	large := shelfNamed{string(make([]byte, 20_000))}
	reads, _ = lib.callsOf(func() {
		apply(t, p, lib.append(shelfStream("99"), large))
		apply(t, p, lib.append(shelfStream("99"), large))
	})
	assert.Positive(t, reads)
	lib.requireEqualsFold()
}

// titledAndPlaced are the events of a book with a copy on each of n shelves.
func titledAndPlaced(n int) []event {
	events := []event{titled{"Odes"}}
	for shelf := range n {
		events = append(events, placed{fmt.Sprint(shelf)})
	}
	return events
}

// TestOfTwoRebuildsAtOnceOneBeginsAgain: the rows of a stream need several transactions. Between those of one rebuild, another one, which
// has read a shorter log, writes some of its own, and then its process dies.
func TestOfTwoRebuildsAtOnceOneBeginsAgain(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]func(lib *library){
		"with its own row":             func(*library) {},
		"without its own row":          func(lib *library) { lib.lose("b", "book") },
		"whose version cannot be read": func(lib *library) { lib.damage("b", "book", "version", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newLibrary(t)
			stream := bookStream("b")
			apply(t, lib.projector(), lib.append(stream, titledAndPlaced(150)...))
			own(lib)

			isTransaction := func(op string) bool { return op == "TransactWriteItems" }
			slow, fast := lib.config, lib.config
			slow.Metrics, fast.Metrics = nil, nil
			atFirst, goesOn, written := make(chan struct{}), make(chan struct{}), make(chan struct{})
			goOn := sync.OnceFunc(func() { close(goesOn) })
			var first sync.Once
			died := false
			slow.DB = lib.through(&transport{before: func(op string) error {
				if died {
					return errCrash
				}
				if isTransaction(op) {
					first.Do(func() { close(atFirst); <-goesOn })
				}
				return nil
			}, after: func(op string) error {
				if died = died || isTransaction(op); died {
					return errCrash
				}
				return nil
			}})
			var rebuild sync.WaitGroup
			rebuild.Go(func() {
				defer close(written)
				_, err := lib.projectorOf(slow).Rebuild(context.Background(), stream)
				assert.ErrorIs(t, err, errCrash)
			})
			select {
			case <-atFirst:
			case <-written:
			}
			lib.append(stream, titled{"Epics"})
			count := 0
			fast.DB = lib.through(&transport{before: func(op string) error {
				if isTransaction(op) {
					if count++; count == 2 { // the last one, with the own row
						goOn()
						<-written
					}
				}
				return nil
			}})
			_, err := lib.projectorOf(fast).Rebuild(t.Context(), stream)
			goOn()
			rebuild.Wait()
			require.NoError(t, err)
			require.GreaterOrEqual(t, count, 2)
			lib.requireEqualsFold()
		})
	}
}

// A rebuild that dies between its transactions is done again by the next event.
func TestWhatADeadRebuildLeftIsWrittenAnew(t *testing.T) {
	t.Parallel()
	for at := 1; at < 4; at++ {
		lib := newLibrary(t)
		stream := bookStream("b")
		apply(t, lib.projector(), lib.append(stream, titledAndPlaced(150)...))
		for n := range 150 {
			lib.append(stream, withdrawn{fmt.Sprint(n)})
		}
		dying, writes := lib.config, 0
		dying.Metrics, dying.DB = nil, lib.through(&transport{after: func(op string) error {
			if op == "PutItem" || op == "TransactWriteItems" {
				if writes++; writes >= at {
					return errCrash
				}
			}
			return nil
		}})
		_, err := lib.projectorOf(dying).Rebuild(t.Context(), stream)
		require.ErrorIs(t, err, errCrash)
		records := lib.log.records[stream]
		apply(t, lib.other(), records[len(records)-1:])
		assert.Equal(t, lib.expected(), lib.contents(), "died after write %d", at)
	}
}
