package capacity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/iam/capacity"
)

func load(rate float64) capacity.Load {
	return capacity.Load{
		EventsPerSecond: rate, EventBytes: 1000, Keyed: true, Streams: 1_000_000, EventsPerStream: 10, Queues: 3, Listed: 1, Entries: 3,
	}
}

func cost(p capacity.Plan, of string) float64 {
	i := slices.IndexFunc(p.Needs, func(n capacity.Need) bool { return n.Resource == of })
	return p.Needs[i].Monthly
}

// The plan of 1,000 commands a second is that of docs/costs.md, which calculates by hand.
func TestThePlanAgreesWithTheCostsThatAreWrittenDown(t *testing.T) {
	t.Parallel()
	p := load(1000).Plan()
	for of, dollars := range map[string]float64{
		"DynamoDB, append": 6570, "DynamoDB, read models": 18_560, "SQS FIFO": 1180, "Fargate": 225,
	} {
		assert.InEpsilon(t, dollars, cost(p, of), 0.05, of)
	}
	const twoShards = 2 * 730 * (0.015 + 0.020) // docs/costs.md has 4
	assert.InEpsilon(t, 139-twoShards, cost(p, "Kinesis"), 0.05)
	var sum float64
	for _, n := range p.Needs {
		sum += n.Monthly
	}
	assert.InDelta(t, sum, p.Monthly, 0.01)
}

func TestTheLimitsComeInTheOrderInWhichTheyAreMet(t *testing.T) {
	t.Parallel()
	limits := load(1000).Plan().Limits
	assert.True(t, slices.IsSortedFunc(limits, func(a, b capacity.Limit) int { return int(a.EventsPerSecond - b.EventsPerSecond) }))
	assert.Contains(t, limits[0].Limit, "a new table on demand")
	assert.InDelta(t, 500, limits[0].EventsPerSecond, 0.1, "four rows of the audit trail in a transaction take eight units")
	alone := load(1000)
	alone.Entries = 0
	assert.InDelta(t, 2000, alone.Plan().Limits[0].EventsPerSecond, 0.1, "the log's item in a transaction takes two units")
	few := load(1000)
	few.Streams = 3
	assert.Contains(t, few.Plan().Limits[0].Limit, "one event after the other")
}

func TestShardsFollowTheRateAndTheSize(t *testing.T) {
	t.Parallel()
	assert.Equal(t, 1, load(1).Shards())
	assert.Equal(t, 2, load(1000).Shards())
	large := load(1000)
	large.EventBytes = 100_000
	assert.Equal(t, 200, large.Shards(), "1 MB a second and shard")
}

func TestALoadThatCannotBeIsRefusedWithAllReasons(t *testing.T) {
	t.Parallel()
	require.NoError(t, load(1).Validate())
	err := capacity.Load{}.Validate()
	require.Error(t, err)
	assert.Len(t, strings.Split(err.Error(), "\n"), 4)
}
