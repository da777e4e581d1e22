package projection_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// The tests' trail has two entries for each event of a book, in the order of time and in that of names, and three if it was placed.

type line struct {
	Name string `dynamodbav:"name"`
}

func trailOf(entries func(event, eventsourcing.Record) []projection.Row) projection.Source {
	return projection.NewSource(projection.Spec[shelf, event]{
		Category: "test/book", Row: "book", Codec: eventsourcing.NewCodec[event](titled{}, placed{}, withdrawn{}, torn{}),
		Fold: func(s shelf, e event, _ eventsourcing.Record) shelf {
			if t, ok := e.(titled); ok {
				s.Name = t.Title
			}
			return s
		},
		Entries: entries,
	})
}

func lines(e event, r eventsourcing.Record) []projection.Row {
	name := fmt.Sprintf("%020d#%s", r.Version, r.Stream.ID)
	rows := []projection.Row{{ID: "all", Row: name, Data: line{r.Name}}, {ID: r.Name, Row: name, Data: line{r.Name}}}
	if p, ok := e.(placed); ok {
		rows = append(rows, projection.Row{ID: p.Shelf, Row: name, Data: line{r.Name}})
	}
	return rows
}

func newTrail(t testing.TB) *library {
	t.Helper()
	lib := newLibrary(t)
	lib.config.Sources = []projection.Source{trailOf(lines)}
	return lib
}

// requireTrail compares the table with the log: an own row for each stream, and the entries of each event.
func (lib *library) requireTrail() {
	lib.t.Helper()
	want := map[string]map[string]any{}
	fence := func(r eventsourcing.Record) map[string]any {
		return map[string]any{
			"version": float64(r.Version), "stream": r.Stream.String(), "event_id": r.ID, "correlation_id": "because",
			"causation_id": r.Metadata.CausationID, "updated_at": r.RecordedAt.Format(time.RFC3339Nano),
		}
	}
	for stream, records := range lib.log.records {
		own := fence(records[len(records)-1])
		own["name"] = ""
		want[stream.ID+"|book"] = own
		for _, r := range records {
			ids := []string{"all", r.Name}
			if r.Name == (placed{}).EventName() {
				ids = append(ids, "s1")
			}
			for _, id := range ids {
				entry := fence(r)
				entry["name"] = r.Name
				want[fmt.Sprintf("%s|%020d#%s", id, r.Version, stream.ID)] = entry
			}
		}
	}
	require.Equal(lib.t, want, lib.contents())
}

// placings are n events.
func placings(n int) (events []event) {
	for range n {
		events = append(events, placed{"s1"})
	}
	return events
}

func TestEntriesAreWrittenWithTheFenceInOneTransaction(t *testing.T) {
	t.Parallel()
	lib := newTrail(t)
	p := lib.projector()
	for _, e := range []event{placed{"s1"}, withdrawn{"s1"}, placed{"s1"}} {
		before := lib.server.Calls()
		records := lib.append(bookStream("b1"), e)
		apply(t, p, records)
		apply(t, p, records) // a repetition
		after := lib.server.Calls()
		assert.EqualValues(t, 1, after["DynamoDB.TransactWriteItems"]-before["DynamoDB.TransactWriteItems"])
		assert.Zero(t, after["DynamoDB.PutItem"])
		assert.Zero(t, after["DynamoDB.BatchGetItem"], "what is there is not read")
		lib.requireTrail()
	}
}

// TestAGapIsHealedWithItsEntries, also one of more events than fit into a transaction: 33 of them have 99 entries.
func TestAGapIsHealedWithItsEntries(t *testing.T) {
	t.Parallel()
	lib := newTrail(t)
	records := lib.append(bookStream("b1"), placings(250)...)
	apply(t, lib.projector(), records[249:])
	lib.requireTrail()
	assert.EqualValues(t, 8, lib.server.Calls()["DynamoDB.TransactWriteItems"], "as many at once as fit")
	assert.EqualValues(t, 2*9, lib.server.Calls()["DynamoDB.GetItem"], "how many these are is found out once")
}

func TestEntriesOfAParkedEventWaitForItsRedrive(t *testing.T) {
	t.Parallel()
	lib := newTrail(t)
	p := lib.projector()
	lib.config.Metrics = nil // of another one
	records := lib.append(bookStream("b1"), placed{"s1"}, torn{1}, withdrawn{"s1"})
	lib.config.Sources = []projection.Source{trailOf(func(e event, r eventsourcing.Record) []projection.Row {
		if _, ok := e.(torn); ok {
			return []projection.Row{{ID: "x", Row: "y"}, {ID: "x", Row: "y"}} // one row twice
		}
		return lines(e, r)
	})}
	apply(t, lib.projector(), records)
	parked, found, err := p.ParkedStream(t.Context(), bookStream("b1"))
	require.NoError(t, err)
	require.True(t, found)
	assert.EqualValues(t, 2, parked.Version)
	assert.Contains(t, parked.Reason, "derived twice")
	fence, err := p.Redrive(t.Context(), bookStream("b1"))
	require.NoError(t, err)
	assert.EqualValues(t, 3, fence)
	lib.requireTrail()
}

// TestARebuildWritesTheEntriesThatAreWrong, and leaves the others.
func TestARebuildWritesTheEntriesThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, events := range map[string]int{"a short stream": 3, "a long one": 150} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newTrail(t)
			p := lib.projector()
			apply(t, p, lib.append(bookStream("b1"), placings(events)...))
			apply(t, p, lib.append(bookStream("b2"), placings(2)...))
			writes := func() int64 { return lib.server.Calls()["DynamoDB.TransactWriteItems"] }
			before := writes()
			_, err := p.Rebuild(t.Context(), bookStream("b1"))
			require.NoError(t, err)
			require.Equal(t, before, writes(), "nothing is wrong")
			for v := range events {
				row := fmt.Sprintf("%020d#b1", v+1)
				lib.damage("all", row, "name", text("edited"))
				lib.damage("s1", row, "version", nil)
				lib.lose("test/book/placed", row)
			}
			_, err = p.Rebuild(t.Context(), bookStream("b1"))
			require.NoError(t, err)
			lib.requireTrail()
			assert.Equal(t, 3*events/99+1, int(writes()-before), "each written once")
		})
	}
}

// lose deletes a row behind the projection's back.
func (lib *library) lose(id, row string) {
	lib.t.Helper()
	_, err := lib.db.DeleteItem(context.Background(), &dynamodb.DeleteItemInput{
		TableName: aws.String(table), Key: projection.Item{"id": text(id), "row": text(row)},
	})
	require.NoError(lib.t, err)
}

func TestAComparisonFindsEntriesThatAreWrong(t *testing.T) {
	t.Parallel()
	lib := newTrail(t)
	p := lib.projector()
	apply(t, p, lib.append(bookStream("b1"), placings(150)...))
	c, err := p.Compare(t.Context(), bookStream("b1"))
	require.NoError(t, err)
	assert.Empty(t, c.Wrong)
	name := func(v int) string { return fmt.Sprintf("%020d#b1", v) }
	lib.lose("all", name(1))
	lib.damage("s1", name(150), "event_id", text("x"))
	c, err = p.Compare(t.Context(), bookStream("b1"))
	require.NoError(t, err)
	assert.Equal(t, []projection.Key{{ID: "all", Row: name(1)}, {ID: "s1", Row: name(150)}}, c.Wrong)
}

// TestAnEntryIsForeignUnlessTheLogHasItsEvent, which is looked up by its version.
func TestAnEntryIsForeignUnlessTheLogHasItsEvent(t *testing.T) {
	t.Parallel()
	lib := newTrail(t)
	p := lib.projector()
	apply(t, p, lib.append(bookStream("b1"), placings(5)...))
	lib.append(bookStream("b1"), placings(1)...) // not applied
	fence := projection.Item{"stream": text("test/book/b1"), "updated_at": text("2026-01-01T00:00:00Z"), "event_id": text("e")}
	plant := func(id, row, version string) {
		item := projection.Item{"id": text(id), "row": text(row), "version": number(version)}
		maps.Copy(item, fence)
		_, err := lib.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item})
		require.NoError(t, err)
	}
	name := func(v int) string { return fmt.Sprintf("%020d#b1", v) }
	plant("all", name(6), "6")                // of an event that is not applied yet
	lib.damage("s1", name(2), "version", nil) // for Compare
	lib.damage("s1", name(3), "version", number("4"))
	plant("all", name(7), "7")  // of no event
	plant("s2", name(3), "3")   // not of this one
	plant("s3", name(3), "300") // of none, with another name
	var foreign []string
	for rows, err := range p.Stored(t.Context(), 0) {
		require.NoError(t, err)
		for _, row := range rows {
			f, err := p.Foreign(t.Context(), row)
			require.NoError(t, err)
			if f != nil {
				foreign = append(foreign, f.ID+"|"+f.Row)
				require.NoError(t, p.DeleteForeign(t.Context(), *f))
			}
		}
	}
	slices.Sort(foreign)
	assert.Equal(t, []string{"all|" + name(7), "s2|" + name(3), "s3|" + name(3)}, foreign)
	_, err := p.Rebuild(t.Context(), bookStream("b1"))
	require.NoError(t, err)
	lib.requireTrail()
}

// TestADraftStoresEntriesAtOnceIfTheyFit, and as they are applied otherwise.
func TestADraftStoresEntriesAtOnceIfTheyFit(t *testing.T) {
	t.Parallel()
	for events, transactions := range map[int]int64{33: 1, 34: 2, 120: 4} {
		lib := newTrail(t)
		draft, err := lib.projector().Draft(bookStream("b1"))
		require.NoError(t, err)
		for records := range slices.Chunk(lib.append(bookStream("b1"), placings(events)...), 10) {
			draft.Add(records)
		}
		var done projection.CaughtUp
		require.NoError(t, draft.Store(t.Context(), &done))
		assert.EqualValues(t, events, done.Applied)
		lib.requireTrail()
		assert.Equal(t, transactions, lib.server.Calls()["DynamoDB.TransactWriteItems"], "%d events", events)
	}
}

// TestTheLatestRowsOfSeveralIDsAreReadAsOneList, whichever of them have rows.
func TestTheLatestRowsOfSeveralIDsAreReadAsOneList(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	for spread, ids := range map[string]func(n int) string{
		"evenly": func(n int) string { return fmt.Sprint("even", n%3) },
		"at one": func(int) string { return "one1" },
		"in two": func(n int) string { return fmt.Sprint("two", n/20) },
	} {
		list := ids(0)[:3]
		var want []string
		for n := range 40 {
			name := fmt.Sprintf("%03d", n)
			_, err := lib.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: projection.Item{
				"id": text(ids(n)), "row": text(name), "name": text(name),
			}})
			require.NoError(t, err)
			want = append(want, name)
		}
		slices.Reverse(want)
		all := []string{list + "0", list + "1", list + "2"}
		if list == "eve" {
			all = []string{"even0", "even1", "even2"}
		}
		for _, limit := range []int{1, 7, 39, 40, 100} {
			examined := 0
			reader := lib.reader()
			reader.OnPage = func(n int) { examined = max(examined, n) }
			var got []string
			for before, more := "~", true; more; {
				var page []struct {
					Row string `dynamodbav:"row"`
				}
				var err error
				more, err = reader.Latest(t.Context(), all, "0", before, limit, &page)
				require.NoError(t, err)
				require.Equal(t, more, len(page) == limit && page[limit-1].Row != "000", "%s, %d", spread, limit)
				require.Less(t, len(got), len(want), "%s, %d: a page repeats another", spread, limit)
				for _, row := range page {
					got = append(got, row.Row)
				}
				if more {
					before = page[limit-1].Row
				}
			}
			assert.Equal(t, want, got, "%s, %d at a time", spread, limit)
			assert.LessOrEqual(t, examined, 2*limit+6, "%s, %d at a time", spread, limit)
		}
		var page []struct {
			Row string `dynamodbav:"row"`
		}
		more, err := lib.reader().Latest(t.Context(), all, "010", "012", 5, &page)
		require.NoError(t, err)
		assert.False(t, more)
		require.Len(t, page, 2)
		assert.Equal(t, "011", page[0].Row)
		for _, bounds := range [][2]string{{"012", "010"}, {"011", "011"}} {
			more, err = lib.reader().Latest(t.Context(), all, bounds[0], bounds[1], 5, &page)
			require.NoError(t, err)
			assert.False(t, more)
			assert.Empty(t, page)
		}
	}
}
