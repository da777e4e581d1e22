package shardstest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/engine/shards"
)

// RunLeases tests that leases keep their contract, with consumers of its own.
func RunLeases(t *testing.T, leases shards.Leases) {
	t.Helper()
	ctx, consumer := t.Context(), "conformance-"+rand.Text()
	first := shards.Lease{
		Consumer: consumer, Shard: "s", Counter: 1, Parents: []string{"p", "q"}, State: shards.StateOpen,
		ReadAt: time.UnixMilli(1_700_000_000_123).UTC(),
	}
	require.NoError(t, leases.Put(ctx, first, shards.Lease{}))
	require.NoError(t, leases.Put(ctx, first, shards.Lease{}), "the same write again, as after a lost answer")
	got, err := leases.List(ctx, consumer)
	require.NoError(t, err)
	assert.Equal(t, []shards.Lease{first}, got)

	other := first
	other.Owner = "o"
	require.ErrorIs(t, leases.Put(ctx, other, shards.Lease{}), shards.ErrLeaseLost)
	second := first
	second.Owner, second.Counter, second.Checkpoint = "x", 2, "17"
	require.NoError(t, leases.Put(ctx, second, first))
	late := second
	late.Owner = "y"
	lost, ok := errors.AsType[*shards.LostError](leases.Put(ctx, late, first))
	require.True(t, ok)
	assert.Equal(t, second, lost.Stored)

	require.ErrorIs(t, leases.Delete(ctx, first), shards.ErrLeaseLost)
	require.NoError(t, leases.Delete(ctx, second))
	require.NoError(t, leases.Delete(ctx, second), "already deleted")
	lost, ok = errors.AsType[*shards.LostError](leases.Put(ctx, late, second))
	require.True(t, ok)
	assert.Zero(t, lost.Stored)
	for n := range 30 { // more than a page: 64 KB of checkpoint each
		l := shards.Lease{
			Consumer: consumer + "-many", Shard: fmt.Sprint(n), Counter: 1, State: shards.StateOpen,
			Checkpoint: shards.Position(strings.Repeat("x", 64<<10)),
		}
		require.NoError(t, leases.Put(ctx, l, shards.Lease{}))
	}
	got, err = leases.List(ctx, consumer+"-many")
	require.NoError(t, err)
	assert.Len(t, got, 30)
}
