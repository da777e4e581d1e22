package eventsourcing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/eventsourcing"
	"github.com/leftfold/leftfold/pkg/eventsourcing/memstore"
)

func TestNewRepositoryNamesAllMissingParts(t *testing.T) {
	t.Parallel()
	_, err := eventsourcing.NewRepository(eventsourcing.Config[counter, event]{})
	for _, part := range []string{"Aggregate.Category", "Aggregate.Evolve", "Aggregate.Codec", "Store"} {
		require.ErrorContains(t, err, part+" is missing")
	}
}

func TestIDsAndTimesHaveDefaults(t *testing.T) {
	t.Parallel()
	store := &scripted{Store: new(memstore.Store)}
	counters := newCounters(store)
	counters.NewID = nil
	_, err := counters.Do(t.Context(), "c1", emit(counted{}, counted{}))
	require.NoError(t, err)
	records := store.commits[0].Records
	assert.NotEqual(t, records[0].ID, records[1].ID)
	assert.WithinDuration(t, time.Now(), records[0].RecordedAt, time.Minute)
}
