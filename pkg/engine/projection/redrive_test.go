package projection_test

import (
	"context"
	"testing"

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
