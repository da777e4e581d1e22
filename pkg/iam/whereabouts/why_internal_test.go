package whereabouts

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/leftfold/leftfold/pkg/engine/shards"
	"github.com/leftfold/leftfold/pkg/eventsourcing"
)

func TestARowSaysWhyItDoesNotShowAnEvent(t *testing.T) {
	t.Parallel()
	for want, tt := range map[string]struct{ version, row, parked eventsourcing.Version }{
		"version 2 before it cannot be applied, so the aggregate is parked": {version: 5, row: 1, parked: 2},
		"it cannot be applied, so the aggregate is parked":                  {version: 2, row: 1, parked: 2},
		"version 3 has to come first":                                       {version: 5, row: 2},
		"version 1 has to come first":                                       {version: 2},
		"it is the next, and has not arrived":                               {version: 5, row: 4},
	} {
		assert.Equal(t, want, why(tt.version, tt.row, tt.parked))
	}
}

func TestShardsThatAreNotReadAreNamed(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	leases := []shards.Lease{
		{Shard: "done", State: shards.StateDone},
		{Shard: "source", State: shards.StateWhole},
		{Shard: "read", State: shards.StateOpen, Owner: "one", ReadAt: noon.Add(time.Second)},
		{Shard: "unknown", State: shards.StateOpen, Owner: "one"},
	}
	assert.Empty(t, unread(leases, noon))
	leases = append(leases,
		shards.Lease{Shard: "free", State: shards.StateOpen},
		shards.Lease{Shard: "late", State: shards.StateOpen, Owner: "two", ReadAt: noon.Add(-time.Minute)})
	assert.Equal(t, "nobody holds the lease of shard free; shard late is read up to 2026-03-01T11:59:00Z by two", unread(leases, noon))
	for range 3 {
		leases = append(leases, shards.Lease{Shard: "free", State: shards.StateOpen})
	}
	assert.Contains(t, unread(leases, noon), "and 2 more")
}
