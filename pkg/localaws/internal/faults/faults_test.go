package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const put, get = "DynamoDB.PutItem", "DynamoDB.GetItem"

func plan(t *testing.T, seed uint64, rules ...Rule) *Plan {
	t.Helper()
	p, err := New(rules, seed, []string{put, get, "Kinesis.PutRecords", "Kinesis.GetRecords"}, time.Now)
	require.NoError(t, err)
	return p
}

// run returns which of an operation's next n calls are refused, with a letter for each error.
func run(p *Plan, operation string, n int) string {
	var out strings.Builder
	for range n {
		c := p.Call(operation, "")
		if c == nil {
			out.WriteByte('.')
			continue
		}
		if err := c.Refusal(); err != nil {
			out.WriteByte(err.Error()[0])
			continue
		}
		out.WriteByte('-')
	}
	return out.String()
}

func TestStrikesDependOnTheSeed(t *testing.T) {
	t.Parallel()
	throttle := Rule{Kind: Throttle, Operation: "DynamoDB.*", Probability: 0.3}
	want := run(plan(t, 7, throttle), put, 400)
	assert.Equal(t, want, run(plan(t, 7, throttle), put, 400))
	assert.NotEqual(t, want, run(plan(t, 8, throttle), put, 400), "another seed")
	assert.NotEqual(t, want, run(plan(t, 7, throttle), get, 400), "another operation")
	assert.InDelta(t, 120, 400-strings.Count(want, "."), 40)
	for _, letter := range []string{"P", "T", "R"} { // each of its throttling errors
		assert.Greater(t, strings.Count(want, letter), 20)
	}
}

func TestStrikesDoNotDependOnOtherOperations(t *testing.T) {
	t.Parallel()
	rules := []Rule{
		{Kind: Throttle, Operation: "*", Probability: 0.3, Limit: 20},
		{Kind: Fail, Operation: put, Probability: 0.1},
	}
	want := run(plan(t, 1, rules...), put, 300)
	p := plan(t, 1, rules...)
	var wg sync.WaitGroup
	for _, other := range []string{get, "Kinesis.PutRecords"} {
		wg.Go(func() { run(p, other, 1000) })
	}
	got := run(p, put, 300)
	wg.Wait()
	assert.Equal(t, want, got)
}

// Removing a fault must not change the strikes of the others, so that a failing history can be shortened.
func TestStrikesDoNotDependOnOtherRules(t *testing.T) {
	t.Parallel()
	kept := Rule{Kind: Latency, Operation: put, Probability: 0.4, Min: 1, Max: time.Second}
	delays := func(p *Plan) (out []time.Duration) {
		for range 200 {
			if c := p.Call(put, ""); c != nil {
				before, after := c.Delay()
				out = append(out, before+after)
			} else {
				out = append(out, 0)
			}
		}
		return out
	}
	alone := delays(plan(t, 1, kept))
	among := delays(plan(t, 1, Rule{Kind: LoseAnswer, Operation: "*", Probability: 1},
		Rule{Kind: Throttle, Operation: "*", Probability: 0.5}, kept))
	assert.Equal(t, alone, among)
	twice := delays(plan(t, 1, kept, kept))
	isNone := func(d time.Duration) bool { return d == 0 }
	assert.Less(t, len(slices.DeleteFunc(alone, isNone))+20, len(slices.DeleteFunc(twice, isNone)), "the same rule twice rolls twice")
}

func TestLimitHoldsForEachOperation(t *testing.T) {
	t.Parallel()
	p := plan(t, 1, Rule{Kind: Throttle, Operation: "*", Probability: 1, Limit: 5})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { run(p, put, 100); run(p, get, 3) })
	}
	wg.Wait()
	assert.Equal(t, []map[string]int64{{put: 5, get: 5}}, p.Strikes())
}

// Two concurrent calls may both be chosen before either is struck.
func TestLimitHoldsWhenTaken(t *testing.T) {
	t.Parallel()
	p := plan(t, 1, Rule{Kind: Fail, Operation: put, Probability: 1, Limit: 1})
	first, second := p.Call(put, ""), p.Call(put, "")
	require.Error(t, second.Refusal())
	require.NoError(t, first.Refusal())
	assert.Nil(t, p.Call(put, ""))
	assert.Equal(t, []map[string]int64{{put: 1}}, p.Strikes())
}

func TestFaultsStrikeOnlyInTheirPeriod(t *testing.T) {
	t.Parallel()
	now := time.Unix(100, 0)
	p, err := New([]Rule{{Kind: Fail, Operation: put, Probability: 1, From: now.Add(time.Second), Until: now.Add(3 * time.Second)}}, 1,
		[]string{put}, func() time.Time { return now })
	require.NoError(t, err)
	got := ""
	for range 5 {
		got += run(p, put, 1)
		now = now.Add(time.Second)
	}
	assert.Equal(t, ".II..", got)
}

func TestFaultsChooseEntriesByShare(t *testing.T) {
	t.Parallel()
	const n = 10
	for _, tt := range []struct{ share, want float64 }{{0, 0.55}, {0.01, 0.109}, {1, 1}} {
		p := plan(t, 3, Rule{Kind: Partial, Operation: "Kinesis.PutRecords", Probability: 1, Share: tt.share})
		lost, outcomes := make([]int, n), map[Outcome]int{}
		for range 1000 {
			f := Batch(With(t.Context(), p.Call("Kinesis.PutRecords", "")), n)
			require.Len(t, f, n)
			assert.Equal(t, !slices.Contains(f, Done), f.NoneDone())
			for range n {
				first := f[0]
				require.Equal(t, first, f.Next())
			}
			require.Equal(t, Done, f.Next())
		}
		for range 1000 {
			f := Batch(With(t.Context(), p.Call("Kinesis.PutRecords", "")), n)
			require.True(t, slices.ContainsFunc(f, func(f Outcome) bool { return f != Done }), "one at least is struck")
			for i, outcome := range f {
				outcomes[outcome]++
				if outcome != Done {
					lost[i]++
				}
			}
		}
		for i := range n {
			assert.InDelta(t, tt.want, float64(lost[i])/1000, 0.06, "share %v, entry %d", tt.share, i)
		}
		assert.InEpsilon(t, outcomes[Throttled], outcomes[Failed], 0.3, "share %v", tt.share)
	}
}

func TestThrottleWithAShareStrikesEntries(t *testing.T) {
	t.Parallel()
	p := plan(t, 1, Rule{Kind: Throttle, Operation: "*", Probability: 1, Share: 0.5})
	c := p.Call("Kinesis.PutRecords", "")
	require.NoError(t, c.Refusal())
	f := Batch(With(t.Context(), c), 100)
	assert.Contains(t, f, Throttled)
	assert.Contains(t, f, Done)
	assert.NotContains(t, f, Failed)
	require.Error(t, p.Call(put, "").Refusal(), "no batch: the call as a whole")
}

func TestCallsWithoutFaultsAllocateNothing(t *testing.T) { //nolint:paralleltest // counts allocations
	ctx := context.Background()
	p := plan(t, 1, Rule{Kind: Fail, Operation: put, Probability: 1})
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		if On(ctx, Reorder).Take() || Batch(ctx, 10) != nil || Entries(ctx, Duplicate, 10).Has(3) || p.Call(get, "") != nil {
			panic("struck")
		}
	}))
}

func TestAllMistakesAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := New([]Rule{
		{Kind: "thrttle", Operation: "*", Probability: 1},
		{Kind: Throttle, Operation: "DynamoDB.PutItems", Probability: 0.5},
		{Kind: Fail, Operation: put, Probability: 1.5},
	}, 1, []string{put, get}, time.Now)
	require.EqualError(t, err, `fault 1: unknown fault "thrttle"; the faults are deny, duplicate, expire_iterator, fail, latency, `+
		`lose_answer, partial, redeliver, reorder, silence, throttle, transaction_conflict
fault 2: throttle strikes no operation "DynamoDB.PutItems"; allowed are *, a service such as DynamoDB.*, or any of `+
		`DynamoDB.GetItem, DynamoDB.PutItem
fault 3: probability 1.5 is not above 0 and at most 1`)
}

func TestInvalidRulesAreRefused(t *testing.T) {
	t.Parallel()
	at := time.Unix(100, 0)
	nan := 0.0
	nan /= nan
	ok := Rule{Kind: Fail, Operation: "*", Probability: 1}
	with := func(change func(*Rule)) Rule { r := ok; change(&r); return r }
	for i, tt := range []struct {
		rule Rule
		says string
	}{
		{ok, ""},
		{with(func(r *Rule) { r.Operation = "DynamoDB.*" }), ""},
		{with(func(r *Rule) { r.Operation = "Dynamo*" }), "strikes no operation"},
		{with(func(r *Rule) { r.Operation = "*.PutItem" }), "strikes no operation"},
		{with(func(r *Rule) { r.Operation = "DynamoDB.Put*" }), "strikes no operation"},
		{with(func(r *Rule) { r.Operation = "" }), "strikes no operation"},
		{with(func(r *Rule) { r.Operation = "SNS.*" }), "strikes no operation"},
		{with(func(r *Rule) { r.Kind, r.Operation = Partial, put }), `partial strikes no operation "DynamoDB.PutItem"`},
		{with(func(r *Rule) { r.Probability = 0 }), "probability 0 is not"},
		{with(func(r *Rule) { r.Probability = nan }), "probability NaN is not"},
		{with(func(r *Rule) { r.Probability = -0.1 }), "probability -0.1 is not"},
		{with(func(r *Rule) { r.Limit = -1 }), "limit -1 is negative"},
		{with(func(r *Rule) { r.From, r.Until = at, at }), "is not after from"},
		{with(func(r *Rule) { r.Share = 0.5 }), "fail has no share"},
		{with(func(r *Rule) { r.Kind, r.Share = Throttle, 1.1 }), "share 1.1 is not"},
		{with(func(r *Rule) { r.Min = 1 }), "fail has no min and max"},
		{with(func(r *Rule) { r.Kind = Latency }), "invalid latency from 0s to 0s"},
		{with(func(r *Rule) { r.Kind, r.Min, r.Max = Latency, 2, 1 }), "invalid latency"},
		{with(func(r *Rule) { r.Kind, r.Min, r.Max = Latency, -1, 1 }), "invalid latency"},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			_, err := New([]Rule{tt.rule}, 1, []string{put, get}, time.Now)
			if tt.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.says)
		})
	}
}
