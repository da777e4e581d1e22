package projection_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/localaws"
)

// listed is a table with rows that are written directly.
type listed struct {
	t  *rapid.T
	db *dynamodb.Client
}

func newListed(t *rapid.T) listed {
	server := localaws.New(localaws.Options{})
	t.Cleanup(server.Close)
	db := dynamodb.NewFromConfig(server.Config())
	_, err := db.CreateTable(context.Background(), projection.CreateTableInput(table))
	require.NoError(t, err)
	return listed{t, db}
}

func (l listed) put(id, name string) {
	item := projection.Item{"id": text(id), "row": text("shelf"), "listed": text(id), "name": text(name)}
	_, err := l.db.PutItem(context.Background(), &dynamodb.PutItemInput{TableName: new(table), Item: item})
	require.NoError(l.t, err)
}

func (l listed) remove(id string) {
	key := projection.Item{"id": text(id), "row": text("shelf")}
	_, err := l.db.DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: new(table), Key: key})
	require.NoError(l.t, err)
}

// named is a row of the tables here: one without a fence.
type named struct {
	projection.Key
	Name string `dynamodbav:"name"`
}

// TestAListIsRightWhileRowsChange: a row that is there, and that the filter selects, from the first page to the last is returned
// once; one that comes, goes, or changes meanwhile is returned at most once.
func TestAListIsRightWhileRowsChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := newListed(t)
		anID := rapid.IntRange(0, 15)
		stays := map[string]bool{} // from the first page on
		for _, n := range rapid.SliceOfDistinct(anID, rapid.ID[int]).Draw(t, "rows") {
			id, name := fmt.Sprint("s", n), rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
			l.put(id, name)
			stays[id] = name == "a"
		}
		var filter projection.Filter
		if rapid.Bool().Draw(t, "filtered") {
			filter = projection.Filter{Attr: "name", AnyOf: []string{"a"}}
		} else {
			for id := range stays {
				stays[id] = true
			}
		}
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		examined := 0
		reader := projection.Reader{
			DB: l.db, Table: table, MaxExamined: rapid.IntRange(1, 6).Draw(t, "examined"), OnPage: func(n int) { examined = n },
		}
		seen := map[string]int{}
		for cursor, pages := (projection.Cursor{}), 0; ; pages++ {
			require.Less(t, pages, 100, "the list ends")
			var page []named
			next, err := reader.List(context.Background(), filter, limit, cursor, &page)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), limit)
			require.LessOrEqual(t, examined, max(reader.MaxExamined, limit+1))
			for _, row := range page {
				seen[row.ID]++
			}
			if next.IsZero() {
				break
			}
			require.True(t, len(page) == limit || examined >= reader.MaxExamined, "a short page has examined what it may")
			cursor = next
			for _, n := range rapid.SliceOfN(anID, 0, 3).Draw(t, "changed") {
				id := fmt.Sprint("s", n)
				switch rapid.IntRange(0, 2).Draw(t, "change") {
				case 0:
					l.remove(id)
					stays[id] = false
				case 1:
					l.put(id, "b")
					stays[id] = stays[id] && filter.Attr == ""
				case 2:
					l.put(id, "a") // if it was not there, or not selected, it still does not count
				}
			}
		}
		for id, n := range seen {
			require.Equal(t, 1, n, id)
		}
		for id, stayed := range stays {
			require.True(t, !stayed || seen[id] == 1, "%s was there throughout", id)
		}
	})
}

// TestAForgedCursorShowsNothingElse: whatever position of the list it names, it begins there, or is refused; and what is shown are rows
// of that list alone. So there is nothing that a signature would protect.
func TestAForgedCursorShowsNothingElse(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	for n := range 5 {
		apply(t, p, lib.append(shelfStream(fmt.Sprint("s", n)), shelfNamed{"A"}))
		apply(t, p, lib.append(bookStream(fmt.Sprint("b", n)), titled{"T"}, placed{fmt.Sprint("s", n%2)}))
	}
	r := lib.reader()
	lists := map[string]func(projection.Cursor) ([]projection.Key, projection.Cursor, error){
		"list": func(c projection.Cursor) (page []projection.Key, next projection.Cursor, err error) {
			next, err = r.List(t.Context(), projection.Filter{}, 2, c, &page)
			return page, next, err
		},
		"rows": func(c projection.Cursor) (page []projection.Key, next projection.Cursor, err error) {
			next, err = r.Rows(t.Context(), "s0", "book#", 2, c, &page)
			return page, next, err
		},
	}
	for name, list := range lists {
		var all []projection.Key
		var first projection.Cursor
		for c := (projection.Cursor{}); ; c = first {
			page, next, err := list(c)
			require.NoError(t, err)
			all = append(all, page...)
			if first = next; next.IsZero() {
				break
			}
		}
		_, first, err := list(projection.Cursor{})
		require.NoError(t, err)
		rapid.Check(t, func(t *rapid.T) {
			plain, err := base64.RawURLEncoding.DecodeString(first.String())
			require.NoError(t, err)
			var place map[string]string
			require.NoError(t, json.Unmarshal(plain, &place))
			keys := []string{"s0", "s1", "s9", "b1", "shelf", "book", "book#", "book#b0", "book#zzz", "\x00"}
			some := rapid.OneOf(rapid.SampledFrom(keys), rapid.String())
			place["id"], place["row"] = some.Draw(t, "id"), some.Draw(t, "row")
			forged, err := json.Marshal(struct {
				Of  string `json:"of"`
				ID  string `json:"id"`
				Row string `json:"row"`
			}{place["of"], place["id"], place["row"]})
			require.NoError(t, err)
			cursor, err := projection.ParseCursor(base64.RawURLEncoding.EncodeToString(forged))
			var seen []projection.Key
			for err == nil {
				var page []projection.Key
				page, cursor, err = list(cursor)
				seen = append(seen, page...)
				if cursor.IsZero() {
					break
				}
			}
			if err != nil {
				require.ErrorIs(t, err, projection.ErrBadCursor, name)
			}
			for i, key := range seen {
				require.Contains(t, all, key, name)
				require.NotContains(t, seen[:i], key, name)
			}
			require.True(t, slices.IsSortedFunc(seen, func(a, b projection.Key) int { return slices.Index(all, a) - slices.Index(all, b) }))
		})
	}
}

// TestAFilterThatSelectsNothingExaminesABoundedNumberOfRows in each page, and comes to the end in the end.
func TestAFilterThatSelectsNothingExaminesABoundedNumberOfRows(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	for n := range 50 {
		apply(t, p, lib.append(shelfStream(fmt.Sprint("s", n)), shelfNamed{"A"}))
	}
	var examined []int
	reader := lib.reader()
	reader.MaxExamined, reader.OnPage = 20, func(n int) { examined = append(examined, n) }
	for cursor := (projection.Cursor{}); ; {
		var page []named
		next, err := reader.List(t.Context(), projection.Filter{Attr: "name", AnyOf: []string{"B"}}, 3, cursor, &page)
		require.NoError(t, err)
		assert.Empty(t, page)
		if next.IsZero() {
			break
		}
		cursor, err = projection.ParseCursor(next.String())
		require.NoError(t, err)
	}
	assert.Equal(t, []int{20, 20, 10}, examined)
}
