package measure_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leftfold/leftfold/pkg/localaws"
	"github.com/leftfold/leftfold/test/bench/measure"
)

func TestASampleHasItsMedianAndItsSpread(t *testing.T) {
	t.Parallel()
	odd, even := measure.Sample{3, 1, 2}, measure.Sample{4, 1, 3, 2}
	assert.InDelta(t, 2, odd.Median(), 0)
	assert.InDelta(t, 2.5, even.Median(), 0)
	assert.Equal(t, measure.Sample{3, 1, 2}, odd, "it keeps the order of its rounds")
	assert.Equal(t, "2.00 (1.00–3.00)", odd.String())
	assert.Equal(t, "7.00", measure.Sample{7}.String(), "one round has no spread")
	assert.Empty(t, measure.Sample(nil).String())
	assert.Zero(t, measure.Sample(nil).Median())
}

// A machine that is slow for a while is slow for both of what is compared: the ratio is taken round by round.
func TestARatioIsThatOfTheSameRounds(t *testing.T) {
	t.Parallel()
	measured, floor := measure.Sample{50, 10, 60}, measure.Sample{100, 20, 100}
	assert.Equal(t, measure.Sample{0.5, 0.5, 0.6}, measured.Over(floor))
	assert.Empty(t, measured.Over(nil))
	assert.Equal(t, measure.Sample{0.1}, measured.Over(measure.Sample{0, 100}), "nothing is compared with a round without a result")
	assert.Equal(t, measure.Sample{150, 30, 160}, measured.Plus(floor))
	assert.Equal(t, floor, measure.Sample(nil).Plus(floor))
}

func TestNumbersHaveThreeDigitsThatCount(t *testing.T) {
	t.Parallel()
	for want, x := range map[string]float64{
		"0": 0, "0.056": 0.056, "0.56": 0.5612, "1.00": 0.9996, "5.61": 5.612, "56.1": 56.12, "100": 99.96, "561": 561.2, "5,612": 5612.3,
		"1,000,000": 1e6, "-2.00": -2,
	} {
		assert.Equal(t, want, measure.Number(x))
	}
}

func TestUsageIsPricedByWhatAWSBills(t *testing.T) {
	t.Parallel()
	for operation, want := range map[string]float64{
		"DynamoDB.PutItem":           1e6*0.625e-6 + 2e6*0.125e-6,
		"DynamoDBStreams.GetRecords": 1e6 * 0.02 / 100_000,
		"AmazonSQS.ReceiveMessage":   1e6 * 0.5e-6,
		"Kinesis.PutRecords":         0, // by its records
	} {
		u := localaws.Usage{Operation: operation, Calls: 1e6, WriteUnits: 1e6, ReadUnits: 2e6}
		assert.InDelta(t, want, measure.Price(u), 1e-9, operation)
	}
	assert.InDelta(t, 0.014, measure.PutPrice(1e6, 600), 1e-9)
	assert.InDelta(t, 0.028, measure.PutPrice(1e6, 26_000), 1e-9, "two payload units")
}

func TestUsageIsThatSinceAnEarlierReading(t *testing.T) {
	t.Parallel()
	before := measure.Usage{
		{AccessKey: "a", Operation: "DynamoDB.PutItem", Calls: 2, WriteUnits: 2},
		{AccessKey: "b", Operation: "DynamoDB.PutItem", Calls: 1},
	}
	now := measure.Usage{
		{AccessKey: "a", Operation: "DynamoDB.PutItem", Calls: 5, WriteUnits: 6, RequestBytes: 10},
		{AccessKey: "a", Operation: "DynamoDB.Query", Calls: 1, ReadUnits: 1},
		{AccessKey: "b", Operation: "DynamoDB.PutItem", Calls: 1},
	}
	since := now.Since(before)
	assert.Equal(t, measure.Usage{
		{AccessKey: "a", Operation: "DynamoDB.PutItem", Calls: 3, WriteUnits: 4, RequestBytes: 10},
		{AccessKey: "a", Operation: "DynamoDB.Query", Calls: 1, ReadUnits: 1},
	}, since)
	assert.EqualValues(t, 4, since.Calls(func(localaws.Usage) bool { return true }))
	twice := since.Plus(since)
	assert.EqualValues(t, 6, twice[0].Calls)
	assert.EqualValues(t, 3, since[0].Calls, "it is not changed")
	assert.Equal(t, since, measure.Usage(nil).Plus(since))
}

func TestThisProcessKnowsWhatItSpends(t *testing.T) {
	t.Parallel()
	before, err := measure.Own()
	require.NoError(t, err)
	kept := make([][]byte, 0, 1000)
	for range 1000 {
		kept = append(kept, make([]byte, 100))
	}
	after, err := measure.Own()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after.Since(before).Allocations, float64(len(kept)))
	assert.GreaterOrEqual(t, after.CPU, before.CPU)
}
