package projection_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/projection"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestParkedStreamReturnsHowAStreamIsParked(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	p := lib.projector()
	bad, good := bookStream("bad"), bookStream("good")
	apply(t, p, lib.append(bad, titled{"Odes"}, torn{7}, placed{"s1"}))
	apply(t, p, lib.append(good, titled{"Epics"}))

	row, found, err := p.ParkedStream(t.Context(), bad)
	require.NoError(t, err)
	require.True(t, found)
	assert.EqualValues(t, 2, row.Version)
	assert.Equal(t, 2, row.Waiting(), "the torn one and the one after it")
	_, found, err = p.ParkedStream(t.Context(), good)
	require.NoError(t, err)
	assert.False(t, found)
	_, _, err = p.ParkedStream(t.Context(), eventsourcing.StreamID{Category: "test/film", ID: "f"})
	require.ErrorIs(t, err, projection.ErrNoSource)
	assert.Equal(t, []string{"test/book", "test/shelf"}, p.Categories())

	lib.broken.Store(false)
	for range 2 {
		fence, err := p.Redrive(t.Context(), bad)
		require.NoError(t, err)
		assert.EqualValues(t, 3, fence)
		assert.Equal(t, 1, lib.metric("projection_redriven_total"), "a second redrive has nothing to do")
	}
}

// A redrive that is cancelled returns the fence; the stream stays parked, and the next redrive continues.
func TestARedriveContinuesWhereItWasCancelled(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	lib.broken.Store(true)
	s := bookStream("b1")
	records := lib.append(s, torn{1})
	for range 249 {
		records = append(records, lib.append(s, titled{"Odes"})...)
	}
	p := lib.projector()
	apply(t, p, records)
	lib.broken.Store(false)

	ctx, cancel := context.WithCancel(t.Context())
	writes := 0
	lib.config.DB = lib.through(&transport{after: func(op string) error {
		if op == "PutItem" || op == "TransactWriteItems" {
			if writes++; writes == 2 {
				cancel()
			}
		}
		return nil
	}})
	fence, err := lib.restarted(p).Redrive(ctx, s)
	require.ErrorIs(t, err, context.Canceled)
	assert.Positive(t, fence)
	own := struct{ Version eventsourcing.Version }{}
	_, err = lib.reader().Get(t.Context(), "b1", "book", &own)
	require.NoError(t, err)
	assert.LessOrEqual(t, fence, own.Version, "no more than was applied")
	assert.Less(t, own.Version, eventsourcing.Version(250))
	_, found, err := p.ParkedStream(t.Context(), s)
	require.NoError(t, err)
	assert.True(t, found)

	fence, err = p.Redrive(t.Context(), s)
	require.NoError(t, err)
	assert.EqualValues(t, 250, fence)
	lib.requireEqualsFold()
	assertOnce(t, lib, records)
}

// olderBuild returns the projector of a build that does not know that a book can be withdrawn or torn.
func (lib *library) olderBuild() *projection.Projector {
	lib.t.Helper()
	older := lib.config
	older.Metrics = nil
	older.Sources = []projection.Source{
		shelfSource(), bookSourceOf(eventsourcing.NewCodec[event](titled{}, placed{}), &lib.broken, bookRows),
	}
	p, err := projection.NewProjector(older)
	require.NoError(lib.t, err)
	return p
}

// An older build parks what it does not know, a newer one takes it up by itself, and nothing else that is parked.
func TestWhatAnOlderBuildParksIsRedrivenByANewerOne(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	older, newer := lib.olderBuild(), lib.projector()
	lib.broken.Store(true)
	b1, b2, bad, unknown := bookStream("b1"), bookStream("b2"), bookStream("bad"), bookStream("unknown")
	apply(t, older, lib.append(b1, titled{"Odes"}, placed{"s1"}, withdrawn{"s1"}, titled{"Ode"}))
	apply(t, older, lib.append(b2, placed{"s2"}, withdrawn{"s2"}, torn{1}))
	apply(t, newer, lib.append(bad, torn{1}))
	eaten := lib.append(unknown, titled{"Epics"})
	eaten[0].Name, lib.log.records[unknown][0].Name = "test/book/eaten", "test/book/eaten"
	apply(t, newer, eaten)

	before := lib.server.Calls()["DynamoDB.GetItem"]
	n, err := older.RedriveKnown(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n, "it knows no more than before")
	assert.Equal(t, before, lib.server.Calls()["DynamoDB.GetItem"], "and tries nothing")
	n, err = newer.RedriveKnown(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	_, found, err := newer.ParkedStream(t.Context(), b1)
	require.NoError(t, err)
	assert.False(t, found)
	row, _, err := newer.ParkedStream(t.Context(), b2)
	require.NoError(t, err)
	assert.EqualValues(t, 3, row.Version, "its next event cannot be folded")
	assert.Zero(t, row.Unknown)

	n, err = newer.RedriveKnown(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n, "what is parked for another reason waits for an operator")
	for _, s := range []eventsourcing.StreamID{b2, bad, unknown} {
		_, found, err := newer.ParkedStream(t.Context(), s)
		require.NoError(t, err)
		assert.True(t, found, s)
	}
}

// A newer build has applied what the older one does not know: a row that was damaged since then is not set back to before that event by
// the older build, which says so, whichever way it meets the row. The newer one rebuilds it.
func TestAnOlderBuildSetsNoRowBack(t *testing.T) {
	t.Parallel()
	s := bookStream("b1")
	for name, spoil := range map[string]func(lib *library){
		"a title that is another": func(lib *library) { lib.damage("b1", "book", "title", text("Epics")) },
		"a state that is text":    func(lib *library) { lib.damage("b1", "book", "shelves", text("none")) },
	} {
		for by, meet := range map[string]func(t *testing.T, lib *library, older *projection.Projector){
			"a rebuild": func(t *testing.T, _ *library, older *projection.Projector) {
				t.Helper()
				_, err := older.Rebuild(t.Context(), s)
				require.ErrorIs(t, err, projection.ErrUnfoldable)
				require.ErrorIs(t, err, eventsourcing.ErrUnknownEvent)
			},
			"its next event, twice": func(t *testing.T, lib *library, older *projection.Projector) {
				t.Helper()
				next := lib.append(s, titled{"Elegies"})
				apply(t, older, next)
				apply(t, older, append(next, lib.append(s, placed{"s3"})...))
			},
			"a redrive": func(t *testing.T, lib *library, older *projection.Projector) {
				t.Helper()
				lib.append(s, titled{"Elegies"})
				_, err := older.Redrive(t.Context(), s)
				if err != nil {
					require.ErrorIs(t, err, projection.ErrParked)
				}
			},
			"a catch-up": func(t *testing.T, lib *library, older *projection.Projector) {
				t.Helper()
				lib.append(s, titled{"Elegies"})
				lib.append(bookStream("b2"), titled{"Odes"})
				_, err := older.CatchUp(t.Context(), lib.log.all())
				require.NoError(t, err)
				assert.Equal(t, number("1"), lib.stored("b2", "book")["version"], "others are caught up")
			},
			"a fill": func(t *testing.T, lib *library, older *projection.Projector) {
				t.Helper()
				lib.append(s, titled{"Elegies"})
				d, err := older.Draft(s)
				require.NoError(t, err)
				d.Add(lib.log.records[s])
				require.NoError(t, d.Store(t.Context(), &projection.CaughtUp{}))
			},
		} {
			t.Run(name+", "+by, func(t *testing.T) {
				t.Parallel()
				lib := newLibrary(t)
				older, newer := lib.olderBuild(), lib.projector()
				apply(t, newer, lib.append(s, titled{"Odes"}, placed{"s1"}, withdrawn{"s1"}, placed{"s2"}))
				spoil(lib)
				meet(t, lib, older)
				assert.NotContains(t, []types.AttributeValue{number("1"), number("2"), number("3")}, lib.stored("b1", "book")["version"])

				_, err := newer.RedriveKnown(t.Context())
				require.NoError(t, err)
				_, found, err := newer.ParkedStream(t.Context(), s)
				require.NoError(t, err)
				assert.False(t, found, "the newer build takes it up by itself")
				_, err = newer.Rebuild(t.Context(), s)
				require.NoError(t, err)
				lib.requireEqualsFold()
			})
		}
	}
}

// What was parked by a build that did not store why is left to the operator, as it was then.
func TestARowParkedByAFormerBuildIsReadAndKept(t *testing.T) {
	t.Parallel()
	lib := newLibrary(t)
	p := lib.projector()
	s := bookStream("b1")
	lib.append(s, titled{"Odes"}, placed{"s1"})
	_, err := lib.db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: projection.Item{
		"id": text("b1"), "row": text("parked#book"), "parked": text("b1"), "stream": text(s.String()),
		"version": &types.AttributeValueMemberN{Value: "1"},
		"event":   text("test/book/titled"), "reason": text("unknown event: test/book/titled, schema version 1"),
		"parked_at": text("2026-01-02T03:04:05Z"), "latest": &types.AttributeValueMemberN{Value: "2"},
	}})
	require.NoError(t, err)
	n, err := p.RedriveKnown(t.Context())
	require.NoError(t, err)
	assert.Zero(t, n)
	parked, _, err := p.Parked(t.Context(), 10, projection.Cursor{})
	require.NoError(t, err)
	require.Len(t, parked, 1)
	assert.Equal(t, 2, parked[0].Waiting())
	fence, err := p.Redrive(t.Context(), s)
	require.NoError(t, err)
	assert.EqualValues(t, 2, fence)
}
