package projection_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Contract 4: one aggregate that cannot be projected delays no other.
func TestParkedAggregateDelaysNoOtherAndIsRedriven(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	p := lib.projector()
	bad, good := bookStream("bad"), bookStream("good")

	apply(t, p, lib.append(bad, titled{"Odes"}, placed{"s1"}, torn{7}, titled{"Ode"}))
	apply(t, p, lib.append(good, titled{"Epics"}, placed{"s1"}))

	rows := lib.contents()
	assert.EqualValues(t, 2, rows["bad|book"]["version"], "what came before the bad event is applied")
	assert.EqualValues(t, 2, rows["good|book"]["version"])
	parked, next, err := p.Parked(t.Context(), 10, projection.Cursor{})
	require.NoError(t, err)
	assert.True(t, next.IsZero())
	assert.Equal(t, []projection.Parked{{
		Stream: "test/book/bad", Version: 3, Event: "test/book/torn", Reason: "panic: page 7 is torn", ParkedAt: lib.now, Latest: 4,
	}}, parked)

	before := lib.server.Calls()
	apply(t, p, lib.append(bad, withdrawn{"s1"}))
	assert.EqualValues(t, 2, lib.server.Calls()["DynamoDB.GetItem"]-before["DynamoDB.GetItem"], "later events are not attempted")
	apply(t, p, lib.log.records[bad][2:3]) // the bad event again: it is attempted once
	assert.Equal(t, 1, lib.metric("projection_parked_total"))

	since := lib.now
	lib.now = since.Add(time.Hour)
	fence, err := p.Redrive(t.Context(), bad)
	require.ErrorIs(t, err, projection.ErrParked)
	require.ErrorContains(t, err, "page 7 is torn")
	assert.EqualValues(t, 2, fence)
	parked, _, err = p.Parked(t.Context(), 10, projection.Cursor{})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	assert.EqualValues(t, 5, parked[0].Latest, "no acknowledged event is lost")
	assert.Equal(t, since, parked[0].ParkedAt, "a redrive that fails does not hide since when")
	assert.Equal(t, 1, lib.metric("projection_parked_total"), "nor does it count as another one")

	lib.broken.Store(false)
	fence, err = p.Redrive(t.Context(), bad)
	require.NoError(t, err)
	assert.EqualValues(t, 5, fence)
	lib.requireEqualsFold() // the parked row is gone, too
	apply(t, p, lib.append(bad, titled{"Elegy"}))
	lib.requireEqualsFold()
	assertOnce(t, lib, append(lib.log.records[bad], lib.log.records[good]...))
}

func TestAnEventThatCannotBeAppliedIsParked(t *testing.T) {
	t.Parallel()
	var hundred []event
	for n := range 100 {
		hundred = append(hundred, placed{fmt.Sprint("s", n)})
	}
	for name, c := range map[string]struct {
		events []event
		spoil  func(*eventsourcing.Record)
		reason string
	}{
		"undecodable": {[]event{titled{"a"}}, func(r *eventsourcing.Record) {
			r.Data = json.RawMessage(`{"Title":`)
		}, "decode test/book/titled"},
		"unknown name": {[]event{titled{"a"}}, func(r *eventsourcing.Record) {
			r.Name = "test/book/eaten"
		}, "unknown event: test/book/eaten"},
		"unknown schema":   {[]event{titled{"a"}}, func(r *eventsourcing.Record) { r.Schema = 2 }, "schema version 2"},
		"fold panics":      {[]event{torn{1}}, nil, "panic: page 1 is torn"},
		"too many rows":    {append(hundred, titled{"a"}), nil, "more than 100 rows in one transaction: 101"},
		"too large a row":  {[]event{titled{strings.Repeat("a", 410<<10)}}, nil, "size"},
		"unstorable key":   {[]event{placed{"nowhere"}}, nil, "cannot be a related row"},
		"own row's name":   {[]event{placed{"own"}}, nil, "cannot be a related row"},
		"row used twice":   {[]event{placed{"twice"}}, nil, "derived twice"},
		"another's row":    {[]event{placed{"foreign"}}, nil, "row of another stream"},
		"reserved name":    {[]event{placed{"reserved"}}, nil, `reserved name "Version"`},
		"data is no row":   {[]event{placed{"text"}}, nil, "string is not a struct"},
		"parked row":       {[]event{placed{"parked"}}, nil, "cannot be a related row"},
		"data does not go": {[]event{placed{"panics"}}, nil, "panic: no data"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newLibrary(t)
			lib.broken.Store(true)
			lib.config.Sources = []projection.Source{shelfSource(), bookSource(&lib.broken, trickyRows)}
			p := lib.projector()
			apply(t, p, lib.append(bookStream("owner"), placed{"taken"}))
			lib.append(bookStream("b1"), titled{"fine"})
			lib.append(bookStream("b1"), c.events...)
			records := lib.log.records[bookStream("b1")]
			if c.spoil != nil {
				c.spoil(&records[len(records)-1])
			}
			apply(t, p, records)
			parked, _, err := p.Parked(t.Context(), 10, projection.Cursor{})
			require.NoError(t, err)
			require.Len(t, parked, 1)
			assert.Contains(t, parked[0].Reason, c.reason)
			assert.Equal(t, records[len(records)-1].Version, parked[0].Version)
			assert.EqualValues(t, len(records)-1, lib.contents()["b1|book"]["version"])
			assert.Equal(t, len(records), lib.metric("projection_applied_total"))
		})
	}
}

// trickyRows derives rows that must be refused.
func trickyRows(id string, b book) []projection.Row {
	rows := bookRows(id, b)
	for i, row := range rows {
		switch row.ID {
		case "own":
			rows[i].Row = "shelf"
		case "nowhere":
			rows[i].ID = ""
		case "parked":
			rows[i].Row = "parked#book"
		case "twice":
			return append(rows, row)
		case "taken", "foreign":
			rows[i] = projection.Row{ID: "shared", Row: "book#", Data: nil}
		case "reserved":
			rows[i].Data = struct{ Version int }{1}
		case "text":
			rows[i].Data = "text"
		case "panics":
			panic("no data")
		}
	}
	return rows
}

func TestRunTooLargeForOneTransactionIsSplit(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	var records []eventsourcing.Record
	for n := range 60 {
		records = append(records, lib.append(bookStream("b1"), placed{fmt.Sprint("s", n)})...)
	}
	apply(t, p, records)
	apply(t, p, lib.append(bookStream("b1"), titled{"Odes"})) // 60 rows
	records = nil
	for n := range 60 {
		records = append(records, lib.append(bookStream("b1"), withdrawn{fmt.Sprint("s", n)}, placed{fmt.Sprint("t", n)})...)
	}
	apply(t, p, records) // 120 rows when coalesced
	lib.requireEqualsFold()
	parked, _, err := p.Parked(t.Context(), 10, projection.Cursor{})
	require.NoError(t, err)
	assert.Empty(t, parked)
}

func TestDamagedMessageIsReplacedByTheLogsCopy(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	records := lib.append(bookStream("b1"), titled{"Odes"}, placed{"s1"}, titled{"Ode"})
	damaged := append([]eventsourcing.Record(nil), records...)
	damaged[1].Data = json.RawMessage(`nonsense`)
	apply(t, p, damaged)
	lib.requireEqualsFold()
	assert.Zero(t, lib.metric("projection_parked_total"))
	assert.Zero(t, lib.metric("projection_duplicates_total"))

	before := lib.server.Calls()["DynamoDB.PutItem"]
	records = nil
	for n := range 50 {
		records = append(records, lib.append(bookStream("b2"), titled{fmt.Sprint(n)})...)
	}
	damaged = append([]eventsourcing.Record(nil), records...)
	damaged[0].Data, damaged[1].Data = json.RawMessage(`nonsense`), json.RawMessage(`nonsense`)
	apply(t, p, damaged)
	lib.requireEqualsFold()
	assert.EqualValues(t, 2, lib.server.Calls()["DynamoDB.PutItem"]-before, "the first alone, and all others in one")
}

// An event is acknowledged as parked between a redrive's last read of the log and its end: it must not be lost.
func TestEventAcknowledgedDuringRedriveIsApplied(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	p := lib.projector()
	s := bookStream("b1")
	apply(t, p, lib.append(s, torn{1}, placed{"s1"}))
	lib.broken.Store(false)
	var once sync.Once
	lib.log.onEnd = func(eventsourcing.StreamID) {
		once.Do(func() {
			late := lib.append(s, titled{"Odes"}, titled{"Ode"})
			apply(t, p, late[1:]) // out of order, and the last there is
		})
	}
	fence, err := p.Redrive(t.Context(), s)
	require.NoError(t, err)
	assert.EqualValues(t, 4, fence)
	lib.requireEqualsFold()
}

// A new build applies the event after the old build's last attempt and before it is parked.
func TestAnEventThatAnotherBuildAppliesIsNotParked(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	newBuild := lib.config
	newBuild.Metrics, newBuild.Sources = nil, []projection.Source{bookSource(new(atomic.Bool), bookRows)}
	able, err := projection.NewProjector(newBuild)
	require.NoError(t, err)
	records := lib.append(bookStream("b1"), titled{"Odes"}, torn{1})
	lib.config.DB = lib.through(&transport{before: func(op string) error {
		if op == "TransactWriteItems" {
			apply(t, able, records)
		}
		return nil
	}})
	apply(t, lib.projector(), records)
	lib.requireEqualsFold()
	assertOnce(t, lib, records)
}

// Each write of parking and redriving fails in turn, before and after it is made.
func TestACrashWhileParkingOrRedrivingLosesNothing(t *testing.T) {
	t.Parallel()
	for crashAt := 1; ; crashAt++ {
		writes := 0
		for _, lost := range []bool{false, true} {
			lib := newLibrary(t)
			lib.broken.Store(true)
			count := 0
			fail := func(op string) error {
				if op == "GetItem" || op == "Scan" {
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
			deliver := func(batch []eventsourcing.Record) {
				for len(batch) > 0 {
					done, err := p.Apply(t.Context(), batch)
					if err != nil {
						require.ErrorIs(t, err, errCrash)
						p = lib.restarted(p)
					}
					batch = batch[done:]
				}
			}
			s := bookStream("b1")
			deliver(lib.append(s, titled{"Odes"}, torn{1}, placed{"s1"}))
			deliver(lib.append(s, placed{"s2"}, titled{"Ode"})[1:])
			lib.broken.Store(false)
			_, err := p.Redrive(t.Context(), s)
			for ; err != nil; _, err = p.Redrive(t.Context(), s) {
				require.ErrorIs(t, err, errCrash)
				p = lib.restarted(p)
			}
			lib.requireEqualsFold()
			writes = count
		}
		if crashAt > writes {
			require.Greater(t, crashAt, 4, "no write was counted")
			return
		}
	}
}

func TestParkingAndRedrivingLoseNoEventThatArrivesMeanwhile(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	var all []eventsourcing.Record
	for b := range 3 {
		for n := range 15 {
			all = append(all, lib.append(bookStream(fmt.Sprint("b", b)), torn{n}, placed{fmt.Sprint("s", n%3)}, titled{fmt.Sprint(n)})...)
		}
	}
	lib.config.Metrics, lib.config.MaxAttempts = nil, 1
	var work sync.WaitGroup
	for range 4 {
		p := lib.projector()
		work.Go(func() {
			for n, i := range rand.Perm(len(all)) {
				lib.broken.Store(n%3 > 0)
				_, err := p.Apply(t.Context(), all[i:i+1])
				assert.NoError(t, err)
			}
		})
		work.Go(func() {
			for n := range 30 {
				_, err := p.Redrive(t.Context(), bookStream(fmt.Sprint("b", n%3)))
				assert.True(t, err == nil || errors.Is(err, projection.ErrParked), "%v", err)
			}
		})
	}
	work.Wait()
	lib.broken.Store(false)
	p := lib.projector()
	parked, _, err := p.Parked(t.Context(), 10, projection.Cursor{})
	require.NoError(t, err)
	for _, row := range parked { // only what is listed: nothing else may have been left behind
		s, err := eventsourcing.ParseStreamID(row.Stream)
		require.NoError(t, err)
		_, err = p.Redrive(t.Context(), s)
		require.NoError(t, err)
	}
	lib.requireEqualsFold()
	assertOnce(t, lib, all)
}

func TestParkedIsPaged(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	p := lib.projector()
	for n := range 7 {
		apply(t, p, lib.append(bookStream(fmt.Sprint("b", n)), torn{n}))
		apply(t, p, lib.append(shelfStream(fmt.Sprint("s", n)), shelfNamed{"A"}))
	}
	streams := map[string]bool{}
	cursor, pages := projection.Cursor{}, 0
	for {
		parked, next, err := p.Parked(t.Context(), 3, cursor)
		require.NoError(t, err)
		for _, row := range parked {
			streams[row.Stream] = true
		}
		if pages++; next.IsZero() {
			break
		}
		assert.Len(t, parked, 3)
		cursor = next
	}
	assert.Len(t, streams, 7)
	assert.Equal(t, 3, pages)
}

// TestCountersBeginAtZero: an alert on an increase sees the first parked aggregate.
func TestCountersBeginAtZero(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.projector()
	families, err := lib.registry.Gather()
	require.NoError(t, err)
	series := map[string]int{}
	for _, f := range families {
		series[f.GetName()] = len(f.GetMetric())
	}
	for _, name := range []string{"applied", "duplicates", "healed", "parked", "redriven"} {
		assert.Equal(t, len(lib.config.Sources), series["projection_"+name+"_total"], name)
	}
}
