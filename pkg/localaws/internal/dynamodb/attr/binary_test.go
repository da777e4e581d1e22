package attr

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestStoredItemsAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		item := Item(rapid.MapOfN(rapid.String(), anyValue(3), 0, 5).Draw(t, "item"))
		stored := item.Binary()
		got, err := ParseBinary(stored)
		require.NoError(t, err)
		require.NotNil(t, got)
		require.True(t, item.Equal(got), "%v is not %v", got, item)
		require.Equal(t, item.Size(), got.Size())
		cut := rapid.IntRange(1, len(stored)).Draw(t, "cut")
		_, err = ParseBinary(stored[:len(stored)-cut])
		require.Error(t, err, "a part of it is no item")
	})
	got, err := ParseBinary(Item(nil).Binary())
	require.NoError(t, err)
	require.Nil(t, got, "no item is not an empty one")
}

func FuzzParseBinary(f *testing.F) {
	f.Add(Item{"a": ListValue([]Value{IntValue(1)}), "b": MapValue(nil)}.Binary())
	f.Fuzz(func(t *testing.T, stored []byte) {
		if item, err := ParseBinary(stored); err == nil {
			again, err := ParseBinary(item.Binary())
			require.NoError(t, err)
			require.True(t, item.Equal(again))
		}
	})
}
