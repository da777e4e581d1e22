package projection_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

// Of many streams those are returned whose rows are right, in all their rows, and of which nothing is in doubt; never another.
func TestMatchesAreStreamsWhoseRowsAreRight(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	for n := range 60 {
		id := fmt.Sprintf("b%02d", n)
		apply(t, p, lib.append(bookStream(id), titled{"Odes"}, placed{"s1"}, placed{"s2"}, withdrawn{"s1"}))
	}
	apply(t, p, lib.append(shelfStream("s1"), shelfNamed{"A"}))
	lib.append(bookStream("behind"), titled{"Odes"})
	apply(t, p, lib.log.records[bookStream("behind")])
	lib.append(bookStream("behind"), placed{"s1"})
	lib.append(bookStream("absent"), titled{"Odes"})

	lib.broken.Store(true)
	apply(t, p, lib.append(bookStream("parked"), titled{"Odes"}, torn{1}))
	lib.broken.Store(false)
	lib.damage("b00", "book", "title", text("Epics"))
	lib.damage("b01", "book", "events", nil)
	lib.damage("b02", "book", "version", number("9")) // more than the log has
	lib.damage("b03", "book", "version", text("many"))
	lib.damage("s2", "book#b04", "title", text("Epics"))
	lib.damage("s2", "book#b05", "note", text("by hand"))
	_, err := lib.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(table), Key: projection.Item{"id": text("s2"), "row": text("book#b06")},
	})
	require.NoError(t, err)
	_, err = p.Rebuild(t.Context(), bookStream("b07")) // leaves a mark that is of no event
	require.NoError(t, err)

	var logged [][]eventsourcing.Record
	for _, stream := range slices.SortedFunc(maps.Keys(lib.log.records), func(a, b eventsourcing.StreamID) int {
		return strings.Compare(a.String(), b.String())
	}) {
		logged = append(logged, lib.log.records[stream])
	}
	matches, err := p.Matches(t.Context(), logged)
	require.NoError(t, err)
	for _, records := range logged {
		stream := records[0].Stream
		c, err := p.Compare(t.Context(), stream)
		right := err == nil && len(c.Wrong) == 0 && !c.Parked
		m, matches := matches[stream]
		require.Equal(t, right, matches, "%s: as Compare says", stream)
		if matches {
			assert.Equal(t, c.Fence, m.Fence, stream)
		}
	}
	assert.Len(t, matches, 60-7+3)
	assert.ElementsMatch(t, []projection.Key{{ID: "b07", Row: "book"}, {ID: "s2", Row: "book#b07"}}, matches[bookStream("b07")].Rows)
	assert.Equal(t, projection.Match{Fence: 1, Rows: []projection.Key{{ID: "behind", Row: "book"}}}, matches[bookStream("behind")])
	assert.Equal(t, projection.Match{}, matches[bookStream("absent")])

	_, err = p.Matches(t.Context(), [][]eventsourcing.Record{{{Stream: eventsourcing.StreamID{Category: "test/film", ID: "f"}}}})
	require.ErrorIs(t, err, projection.ErrNoSource)
}

// An event that is applied between any two reads leaves a stream in doubt, or its rows are those of one version.
func TestAStreamThatMovesIsNoMatch(t *testing.T) {
	t.Parallel()
	for at := 1; ; at++ {
		lib := newLibrary(t)
		live := lib.projector()
		stream := bookStream("b")
		apply(t, live, lib.append(stream, titled{"Odes"}, placed{"s"}))
		logged := slices.Clone(lib.log.records[stream])
		calls := 0
		cfg := lib.config
		cfg.Metrics, cfg.DB = nil, lib.through(&transport{before: func(string) error {
			if calls++; calls == at {
				apply(t, live, lib.append(stream, withdrawn{"s"}, titled{"Epics"}, placed{"s"}, titled{"Odes"}))
			}
			return nil
		}})
		matches, err := lib.projectorOf(cfg).Matches(t.Context(), [][]eventsourcing.Record{logged})
		require.NoError(t, err)
		if calls < at {
			assert.Len(t, matches, 1)
			assert.Equal(t, 3, calls)
			return
		}
		assert.Empty(t, matches, "call %d", at)
	}
}
