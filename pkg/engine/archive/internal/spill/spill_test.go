package spill_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/leftfold/leftfold/pkg/engine/archive/internal/spill"
)

func sorted(t require.TestingT, s *spill.Sorter) (out []spill.Entry) {
	for e, err := range s.All() {
		require.NoError(t, err)
		out = append(out, e)
	}
	return out
}

// Whatever is added comes out in order, equal entries as often as they were added, and again if it is asked for again.
func TestWhatIsAddedComesInOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s, err := spill.New(dir, rapid.IntRange(200, 5000).Draw(t, "limit"))
		require.NoError(t, err)
		text := rapid.SliceOfN(rapid.ByteRange(0, 3), 0, 4)
		var want []spill.Entry
		for range rapid.IntRange(0, 60).Draw(t, "entries") {
			e := spill.Entry{Key: text.Draw(t, "key"), Value: text.Draw(t, "value")}
			want = append(want, e)
			require.NoError(t, s.Add(e))
		}
		slices.SortFunc(want, func(a, b spill.Entry) int {
			if c := bytes.Compare(a.Key, b.Key); c != 0 {
				return c
			}
			return bytes.Compare(a.Value, b.Value)
		})
		assert.Equal(t, want, sorted(t, s))
		assert.Equal(t, want, sorted(t, s))
		require.NoError(t, s.Close())
	})
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left, "Close removes every file")
}

func TestARunThatWasCutOffIsAnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := spill.New(dir, 1)
	require.NoError(t, err)
	require.NoError(t, s.Add(spill.Entry{Key: []byte("key"), Value: []byte("value")}))
	runs, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	own := dir + "/" + runs[0].Name()
	files, err := os.ReadDir(own)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(own+"/"+files[0].Name(), 6))
	for _, err = range s.All() {
	}
	require.Error(t, err)
}
