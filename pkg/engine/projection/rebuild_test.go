package projection_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func text(v string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: v} }
func number(v string) types.AttributeValue { return &types.AttributeValueMemberN{Value: v} }

// damage changes a stored row behind the projection's back; a nil value removes the attribute.
func (lib *library) damage(id, row, attr string, value types.AttributeValue) {
	lib.t.Helper()
	key := projection.Item{"id": text(id), "row": text(row)}
	out, err := lib.db.GetItem(context.Background(), &dynamodb.GetItemInput{TableName: aws.String(table), Key: key})
	require.NoError(lib.t, err)
	require.NotNil(lib.t, out.Item)
	if out.Item[attr] = value; value == nil {
		delete(out.Item, attr)
	}
	_, err = lib.db.PutItem(context.Background(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: out.Item})
	require.NoError(lib.t, err)
}

// damages are what makes an own row of a shelf unreadable.
func damages() map[string]func(lib *library, id string) {
	with := func(attr string, value types.AttributeValue) func(*library, string) {
		return func(lib *library, id string) { lib.damage(id, "shelf", attr, value) }
	}
	return map[string]func(*library, string){
		"the version is text": with("version", text("2")), "a version of -5": with("version", number("-5")),
		"no version": with("version", nil), "a version of 0": with("version", number("0")), "no stream": with("stream", nil),
		"a name that is a map": with("name", &types.AttributeValueMemberM{Value: projection.Item{}}),
		"a time that is none":  with("updated_at", text("yesterday")),
	}
}

func TestABadRowIsLeftOutOfListsAndReportedByItsOwnReads(t *testing.T) {
	t.Parallel()
	for name, spoil := range damages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newLibrary(t)
			p := lib.projector()
			for n := range 6 {
				apply(t, p, lib.append(shelfStream(fmt.Sprintf("s%d", n)), shelfNamed{"A"}, shelfNamed{"B"}))
			}
			spoil(lib, "s3")

			reader, seen := p.Reader(), map[string]bool{}
			for cursor := (projection.Cursor{}); ; {
				var page []shelfView
				next, err := reader.List(t.Context(), projection.Filter{}, 2, cursor, &page)
				require.NoError(t, err)
				for _, row := range page {
					seen[row.ID] = true
				}
				if next.IsZero() {
					break
				}
				require.Len(t, page, 2, "a page is full all the same")
				cursor = next
			}
			assert.Equal(t, map[string]bool{"s0": true, "s1": true, "s2": true, "s4": true, "s5": true}, seen)
			assert.Positive(t, lib.metric("projection_bad_rows_total"))

			var row shelfView
			_, err := reader.Get(t.Context(), "s3", "shelf", &row)
			require.ErrorIs(t, err, projection.ErrBadRow)
			_, err = reader.Await(t.Context(), "s3", "shelf", 2, time.Hour, &row)
			require.ErrorIs(t, err, projection.ErrBadRow, "at once")
			_, err = reader.Await(t.Context(), "s4", "shelf", 2, time.Hour, &row)
			require.NoError(t, err)
		})
	}
}

// However a row is damaged, each way of going on writes it anew from the log.
func TestABadRowIsRebuiltFromTheLog(t *testing.T) {
	t.Parallel()
	repairs := map[string]func(t *testing.T, lib *library, p *projection.Projector){
		"its next event": func(t *testing.T, lib *library, p *projection.Projector) {
			t.Helper()
			apply(t, p, lib.append(shelfStream("s"), shelfNamed{"C"}))
		},
		"a repetition": func(t *testing.T, lib *library, p *projection.Projector) {
			t.Helper()
			apply(t, p, lib.log.records[shelfStream("s")][:1])
		},
		"a catch-up": func(t *testing.T, lib *library, p *projection.Projector) {
			t.Helper()
			done, err := p.CatchUp(t.Context(), lib.log.all())
			require.NoError(t, err)
			assert.Zero(t, done.Holes)
		},
		"a redrive": func(t *testing.T, _ *library, p *projection.Projector) {
			t.Helper()
			_, err := p.Redrive(t.Context(), shelfStream("s"))
			require.NoError(t, err)
		},
		"a rebuild": func(t *testing.T, _ *library, p *projection.Projector) {
			t.Helper()
			fence, err := p.Rebuild(t.Context(), shelfStream("s"))
			require.NoError(t, err)
			assert.Equal(t, eventsourcing.Version(2), fence)
		},
	}
	for name, spoil := range damages() {
		for by, repair := range repairs {
			if name == "a name that is a map" && by != "its next event" && by != "a rebuild" {
				continue // its fence is right: nothing but the next event reads more
			}
			t.Run(name+", "+by, func(t *testing.T) {
				t.Parallel()
				lib := newLibrary(t)
				p := lib.projector() // of a process that keeps nothing of the row
				before := lib.config
				before.Metrics = nil
				apply(t, lib.projectorOf(before), lib.append(shelfStream("s"), shelfNamed{"A"}, shelfNamed{"B"}))
				spoil(lib, "s")
				repair(t, lib, p)
				lib.requireEqualsFold()
				assert.Equal(t, 1, lib.metric("projection_rebuilt_total"))
			})
		}
	}
}

// Rows that a stream derived are right after a rebuild, whether they were changed, deleted or kept, and for any number of them.
func TestARebuildWritesAllRowsOfAStream(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	stream := bookStream("b")
	apply(t, p, lib.append(stream, titled{"Odes"}))
	for n := range 120 {
		apply(t, p, lib.append(stream, placed{fmt.Sprintf("s%03d", n)}))
		if n%2 == 0 {
			apply(t, p, lib.append(stream, withdrawn{fmt.Sprintf("s%03d", n)}))
		}
	}
	lib.requireEqualsFold()
	lib.damage("s001", "book#b", "title", number("7"))
	lib.damage("s003", "book#b", "stream", number("7"))
	lib.damage("s005", "book#b", "stream", nil)
	lib.damage("b", "book", "shelves", text("none"))
	_, err := lib.db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: aws.String(table), Key: projection.Item{"id": text("s007"), "row": text("book#b")},
	})
	require.NoError(t, err)
	_, err = lib.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: projection.Item{
		"id": text("s000"), "row": text("book#b"), "title": text("Odes"), "stream": text(stream.String()),
	}})
	require.NoError(t, err)

	_, err = p.Rebuild(t.Context(), stream)
	require.NoError(t, err)
	lib.requireEqualsFold()
}

// stored returns a row as it is stored.
func (lib *library) stored(id, row string) map[string]types.AttributeValue {
	out, err := lib.db.GetItem(lib.t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(table), Key: map[string]types.AttributeValue{"id": text(id), "row": text(row)},
	})
	require.NoError(lib.t, err)
	return out.Item
}

// TestARebuildLosesNoEventThatIsAppliedMeanwhile applies events between any two calls of a rebuild.
func TestARebuildLosesNoEventThatIsAppliedMeanwhile(t *testing.T) {
	t.Parallel()
	for at := int64(1); ; at++ {
		lib := newLibrary(t)
		live := lib.projector()
		stream := bookStream("b")
		apply(t, live, lib.append(stream, titled{"Odes"}, placed{"s"}, withdrawn{"s"}))
		lib.damage("b", "book", "events", number("99"))
		var calls atomic.Int64
		cfg := lib.config
		cfg.Metrics, cfg.DB = nil, lib.through(&transport{before: func(string) error {
			switch n := calls.Add(1); {
			case n == at:
				apply(t, live, lib.append(stream, placed{"t"}, titled{"Epics"}))
			case n > at:
				assert.Equal(t, number("5"), lib.stored("b", "book")["version"], "the fence never goes back")
			}
			return nil
		}})
		p, err := projection.NewProjector(cfg)
		require.NoError(t, err)
		_, err = p.Rebuild(t.Context(), stream)
		require.NoError(t, err)
		lib.requireEqualsFold()
		if calls.Load() < at {
			assert.Greater(t, at, int64(3))
			return
		}
	}
}

func TestARebuildUpToAnEventThatCannotBeAppliedParks(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	p := lib.projector()
	apply(t, p, lib.append(bookStream("b"), titled{"Odes"}, torn{1}, titled{"Epics"}))
	apply(t, p, lib.append(bookStream("first"), torn{1}))
	lib.damage("b", "book", "version", text("1"))
	for id, fence := range map[string]eventsourcing.Version{"b": 1, "first": 0} {
		at, err := p.Rebuild(t.Context(), bookStream(id))
		require.ErrorIs(t, err, projection.ErrParked)
		assert.Equal(t, fence, at)
	}
	lib.broken.Store(false)
	for _, id := range []string{"b", "first"} {
		_, err := p.Redrive(t.Context(), bookStream(id))
		require.NoError(t, err)
	}
	lib.requireEqualsFold()
}

// A parked row that cannot be read neither hides the others, nor blocks its aggregate, nor loses what was acknowledged.
func TestABadParkedRowIsReplaced(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(lib *library){
		"latest": func(lib *library) { lib.damage("b", "parked#book", "latest", text("many")) },
		"none":   func(lib *library) { lib.damage("b", "parked#book", "latest", nil) },
		"since":  func(lib *library) { lib.damage("b", "parked#book", "parked_at", text("once")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lib := newLibrary(t)
			lib.broken.Store(true)
			p := lib.projector()
			apply(t, p, lib.append(bookStream("b"), titled{"Odes"}, torn{1}, titled{"Epics"}))
			apply(t, p, lib.append(bookStream("c"), torn{1}))
			spoil(lib)
			parked, _, err := p.Parked(t.Context(), 10, projection.Cursor{})
			require.NoError(t, err)
			require.Len(t, parked, 1)
			assert.Equal(t, "test/book/c", parked[0].Stream)

			apply(t, p, lib.append(bookStream("b"), titled{"Elegies"}))
			row, found, err := p.ParkedStream(t.Context(), bookStream("b"))
			require.NoError(t, err)
			require.True(t, found, "parked anew")
			assert.Equal(t, eventsourcing.Version(2), row.Version)
			lib.broken.Store(false)
			for _, id := range []string{"b", "c"} {
				_, err = p.Redrive(t.Context(), bookStream(id))
				require.NoError(t, err)
			}
			lib.requireEqualsFold()
		})
	}
}

// A log that lost events is noticed where it is read anyway, and costs the streams that it concerns only.
func TestCatchUpNamesHolesAndGoesOn(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	apply(t, p, lib.append(shelfStream("cut"), shelfNamed{"A"}, shelfNamed{"B"}))
	apply(t, p, lib.append(shelfStream("whole"), shelfNamed{"A"}))
	lib.append(shelfStream("behind"), shelfNamed{"A"})
	lib.log.records[shelfStream("cut")] = lib.log.records[shelfStream("cut")][:1]
	log := func(yield func(eventsourcing.Record, error) bool) {
		if !yield(eventsourcing.Record{}, fmt.Errorf("%w: an item that is no event", eventsourcing.ErrLogHole)) {
			return
		}
		lib.log.all()(yield)
	}
	done, err := p.CatchUp(t.Context(), log)
	require.NoError(t, err)
	assert.Equal(t, projection.CaughtUp{Records: 3, Behind: 1, Applied: 1, Holes: 2}, done)
	assert.Equal(t, 1, lib.metric("projection_log_hole_total"))

	_, err = p.Rebuild(t.Context(), shelfStream("unknown"))
	require.ErrorIs(t, err, projection.ErrNoStream)
	lib.log.records[shelfStream("whole")] = nil
	_, err = p.Rebuild(t.Context(), shelfStream("whole"))
	require.ErrorIs(t, err, eventsourcing.ErrLogHole)
}
