package projection_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
)

type shelfView struct {
	projection.Key
	projection.Fence
	shelf
}

func TestGetShowsStateKeyAndFence(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	records := lib.append(shelfStream("s1"), shelfNamed{"Poetry"}, shelfNamed{"Prose"})
	apply(t, lib.projector(), records)
	var view shelfView
	found, err := lib.reader().Get(t.Context(), "s1", "shelf", &view)
	require.NoError(t, err)
	require.True(t, found)
	assert.Equal(t, shelfView{
		Key: projection.Key{ID: "s1", Row: "shelf"},
		Fence: projection.Fence{
			Version: 2, Stream: "test/shelf/s1", EventID: "test/shelf/s1@2",
			CorrelationID: "because", CausationID: "command-2", UpdatedAt: records[1].RecordedAt,
		},
		shelf: shelf{Name: "Prose"},
	}, view)
	found, err = lib.reader().Get(t.Context(), "s2", "shelf", &view)
	require.NoError(t, err)
	assert.False(t, found)
	assert.Equal(t, "s1", view.ID)
}

func TestBatchGetKeepsOrderAndReadsUnprocessedKeys(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	var keys []projection.Key
	var want []string
	for n := range 130 {
		id := fmt.Sprintf("s%03d", (n*37)%130)
		keys = append(keys, projection.Key{ID: id, Row: "shelf"})
		if n%5 == 0 {
			continue // there is no such shelf
		}
		apply(t, p, lib.append(shelfStream(id), shelfNamed{id}))
		want = append(want, id)
	}
	keys = append(keys, keys[1])
	for _, answers := range []int{100, 7} {
		var got []shelfView
		reader := projection.Reader{DB: partial{lib.db, answers}, Table: table}
		require.NoError(t, reader.BatchGet(t.Context(), keys, &got))
		var ids []string
		for _, v := range got {
			ids = append(ids, v.ID)
		}
		assert.Equal(t, want, ids)
	}
	var got []shelfView
	err := projection.Reader{DB: partial{lib.db, 0}, Table: table}.BatchGet(t.Context(), keys, &got)
	require.ErrorIs(t, err, projection.ErrThrottled)
	require.NoError(t, lib.reader().BatchGet(t.Context(), nil, &got))
	assert.Empty(t, got)
}

func TestRowsOfACollectionArePaged(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	apply(t, p, lib.append(shelfStream("s1"), shelfNamed{"Poetry"}))
	for n := range 10 {
		apply(t, p, lib.append(bookStream(fmt.Sprint("b", n)), titled{strings.Repeat("x", 110<<10)}, placed{"s1"}))
	}
	type view struct {
		projection.Key
		onShelf
	}
	for _, limit := range []int{3, 10, 11} { // ten rows of 110 KB: two answers of 1 MB
		var rows []string
		cursor := projection.Cursor{}
		for {
			var page []view
			next, err := lib.reader().Rows(t.Context(), "s1", "book#", limit, cursor, &page)
			require.NoError(t, err)
			for _, v := range page {
				rows = append(rows, v.Row)
				assert.Len(t, v.Title, 110<<10)
			}
			if next.IsZero() {
				break
			}
			require.Len(t, page, limit)
			cursor = next
		}
		require.Len(t, rows, 10)
		assert.IsIncreasing(t, rows)
	}
	var all []view
	_, err := lib.reader().Rows(t.Context(), "s1", "", 20, projection.Cursor{}, &all)
	require.NoError(t, err)
	assert.Len(t, all, 11, "with its own row")
}

func TestListIsFullAndCompleteUnderAFilter(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	for n := range 60 {
		name := fmt.Sprintf("shelf %02d", n)
		if n%6 == 0 {
			name = fmt.Sprintf("long shelf %02d %s", n, strings.Repeat("x", 120<<10)) // a scan returns 1 MB at most
		}
		apply(t, p, lib.append(shelfStream(fmt.Sprint("s", n)), shelfNamed{name}))
		apply(t, p, lib.append(bookStream(fmt.Sprint("b", n)), titled{name[:8]})) // not listed
	}
	for _, c := range []struct {
		anyOf []string
		want  int
	}{
		{nil, 60},
		{[]string{"shelf"}, 60},
		{[]string{"long"}, 10},
		{[]string{"shelf 1"}, 10},
		{[]string{"nothing"}, 0},
		{[]string{"nothing", "long", "shelf 1"}, 18},
	} {
		want := c.want
		for _, limit := range []int{3, 10, 60, 100} {
			seen := map[string]bool{}
			cursor, pages := projection.Cursor{}, 0
			for {
				var page []shelfView
				next, err := lib.reader().List(t.Context(), projection.Filter{Attr: "name", AnyOf: c.anyOf}, limit, cursor, &page)
				require.NoError(t, err)
				for _, v := range page {
					assert.True(t, c.anyOf == nil || slices.ContainsFunc(c.anyOf, func(text string) bool { return strings.Contains(v.Name, text) }))
					assert.False(t, seen[v.ID], "%s twice", v.ID)
					seen[v.ID] = true
				}
				pages++
				if next.IsZero() {
					break
				}
				require.Len(t, page, limit)
				cursor, err = projection.ParseCursor(next.String())
				require.NoError(t, err)
			}
			assert.Len(t, seen, want)
			assert.Equal(t, max(1, (want+limit-1)/limit), pages, "no empty last page")
		}
	}
	for _, limit := range []int{0, -1, 10_001} {
		var page []shelfView
		_, err := lib.reader().List(t.Context(), projection.Filter{}, limit, projection.Cursor{}, &page)
		require.ErrorContains(t, err, "limit")
	}
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	for n := range 3 {
		apply(t, p, lib.append(shelfStream(fmt.Sprint("s", n)), shelfNamed{"A"}))
		apply(t, p, lib.append(bookStream(fmt.Sprint("b", n)), placed{"s1"}, placed{"s2"}))
	}
	r := lib.reader()
	var out []shelfView
	var books []projection.Key
	other := projection.Reader{DB: lib.db, Table: "projection-others"}
	lists := map[string]func(projection.Cursor) (projection.Cursor, error){
		"list": func(c projection.Cursor) (projection.Cursor, error) {
			return r.List(t.Context(), projection.Filter{}, 1, c, &out)
		},
		"filtered": func(c projection.Cursor) (projection.Cursor, error) {
			return r.List(t.Context(), projection.Filter{Attr: "name", AnyOf: []string{"A"}}, 1, c, &out)
		},
		"rows s1": func(c projection.Cursor) (projection.Cursor, error) {
			return r.Rows(t.Context(), "s1", "book#", 1, c, &books)
		},
		"rows s2": func(c projection.Cursor) (projection.Cursor, error) {
			return r.Rows(t.Context(), "s2", "book#", 1, c, &books)
		},
		"parked": func(c projection.Cursor) (projection.Cursor, error) {
			_, next, err := p.Parked(t.Context(), 1, c)
			return next, err
		},
		"elsewhere": func(c projection.Cursor) (projection.Cursor, error) {
			if c.IsZero() {
				return c, nil
			}
			return other.List(t.Context(), projection.Filter{}, 1, c, &out)
		},
	}
	for made, first := range lists {
		cursor, err := first(projection.Cursor{})
		require.NoError(t, err)
		if made == "parked" || made == "elsewhere" {
			continue // without a second page
		}
		require.False(t, cursor.IsZero())
		for used, list := range lists {
			_, err := list(cursor)
			if made == used {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, projection.ErrBadCursor, "made for %s, used for %s", made, used)
			}
		}
	}
}

func TestInvalidCursorsAreRefused(t *testing.T) {
	t.Parallel()
	encode := base64.RawURLEncoding.EncodeToString
	for _, text := range []string{
		"x", "%%%", "null", encode(nil) + "=", encode([]byte(`null`)), encode([]byte(`{}`)), encode([]byte(`[]`)),
		encode([]byte(`{"of":"a","id":"b"}`)), encode([]byte(`{"of":"a","id":"b","row":"c","more":1}`)),
		encode([]byte(`{"of":"a","id":"b","row":"c"}{}`)), encode([]byte(`{"of":"a","id":"b","row":"c"} x`)),
		encode([]byte(`{"of":"a","id":"` + strings.Repeat("i", 2049) + `","row":"c"}`)), strings.Repeat("A", 1<<20),
		encode([]byte(`{"of":"a","id":"b","row":"c"}`)) + "\n",
	} {
		_, err := projection.ParseCursor(text)
		require.ErrorIs(t, err, projection.ErrBadCursor, "%.60q", text)
	}
	c, err := projection.ParseCursor("")
	require.NoError(t, err)
	assert.True(t, c.IsZero())
}

func TestNewProjectorReportsAllMistakes(t *testing.T) {
	t.Parallel()
	type state struct {
		Version int `dynamodbav:"version,omitempty"`
	}
	_, err := projection.NewProjector(projection.Config{MaxAttempts: -1, Sources: []projection.Source{
		projection.NewSource(projection.Spec[state, event]{Category: "a", Row: "x"}),
		projection.NewSource(projection.Spec[string, event]{Category: "a", Row: "x"}),
		projection.NewSource(projection.Spec[shelf, event]{Row: "parked#y"}),
	}})
	for _, mistake := range []string{
		"name is missing", "table is missing", "db is missing", "event log is missing", "max attempts", "codec is missing", "fold is missing",
		"uses a reserved name", "string is not a struct", "two sources of category", "two sources with the row",
		"category is missing", "row begins with parked#",
	} {
		require.ErrorContains(t, err, mistake)
	}
	lib := newLibrary(t)
	lib.config.Metrics = prometheus.NewRegistry()
	lib.projector()
	require.Panics(t, func() { _, _ = projection.NewProjector(lib.config) }, "two projections of one name cannot share metrics")
	lib.config.Name = "others"
	lib.projector()
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"of":"a","id":"b","row":"c"}`)))
	f.Add(base64.RawURLEncoding.EncodeToString([]byte(`{"of":"a","id":"b","row":"\u003c"} `)))
	f.Fuzz(func(t *testing.T, text string) {
		c, err := projection.ParseCursor(text)
		if err != nil {
			require.ErrorIs(t, err, projection.ErrBadCursor)
			return
		}
		again, err := projection.ParseCursor(c.String())
		require.NoError(t, err)
		require.Equal(t, c, again)
	})
}
