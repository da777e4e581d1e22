package ordered_test

import (
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/ordered"
)

// upTo yields 1 to n, and then err if that is set.
func upTo(n int, err error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i+1, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func TestInBatchesPutsEverythingInOrder(t *testing.T) {
	t.Parallel()
	for n, want := range map[int][][]int{0: nil, 2: {{1, 2}}, 3: {{1, 2, 3}}, 7: {{1, 2, 3}, {4, 5, 6}, {7}}} {
		var got [][]int
		require.NoError(t, ordered.InBatches(upTo(n, nil), 3, func(batch []int) error {
			got = append(got, slices.Clone(batch))
			return nil
		}))
		assert.Equal(t, want, got)
	}
}

func TestInBatchesStopsAtTheFirstErrorOfEither(t *testing.T) {
	t.Parallel()
	away := errors.New("away")
	puts := 0
	put := func([]int) error { puts++; return nil }
	require.ErrorIs(t, ordered.InBatches(upTo(4, away), 3, put), away)
	assert.Equal(t, 1, puts, "what was not put yet when the source failed is not put")
	require.ErrorIs(t, ordered.InBatches(upTo(9, nil), 3, func([]int) error { puts++; return away }), away)
	assert.Equal(t, 2, puts)
}
